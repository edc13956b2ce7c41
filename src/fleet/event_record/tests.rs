use proptest::prelude::*;

use super::*;
use crate::registration::testing::{binding, registration};

fn registered(account: &str, ruid: &str) -> Arc<Registration> {
    let binding = binding(ruid, "bob", "sip:bob@192.0.2.1", 1000);
    let mut details = (*registration(binding, Some(account))).clone();
    details.common = Arc::new(Common {
        node: Some(OnNode {
            name: "k1".into(),
            state: NodeState::Live,
            superseded_by: None,
        }),
        ..(*details.common).clone()
    });
    Arc::new(Registration::new(details))
}

fn happening(kind: Kind) -> Happening {
    Happening {
        kind,
        audience: Audience::All,
        registration: registered("acme", "u-1"),
        former: None,
        happened_at: Some(-5),
        replaces: None,
        flush: None,
        stats: None,
    }
}

fn of(what: Happening) -> What {
    What::Registration(Box::new(what))
}

/// One of each, with all that it may have.
fn whats() -> Vec<What> {
    let one = happening(Kind::Registered);
    let stats = Stats::of(&one.registration, 700_000);
    let mut all = vec![
        of(Happening {
            replaces: Some(Replaces {
                ruid: "u-0".into(),
                after: 1500,
            }),
            audience: Audience::System,
            ..one.clone()
        }),
        of(Happening {
            former: Some(registered("other", "u-1")),
            ..happening(Kind::Changed)
        }),
        of(Happening {
            audience: Audience::Account,
            happened_at: None,
            ..happening(Kind::Moved)
        }),
        of(Happening {
            flush: Some(Arc::new(FlushedBy {
                request_id: "r".to_owned(),
                actor: "ops".to_owned(),
            })),
            stats: Some(stats),
            ..happening(Kind::Terminated(Reason::Flushed))
        }),
        of(Happening {
            stats: Some(Stats {
                refreshes: 70_000,
                last_refresh_at: Some(3),
                granted_expires: None,
                ..stats
            }),
            ..happening(Kind::Terminated(Reason::Expired))
        }),
        What::Directory,
        What::Burst(Burst {
            account: Some("acme".into()),
            group: Group::Source,
            value: "192.0.2.0/24".into(),
            lost: 0,
            of: 415,
            from: u64::MAX,
            to: 1,
        }),
    ];
    all.extend(STATES.map(What::Source));
    all.extend(CAUSES.map(|cause| What::Gap(Gap { from: 7, cause })));
    all
}

#[test]
fn an_event_is_what_it_was_encoded_from() {
    let (mut decoder, node) = (Decoder::default(), Arc::from("k1"));
    for (what, commit) in whats().into_iter().zip([8, 9].into_iter().cycle()) {
        let event = Event {
            seq: 9,
            at: 700_000,
            commit,
            what,
        };
        let read = decode(&mut decoder, (9, 700_000), &node, &encode(&event));
        assert_eq!(read.as_ref(), Ok(&event));
    }
}

#[test]
fn another_version_is_refused() {
    let event = Event {
        seq: 9,
        at: 1,
        commit: 9,
        what: What::Directory,
    };
    let mut bytes = encode(&event);
    bytes[0] += 1;
    let decoded = decode(&mut Decoder::default(), (9, 1), &Arc::from("k1"), &bytes);
    assert_eq!(decoded, Err(Malformed));
}

proptest! {
    #[test]
    fn any_bytes_are_an_event_or_none(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = [&[VERSION], &bytes[..]].concat();
        let _ = decode(&mut Decoder::default(), (1, 1), &Arc::from("k1"), &bytes);
    }
}
