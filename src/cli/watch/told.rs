//! What a frame of the stream tells of a registration; pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change of a registration, or one that was there when the watch began.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Told {
    event: Happened,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    seen: Seen,
}

/// What happened to a registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Happened {
    /// It was there when the watch began.
    Present,
    /// It is there, and was not before.
    Registered,
    /// The phone has registered again, from another address.
    Moved,
    /// Something else of it is new.
    Changed,
    /// The phone has registered again.
    Refreshed,
    /// Its time is over.
    Expired,
    /// It went before its time: the phone unregistered, or it was flushed.
    Unregistered,
}

/// A registration, as far as a watch shows it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
struct Seen {
    #[serde(default)]
    username: String,
    #[serde(default)]
    realm: String,
    #[serde(default)]
    contact: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ruid: Option<String>,
    /// Gregorian second of the last REGISTER.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_registration: Option<i64>,
    /// Unix second of its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

impl Told {
    /// What a frame tells; `None` where it tells nothing of a registration, an error where it is not usrlocd's.
    pub(super) fn of(mut frame: Value) -> Result<Option<Self>, ()> {
        let text = |key: &str| frame[key].as_str().map(str::to_owned);
        let (id, reason, at) = (text("id"), text("reason"), text("at"));
        let event = match (frame["type"].as_str(), reason.as_deref()) {
            (Some("present"), _) => Happened::Present,
            (Some("registered"), _) => Happened::Registered,
            (Some("moved"), _) => Happened::Moved,
            (Some("changed"), _) => Happened::Changed,
            (Some("refreshed"), _) => Happened::Refreshed,
            (Some("terminated"), Some("expired")) => Happened::Expired,
            (Some("terminated"), _) => Happened::Unregistered,
            (Some(_), _) => return Ok(None),
            (None, _) => return Err(()),
        };
        let seen = serde_json::from_value(frame["registration"].take()).map_err(|_| ())?;
        Ok(Some(Self {
            event,
            time: at.unwrap_or_else(|| Timestamp::now().to_string()),
            id,
            reason,
            seen,
        }))
    }

    /// The word for what happened, and its colour.
    pub(super) fn word(&self) -> (&'static str, &'static str) {
        match self.event {
            Happened::Present => ("present", "0"),
            Happened::Registered => ("registered", "32"),
            Happened::Moved => ("moved", "36"),
            Happened::Changed => ("changed", "36"),
            Happened::Refreshed => ("refreshed", "0"),
            Happened::Expired => ("expired", "31"),
            Happened::Unregistered => ("unregistered", "33"),
        }
    }

    /// When it happened.
    pub(super) fn time(&self) -> Timestamp {
        self.time.parse().unwrap_or_default()
    }

    /// Whose registration it is, and from where.
    pub(super) fn details(&self) -> String {
        let seen = &self.seen;
        let mut details = format!("{}@{}  {}", seen.username, seen.realm, seen.contact);
        if let Some(ip) = &seen.source_ip {
            let port = seen.source_port.as_deref().unwrap_or("-");
            let from = if ip.contains(':') {
                format!("  from [{ip}]:{port}")
            } else {
                format!("  from {ip}:{port}")
            };
            details.push_str(&from);
        }
        if let Some(user_agent) = &seen.user_agent {
            details.push_str("  ");
            details.push_str(user_agent);
        }
        if let Some(reason) = self.reason.as_deref().filter(|it| *it != "expired") {
            details.push_str("  (");
            details.push_str(reason);
            details.push(')');
        }
        details
    }

    /// The change as programs read it.
    pub(super) fn object(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

/// What a gap means to somebody who watches.
pub(super) fn gap(cause: &Value) -> &'static str {
    match cause.as_str() {
        Some("restored") => {
            "the daemon could not watch for a while; steps in between may be missing, and what follows brings everything up to now"
        }
        Some("forgotten") => "events of a user were deleted on request",
        _ => "changes are missing here: they are no longer kept, or were too many",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_frame_has_its_word() {
        let told = |kind: &str, reason: Option<&str>| {
            let frame = json!({
                "type": kind, "reason": reason, "at": "2026-11-30T10:00:00.000Z",
                "registration": {"username": "a", "realm": "r", "contact": "sip:a@h"},
            });
            let told = Told::of(frame).unwrap();
            told.map(|one| (one.word().0, one.details()))
        };
        for (kind, reason, word, details) in [
            ("registered", None, "registered", "a@r  sip:a@h"),
            ("terminated", Some("expired"), "expired", "a@r  sip:a@h"),
            (
                "terminated",
                Some("flushed"),
                "unregistered",
                "a@r  sip:a@h  (flushed)",
            ),
            ("changed", None, "changed", "a@r  sip:a@h"),
        ] {
            assert_eq!(
                told(kind, reason),
                Some((word, details.to_owned())),
                "{kind}"
            );
        }
        assert_eq!(told("synced", None), None);
        assert!(Told::of(json!({"data": []})).is_err());
    }
}
