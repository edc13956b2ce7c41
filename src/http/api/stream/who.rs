//! Whose stream it is, and whether its caller may still read.

use std::sync::Arc;

use tokio::sync::watch;

use crate::accounts::directory::Directory;
use crate::events::Viewer;
use crate::fleet::Fleet;
use crate::http::api::subject::Subject;
use crate::http::auth::access::{Right, recognize};
use crate::http::auth::account::Names;
use crate::http::auth::credential::Credential;
use crate::http::auth::peer::Peer;
use crate::http::request::call::Call;
use crate::http::{App, Keys};
use crate::registration::Registration;
use crate::registry::Scope;
use crate::tokens::TokenSet;

/// Whose stream it is, and of what.
pub(super) struct Who {
    peer: Peer,
    credential: Credential,
    account: Option<String>,
    /// Of the whole system, the accounts that the caller may see; `None` for a caller who may see all.
    accounts: Option<Vec<String>>,
    username: Option<Vec<u8>>,
}

/// What may take the caller's rights away.
pub(super) struct Changes {
    tokens: watch::Receiver<Arc<TokenSet>>,
    keys: watch::Receiver<Arc<Keys>>,
    directory: watch::Receiver<Arc<Directory>>,
}

impl Changes {
    pub(super) fn of(app: &App) -> Self {
        Self {
            tokens: app.tokens.clone(),
            keys: app.keys.clone(),
            directory: app.directory.clone(),
        }
    }

    /// Waits until there is one.
    pub(super) async fn any(&mut self) {
        tokio::select! {
            Ok(()) = self.tokens.changed() => {}
            Ok(()) = self.keys.changed() => {}
            Ok(()) = self.directory.changed() => {}
            else => std::future::pending().await,
        }
    }

    /// Whether there are any that have not been looked at.
    pub(super) fn are_any(&mut self) -> bool {
        let is_any = self.tokens.has_changed().unwrap_or(false)
            || self.keys.has_changed().unwrap_or(false)
            || self.directory.has_changed().unwrap_or(false);
        self.tokens.mark_unchanged();
        self.keys.mark_unchanged();
        self.directory.mark_unchanged();
        is_any
    }
}

impl Who {
    pub(super) fn new(app: &App, call: &Call, peer: Peer, subject: Subject<'_>) -> Self {
        Self {
            peer,
            credential: Credential::of(app, call),
            account: match subject.scope {
                Scope::System => None,
                Scope::Account(id) => Some(id.to_owned()),
            },
            accounts: subject.accounts.map(<[String]>::to_vec),
            username: subject.username.map(<[u8]>::to_vec),
        }
    }

    /// Where it comes from.
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// What it is about.
    pub(super) fn subject(&self) -> Subject<'_> {
        let account = self.account.as_deref();
        Subject {
            scope: account.map_or(Scope::System, Scope::Account),
            accounts: self.accounts.as_deref(),
            fleet: None,
            username: self.username.as_deref(),
        }
    }

    pub(super) fn viewer(&self) -> Viewer<'_> {
        match (&self.account, &self.accounts) {
            (Some(account), _) => Viewer::Account(account),
            (None, Some(accounts)) => Viewer::Accounts(accounts),
            (None, None) => Viewer::System,
        }
    }

    /// Whether a registration is one of the user's, if one is asked for.
    pub(super) fn is_about(&self, one: &Registration) -> bool {
        let Some(username) = &self.username else {
            return true;
        };
        let wanted = String::from_utf8_lossy(username).to_lowercase();
        let names = [&one.username, &one.binding.username];
        names
            .iter()
            .any(|name| name.lossy().to_lowercase() == wanted)
    }

    /// Why the caller would be refused now by the fleet. While its database is away, what was known there stays right.
    pub(super) async fn check_in_fleet(
        &self,
        app: &App,
        fleet: &Fleet,
    ) -> Result<(), &'static str> {
        let caller = recognize(app, self.peer, &self.credential).map_err(|_| "token_revoked")?;
        let ids = caller.named_with(self.account.as_deref());
        let Ok(known) = fleet.accounts(&ids).await else {
            return Ok(());
        };
        let directory = Arc::clone(&app.directory.borrow());
        self.check_by(app, Names::in_fleet(&known, &directory))
    }

    /// Why the caller would be refused now.
    pub(super) fn check(&self, app: &App) -> Result<(), &'static str> {
        let directory = Arc::clone(&app.directory.borrow());
        self.check_by(app, Names::of(app, &directory))
    }

    fn check_by(&self, app: &App, names: Names<'_>) -> Result<(), &'static str> {
        let caller = recognize(app, self.peer, &self.credential).map_err(|_| "token_revoked")?;
        caller
            .may(Right::Read, self.account.as_deref(), names)
            .map_err(|_| "forbidden")?;
        // With other accounts it would be another list.
        if self.account.is_none() && caller.accounts(names) != self.accounts {
            return Err("forbidden");
        }
        Ok(())
    }
}
