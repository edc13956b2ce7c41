//! What was appended comes back, and is found by whose, when and what it is.

use super::*;
use crate::events::{Replaces, Type, Viewer};
use crate::registration::testing::packed;
use crate::registration::{Address, Common, Details, SourceAddress};
use crate::registry::FlushedBy;
use crate::sip::{SourceFrom, Transport};

/// Without its attributes, which are not kept.
fn bare(binding: Binding) -> Binding {
    packed(&Binding {
        attributes: Attributes::default(),
        ..binding
    })
}

fn any_text() -> impl Strategy<Value = crate::registration::Text> {
    prop_oneof![
        "[0-9a-f]{0,32}".prop_map(|text| text.as_str().into()),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| bytes.as_slice().into()),
    ]
}

fn any_address() -> impl Strategy<Value = Address> {
    (any_text(), any::<Option<u16>>()).prop_map(|(host, port)| Address { host, port })
}

fn any_common() -> impl Strategy<Value = Common> {
    let text = || proptest::option::of("[a-c]{0,3}".prop_map(|text| Arc::from(text.as_str())));
    let address = proptest::option::of(("[a-c.]{0,4}", any::<Option<u16>>()));
    let protocol = proptest::option::of(prop::sample::select(&Transport::ALL[..]));
    let texts = (text(), text(), text(), text(), text());
    (texts, any::<(bool, bool)>(), address, protocol).prop_map(
        |(texts, (suppress, overwrite), address, protocol)| Common {
            realm: texts.0,
            account_name: texts.1,
            account_realm: texts.2,
            authorizing_type: texts.3,
            suppress_unregister_notify: suppress,
            register_overwrite_notify: overwrite,
            proxy_address: address.map(|(host, port)| (host.as_str().into(), port)),
            proxy_protocol: protocol,
            proxy_path: texts.4,
            node: None,
        },
    )
}

/// Any registration of one of a few users and accounts.
fn any_registration() -> impl Strategy<Value = Arc<Registration>> {
    let froms = [SourceFrom::Path, SourceFrom::Received, SourceFrom::Alias];
    let source = (any_address(), prop::sample::select(froms.to_vec()))
        .prop_map(|(address, from)| SourceAddress { address, from });
    let ids = (
        proptest::option::of(any_text()),
        proptest::option::of(any_text()),
        proptest::option::of(any_text()),
    );
    let account = proptest::option::of("[ab]");
    let user = ("[ab]{1,2}", proptest::option::of("[AB]{1,2}"));
    let addresses = (
        proptest::option::of(any_address()),
        proptest::option::of(source),
    );
    let life = (any::<i64>(), any::<u32>());
    (
        any_binding(),
        any_common(),
        ids,
        account,
        user,
        addresses,
        life,
    )
        .prop_map(
            |(binding, common, ids, account, (column, shown), (contact_address, source), life)| {
                let binding = bare(Binding {
                    username: column.as_str().into(),
                    ..binding
                });
                Arc::new(Registration::new(Details {
                    username: shown
                        .map_or_else(|| (&*binding.user()).into(), |it| it.as_str().into()),
                    binding: Arc::new(binding),
                    first_registration: life.0,
                    refreshes: life.1,
                    account_id: account.as_deref().map(Arc::from),
                    authorizing_id: ids.0,
                    owner_id: ids.1,
                    presence_id: ids.2,
                    contact_address,
                    source,
                    common: Arc::new(common),
                }))
            },
        )
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let mut kinds = vec![Kind::Registered, Kind::Moved, Kind::Changed];
    kinds.extend(Reason::ALL.map(Kind::Terminated));
    prop::sample::select(kinds)
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let audiences = [Audience::All, Audience::System, Audience::Account];
    let replaces = (any_text(), any::<u64>()).prop_map(|(ruid, after)| Replaces { ruid, after });
    let flush = ("[a-f]{0,9}", "[a-f]{0,9}")
        .prop_map(|(request_id, actor)| Arc::new(FlushedBy { request_id, actor }));
    let stats = any::<(i64, Option<i64>, u64, u32, Option<i64>)>().prop_map(
        |(registered_at, last_refresh_at, lasted, refreshes, granted_expires)| Stats {
            registered_at,
            last_refresh_at,
            lasted,
            refreshes,
            granted_expires,
        },
    );
    (
        any_kind(),
        prop::sample::select(audiences.to_vec()),
        any_registration(),
        proptest::option::of(any_registration()),
        any::<Option<i64>>(),
        proptest::option::of(replaces),
        proptest::option::of(flush),
        proptest::option::of(stats),
    )
        .prop_map(|it| Happening {
            kind: it.0,
            audience: it.1,
            registration: it.2,
            former: it.3,
            happened_at: it.4,
            replaces: it.5,
            flush: it.6,
            stats: it.7,
        })
}

fn any_what() -> impl Strategy<Value = What> {
    let groups = [Group::Proxy, Group::Source, Group::Account, Group::All];
    let burst = (
        proptest::option::of("[ab]"),
        prop::sample::select(groups.to_vec()),
        ".{0,5}",
        any::<[u64; 4]>(),
    )
        .prop_map(|(account, group, value, [lost, of, from, to])| Burst {
            account: account.as_deref().map(Arc::from),
            group,
            value: value.as_str().into(),
            lost,
            of,
            from,
            to,
        });
    let states = [
        SourceState::Live,
        SourceState::CatchingUp,
        SourceState::Stale,
        SourceState::Unavailable,
    ];
    let causes = [GapCause::Restored, GapCause::Overrun, GapCause::Forgotten];
    let gap = (any::<u64>(), prop::sample::select(causes.to_vec()))
        .prop_map(|(from, cause)| Gap { from, cause });
    prop_oneof![
        8 => any_happening().prop_map(|it| What::Registration(Box::new(it))),
        1 => prop::sample::select(states.to_vec()).prop_map(What::Source),
        1 => Just(What::Directory),
        1 => burst.prop_map(What::Burst),
        1 => gap.prop_map(What::Gap),
    ]
}

/// Events in their order, by a clock that is set back and forth.
pub(super) fn any_events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    let one = (any_what(), any::<i32>(), 0_u64..3);
    prop::collection::vec(one, 1..most).prop_map(|all| {
        let numbered = (1..).zip(all);
        let event = |(seq, (what, offset, commit)): (u64, (What, i32, u64))| Event {
            seq,
            at: (NOW * 1000).saturating_add_signed(i64::from(offset)),
            commit: seq.saturating_sub(commit),
            what,
        };
        numbered.map(event).collect()
    })
}

/// What is asked for, found the simple way.
pub(super) fn expected(events: &[Event], query: &Query) -> Vec<u64> {
    let accounts;
    let viewer = match &query.of {
        Of::All => Viewer::System,
        Of::Accounts(ids) => Viewer::Accounts(ids),
        Of::User { account, .. } => {
            accounts = [account.clone()];
            Viewer::Accounts(&accounts)
        }
    };
    let is_wanted = |event: &&Event| {
        let Some(seen) = event.type_for(viewer) else {
            return false;
        };
        let (mut reason, mut is_user) = (None, !matches!(query.of, Of::User { .. }));
        if let What::Registration(it) = &event.what {
            reason = it.seen_by(viewer).and_then(|seen| seen.kind.reason());
            if let Of::User { account, username } = &query.of {
                let mut rows = [&it.registration].into_iter().chain(&it.former);
                is_user = rows.any(|one| {
                    one.account_id.as_deref() == Some(account)
                        && *one.binding.user() == *username.as_bytes()
                });
            }
        }
        is_user
            && query.types.as_ref().is_none_or(|it| it.contains(&seen))
            && query
                .reasons
                .as_ref()
                .is_none_or(|it| reason.is_some_and(|one| it.contains(&one)))
            && query.from.is_none_or(|from| event.at >= from)
            && query.to.is_none_or(|to| event.at <= to)
            && query.before.is_none_or(|before| event.seq < before)
    };
    let mut found: Vec<u64> = events.iter().filter(is_wanted).map(|it| it.seq).collect();
    found.reverse();
    found.truncate(query.limit);
    found
}

pub(super) fn any_query() -> impl Strategy<Value = Query> {
    let of = prop_oneof![
        Just(Of::All),
        prop::collection::vec("[ab]", 0..3).prop_map(Of::Accounts),
        ("[ab]", "[ab]{1,2}").prop_map(|(account, username)| Of::User { account, username }),
    ];
    let moment = || {
        let moment = any::<i32>().prop_map(|it| (NOW * 1000).saturating_add_signed(it.into()));
        proptest::option::of(moment)
    };
    let types = prop::sample::subsequence(&Type::CHOOSABLE[..], 1..8);
    let reasons = prop::sample::subsequence(&Reason::ALL[..], 1..5);
    (
        of,
        moment(),
        moment(),
        proptest::option::of(types),
        proptest::option::of(reasons),
        proptest::option::of(0_u64..40),
        1_usize..40,
    )
        .prop_map(|(of, from, to, types, reasons, before, limit)| Query {
            of,
            from,
            to,
            types,
            reasons,
            before,
            limit,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, in whatever portions it is written: it is read as it was, and found.
    #[test]
    fn events_come_back_and_are_found(
        events in any_events(24), portion in 1_usize..9, queries in prop::collection::vec(any_query(), 1..12),
    ) {
        let bench = Bench::new();
        let history = bench.open();
        bench.clock.step_to(NOW - 86_400 * 300);
        for part in arcs(&events).chunks(portion) {
            bench.wait(history.append(part)).unwrap();
        }
        let read = bench.wait(history.read(0, usize::MAX / 4)).unwrap();
        prop_assert_eq!(&read, &events);
        for query in queries {
            let found = bench.wait(history.query(&query)).unwrap();
            let expected = expected(&events, &query);
            prop_assert_eq!(seqs(&found), expected, "{:?}", query);
            let is_own = |one: &Event| events.contains(one);
            prop_assert!(found.iter().all(is_own));
        }
    }
}
