//! What the caller of a flush may still do while it runs.

use std::fmt;

use super::failure::NotFlushed;
use crate::registration::{Registration, Text};

/// The caller's authorization. A flush may take long, and tokens and the directory change meanwhile: it is checked
/// again before each removal.
pub trait Authorization: fmt::Debug + Send + Sync {
    /// Whether the caller may still flush the account.
    fn holds(&self) -> bool;

    /// Whether contacts that Kamailio has in this domain, and that no row shows, still belong to the account.
    fn covers(&self, domain: Option<&Text>) -> bool;
}

/// Who asks for a flush, as far as its steps need to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    /// The account whose contacts may go; `None` for all accounts.
    pub(super) account: Option<&'a str>,
    pub(super) authorization: &'a dyn Authorization,
}

impl Caller<'_> {
    /// Fails once the authorization is withdrawn.
    pub(super) fn check(&self) -> Result<(), NotFlushed> {
        if self.authorization.holds() {
            Ok(())
        } else {
            Err(NotFlushed::Withdrawn)
        }
    }

    /// Whether a registration belongs to the account that is flushed.
    pub(super) fn owns(&self, registration: &Registration) -> bool {
        self.account
            .is_none_or(|account| registration.account_id.as_deref() == Some(account))
    }
}
