//! Rows of one contact, of which Kamailio may have some and not others.

use std::time::Duration;

use super::fake::Answer;
use super::site::{NOW, Site, aor, row};
use crate::flush::ambiguous::Asker;
use crate::registration::{Binding, Number};

/// A row of the contact of alice's that all of them share.
fn of_alice(ruid: &str) -> Binding {
    Binding {
        contact: "sip:alice@192.0.2.7".into(),
        call_id: Some(ruid.into()),
        ..row("alice", ruid)
    }
}

/// Tables with two rows of which Kamailio has one.
async fn two_rows() -> Site {
    let site = Site::new().await;
    for ruid in ["a1", "a2"] {
        site.put("acme", of_alice(ruid));
    }
    site.fake
        .memory()
        .register(&aor("alice"), "a2", "sip:alice@192.0.2.7", 1);
    site
}

/// Some rounds, as they follow each other.
async fn rounds(site: &Site, asker: &mut Asker, seconds: u64) {
    for _ in (0..seconds).step_by(2) {
        site.flusher.resolve_once(asker).await;
        site.clock.advance(Duration::from_secs(2));
    }
}

#[tokio::test]
async fn those_that_kamailio_does_not_have_are_not_listed() {
    let site = two_rows().await;
    assert_eq!(site.ruids(), ["a1", "a2"], "until it is asked");
    let mut asker = Asker::default();
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a2"]);
    assert_eq!(site.registry.superseded(), 1);
    // It comes back by a REGISTER before the table shows it.
    site.fake
        .memory()
        .register(&aor("alice"), "a1", "sip:alice@192.0.2.7", 2);
    rounds(&site, &mut asker, 40).await;
    assert_eq!(site.ruids(), ["a1", "a2"]);
}

#[tokio::test]
async fn nothing_is_asked_where_there_is_nothing_to_tell_apart() {
    let site = Site::new().await;
    for ruid in ["a1", "b1"] {
        site.phone("acme", "alice", ruid);
    }
    for (ruid, reg_id) in [("f1", 1), ("f2", 2)] {
        site.put(
            "acme",
            Binding {
                instance: Some("<urn:uuid:1>".into()),
                reg_id: Number::new(reg_id),
                ..of_alice(ruid)
            },
        );
    }
    rounds(&site, &mut Asker::default(), 60).await;
    assert!(site.fake.memory().calls.is_empty());
    assert_eq!(site.ruids().len(), 4);
}

#[tokio::test]
async fn a_kamailio_that_has_none_or_both_hides_nothing() {
    let site = two_rows().await;
    site.phone("acme", "bob", "b1");
    site.fake.memory().contacts.remove(&aor("alice"));
    let mut asker = Asker::default();
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a1", "a2", "b1"]);
    for ruid in ["a1", "a2"] {
        site.fake
            .memory()
            .register(&aor("alice"), ruid, "sip:alice@192.0.2.7", 1);
    }
    rounds(&site, &mut asker, 60).await;
    assert_eq!(site.ruids(), ["a1", "a2", "b1"]);
}

#[tokio::test]
async fn a_kamailio_with_nothing_in_memory_is_not_asked_for_each_row() {
    // In db_mode 3 a look-up reads the table, whose rows it all has.
    let site = two_rows().await;
    site.fake.answers("stats.fetchn", || {
        Answer::Result(serde_json::json!({"usrloc.location_contacts": 0}))
    });
    rounds(&site, &mut Asker::default(), 20).await;
    assert_eq!(site.ruids(), ["a1", "a2"]);
    assert!(site.fake.calls(&["ul.lookup"]).is_empty());
}

#[tokio::test]
async fn a_kamailio_that_may_be_loading_is_believed_when_all_others_are_there() {
    let site = two_rows().await;
    site.put("acme", row("bob", "b1"));
    site.fake.memory().uptime = 3;
    let mut asker = Asker::default();
    rounds(&site, &mut asker, 10).await;
    assert_eq!(site.ruids(), ["a1", "a2", "b1"], "bob is not loaded yet");
    site.fake
        .memory()
        .register(&aor("bob"), "b1", "sip:b1@192.0.2.1", 1);
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a1", "a2", "b1"], "alice may come next");
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a2", "b1"]);
}

#[tokio::test]
async fn a_kamailio_that_is_up_for_long_enough_has_loaded() {
    let site = two_rows().await;
    site.put("acme", row("bob", "b1"));
    site.fake.memory().uptime = 29;
    let mut asker = Asker::default();
    rounds(&site, &mut asker, 10).await;
    assert_eq!(site.ruids(), ["a1", "a2", "b1"]);
    site.fake.memory().uptime = 30;
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a2", "b1"]);
}

#[tokio::test]
async fn another_kamailio_is_asked_anew() {
    let site = two_rows().await;
    let mut asker = Asker::default();
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a2"]);
    {
        let mut memory = site.fake.memory();
        memory.since = "Tue Nov 14 22:13:20 2023".to_owned();
        memory.uptime = 1;
        memory.contacts.clear();
    }
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a1", "a2"]);
    for ruid in ["a1", "a2"] {
        site.fake
            .memory()
            .register(&aor("alice"), ruid, "sip:alice@192.0.2.7", 1);
    }
    rounds(&site, &mut asker, 10).await;
    assert_eq!(site.ruids(), ["a1", "a2"]);
}

#[tokio::test]
async fn a_kamailio_that_takes_anothers_place_in_a_round_is_not_believed() {
    let site = two_rows().await;
    site.fake.bend(|memory, method, _| {
        if method == "ul.lookup" {
            memory.since = "Tue Nov 14 22:13:20 2023".to_owned();
        }
        None
    });
    site.flusher.resolve_once(&mut Asker::default()).await;
    assert_eq!(site.ruids(), ["a1", "a2"]);
}

#[tokio::test]
async fn without_an_answer_all_are_listed() {
    let site = two_rows().await;
    let mut asker = Asker::default();
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a2"]);
    site.fake.answers("core.uptime", || Answer::Cut);
    rounds(&site, &mut asker, 4).await;
    assert_eq!(site.ruids(), ["a2"], "it may be busy for a moment");
    rounds(&site, &mut asker, 4).await;
    assert_eq!(site.ruids(), ["a1", "a2"]);
    site.fake.bend(|_, _, _| None);
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a2"], "it is asked again at once");
}

#[tokio::test]
async fn nobody_is_there_to_be_look_ups() {
    let site = Site::alone().await;
    for ruid in ["a1", "a2"] {
        site.put("acme", of_alice(ruid));
    }
    rounds(&site, &mut Asker::default(), 20).await;
    assert_eq!(site.ruids(), ["a1", "a2"]);
}

#[tokio::test]
async fn a_refused_look_up_lists_its_rows_and_holds_up_no_others() {
    let site = two_rows().await;
    for ruid in ["b1", "b2"] {
        site.put(
            "acme",
            Binding {
                username: "bob".into(),
                ..of_alice(ruid)
            },
        );
    }
    site.fake
        .memory()
        .register(&aor("bob"), "b2", "sip:alice@192.0.2.7", 1);
    let mut asker = Asker::default();
    rounds(&site, &mut asker, 2).await;
    assert_eq!(site.ruids(), ["a2", "b2"]);
    for (is_silent, calls, cseq) in [(false, 2, 8), (true, 1, 9)] {
        let answer = move || {
            if is_silent {
                Answer::Silence
            } else {
                Answer::Error(500, "no")
            }
        };
        site.fake.bend(move |_, method, params| {
            let is_bobs = method == "ul.lookup" && params[1] == aor("bob");
            is_bobs.then(answer)
        });
        for user in ["alice", "bob"] {
            // A refresh, so that Kamailio is asked: bob comes last and is asked about first.
            let (first, number) = (&user[..1], Number::new(cseq));
            let row = of_alice(&format!("{first}2"));
            site.put(
                "acme",
                Binding {
                    username: user.into(),
                    cseq: number,
                    ..row
                },
            );
        }
        site.fake.memory().calls.clear();
        site.flusher.resolve_once(&mut asker).await;
        assert_eq!(site.fake.calls(&["ul.lookup"]).len(), calls);
        assert_eq!(site.ruids(), ["a2", "b1", "b2"]);
        site.fake.bend(|_, _, _| None);
        site.clock.advance(Duration::from_mins(1));
        rounds(&site, &mut asker, 2).await;
        assert_eq!(site.ruids(), ["a2", "b2"]);
    }
}

#[tokio::test]
async fn look_ups_are_bounded() {
    let site = Site::new().await;
    for number in 0..500 {
        for ruid in ["x", "y"] {
            let user = format!("u{number}");
            site.put(
                "acme",
                Binding {
                    username: user.as_str().into(),
                    ..of_alice(&format!("{ruid}{number}"))
                },
            );
        }
    }
    site.fake
        .memory()
        .register(&aor("bob"), "b1", "sip:bob@192.0.2.7", 1);
    let mut asker = Asker::default();
    let look_ups = || site.fake.calls(&["ul.lookup"]).len();
    site.flusher.resolve_once(&mut asker).await;
    assert_eq!(look_ups(), 400);
    assert!(
        site.fake.calls(&["ul.lookup"])[0].contains("u499@"),
        "the newest first"
    );
    site.flusher.resolve_once(&mut asker).await;
    assert_eq!(look_ups(), 500);
    site.flusher.resolve_once(&mut asker).await;
    assert_eq!(look_ups(), 500);
    site.clock.advance(Duration::from_secs(31));
    site.flusher.resolve_once(&mut asker).await;
    assert_eq!(look_ups(), 540);
}

#[tokio::test]
async fn a_flush_takes_superseded_rows_along() {
    let site = two_rows().await;
    let mut asker = Asker::default();
    rounds(&site, &mut asker, 2).await;
    let outcome = site.flush().await;
    assert_eq!((outcome.flushed, outcome.failed.len()), (1, 0));
    assert!(site.ruids().is_empty());
    assert_eq!(site.hidden().await, ["a1", "a2"], "also after a restart");
    rounds(&site, &mut asker, 10).await;
    assert!(site.ruids().is_empty());
    // It registers again, with another Call-ID.
    let again = Binding {
        last_modified: NOW + 20,
        ..of_alice("a3")
    };
    site.fake
        .memory()
        .register(&aor("alice"), "a3", "sip:alice@192.0.2.7", 1);
    site.put("acme", again);
    assert_eq!(site.ruids(), ["a3"]);
}

#[tokio::test]
async fn so_does_one_of_a_chosen_contact() {
    let site = two_rows().await;
    site.phone("acme", "alice", "c1");
    rounds(&site, &mut Asker::default(), 2).await;
    assert_eq!(site.flush_exactly(&["a2"]).await.flushed, 1);
    assert_eq!(site.ruids(), ["c1"]);
}
