//! What is granted to a caller: the account that is asked for, or all accounts that the caller may see.

use std::sync::Arc;

use http::Method;

use crate::accounts::directory::Directory;
use crate::http::App;
use crate::http::auth::access::{Caller, Right};
use crate::http::auth::account::{InFleet, Names};
use crate::http::error::Error;
use crate::http::request::route::{Route, Whose};
use crate::registry::Scope;

/// What a caller may have, by one directory.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) caller: Caller,
    pub(crate) directory: Arc<Directory>,
    /// The account; `None` for the whole system.
    account: Option<String>,
    /// Of the whole system, the accounts that the caller may see; `None` for a caller who may see all.
    pub(crate) accounts: Option<Vec<String>>,
    /// What is known of the fleet's accounts, where the fleet is asked.
    in_fleet: Option<Arc<InFleet>>,
}

impl Grant {
    /// Grants the caller what the route names.
    pub(crate) fn new(
        app: &App,
        caller: Caller,
        directory: Arc<Directory>,
        (route, method): (&Route, &Method),
        in_fleet: Option<Arc<InFleet>>,
    ) -> Result<Self, Error> {
        let mut grant = Self {
            caller,
            directory,
            account: None,
            accounts: None,
            in_fleet,
        };
        let names = grant.names(app, &grant.directory);
        grant.account = authorize(&grant.caller, route, method, names)?;
        Ok(grant)
    }

    fn names<'a>(&'a self, app: &'a App, directory: &'a Arc<Directory>) -> Names<'a> {
        match &self.in_fleet {
            None => Names::of(app, directory),
            Some(known) => Names::in_fleet(known, directory),
        }
    }

    /// Whether the account that is asked for has registrations in the fleet.
    pub(crate) fn is_in_fleet(&self) -> bool {
        let known = self.in_fleet.as_ref().zip(self.account.as_ref());
        known.is_some_and(|(known, id)| known.contains_key(id))
    }

    /// Finds the accounts of the whole system that the caller may see; once the registrations are there, whose realms
    /// may be what tells an account's id.
    pub(crate) fn find_accounts(&mut self, app: &App) {
        if self.account.is_none() {
            let names = self.names(app, &self.directory);
            self.accounts = self.caller.accounts(names);
        }
    }

    /// The registrations that it is about.
    pub(crate) fn scope(&self) -> Scope<'_> {
        self.account
            .as_deref()
            .map_or(Scope::System, Scope::Account)
    }

    /// Checks it again once an answer has been made. The directory changes in one moment with the registrations: if that
    /// was in between, these may be those of another account than the one that the caller may see.
    pub(crate) fn check_again(
        &self,
        app: &App,
        route: &Route,
        method: &Method,
    ) -> Result<(), Error> {
        let now = Arc::clone(&app.directory.borrow());
        if Arc::ptr_eq(&now, &self.directory) {
            return Ok(());
        }
        let names = self.names(app, &now);
        authorize(&self.caller, route, method, names)?;
        if self.account.is_none() && self.caller.accounts(names) != self.accounts {
            // A caller who asks again is answered by the directory that there is now.
            return Err(Error::DatastoreUnreachable);
        }
        Ok(())
    }
}

/// The account that is asked for, if the caller may.
fn authorize(
    caller: &Caller,
    route: &Route,
    method: &Method,
    names: Names<'_>,
) -> Result<Option<String>, Error> {
    let account = match &route.realm {
        Whose::System => None,
        Whose::Account(id) => Some(names.spelled(id).into_owned()),
        Whose::Own => Some(names.spelled(caller.only_account(names)?).into_owned()),
    };
    let right = if route.acts(method) {
        Right::Flush
    } else {
        Right::Read
    };
    caller.may(right, account.as_deref(), names)?;
    Ok(account)
}
