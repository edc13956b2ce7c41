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

fn contact(fields: &Value) -> Result<Contact, Fault> {
    let text = |name: &str| {
        let text = fields[name].as_str().filter(|text| *text != NOT_SET);
        text.map(message::text)
    };
    Ok(Contact {
        address: text("Address").ok_or_else(|| malformed("Address"))?,
        ruid: Ruid(text("Ruid").ok_or_else(|| malformed("Ruid"))?),
        expires: expires(&fields["Expires"]).ok_or_else(|| malformed("Expires"))?,
        call_id: text("Call-ID"),
        cseq: fields["CSeq"].as_i64(),
        last_modified: fields["Last-Modified"].as_i64(),
        received: text("Received"),
        user_agent: text("User-Agent"),
    })
}

fn expires(value: &Value) -> Option<Expires> {
    match value {
        Value::Number(left) => left.as_i64().map(Expires::Seconds),
        Value::String(word) => match word.as_str() {
            "permanent" => Some(Expires::Permanent),
            "expired" => Some(Expires::Expired),
            "deleted" => Some(Expires::Deleted),
            _ => None,
        },
        _ => None,
    }
}

fn malformed(field: &str) -> Fault {
    Fault::Malformed(format!("ul.lookup answers without a valid {field}"))
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
