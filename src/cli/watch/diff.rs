//! What has changed between two looks at a list; pure.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// What happened to a registration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Happened {
    /// It was there when the watch began.
    Present,
    /// It is there, and was not before.
    Registered,
    /// The phone has registered again, from another address.
    Moved,
    /// The phone has registered again.
    Refreshed,
    /// Its time is over.
    Expired,
    /// It went before its time: the phone unregistered, or it was flushed.
    Unregistered,
}

/// A registration, as far as a watch shows it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub(super) struct Seen {
    #[serde(default)]
    pub(super) username: String,
    #[serde(default)]
    pub(super) realm: String,
    #[serde(default)]
    pub(super) contact: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ruid: Option<String>,
    /// Gregorian second of the last REGISTER.
    pub(super) last_registration: i64,
    /// Unix second of its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<i64>,
}

/// A list, in the order of what distinguishes registrations: user, realm and contact.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Snapshot(Vec<Seen>);

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change<'a> {
    pub(super) happened: Happened,
    pub(super) seen: &'a Seen,
}

impl Snapshot {
    pub(super) fn of(mut all: Vec<Seen>) -> Self {
        all.sort_by(|a, b| a.key().cmp(&b.key()));
        // One that comes and goes while the pages are read may stand on two of them.
        all.dedup_by(|a, b| a.key() == b.key());
        Self(all)
    }

    fn get(&self, like: &Seen) -> Option<&Seen> {
        let found = self.0.binary_search_by(|one| one.key().cmp(&like.key()));
        found.ok().map(|at| &self.0[at])
    }

    /// All of them.
    pub(super) fn present(&self) -> impl Iterator<Item = Change<'_>> {
        self.0.iter().map(|seen| Change {
            happened: Happened::Present,
            seen,
        })
    }

    /// What has changed until `later`, a list of the Unix second `now`; by user, realm and contact, and what went
    /// before what came.
    pub(super) fn until<'a>(&'a self, later: &'a Self, now: i64) -> Vec<Change<'a>> {
        let gone = self.0.iter().filter(|seen| later.get(seen).is_none());
        let gone = gone.map(|seen| Change {
            happened: if seen.expires_at.is_some_and(|end| end <= now) {
                Happened::Expired
            } else {
                Happened::Unregistered
            },
            seen,
        });
        let here = later.0.iter().filter_map(|seen| {
            let happened = match self.get(seen) {
                None => Happened::Registered,
                Some(before) => before.became(seen)?,
            };
            Some(Change { happened, seen })
        });
        gone.chain(here).collect()
    }
}

impl Seen {
    fn key(&self) -> (&str, &str, &str) {
        (&self.username, &self.realm, &self.contact)
    }

    fn became(&self, later: &Self) -> Option<Happened> {
        let moved = self.source_ip != later.source_ip || self.source_port != later.source_port;
        match later.last_registration.cmp(&self.last_registration) {
            _ if moved => Some(Happened::Moved),
            Ordering::Greater => Some(Happened::Refreshed),
            _ if later.expires_at != self.expires_at => Some(Happened::Refreshed),
            Ordering::Equal | Ordering::Less => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(user: &str, modified: i64, end: i64, ip: &str) -> Seen {
        let item = json!({
            "username": user, "realm": "r", "contact": format!("sip:{user}@h"), "source_ip": ip,
            "last_registration": modified, "expires_at": end, "expires": 7,
        });
        serde_json::from_value(item).unwrap()
    }

    fn snapshot(all: &[Seen]) -> Snapshot {
        Snapshot::of(all.to_vec())
    }

    #[test]
    fn each_change_has_its_word() {
        let before = snapshot(&[
            seen("expires", 1, 100, "a"),
            seen("moves", 1, 200, "a"),
            seen("refreshes", 1, 200, "a"),
            seen("stays", 1, 200, "a"),
            seen("unregisters", 1, 200, "a"),
        ]);
        let after = snapshot(&[
            seen("moves", 2, 300, "b"),
            seen("refreshes", 2, 300, "a"),
            seen("registers", 2, 300, "a"),
            seen("stays", 1, 200, "a"),
        ]);
        let told: Vec<_> = before
            .until(&after, 100)
            .into_iter()
            .map(|change| (change.happened, &*change.seen.username))
            .collect();
        assert_eq!(
            told,
            [
                (Happened::Expired, "expires"),
                (Happened::Unregistered, "unregisters"),
                (Happened::Moved, "moves"),
                (Happened::Refreshed, "refreshes"),
                (Happened::Registered, "registers"),
            ]
        );
        assert_eq!(before.present().count(), 5);
        assert_eq!(after.until(&after, 250), []);
    }
}
