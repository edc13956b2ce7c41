//! What `ul.lookup` says of an address of record (Kamailio's `usrloc/ul_rpc.c`).

use serde_json::Value;

use super::{Fault, message};
use crate::registration::{Ruid, Text};

/// A text that Kamailio has not.
const NOT_SET: &str = "[not set]";

/// The answer to `ul.lookup`.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The AoR is there, with these contacts; some may be expired or deleted.
    Found(Vec<Contact>),
    /// The AoR is there without a contact: all were removed, and its rows not yet.
    NoContacts,
    /// The AoR is not there; so is one that is misspelt.
    NotFound,
    /// Another AoR is there, for which Kamailio takes this one: with `use_domain=0` it cuts at the first `@`, and it
    /// lower-cases unless it is case-sensitive.
    Misread {
        /// That other AoR.
        read_as: Text,
    },
}

/// A contact in Kamailio's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// The contact URI, byte for byte.
    pub address: Text,
    /// Its unique id, that of the row.
    pub ruid: Ruid,
    /// How long it stays.
    pub expires: Expires,
    /// `Call-ID` of the last REGISTER.
    pub call_id: Option<Text>,
    /// `CSeq` of the last REGISTER.
    pub cseq: Option<i64>,
    /// When the last REGISTER came, Unix seconds.
    pub last_modified: Option<i64>,
    /// The source of the last REGISTER.
    pub received: Option<Text>,
    /// The phone.
    pub user_agent: Option<Text>,
}

/// How long a contact stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires {
    /// So many seconds more.
    Seconds(i64),
    /// For ever.
    Permanent,
    /// It has expired; the timer takes it away.
    Expired,
    /// It was removed; the timer takes it away.
    Deleted,
}

impl Contact {
    /// Whether calls reach it: it is neither expired nor deleted.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self.expires {
            Expires::Seconds(left) => left > 0,
            Expires::Permanent => true,
            Expires::Expired | Expires::Deleted => false,
        }
    }
}

/// The AoR that a lookup found.
pub(super) fn aor(result: &Value) -> Option<Text> {
    result["AoR"].as_str().map(message::text)
}

/// Reads the result of a lookup that found the AoR.
pub(super) fn contacts(result: &Value) -> Result<Vec<Contact>, Fault> {
    result["Contacts"]
        .as_array()
        .ok_or_else(|| malformed("Contacts"))?
        .iter()
        .map(|entry| contact(&entry["Contact"]))
        .collect()
}

/// Reads a contact. Another Kamailio may write a number where ours writes a text, and the other way round; only what is
/// missing, or means nothing, makes the whole answer useless.
fn contact(fields: &Value) -> Result<Contact, Fault> {
    let text = |name: &str| match &fields[name] {
        Value::String(text) if text != NOT_SET => Some(message::text(text)),
        Value::Number(number) => Some(number.to_string().as_str().into()),
        _ => None,
    };
    Ok(Contact {
        address: text("Address").ok_or_else(|| malformed("Address"))?,
        ruid: Ruid(text("Ruid").ok_or_else(|| malformed("Ruid"))?),
        expires: expires(&fields["Expires"]).ok_or_else(|| malformed("Expires"))?,
        call_id: text("Call-ID"),
        cseq: whole(&fields["CSeq"]),
        last_modified: whole(&fields["Last-Modified"]),
        received: text("Received"),
        user_agent: text("User-Agent"),
    })
}

fn expires(value: &Value) -> Option<Expires> {
    let word = value.as_str().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "permanent" => Some(Expires::Permanent),
        "expired" => Some(Expires::Expired),
        "deleted" => Some(Expires::Deleted),
        _ => whole(value).map(Expires::Seconds),
    }
}

/// A whole number, as such, with a fraction of nothing, or as a text.
fn whole(value: &Value) -> Option<i64> {
    let of_real = |number: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates; there is no such second"
        )]
        let whole = number as i64;
        (number.is_finite() && number.fract() == 0.0).then_some(whole)
    };
    match value {
        Value::Number(number) => number.as_i64().or_else(|| of_real(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| of_real(text.parse().ok()?))
        }
        _ => None,
    }
}

fn malformed(field: &str) -> Fault {
    Fault::Malformed(format!("ul.lookup answered without a valid {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(expires: &Value) -> Value {
        json!({"AoR": "u@d", "Contacts": [{"Contact": {
            "Address": "sip:u@192.0.2.1", "Expires": expires, "Q": -1, "Call-ID": "c1", "CSeq": 4,
            "User-Agent": "[not set]", "Received": "[not set]", "Ruid": "uloc-1-2-3", "Last-Modified": 1_795_000_000,
        }}]})
    }

    #[test]
    fn every_expiry_is_read() {
        for (value, expires, is_live) in [
            (json!(17), Expires::Seconds(17), true),
            (json!(-1), Expires::Seconds(-1), false),
            (json!("permanent"), Expires::Permanent, true),
            (json!("expired"), Expires::Expired, false),
            (json!("deleted"), Expires::Deleted, false),
        ] {
            let contacts = contacts(&answer(&value)).unwrap();
            assert_eq!(contacts[0].expires, expires);
            assert_eq!(contacts[0].is_live(), is_live, "{value}");
            assert_eq!(contacts[0].user_agent, None);
        }
    }

    #[test]
    fn numbers_and_texts_stand_for_each_other() {
        for (value, expires) in [
            (json!("17"), Expires::Seconds(17)),
            (json!(17.0), Expires::Seconds(17)),
            (json!("-1"), Expires::Seconds(-1)),
            (json!("Deleted"), Expires::Deleted),
        ] {
            let mut answer = answer(&value);
            let fields = &mut answer["Contacts"][0]["Contact"];
            fields["CSeq"] = json!("4");
            fields["Last-Modified"] = json!(1_795_000_000.0);
            fields["Call-ID"] = json!(4711);
            fields["User-Agent"] = json!({"odd": []});
            fields["Received"] = json!(null);
            let contact = &contacts(&answer).unwrap()[0];
            assert_eq!(contact.expires, expires, "{value}");
            assert_eq!(
                (contact.cseq, contact.last_modified),
                (Some(4), Some(1_795_000_000))
            );
            assert_eq!(contact.call_id, Some("4711".into()));
            assert_eq!((&contact.user_agent, &contact.received), (&None, &None));
        }
    }

    #[test]
    fn what_is_no_lookup_is_malformed() {
        for value in [
            json!({}),
            json!(null),
            json!({"Contacts": [{}]}),
            answer(&json!("soon")),
        ] {
            assert!(
                matches!(contacts(&value), Err(Fault::Malformed(_))),
                "{value}"
            );
        }
    }
}
