//! An event as those see it who may see some accounts, or all.

use std::sync::Arc;

use super::{Audience, Burst, Event, Happening, Kind, Reason, Type, What};
use crate::registration::Registration;

/// Whose lists somebody looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Viewer<'a> {
    /// The system's.
    System,
    /// Those of some accounts.
    Accounts(&'a [String]),
    /// That of one account.
    Account(&'a str),
}

/// What happened to a registration, as somebody sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seen<'a> {
    /// What it was.
    pub kind: Kind,
    /// The registration as it is now; of one that went, the last one known.
    pub registration: &'a Arc<Registration>,
    /// What it was before, where it was listed before and after.
    pub former: Option<&'a Arc<Registration>>,
}

impl Viewer<'_> {
    /// Whether the list of this account is looked at.
    #[must_use]
    pub fn sees(&self, account: Option<&str>) -> bool {
        match self {
            Self::System => true,
            Self::Accounts(ids) => account.is_some_and(|id| ids.iter().any(|one| one == id)),
            Self::Account(id) => account == Some(*id),
        }
    }
}

impl Happening {
    /// What `viewer` sees of it, if anything.
    #[must_use]
    pub fn seen_by(&self, viewer: Viewer<'_>) -> Option<Seen<'_>> {
        let is_system = viewer == Viewer::System;
        let is_for_viewer = match self.audience {
            Audience::All => true,
            Audience::System => is_system,
            Audience::Account => !is_system,
        };
        if !is_for_viewer {
            return None;
        }
        let whole = Seen {
            kind: self.kind,
            registration: &self.registration,
            former: self.former.as_ref(),
        };
        let sees = |one: &Arc<Registration>| viewer.sees(one.account_id.as_deref());
        let is_seen = sees(&self.registration);
        match &self.former {
            Some(former) if self.is_new_owner() => match (sees(former), is_seen) {
                (true, true) => Some(whole),
                (true, false) => Some(Seen {
                    kind: Kind::Terminated(Reason::AccountChanged),
                    registration: former,
                    former: None,
                }),
                (false, true) => Some(Seen {
                    kind: Kind::Registered,
                    former: None,
                    ..whole
                }),
                (false, false) => None,
            },
            _ => is_seen.then_some(whole),
        }
    }
}

impl Burst {
    /// Whether `viewer` is told of it.
    #[must_use]
    pub fn is_for(&self, viewer: Viewer<'_>) -> bool {
        match (&self.account, viewer) {
            (None, viewer) => viewer == Viewer::System,
            (Some(_), Viewer::System) => false,
            (Some(account), viewer) => viewer.sees(Some(account)),
        }
    }
}

impl Event {
    /// What it is to `viewer`; `None` where it is not for him.
    #[must_use]
    pub fn type_for(&self, viewer: Viewer<'_>) -> Option<Type> {
        match &self.what {
            What::Registration(happening) => happening.seen_by(viewer).map(|it| it.kind.type_of()),
            What::Burst(burst) => burst.is_for(viewer).then_some(Type::Burst),
            What::Source(_) => Some(Type::Source),
            What::Directory => Some(Type::Directory),
            What::Gap(_) => Some(Type::Gap),
        }
    }
}
