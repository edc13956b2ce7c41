//! Account ids as callers and tokens write them.
//!
//! Ids are compared byte by byte, except for domains: where an account's id is the domain of its phones, any spelling of that
//! domain means it (RFC 4343).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::accounts::directory::Directory;
use crate::http::App;
use crate::registry::{Registry, Scope};

/// The accounts known at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) directory: &'a Directory,
    known: Known<'a>,
}

/// What tells which accounts there are beside those of the directory.
#[derive(Clone, Copy, Debug)]
enum Known<'a> {
    /// This node's registrations.
    Here(&'a Registry),
    /// The fleet's.
    Fleet(&'a InFleet),
}

/// Accounts that have registrations in the fleet, among those that were looked for; each with the realm of one of them.
pub(crate) type InFleet = HashMap<String, Option<String>>;

impl<'a> Names<'a> {
    pub(crate) fn of(app: &'a App, directory: &'a Arc<Directory>) -> Self {
        Self {
            directory,
            known: Known::Here(&app.registry),
        }
    }

    /// The accounts of the fleet.
    pub(crate) fn in_fleet(known: &'a InFleet, directory: &'a Arc<Directory>) -> Self {
        Self {
            directory,
            known: Known::Fleet(known),
        }
    }

    /// Whether registrations belong to the account, or did of late.
    fn has(&self, id: &str) -> bool {
        match self.known {
            Known::Here(registry) => registry.knows_account(id),
            Known::Fleet(known) => known.contains_key(id),
        }
    }

    /// The id of the account that `id` means; `id` itself where that is one, or means none.
    pub(crate) fn spelled<'b>(&self, id: &'b str) -> Cow<'b, str> {
        if self.directory.account(id).is_some() || self.has(id) {
            return id.into();
        }
        if id.contains('.')
            && let Some(account) = self.directory.account_called(id)
        {
            return account.id.to_string().into();
        }
        let domain = id.to_ascii_lowercase();
        if domain != id && self.is_domain(&domain) {
            domain.into()
        } else {
            id.into()
        }
    }

    /// Whether which account `id` means can be seen from the registrations only.
    pub(crate) fn need_rows(&self, id: &str) -> bool {
        id.contains(|c: char| c.is_ascii_uppercase()) && self.directory.account(id).is_none()
    }

    /// Whether the account is one that is called like the domain of its phones.
    fn is_domain(&self, id: &str) -> bool {
        let is_id = |realm: &str| realm.eq_ignore_ascii_case(id);
        let registry = match self.known {
            Known::Here(registry) => registry,
            Known::Fleet(known) => {
                let realm = known.get(id).and_then(Option::as_deref);
                return realm.is_some_and(is_id);
            }
        };
        let first = registry.page(Scope::Account(id), None, 1).registrations;
        match first.first() {
            Some((_, one)) => one.common.realm.as_deref().is_some_and(is_id),
            // Its phones were here within the last hour.
            None => id.contains('.') && registry.knows_account(id),
        }
    }
}
