//! Whose registrations are asked for, and how they are read from the registry: those of one account, of all accounts, or of
//! the accounts that the caller may see.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::asked::Asked;
use crate::accounts::directory::Directory;
use crate::events::Viewer;
use crate::fleet::read::{Of, Whose};
use crate::http::App;
use crate::http::error::Error;
use crate::http::request::reach::Reach;
use crate::http::request::request_id::RequestId;
use crate::http::response::envelope::{self, Envelope};
use crate::http::response::view::View;
use crate::registration::Registration;
use crate::registry::{Listing, Page, Position, Scope};

/// How many registrations of one of many accounts are taken from the registry at a time, at least.
const PORTION: usize = 8;

/// Whose registrations are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) scope: Scope<'a>,
    /// Of the whole system, only those of these accounts; none twice. `None` for a caller who may see all.
    pub(crate) accounts: Option<&'a [String]>,
    /// Only those of the SIP users whom this name means.
    pub(crate) username: Option<&'a [u8]>,
    /// Whom to ask where it is not this node.
    pub(crate) fleet: Option<&'a Asked>,
}

/// What is left of one account's list while several are made one.
struct Source<'a> {
    account: &'a str,
    taken: VecDeque<(Position, Arc<Registration>)>,
    more: bool,
}

impl<'a> Subject<'a> {
    /// All that `scope` has.
    pub(crate) fn of(scope: Scope<'a>) -> Self {
        Self {
            scope,
            accounts: None,
            username: None,
            fleet: None,
        }
    }

    /// Who looks.
    pub(crate) fn viewer(&self) -> Viewer<'a> {
        match (self.scope, self.accounts) {
            (Scope::Account(id), _) => Viewer::Account(id),
            (Scope::System, Some(accounts)) => Viewer::Accounts(accounts),
            (Scope::System, None) => Viewer::System,
        }
    }

    /// The one list of the registry that has them all, and no others.
    pub(crate) fn only(&self) -> Option<Scope<'a>> {
        match (self.scope, self.accounts) {
            (Scope::System, Some([one])) => Some(Scope::Account(one)),
            (Scope::System, Some(_)) => None,
            (scope, _) => Some(scope),
        }
    }

    /// Refuses a user who is not known: neither a device of the directory, nor one with a row within the last hour.
    pub(crate) fn check_user(&self, app: &App, directory: &Directory) -> Result<(), Error> {
        let (Scope::Account(account), Some(username)) = (self.scope, self.username) else {
            return Ok(());
        };
        let is_device = std::str::from_utf8(username)
            .is_ok_and(|username| directory.device(account, username).is_some());
        if is_device || !app.registry.known_aors(self.scope, username).is_empty() {
            return Ok(());
        }
        let username = String::from_utf8_lossy(username).into_owned();
        Err(Error::UnknownUser { username })
    }

    /// How many there are, whatever the user, and their revision.
    pub(crate) fn count(&self, app: &App) -> (usize, u64) {
        let Some(scope) = self.only() else {
            let each = self.each().map(|id| app.registry.count(Scope::Account(id)));
            return each.fold((0, 0_u64), |(count, sum), (more, further)| {
                (count + more, sum.wrapping_add(further))
            });
        };
        app.registry.count(scope)
    }

    /// All of them, in order. Others are served in between, however many accounts there are. (No path names a user of many
    /// accounts.)
    pub(crate) async fn list(&self, app: &App) -> Listing {
        match (self.only(), self.username) {
            (Some(scope), Some(username)) => return app.registry.list_user(scope, username),
            (Some(scope), None) => return app.registry.list(scope),
            (None, _) => {}
        }
        let mut rows = Vec::new();
        for id in self.each() {
            rows.extend(
                app.registry
                    .page(Scope::Account(id), None, usize::MAX)
                    .registrations,
            );
            tokio::task::yield_now().await;
        }
        // Each account's are in order already.
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        // One that changed hands meanwhile may have been found twice.
        rows.dedup_by(|(one, _), (other, _)| one == other);
        let mut listing = Listing::default();
        for (_, one) in rows {
            listing.revision = listing.revision.wrapping_add(one.digest());
            listing.registrations.push(one);
        }
        listing
    }

    /// At most `limit` of them, whatever the user, after `position`.
    pub(crate) async fn page(&self, app: &App, after: Option<&Position>, limit: usize) -> Page {
        if let Some(scope) = self.only() {
            return app.registry.page(scope, after, limit);
        }
        let mut sources: Vec<Source<'_>> = self.each().map(Source::of).collect();
        let portion = (limit / sources.len().max(1)).max(PORTION).min(limit);
        let mut first = BinaryHeap::new();
        for (number, source) in sources.iter_mut().enumerate() {
            source.take(app, after, portion);
            first.extend(source.first().map(|place| Reverse((place, number))));
            if number % PORTION == 0 {
                tokio::task::yield_now().await;
            }
        }
        let mut page = Page::default();
        while let Some(Reverse((_, number))) = first.pop() {
            if page.registrations.len() == limit {
                page.more = true;
                break;
            }
            let source = &mut sources[number];
            let Some((place, one)) = source.taken.pop_front() else {
                continue;
            };
            if source.taken.is_empty() && source.more {
                source.take(app, Some(&place), portion);
            }
            first.extend(source.first().map(|place| Reverse((place, number))));
            if page
                .registrations
                .last()
                .is_none_or(|(last, _)| *last != place)
            {
                page.registrations.push((place, one));
            }
        }
        page.revision = self.count(app).1;
        page
    }

    /// The revision of them.
    pub(super) async fn revision(&self, app: &App) -> Result<u64, Error> {
        if let Some(asked) = self.fleet {
            return Ok(asked.count(self.of_fleet()).await?.revision);
        }
        Ok(match self.username {
            Some(username) => app.registry.list_user(self.scope, username).revision,
            None => self.count(app).1,
        })
    }

    /// A name that no other list has, for the keys of its pages.
    pub(crate) fn name(&self) -> Vec<u8> {
        let mut name = Vec::new();
        if let Scope::Account(id) = self.scope {
            name.push(b'a');
            name.extend_from_slice(id.as_bytes());
        }
        name.push(0);
        name.extend(self.username.unwrap_or_default().to_ascii_lowercase());
        name
    }

    fn each(&self) -> impl Iterator<Item = &'a str> {
        self.accounts.unwrap_or_default().iter().map(String::as_str)
    }
}

impl App {
    /// What this node's own answers reach.
    pub(crate) fn reach(&self) -> Reach<'_> {
        Reach::Node(&self.settings.node)
    }
}

impl<'a> Subject<'a> {
    /// What answers for it.
    pub(crate) fn reach(self, app: &'a App) -> Reach<'a> {
        match self.fleet {
            None => app.reach(),
            Some(_) => Reach::Fleet,
        }
    }

    /// How its registrations look now.
    pub(crate) fn view(self, app: &App) -> View {
        match self.fleet {
            None => View::now(app),
            Some(_) => View::of_fleet(app),
        }
    }

    /// Whose registrations the fleet is asked for.
    pub(super) fn of_fleet(self) -> Of<'a> {
        Of {
            whose: match (self.scope, self.accounts) {
                (Scope::Account(id), _) => Whose::One(id),
                (Scope::System, Some(ids)) => Whose::Several(ids),
                (Scope::System, None) => Whose::Everybody,
            },
            username: self.username,
        }
    }

    /// The envelope of an answer about it.
    pub(crate) fn envelope(self, app: &'a App, id: &'a RequestId) -> Envelope<'a> {
        let envelope = app.envelope(id);
        match self.fleet {
            None => envelope,
            Some(asked) => Envelope {
                source: envelope::Source::Fleet(&asked.nodes),
                ..envelope
            },
        }
    }
}

impl<'a> Source<'a> {
    fn of(account: &'a str) -> Self {
        Self {
            account,
            taken: VecDeque::new(),
            more: false,
        }
    }

    fn take(&mut self, app: &App, after: Option<&Position>, limit: usize) {
        let page = app
            .registry
            .page(Scope::Account(self.account), after, limit);
        self.more = page.more;
        self.taken.extend(page.registrations);
    }

    fn first(&self) -> Option<Position> {
        self.taken.front().map(|(place, _)| place.clone())
    }
}
