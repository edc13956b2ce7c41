//! Authorization of a flush: its caller is checked again while it runs, as if the request came now.

use std::fmt;
use std::iter;
use std::sync::Arc;

use crate::accounts::directory::Directory;
use crate::flush::Authorization;
use crate::http::App;
use crate::http::auth::access::{Right, recognize};
use crate::http::auth::account::{InFleet, Names};
use crate::http::auth::credential::Credential;
use crate::http::auth::peer::Peer;
use crate::http::error::Error;
use crate::registration::{Name, Text};

/// What registrations a flush is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Covered<'a> {
    /// Those of this account.
    Account(&'a str),
    /// Such as belong to no account: they are for callers who may see all.
    NoAccount,
    /// None.
    Nothing,
}

/// What a caller presented, and for which account. `Debug` shows none of it: the token is among it.
pub(crate) struct FlushAuthorization {
    app: Arc<App>,
    peer: Peer,
    credential: Credential,
    account: Option<String>,
    needs_all: bool,
    /// What is known of the fleet's accounts, where the fleet is asked.
    in_fleet: Option<Arc<InFleet>>,
    /// By which the caller was authorized.
    directory: Arc<Directory>,
}

impl FlushAuthorization {
    /// That of an authorized caller.
    pub(crate) fn new(
        app: &Arc<App>,
        peer: Peer,
        credential: Credential,
        covered: Covered<'_>,
        directory: &Arc<Directory>,
        in_fleet: Option<Arc<InFleet>>,
    ) -> Self {
        Self {
            in_fleet,
            app: Arc::clone(app),
            peer,
            credential,
            account: match covered {
                Covered::Account(id) => Some(id.to_owned()),
                Covered::NoAccount | Covered::Nothing => None,
            },
            needs_all: matches!(covered, Covered::NoAccount),
            directory: Arc::clone(directory),
        }
    }

    /// Why the caller would be refused now.
    pub(crate) fn check(&self) -> Result<(), Error> {
        Self::check_each(iter::once(self))
    }

    /// Why the caller, who is the same in all of them, would be refused one of them now.
    pub(crate) fn check_each<'a>(all: impl Iterator<Item = &'a Self>) -> Result<(), Error> {
        let mut all = all.peekable();
        let Some(first) = all.peek() else {
            return Ok(());
        };
        let caller = recognize(&first.app, first.peer, &first.credential)
            .map_err(|_| Error::InvalidCredentials)?;
        let directory = Arc::clone(&first.app.directory.borrow());
        let names = match &first.in_fleet {
            None => Names::of(&first.app, &directory),
            Some(known) => Names::in_fleet(known, &directory),
        };
        let sees_all = caller.accounts(names).is_none();
        for one in all {
            caller.may(Right::Flush, one.account.as_deref(), names)?;
            if one.needs_all && !sees_all {
                return Err(Error::Forbidden);
            }
        }
        Ok(())
    }
}

impl Authorization for FlushAuthorization {
    fn holds(&self) -> bool {
        self.check().is_ok()
    }

    /// Not once the realm belongs to another account: what is registered there now may be that account's.
    fn covers(&self, domain: Option<&Text>) -> bool {
        let now = Arc::clone(&self.app.directory.borrow());
        if Arc::ptr_eq(&now, &self.directory) {
            return true;
        }
        let realm = Name::of_columns(&[], domain.map(Text::as_bytes)).realm;
        let Some(realm) = realm.and_then(|realm| std::str::from_utf8(realm).ok()) else {
            return false;
        };
        let [now, then] = [&now, &self.directory].map(|directory| {
            let account = directory.account_of_realm(realm);
            account.map(|account| account.id.clone())
        });
        now == then
    }
}

impl fmt::Debug for FlushAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlushAuthorization").finish_non_exhaustive()
    }
}
