//! The lists are what the rows say, and the feed says what becomes of the lists, whatever happens.

mod model;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::model::{check_superseded, expected, flow};
use super::*;
use crate::registry::feed::Feed;

#[derive(Clone, Copy, Debug)]
enum Step {
    Upsert {
        ruid: u8,
        user: u8,
        contact: u8,
        flow: u8,
        call: u8,
        ends: i64,
        modified: i64,
        account: u8,
    },
    /// Kamailio says which ruids it has: a set of bits.
    Decide(u8),
    Remove(u8),
    Hide(u8),
    Unhide(u8),
    Wait(u64),
    /// The clock is set to so many seconds after the beginning.
    Set(u64),
    /// A new directory gives what `acme` has to `other`, or to nobody: one by one, or all at once.
    Reassign {
        to: u8,
        at_once: bool,
    },
    /// Kamailio cannot be asked any more.
    ListSuperseded,
    /// The program starts anew.
    Restart,
    /// The tables cannot be read for the first time, and then can.
    Load,
    /// A follower reads, at most so many entries at a time.
    Follow(usize, usize),
    /// A follower begins anew.
    Subscribe(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..6_u8, 0..3_u8, 0..2_u8, 0..5_u8, 0..2_u8);
    let upsert =
        (row, -5..20_i64, -9..1_i64, 0..3_u8).prop_map(|(row, ends, modified, account)| {
            let (ruid, user, contact, flow, call) = row;
            Step::Upsert {
                ruid,
                user,
                contact,
                flow,
                call,
                ends,
                modified,
                account,
            }
        });
    let step = prop_oneof![
        6 => upsert,
        2 => any::<u8>().prop_map(Step::Decide),
        1 => (0..6_u8).prop_map(Step::Remove),
        1 => (0..6_u8).prop_map(Step::Hide),
        1 => (0..6_u8).prop_map(Step::Unhide),
        2 => (1..8_u64).prop_map(Step::Wait),
        1 => (0..20_u64).prop_map(Step::Set),
        1 => (0..2_u8, any::<bool>()).prop_map(|(to, at_once)| Step::Reassign { to, at_once }),
        1 => Just(Step::ListSuperseded),
        1 => Just(Step::Restart),
        1 => Just(Step::Load),
        2 => (0..FOLLOWERS, 1..9_usize).prop_map(|(which, limit)| Step::Follow(which, limit)),
        1 => (0..FOLLOWERS).prop_map(Step::Subscribe),
    ];
    prop::collection::vec(step, 1..60)
}

fn everything() -> Due {
    Due {
        changed: usize::MAX,
        again: usize::MAX,
        void_before: Duration::MAX,
        again_before: Duration::MAX,
    }
}

const SCOPES: [Scope<'_>; 3] = [
    Scope::System,
    Scope::Account("acme"),
    Scope::Account("other"),
];

const FOLLOWERS: usize = 4;

/// How many entries the feed holds here: some followers are too slow.
const CAPACITY: usize = 12;

/// Somebody who knows the registry by one list, or all rows, and what the feed says since.
struct Follower {
    feed: Subscription,
    last: Option<u64>,
    lists: [BTreeMap<Key, Arc<Registration>>; 3],
    rows: BTreeMap<Key, Arc<Registration>>,
}

impl Follower {
    fn new(registry: &Writer) -> Self {
        let mut follower = Self {
            feed: registry.registry().subscribe(),
            last: None,
            lists: Default::default(),
            rows: BTreeMap::new(),
        };
        follower.list();
        follower
    }

    /// Lists again. The lists of all scopes are of one moment here, because nothing happens in between.
    fn list(&mut self) {
        let by_key = |row: Arc<Registration>| (row.binding.key.clone(), row);
        for (scope, list) in SCOPES.into_iter().zip(&mut self.lists) {
            let listed = self.feed.list(scope).registrations;
            *list = listed.into_iter().map(by_key).collect();
        }
        let rows = self.feed.registry().rows();
        self.rows = rows.into_iter().map(by_key).collect();
        self.last = None;
    }

    /// Reads all that there is.
    fn follow(&mut self, limit: usize) {
        loop {
            match self.feed.read(limit) {
                Ok(entries) if entries.is_empty() => return,
                Ok(entries) => {
                    for entry in entries {
                        let last = self.last.replace(entry.sequence);
                        assert!(last.is_none_or(|last| last + 1 == entry.sequence));
                        let Event::Row(effect) = entry.event else {
                            self.list();
                            break;
                        };
                        self.apply(&effect);
                    }
                }
                Err(_) => self.list(),
            }
        }
    }

    fn apply(&mut self, effect: &Effect) {
        let key = effect.key();
        for (scope, list) in SCOPES.into_iter().zip(&mut self.lists) {
            assert_eq!(
                list.remove(key).as_ref(),
                effect.before(scope),
                "{effect:?}"
            );
            if let Some(row) = effect.after(scope) {
                list.insert(key.clone(), Arc::clone(row));
            }
        }
        match effect.row() {
            Some(Change::Upsert(row)) => drop(self.rows.insert(key.clone(), Arc::clone(row))),
            Some(Change::Remove(key)) => assert!(self.rows.remove(&key).is_some()),
            None => {}
        }
    }

    /// Knows what the registry has now.
    fn check(&self, registry: &Writer) {
        let sorted = |mut rows: Vec<Arc<Registration>>| {
            rows.sort_by_key(|row| row.binding.key.clone());
            rows
        };
        for (scope, list) in SCOPES.into_iter().zip(&self.lists) {
            let listed: Vec<_> = list.values().cloned().collect();
            assert_eq!(listed, sorted(registry.list(scope).registrations));
        }
        let rows: Vec<_> = self.rows.values().cloned().collect();
        assert_eq!(rows, sorted(registry.rows()));
    }
}

/// What a flush, or the recheck, has the store know: which rows are hidden.
type HiddenKeys = BTreeMap<Key, Hidden>;

fn take(registry: &Writer, clock: &ManualClock, hidden_keys: &mut HiddenKeys, step: Step) {
    let key = |ruid: u8| binding(&ruid.to_string(), "", "", 0).key;
    match step {
        Step::Upsert {
            ruid,
            user,
            contact,
            flow: number,
            call,
            ends,
            modified,
            account,
        } => {
            let (instance, reg_id) = flow(number);
            let user = ["bob", "Bob", "eve"][usize::from(user)];
            let row = Binding {
                last_modified: NOW + modified,
                instance,
                reg_id,
                call_id: Some(["a", "b"][usize::from(call)].into()),
                ..binding(&ruid.to_string(), user, &contact.to_string(), NOW + ends)
            };
            let owner = ["acme", "other"].get(usize::from(account)).copied();
            registry.apply([upsert(row, owner)]);
        }
        Step::Remove(ruid) => registry.apply([Change::Remove(key(ruid))]),
        Step::Hide(ruid) => {
            if let Some(row) = registry.get(&key(ruid)) {
                let hidden = hidden(&row.binding, clock.unix_seconds());
                hide(registry, [hidden.clone()]);
                if registry.is_hidden(&hidden.key) {
                    hidden_keys.insert(hidden.key.clone(), hidden);
                }
            }
        }
        Step::Unhide(ruid) => registry.overlay().unhide([&key(ruid)]),
        Step::Wait(seconds) => clock.advance(Duration::from_secs(seconds)),
        Step::Set(seconds) => clock.step_to(NOW.cast_unsigned() + seconds),
        Step::Reassign { to, at_once } => {
            let to = [Some("other"), None][usize::from(to)];
            let mut rows = registry.rows();
            rows.retain(|row| row.account_id.as_deref() == Some("acme"));
            let moved =
                |row: &Arc<Registration>| Arc::new(registration((*row.binding).clone(), to));
            let rows = rows.iter().map(moved).collect();
            if at_once {
                registry.replace_at_once(rows, 1, || {});
            } else {
                registry.replace(rows, 1, || {});
            }
        }
        Step::ListSuperseded => registry.overlay().list_superseded(),
        Step::Restart => {
            let hidden = registry.hidden().into_iter().map(|(hidden, _)| hidden);
            let left = Snapshot {
                rows: registry.rows(),
                hidden: hidden.collect(),
                ..Snapshot::default()
            };
            registry.restore(left, LIVE);
        }
        Step::Load => {
            registry.report(SourceReport::default());
            registry.apply([upsert(binding("5", "eve", "0", NOW + 9), Some("other"))]);
            registry.report(LIVE);
        }
        Step::Decide(bits) => {
            let has = |key: &Key| {
                let ruid: u8 = key.ruid.0.lossy().parse().expect("a number");
                bits & (1 << ruid) != 0
            };
            for asked in registry.overlay().ambiguous(&everything()) {
                registry.overlay().decide(&asked, has);
            }
            check_superseded(registry, clock.unix_seconds(), Some(&has));
        }
        Step::Follow(..) | Step::Subscribe(_) => {}
    }
}

/// What readers see.
fn seen(registry: &Writer) -> impl PartialEq + std::fmt::Debug + use<> {
    let lists = SCOPES.map(|scope| {
        let list = registry.list(scope);
        let users = ["bob", "BOB", "eve"]
            .map(|user| registry.list_user(scope, user.as_bytes()).registrations);
        let page = registry.page(scope, None, 2);
        let page: Vec<_> = page.registrations.into_iter().map(|(_, one)| one).collect();
        (
            list.registrations,
            list.revision,
            registry.count(scope),
            users,
            page,
        )
    });
    let rest = (
        registry.counts(),
        registry.accounts(),
        registry.superseded(),
    );
    let domain = Some("acme.example.com".into());
    let aor = ["bob", "eve"].map(|user| {
        let user = user.into();
        (
            registry.rows_of(&user, domain.as_ref()),
            registry.listed_of(&user, domain.as_ref()),
        )
    });
    let newest = registry.newest(2, |_| true);
    (
        lists,
        rest,
        aor,
        newest
            .iter()
            .map(|one| one.binding.last_modified)
            .collect::<Vec<_>>(),
    )
}

/// That the lists are those that the rows say.
fn check_lists(registry: &Writer, now: i64) {
    for scope in SCOPES {
        let listing = registry.list(scope);
        let shown: Vec<Arc<Registration>> = listing.registrations;
        assert_eq!(shown, expected(registry, scope, now));
        let sum = shown
            .iter()
            .fold(0_u64, |sum, one| sum.wrapping_add(one.digest()));
        assert_eq!((shown.len(), sum), registry.count(scope));
        assert_eq!(listing.revision, sum);
    }
}

/// That a registry that is restored has what this one has, but for what only Kamailio knows.
fn check_restored(registry: &Writer, clock: &Arc<ManualClock>) {
    let again = Writer::new(Arc::clone(clock) as Arc<dyn Clock>);
    let hidden = registry
        .hidden()
        .into_iter()
        .map(|(hidden, _)| hidden)
        .collect();
    let left = Snapshot {
        rows: registry.rows(),
        hidden,
        ..Snapshot::default()
    };
    again.restore(left, LIVE);
    assert_eq!(again.hidden().len(), registry.hidden().len());
    let superseded = again.counts().superseded;
    assert_eq!(superseded, 0, "Kamailio is asked again after a restart");
    let contacts = |registry: &Writer| {
        let mut keys: Vec<Key> = Vec::new();
        for one in registry.overlay().ambiguous(&everything()) {
            keys.extend(one.rows.iter().map(|row| row.binding.key.clone()));
        }
        keys.sort();
        keys
    };
    assert_eq!(contacts(&again), contacts(registry));
    check_lists(&again, clock.unix_seconds());
    if registry.counts().superseded == 0 {
        assert_eq!(again.counts(), registry.counts());
        assert_eq!(again.accounts(), registry.accounts());
        for scope in SCOPES {
            assert_eq!(again.count(scope), registry.count(scope));
        }
    }
}

proptest! {
    /// The lists that are kept equal those that are computed from all rows, after whatever happens, and whether or not the
    /// writer has come to this second; and what the feed says, laid over any earlier list, gives the list of now.
    #[test]
    fn lists_equal_what_the_rows_say_and_the_feed_tells_how_they_come_about(steps in steps()) {
        let (clock, registry) = registry();
        registry.registry().content_to_change().feed = Feed::with_capacity(CAPACITY);
        let mut followers: Vec<_> = (0..FOLLOWERS).map(|_| Follower::new(&registry)).collect();
        let mut store = registry.registry().subscribe();
        let mut hidden_keys = HiddenKeys::new();
        for step in steps {
            match step {
                Step::Follow(which, limit) => followers[which].follow(limit),
                Step::Subscribe(which) => followers[which] = Follower::new(&registry),
                step => take(&registry, &clock, &mut hidden_keys, step),
            }
            let before = seen(&registry);
            registry.expire();
            prop_assert!(before == seen(&registry), "a reader is as far as the writer");
            check_superseded(&registry, clock.unix_seconds(), None);
            check_lists(&registry, clock.unix_seconds());
            if let Ok(entries) = store.read(usize::MAX) {
                for entry in entries {
                    if let Event::Row(Effect { unhidden: Some(unhidden), .. }) = entry.event {
                        let known = hidden_keys.remove(&unhidden.key);
                        prop_assert_eq!(known.map(|one| one.at), Some(unhidden.at));
                    }
                }
            } else {
                store.restart();
                hidden_keys.retain(|key, _| registry.is_hidden(key));
            }
            prop_assert!(hidden_keys.keys().all(|key| registry.is_hidden(key)));
        }
        check_restored(&registry, &clock);
        for mut follower in followers {
            follower.follow(usize::MAX);
            follower.check(&registry);
        }
    }

    /// Pages put together are the list.
    #[test]
    fn pages_make_the_list(users in prop::collection::vec("[a-cA-C\u{0}]{0,3}", 0..12), limit in 1..5_usize) {
        let (_, registry) = registry();
        for (ruid, user) in users.iter().enumerate() {
            put(&registry, binding(&ruid.to_string(), user, "c", NOW + 60));
        }
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = registry.page(Scope::Account("acme"), after.as_ref(), limit);
            after = page.registrations.last().map(|(position, _)| Position::from_bytes(position.as_bytes()));
            all.extend(page.registrations.into_iter().map(|(_, one)| one));
            if !page.more {
                break;
            }
        }
        prop_assert_eq!(all, registry.list(Scope::Account("acme")).registrations);
    }
}
