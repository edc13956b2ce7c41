//! Makes events of what the registry's feed says.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::diff;
use super::{Audience, Event, Happening, Kind, Reason, Replaces, Stats, What};
use crate::registration::{Binding, Expiry, Key, Registration, TIME_UNKNOWN, Text};
use crate::registry::{Cause, Effect, Entry, Event as FeedEvent, Registry, Scope};

/// Within so many milliseconds a new registration is the successor of one that went.
pub const BACK_WITHIN: u64 = 5_000;

/// Makes events of the entries of a registry's feed, in their order.
#[derive(Debug)]
pub struct Deriver {
    registry: Arc<Registry>,
    gone: Gone,
    /// Until the tables have been compared: what the log has of bindings of which the store may know less.
    logged: HashMap<Key, Option<Arc<Registration>>>,
}

/// Registrations that went of late, the earliest first.
#[derive(Debug, Default)]
struct Gone(VecDeque<(u64, Arc<Registration>)>);

impl Deriver {
    /// One that follows `registry`.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            gone: Gone::default(),
            logged: HashMap::new(),
        }
    }

    /// Nothing is said about these bindings before [`Self::reconcile`]: the log has these as listed, or as gone.
    pub fn begin_from(&mut self, logged: HashMap<Key, Option<Arc<Registration>>>) {
        self.logged = logged;
    }

    /// The events of an entry of the feed; `seq` is 0 and `commit` the feed's.
    pub fn follow(&mut self, entry: &Entry) -> Vec<Event> {
        let event = |what| Event {
            seq: 0,
            at: entry.at,
            commit: entry.commit,
            what,
        };
        match &entry.event {
            FeedEvent::Directory(_) => vec![event(What::Directory)],
            FeedEvent::Row(effect) if self.logged.contains_key(effect.key()) => Vec::new(),
            FeedEvent::Row(effect) => self
                .happenings(effect, entry.at)
                .into_iter()
                .map(|one| event(What::Registration(Box::new(one))))
                .collect(),
        }
    }

    /// What became of the bindings that were left out, once the tables have been compared; at `at`, in milliseconds since
    /// the Unix epoch.
    pub fn reconcile(&mut self, at: u64) -> Vec<Event> {
        let mut events = Vec::new();
        for (key, logged) in std::mem::take(&mut self.logged) {
            let row = self.registry.get(&key);
            let listed = row.as_ref().filter(|row| {
                let binding = &row.binding;
                let of_user = self
                    .registry
                    .listed_of(&binding.username, binding.domain.as_ref());
                of_user.iter().any(|one| one.binding.key == key)
            });
            let change = Change {
                before: logged.as_ref(),
                after: listed,
                cause: &Cause::Table,
                at,
            };
            let Some(happening) = self.happening(&change, Audience::All) else {
                continue;
            };
            events.push(Event {
                seq: 0,
                at,
                commit: 0,
                what: What::Registration(Box::new(happening)),
            });
        }
        events
    }

    /// The end of `registration`, which expired while nobody watched.
    pub fn expired(&mut self, registration: &Arc<Registration>, at: u64) -> Happening {
        let change = Change {
            before: Some(registration),
            after: None,
            cause: &Cause::Clock,
            at,
        };
        self.terminated(registration, &change, Audience::All)
    }

    /// What an effect is in the lists: as a rule the same in the system's and the account's.
    fn happenings(&mut self, effect: &Effect, at: u64) -> Vec<Happening> {
        let change = |scope| Change {
            before: effect.before(scope),
            after: effect.after(scope),
            cause: &effect.cause,
            at,
        };
        let system = change(Scope::System);
        let of = |row: Option<&Arc<Registration>>| row.and_then(|row| row.account_id.clone());
        let (former, current) = effect.rows();
        let accounts = (of(former), of(current));
        match (&accounts.0, &accounts.1) {
            (Some(one), Some(other)) if one != other => {
                let left = change(Scope::Account(one)).before;
                let joined = change(Scope::Account(other)).after;
                let is_whole = left.is_some() == system.before.is_some()
                    && joined.is_some() == system.after.is_some();
                if is_whole {
                    return self.happening(&system, Audience::All).into_iter().collect();
                }
                let left = Change {
                    before: left,
                    after: None,
                    ..system
                };
                let joined = Change {
                    before: None,
                    after: joined,
                    ..system
                };
                let all = [
                    self.happening(&system, Audience::System),
                    self.happening(&left, Audience::Account),
                    self.happening(&joined, Audience::Account),
                ];
                all.into_iter().flatten().collect()
            }
            (Some(account), _) | (None, Some(account)) => {
                let own = change(Scope::Account(account));
                // Rows that belong to nobody are in no account's list.
                let is_alike = |system: Option<&Arc<Registration>>, own: Option<&Arc<_>>| {
                    let is_owned = system.is_none_or(|one| one.account_id.is_some());
                    system.is_some() == own.is_some() || !is_owned
                };
                if is_alike(system.before, own.before) && is_alike(system.after, own.after) {
                    return self.happening(&system, Audience::All).into_iter().collect();
                }
                let all = [
                    self.happening(&system, Audience::System),
                    self.happening(&own, Audience::Account),
                ];
                all.into_iter().flatten().collect()
            }
            (None, None) => self.happening(&system, Audience::All).into_iter().collect(),
        }
    }

    fn happening(&mut self, change: &Change<'_>, audience: Audience) -> Option<Happening> {
        match (change.before, change.after) {
            (None, None) => None,
            (None, Some(after)) => Some(self.registered(after, change, audience)),
            (Some(before), None) => Some(self.terminated(before, change, audience)),
            (Some(before), Some(after)) => {
                let is_new_owner = before.account_id != after.account_id;
                let kind = match diff::kind(before, after) {
                    None | Some(Kind::Refreshed) if is_new_owner => Kind::Changed,
                    None => return None,
                    Some(kind) => kind,
                };
                Some(Happening {
                    kind,
                    audience,
                    registration: Arc::clone(after),
                    former: Some(Arc::clone(before)),
                    happened_at: change.registered_at(after),
                    replaces: None,
                    flush: None,
                    stats: None,
                })
            }
        }
    }

    fn registered(
        &mut self,
        one: &Arc<Registration>,
        change: &Change<'_>,
        audience: Audience,
    ) -> Happening {
        Happening {
            kind: Kind::Registered,
            audience,
            registration: Arc::clone(one),
            former: None,
            happened_at: change.registered_at(one),
            replaces: self.gone.replaced_by(one, change.at),
            flush: None,
            stats: None,
        }
    }

    fn terminated(
        &mut self,
        one: &Arc<Registration>,
        change: &Change<'_>,
        audience: Audience,
    ) -> Happening {
        let end = one.binding.expiry.end();
        let is_over = end.is_some_and(|end| end <= seconds(change.at));
        let (reason, flush) = match change.cause {
            Cause::Flush(by) => {
                // Of one that was finished after a crash it is not known who wanted it.
                let is_known = !by.request_id.is_empty();
                (Reason::Flushed, is_known.then(|| Arc::clone(by)))
            }
            Cause::Directory => (Reason::AccountChanged, None),
            Cause::Kamailio | Cause::Sibling => (Reason::Replaced, None),
            Cause::Table | Cause::Clock if self.has_successor(one) => (Reason::Replaced, None),
            Cause::Clock => (Reason::Expired, None),
            Cause::Table if is_over => (Reason::Expired, None),
            Cause::Table => (Reason::Removed, None),
        };
        self.gone.remember(one, change.at);
        Happening {
            kind: Kind::Terminated(reason),
            audience,
            registration: Arc::clone(one),
            former: None,
            happened_at: end.filter(|_| reason == Reason::Expired),
            replaces: None,
            flush,
            stats: Some(Stats::of(one, change.at)),
        }
    }

    /// Whether the phone has another registration.
    fn has_successor(&self, one: &Registration) -> bool {
        let binding = &one.binding;
        let listed = self
            .registry
            .listed_of(&binding.username, binding.domain.as_ref());
        listed
            .iter()
            .any(|other| other.binding.key != binding.key && is_same_phone(one, other))
    }
}

/// What became of a registration in one list, and why.
#[derive(Clone, Copy, Debug)]
struct Change<'a> {
    before: Option<&'a Arc<Registration>>,
    after: Option<&'a Arc<Registration>>,
    cause: &'a Cause,
    /// When it was seen, in milliseconds since the Unix epoch.
    at: u64,
}

impl Change<'_> {
    /// When the REGISTER came by Kamailio's clock, if there was one.
    fn registered_at(&self, one: &Registration) -> Option<i64> {
        let is_known = one.binding.last_modified != TIME_UNKNOWN;
        (is_known && !matches!(self.cause, Cause::Directory)).then_some(one.binding.last_modified)
    }
}

impl Stats {
    /// Those of a registration that went at `at`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn of(one: &Registration, at: u64) -> Self {
        let binding: &Binding = &one.binding;
        let refreshed_at = binding.last_modified;
        let lasted = seconds(at).saturating_sub(one.first_registration);
        Self {
            registered_at: one.first_registration,
            last_refresh_at: (refreshed_at > one.first_registration).then_some(refreshed_at),
            lasted: u64::try_from(lasted).unwrap_or(0),
            refreshes: one.refreshes,
            granted_expires: match binding.expiry {
                Expiry::At(end) if refreshed_at != TIME_UNKNOWN => {
                    Some(end.saturating_sub(refreshed_at))
                }
                Expiry::At(_) | Expiry::Permanent => None,
            },
        }
    }
}

impl Gone {
    fn remember(&mut self, one: &Arc<Registration>, at: u64) {
        self.forget(at);
        self.0.push_back((at, Arc::clone(one)));
    }

    fn forget(&mut self, now: u64) {
        // Where the clock was set back, what is of the future goes too.
        let is_old = |at: u64| at > now || now - at > BACK_WITHIN;
        while self.0.front().is_some_and(|(at, _)| is_old(*at)) {
            self.0.pop_front();
        }
    }

    /// The latest of them that was the same phone's as `one`, which came at `at`; nothing else replaces that one.
    fn replaced_by(&mut self, one: &Registration, at: u64) -> Option<Replaces> {
        self.forget(at);
        let is_same = |(_, former): &(u64, Arc<Registration>)| is_same_phone(former, one);
        let (then, former) = self.0.remove(self.0.iter().rposition(is_same)?)?;
        Some(Replaces {
            ruid: former.binding.key.ruid.0.clone(),
            after: at.saturating_sub(then),
        })
    }
}

/// Whether both are registrations of the same phone: of the same user, with the same instance and reg-id or the same
/// contact.
fn is_same_phone(one: &Registration, other: &Registration) -> bool {
    let (a, b) = (&one.binding, &other.binding);
    let is_filled = |text: &Option<Text>| text.as_ref().is_some_and(|text| !text.is_empty());
    let is_same_user =
        (&a.username, &a.domain, &one.account_id) == (&b.username, &b.domain, &other.account_id);
    let is_same_instance =
        is_filled(&a.instance) && (&a.instance, a.reg_id) == (&b.instance, b.reg_id);
    is_same_user && (is_same_instance || a.contact == b.contact)
}

fn seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}
