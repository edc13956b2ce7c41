//! User and realm as people mean them, however usrloc has split the address of record.

use std::borrow::Cow;

use super::{Binding, Text};

/// A user in a realm. A name is split from its domain at the last `@`; Kamailio splits an address of record at the
/// first, so that `user%40example.com@plain.test` stands as `user` of `example.com@plain.test` in its table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name<'a> {
    /// The SIP user.
    pub user: Cow<'a, [u8]>,
    /// The SIP domain; absent where the row has none.
    pub realm: Option<&'a [u8]>,
}

impl<'a> Name<'a> {
    /// The name that these columns of a row mean.
    #[must_use]
    pub fn of_columns(username: &'a [u8], domain: Option<&'a [u8]>) -> Self {
        let filled = |realm: &'a [u8]| (!realm.is_empty()).then_some(realm);
        let domain = domain.unwrap_or_default();
        let Some(at) = domain.iter().rposition(|byte| *byte == b'@') else {
            return Self {
                user: username.into(),
                realm: filled(domain),
            };
        };
        Self {
            user: [username, b"@", &domain[..at]].concat().into(),
            realm: filled(&domain[at + 1..]),
        }
    }
}

impl Binding {
    /// User and realm of the address of record.
    #[must_use]
    pub fn name(&self) -> Name<'_> {
        Name::of_columns(
            self.username.as_bytes(),
            self.domain.as_ref().map(Text::as_bytes),
        )
    }

    /// The SIP user, as [`name`](Self::name) has it.
    #[must_use]
    pub fn user(&self) -> Cow<'_, [u8]> {
        self.name().user
    }
}

/// `username` and `domain` as the table has them for a user in a realm.
#[must_use]
pub fn columns_of(user: &[u8], realm: &[u8]) -> (Text, Text) {
    match user.iter().position(|byte| *byte == b'@') {
        None => (user.into(), realm.into()),
        Some(at) => {
            let domain = [&user[at + 1..], b"@", realm].concat();
            (user[..at].into(), domain.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(username: &str, domain: Option<&str>) -> (String, Option<String>) {
        let name = Name::of_columns(username.as_bytes(), domain.map(str::as_bytes));
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (lossy(&name.user), name.realm.map(lossy))
    }

    #[test]
    fn names_are_split_at_the_last_at() {
        for (username, domain, user, realm) in [
            ("user", Some("plain.test"), "user", Some("plain.test")),
            (
                "user",
                Some("example.com@plain.test"),
                "user@example.com",
                Some("plain.test"),
            ),
            ("a", Some("b@c@plain.test"), "a@b@c", Some("plain.test")),
            (
                "",
                Some("example.com@plain.test"),
                "@example.com",
                Some("plain.test"),
            ),
            ("user", Some("@plain.test"), "user@", Some("plain.test")),
            // Without a domain nothing tells that the name has one.
            ("user@example.com", None, "user@example.com", None),
            ("user", Some(""), "user", None),
            ("", Some("trunk.test"), "", Some("trunk.test")),
        ] {
            let expected = (user.to_owned(), realm.map(str::to_owned));
            assert_eq!(named(username, domain), expected, "{username} {domain:?}");
        }
    }

    proptest! {
        #[test]
        fn columns_mean_the_name_that_they_are_of(user in "[ab@]{0,6}", realm in "[ab]{1,4}") {
            let (username, domain) = columns_of(user.as_bytes(), realm.as_bytes());
            let name = Name::of_columns(username.as_bytes(), Some(domain.as_bytes()));
            prop_assert_eq!(&*name.user, user.as_bytes());
            prop_assert_eq!(name.realm, Some(realm.as_bytes()));
            prop_assert!(!username.as_bytes().contains(&b'@'));
        }
    }
}
