//! Addresses of record: how Kamailio's memory spells them, and whether its RPC can be told them.
//!
//! The memory's key is not always what `ul.lookup` and `ul.rm` make of it (Kamailio's `usrloc/ul_rpc.c`): with
//! `use_domain=0` they cut at the first `@`, and with `use_domain=1` they refuse a name without one. A name that they
//! read as another user's must not be asked for.

use super::Text;

/// An address of record of the table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AddressOfRecord {
    name: Text,
    unaskable: Option<Unaskable>,
}

/// Why Kamailio's RPC cannot be told an address of record. The message is for the caller of a flush.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Unaskable {
    /// It is a host alone, such as `sip:trunk.test` (RFC 3261, 10.2): `ul.rm` wants a user.
    #[error(
        "not removed: the address of record has no user part, so Kamailio's ul.rm cannot name it; it ends when the \
         device un-registers or its registration expires"
    )]
    NoUser,
    /// The user name has an `@`, and the row no domain.
    #[error(
        "not removed: with use_domain=0 Kamailio's ul.rm cuts the user name at its first @ and would remove another \
         user's contacts; set modparam(\"usrloc\", \"use_domain\", 1), or wait until the device un-registers or its \
         registration expires"
    )]
    AtSign,
    /// It has a NUL byte, which ends a text in Kamailio's JSON.
    #[error(
        "not removed: the address of record has a NUL byte, so Kamailio's ul.rm cannot name it; it ends when the \
         device un-registers or its registration expires"
    )]
    Nul,
}

impl AddressOfRecord {
    /// That of a row with these columns: `username@domain`, or the username alone where there is no domain
    /// (`use_domain=0`).
    #[must_use]
    pub fn new(username: &Text, domain: Option<&Text>) -> Self {
        let user = username.as_bytes();
        let mut name = user.to_vec();
        // A host alone has none; what begins with one has more of them (`sip:%40home@r.test`).
        let is_host = |domain: &Text| user.is_empty() && !domain.as_bytes().contains(&b'@');
        let is_host = domain.is_some_and(is_host);
        if let Some(domain) = domain {
            if !is_host {
                name.push(b'@');
            }
            name.extend_from_slice(domain.as_bytes());
        }
        let unaskable = if name.contains(&0) {
            Some(Unaskable::Nul)
        } else {
            match domain {
                Some(_) if is_host => Some(Unaskable::NoUser),
                None if user.contains(&b'@') => Some(Unaskable::AtSign),
                // With `use_domain=0` all that register without a user share the empty name, which can be told.
                Some(_) | None => None,
            }
        };
        Self {
            name: name.into(),
            unaskable,
        }
    }

    /// As Kamailio's memory spells it.
    #[must_use]
    pub fn name(&self) -> &Text {
        &self.name
    }

    /// As Kamailio's RPC wants it.
    ///
    /// # Errors
    /// When Kamailio would read it as another one, or cannot be told it.
    pub fn for_rpc(&self) -> Result<&Text, Unaskable> {
        match self.unaskable {
            None => Ok(&self.name),
            Some(why) => Err(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(username: &str, domain: Option<&str>) -> AddressOfRecord {
        AddressOfRecord::new(&username.into(), domain.map(Text::from).as_ref())
    }

    #[test]
    fn what_kamailio_reads_as_it_stands_is_asked_for() {
        for (username, domain, name) in [
            ("alice", Some("r.test"), "alice@r.test"),
            ("alice", None, "alice"),
            // Kamailio has split `user@example.com` at the first `@`.
            (
                "user",
                Some("example.com@r.test"),
                "user@example.com@r.test",
            ),
            ("", Some("home@r.test"), "@home@r.test"),
            ("a", Some("@r.test"), "a@@r.test"),
            ("b c", Some("r.test"), "b c@r.test"),
            // A `tel:` URI has no host.
            ("+15550100", Some(""), "+15550100@"),
            ("+15550100", None, "+15550100"),
            ("", None, ""),
        ] {
            let aor = of(username, domain);
            assert_eq!(aor.name(), &Text::from(name));
            assert_eq!(aor.for_rpc(), Ok(&Text::from(name)));
        }
    }

    #[test]
    fn what_kamailio_would_read_as_another_is_not() {
        for (username, domain, name, why) in [
            ("", Some("trunk.test"), "trunk.test", Unaskable::NoUser),
            (
                "user@example.com",
                None,
                "user@example.com",
                Unaskable::AtSign,
            ),
            ("@", None, "@", Unaskable::AtSign),
            ("a\u{0}b", Some("r.test"), "a\u{0}b@r.test", Unaskable::Nul),
        ] {
            let aor = of(username, domain);
            assert_eq!(aor.name(), &Text::from(name));
            assert_eq!(aor.for_rpc(), Err(why));
        }
    }
}
