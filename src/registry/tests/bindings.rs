//! Rows of one contact: the same binding, bindings apart, and those that only Kamailio can tell apart.

use super::*;

/// A row of bob's contact with this Call-ID.
fn call(ruid: &str, call_id: &str) -> Binding {
    Binding {
        call_id: Some(call_id.into()),
        ..binding(ruid, "bob", "a", NOW + 60)
    }
}

/// A row of bob's contact that is a flow.
fn flow(ruid: &str, instance: &str, reg_id: i64) -> Binding {
    Binding {
        instance: Some(instance.into()).filter(|one: &Text| !one.is_empty()),
        reg_id: Number::new(reg_id).filter(|id| id.get() > 0),
        ..call(ruid, ruid)
    }
}

fn ruids(registry: &Writer) -> Vec<String> {
    let listed = registry.list(Scope::System);
    assert_eq!(listed.registrations.len(), registry.count(Scope::System).0);
    assert_eq!(listed.revision, registry.count(Scope::System).1);
    let ruid = |one: &Arc<Registration>| one.binding.key.ruid.0.lossy().into_owned();
    listed.registrations.iter().map(ruid).collect()
}

fn due(changed: usize) -> Due {
    Due {
        changed,
        again: 0,
        void_before: Duration::ZERO,
        again_before: Duration::ZERO,
    }
}

/// What is to be asked about, by ruid.
fn questions(registry: &Writer, due: &Due) -> Vec<Vec<String>> {
    let ruid = |row: &Arc<Registration>| row.binding.key.ruid.0.lossy().into_owned();
    let asked = registry.overlay().ambiguous(due);
    asked
        .iter()
        .map(|one| one.rows.iter().map(ruid).collect())
        .collect()
}

/// Kamailio has these ruids of all that is ambiguous.
fn has(registry: &Writer, ruids: &[&str]) {
    for asked in registry.overlay().ambiguous(&due(99)) {
        registry
            .overlay()
            .decide(&asked, |key| ruids.contains(&&*key.ruid.0.lossy()));
    }
}

#[test]
fn everything_that_identifies_a_binding_tells_rows_apart() {
    let one = binding("1", "bob", "a", NOW + 60);
    let other = Binding {
        last_modified: NOW - 5,
        ..binding("2", "bob", "a", NOW + 60)
    };
    let text = |text: &str| Some(Text::from(text));
    let bindings = [
        Binding {
            call_id: text("other"),
            ..other.clone()
        },
        Binding {
            call_id: None,
            ..other.clone()
        },
        Binding {
            path: text("<sip:edge2.example.net;lr>"),
            ..other.clone()
        },
        Binding {
            received: text("sip:192.0.2.9:5060"),
            ..other.clone()
        },
        Binding {
            instance: text("<urn:uuid:1>"),
            ..other.clone()
        },
        Binding {
            reg_id: Number::new(1),
            ..other.clone()
        },
    ];
    for second in bindings {
        let (_, registry) = registry();
        put(&registry, one.clone());
        put(&registry, second.clone());
        assert_eq!(ruids(&registry), ["1", "2"], "{second:?}");
        assert_eq!(
            registry
                .list_user(Scope::Account("acme"), b"BOB")
                .registrations
                .len(),
            2
        );
        assert_eq!(questions(&registry, &due(9)), [["1", "2"]], "{second:?}");
    }
    // Nothing else does.
    let same = [
        Binding {
            user_agent: text("Other 2.0"),
            cseq: Number::new(9),
            ..other.clone()
        },
        Binding {
            socket: text("tcp:10.0.0.6:5060"),
            q: Some(0.5),
            ..other.clone()
        },
        Binding {
            key: Key {
                table: "mobile".into(),
                ruid: "2".into(),
            },
            ..other
        },
    ];
    for second in same {
        let (_, registry) = registry();
        put(&registry, one.clone());
        put(&registry, second.clone());
        assert_eq!(ruids(&registry), ["2"], "{second:?}");
        assert!(questions(&registry, &due(9)).is_empty(), "{second:?}");
    }
}

#[test]
fn instance_and_reg_id_tell_flows_apart_and_nobody_is_asked() {
    let (_, registry) = registry();
    put(&registry, flow("1", "<urn:uuid:1>", 1));
    put(&registry, flow("2", "<urn:uuid:1>", 2));
    put(&registry, flow("3", "<urn:uuid:2>", 1));
    assert_eq!(ruids(&registry), ["1", "2", "3"]);
    assert!(questions(&registry, &due(9)).is_empty());
    // Of one flow there are two now.
    put(&registry, flow("4", "<urn:uuid:1>", 2));
    assert_eq!(questions(&registry, &due(9)), [["2", "4"]]);
    has(&registry, &["1", "4"]);
    assert_eq!(
        ruids(&registry),
        ["1", "3", "4"],
        "of flow 3 nothing was asked"
    );
    registry.apply([Change::Remove(flow("4", "", 0).key)]);
    assert_eq!(ruids(&registry), ["1", "2", "3"]);
    // A row without a flow may be any of them.
    for (instance, reg_id) in [("", 0), ("<urn:uuid:1>", 0), ("", 1)] {
        put(&registry, flow("5", instance, reg_id));
        assert_eq!(questions(&registry, &due(9)), [["1", "2", "3", "5"]]);
    }
}

#[test]
fn what_kamailio_does_not_have_is_not_listed_while_it_has_another() {
    let (clock, registry) = registry();
    put(&registry, call("1", "x"));
    put(&registry, call("2", "y"));
    has(&registry, &["2"]);
    assert_eq!(ruids(&registry), ["2"]);
    assert_eq!(
        registry
            .list_user(Scope::Account("acme"), b"bob")
            .registrations
            .len(),
        1
    );
    let counts = registry.counts();
    assert_eq!((counts.superseded, counts.hidden, counts.rows), (1, 0, 2));
    assert!(
        questions(&registry, &due(9)).is_empty(),
        "it has been asked"
    );
    // A refresh of the other is asked about, and changes nothing until then.
    put(
        &registry,
        Binding {
            cseq: Number::new(2),
            ..call("2", "y")
        },
    );
    assert_eq!(ruids(&registry), ["2"]);
    assert_eq!(questions(&registry, &due(9)), [["1", "2"]]);
    // Its own does.
    put(
        &registry,
        Binding {
            cseq: Number::new(2),
            ..call("1", "x")
        },
    );
    assert_eq!(ruids(&registry), ["1", "2"]);
    // None at all: all are listed.
    has(&registry, &["2"]);
    has(&registry, &[]);
    assert_eq!(ruids(&registry), ["2"], "it was not asked again");
    registry.overlay().list_superseded();
    assert_eq!(ruids(&registry), ["1", "2"]);
    // The other one ends.
    put(
        &registry,
        Binding {
            expiry: Expiry::At(NOW + 9),
            ..call("2", "y")
        },
    );
    has(&registry, &["2"]);
    assert_eq!(ruids(&registry), ["2"]);
    clock.advance(Duration::from_secs(9));
    assert_eq!(ruids(&registry), ["1"]);
    assert_eq!(registry.counts().superseded, 0);
}

#[test]
fn what_is_superseded_shows_again_when_a_flush_hides_the_other() {
    let (_, registry) = registry();
    put(&registry, call("1", "x"));
    put(&registry, call("2", "y"));
    has(&registry, &["2"]);
    assert_eq!(
        registry
            .rows_of(&"bob".into(), call("2", "y").domain.as_ref())
            .len(),
        2
    );
    hide(&registry, [hidden(&call("2", "y"), NOW)]);
    assert_eq!(ruids(&registry), ["1"]);
    registry.overlay().unhide([&call("2", "y").key]);
    assert_eq!(ruids(&registry), ["1", "2"]);
    has(&registry, &["2"]);
    hide(
        &registry,
        [hidden(&call("1", "x"), NOW), hidden(&call("2", "y"), NOW)],
    );
    assert!(ruids(&registry).is_empty());
    assert_eq!(registry.counts().superseded, 0);
}

#[test]
fn an_answer_from_before_a_change_is_not_applied() {
    let (_, registry) = registry();
    put(&registry, call("1", "x"));
    put(&registry, call("2", "y"));
    let only_two = |key: &Key| key.ruid == "2".into();
    let old = registry.overlay().ambiguous(&due(9)).remove(0);
    // The first one has registered again meanwhile.
    put(
        &registry,
        Binding {
            cseq: Number::new(2),
            ..call("1", "x")
        },
    );
    registry.overlay().decide(&old, only_two);
    assert_eq!(ruids(&registry), ["1", "2"]);
    let old = registry.overlay().ambiguous(&due(9)).remove(0);
    hide(&registry, [hidden(&call("2", "y"), NOW)]);
    registry.overlay().decide(&old, only_two);
    assert_eq!(ruids(&registry), ["1"]);
    registry.overlay().unhide([&call("2", "y").key]);
    put(&registry, call("3", "z"));
    registry.overlay().decide(&old, only_two);
    assert_eq!(ruids(&registry), ["1", "2", "3"]);
}

#[test]
fn another_servers_row_is_not_missed() {
    let (_, registry) = registry();
    let of_two = Binding {
        server_id: Number::new(2),
        ..call("1", "x")
    };
    put(&registry, of_two);
    put(&registry, call("2", "y"));
    put(
        &registry,
        Binding {
            server_id: None,
            ..call("3", "z")
        },
    );
    has(&registry, &["2"]);
    assert_eq!(ruids(&registry), ["1", "2"]);
}

#[test]
fn the_newest_changes_are_asked_about_first_and_all_again_in_their_turn() {
    let (clock, registry) = registry();
    for user in ["ann", "bob", "eve"] {
        for call_id in ["x", "y"] {
            let ruid = format!("{user}-{call_id}");
            let row = binding(&ruid, user, "a", NOW + 600);
            put(
                &registry,
                Binding {
                    call_id: Some(call_id.into()),
                    ..row
                },
            );
        }
    }
    let first = |due: &Due| -> Vec<String> {
        let asked = questions(&registry, due);
        asked.into_iter().map(|one| one[0].clone()).collect()
    };
    assert_eq!(first(&due(2)), ["eve-x", "bob-x"]);
    for asked in registry.overlay().ambiguous(&due(1)) {
        registry.overlay().decide(&asked, |_| true);
    }
    assert_eq!(first(&due(9)), ["bob-x", "ann-x"]);
    clock.advance(Duration::from_secs(9));
    has(&registry, &["bob-x", "bob-y", "ann-x"]);
    assert!(first(&due(9)).is_empty());
    let now = clock.monotonic();
    let again = |changed, again, void_before, again_before| Due {
        changed,
        again,
        void_before,
        again_before,
    };
    assert_eq!(first(&again(0, 9, Duration::ZERO, now)), ["eve-x"]);
    assert!(
        first(&again(0, 9, now, Duration::MAX)).len() == 2,
        "what is void is a change"
    );
    assert_eq!(first(&again(1, 1, now, Duration::MAX)), ["eve-x", "bob-x"]);
}

#[test]
fn rows_of_one_contact_keep_their_places_when_they_change() {
    let (_, registry) = registry();
    for ruid in ["1", "2", "3"] {
        put(&registry, call(ruid, ruid));
    }
    let page = registry.page(Scope::System, None, 2);
    assert!(page.more);
    let cursor = page.registrations[1].0.clone();
    // A refresh with another Call-ID neither repeats a row nor passes one over.
    put(&registry, call("1", "9"));
    put(&registry, call("3", "0"));
    let rest = registry.page(Scope::System, Some(&cursor), 9).registrations;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].1.binding.key.ruid, "3".into());
}

#[test]
fn other_owners_do_not_bring_superseded_rows_back() {
    // Few are put in place one by one, many all at once.
    for many in [0, 1_000] {
        let (_, registry) = registry();
        put(&registry, call("1", "x"));
        put(&registry, call("2", "y"));
        has(&registry, &["2"]);
        let others = (0..many).map(|number: i32| {
            let user = format!("user{number}");
            binding(&format!("u{number}"), &user, "a", NOW + 60)
        });
        let rows = [call("1", "x"), call("2", "y")].into_iter().chain(others);
        let moved: Vec<_> = rows
            .map(|row| Arc::new(registration(row, Some("other"))))
            .collect();
        registry.replace(moved, 7, || {});
        let user = registry
            .list_user(Scope::Account("other"), b"bob")
            .registrations;
        assert_eq!(user.len(), 1, "{many}");
        assert_eq!(
            registry
                .list_user(Scope::System, b"bob")
                .registrations
                .len(),
            1
        );
        assert!(questions(&registry, &due(9)).is_empty());
        assert_eq!(registry.counts().superseded, 1);
    }
}
