//! Account ids as callers and tokens write them.
//!
//! Ids are compared byte by byte, except for domains: where an account's id is the domain of its phones, any spelling of that
//! domain means it (RFC 4343).

use std::borrow::Cow;
use std::sync::Arc;

use crate::accounts::directory::Directory;
use crate::http::App;
use crate::registry::{Registry, Scope};

/// The accounts known at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) directory: &'a Directory,
    registry: &'a Registry,
}

impl<'a> Names<'a> {
    pub(crate) fn of(app: &'a App, directory: &'a Arc<Directory>) -> Self {
        Self {
            directory,
            registry: &app.registry,
        }
    }

    /// The id of the account that `id` means; `id` itself where that is one, or means none.
    pub(crate) fn spelled<'b>(&self, id: &'b str) -> Cow<'b, str> {
        if self.directory.account(id).is_some() || self.registry.knows_account(id) {
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
        let first = self
            .registry
            .page(Scope::Account(id), None, 1)
            .registrations;
        match first.first() {
            Some((_, one)) => {
                let realm = one.common.realm.as_deref();
                realm.is_some_and(|realm| realm.eq_ignore_ascii_case(id))
            }
            // Its phones were here within the last hour.
            None => id.contains('.') && self.registry.knows_account(id),
        }
    }
}
