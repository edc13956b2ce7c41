//! Who asks for a summary, by what may be seen.

use std::sync::Arc;

use crate::events::Viewer;
use crate::http::App;
use crate::http::auth::access::{Caller, Right};
use crate::http::auth::account::Names;
use crate::http::error::Error;

/// What the one who asks may see.
#[derive(Debug)]
pub(super) struct Asker {
    /// The accounts that he may see, in order; `None` for one who may see all.
    pub(super) accounts: Option<Vec<String>>,
}

impl Asker {
    /// What this caller may see.
    pub(super) fn of(app: &App, caller: &Caller) -> Result<Self, Error> {
        let directory = Arc::clone(&app.directory.borrow());
        let names = Names::of(app, &directory);
        caller.may(Right::Read, None, names)?;
        let accounts = caller.accounts(names);
        Ok(Self { accounts })
    }

    /// Whose lists he looks at.
    pub(super) fn viewer(&self) -> Viewer<'_> {
        match &self.accounts {
            None => Viewer::System,
            Some(accounts) => Viewer::Accounts(accounts),
        }
    }
}
