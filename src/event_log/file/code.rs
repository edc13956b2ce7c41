//! What a row of the file is, as a number.

use crate::events::{Audience, Happening, Kind, Reason, Type, Viewer, What};

/// What a row is, as a number: part of the file's format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Code(pub(super) u8);

/// Kinds of registrations' events by their codes; what else there is follows.
const KINDS: [Kind; 9] = [
    Kind::Registered,
    Kind::Moved,
    Kind::Changed,
    Kind::Terminated(Reason::Expired),
    Kind::Terminated(Reason::Removed),
    Kind::Terminated(Reason::Replaced),
    Kind::Terminated(Reason::Flushed),
    Kind::Terminated(Reason::AccountChanged),
    Kind::Refreshed,
];
pub(super) const SOURCE: u8 = 9;
pub(super) const DIRECTORY: u8 = 10;
pub(super) const BURST: u8 = 11;
pub(super) const GAP: u8 = 12;
const FORMER: u8 = 13;
const FORGOTTEN: u8 = 14;
const CODE: u8 = 0x0f;
const AUDIENCES: [Audience; 3] = [Audience::All, Audience::System, Audience::Account];
const AUDIENCE_SHIFT: u8 = 4;
const NEW_OWNER: u8 = 0x40;

impl Code {
    /// What a registration was before; it belongs to the event that follows.
    pub(super) const FORMER: Self = Self(FORMER);
    /// An event that was deleted on request.
    pub(super) const FORGOTTEN: Self = Self(FORGOTTEN);

    /// That of an event.
    pub(super) fn of(what: &What) -> Self {
        Self(match what {
            What::Registration(happening) => return Self::of_happening(happening),
            What::Source(_) => SOURCE,
            What::Directory => DIRECTORY,
            What::Burst(_) => BURST,
            What::Gap(_) => GAP,
        })
    }

    /// That of a registration's event.
    pub(super) fn of_happening(it: &Happening) -> Self {
        let kind = KINDS.iter().position(|kind| *kind == it.kind);
        let audience = AUDIENCES.iter().position(|one| *one == it.audience);
        let small = |place: Option<usize>| {
            u8::try_from(place.expect("it is one of them")).expect("there are few")
        };
        Self(
            small(kind)
                | (small(audience) << AUDIENCE_SHIFT)
                | (u8::from(it.is_new_owner()) * NEW_OWNER),
        )
    }

    /// The kind of a registration's event.
    pub(super) fn kind(self) -> Option<Kind> {
        KINDS.get(usize::from(self.0 & CODE)).copied()
    }

    /// Whose lists show it.
    pub(super) fn audience(self) -> Option<Audience> {
        let place = (self.0 & !NEW_OWNER) >> AUDIENCE_SHIFT;
        AUDIENCES.get(usize::from(place)).copied()
    }

    /// Whether `viewer` may see such an event as one of these types, and of these reasons where it is one that has any.
    pub(super) fn may_be(
        self,
        viewer: Viewer<'_>,
        types: Option<&[Type]>,
        reasons: Option<&[Reason]>,
    ) -> bool {
        let is_wanted = |one: Type, reason: Option<Reason>| {
            types.is_none_or(|types| types.contains(&one))
                && reasons.is_none_or(|reasons| reason.is_some_and(|it| reasons.contains(&it)))
        };
        let seen = |kind: Kind| match kind {
            Kind::Terminated(reason) => is_wanted(Type::Terminated, Some(reason)),
            other => is_wanted(other.type_of(), None),
        };
        let Some(kind) = self.kind() else {
            return match self.0 & CODE {
                SOURCE => is_wanted(Type::Source, None),
                DIRECTORY => is_wanted(Type::Directory, None),
                BURST => is_wanted(Type::Burst, None),
                GAP => is_wanted(Type::Gap, None),
                _ => false,
            };
        };
        let is_system = viewer == Viewer::System;
        let is_for_viewer = match self.audience() {
            Some(Audience::All) => true,
            Some(Audience::System) => is_system,
            Some(Audience::Account) => !is_system,
            None => false,
        };
        let is_new_owner = self.0 & NEW_OWNER != 0 && !is_system;
        is_for_viewer
            && (seen(kind)
                || is_new_owner
                    && (seen(Kind::Registered) || seen(Kind::Terminated(Reason::AccountChanged))))
    }
}
