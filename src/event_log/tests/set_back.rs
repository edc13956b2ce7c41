//! A clock that was set back: what the log has is found by its number too.

use super::*;
use crate::config;
use crate::events::{Audience, Happening, Kind, Reason};
use crate::metrics::Metrics;
use crate::registration::Registration;

/// Ends the program as a power cut does, and begins again with these rows, which the store has as of `as_of`.
async fn begin_again(site: &mut Site, rows: Vec<Arc<Registration>>, as_of: Duration) {
    site.end(true).await;
    site.log.history().unwrap().close().await;
    site.log = Arc::new(EventLog::new(None));
    let history = open(&site.folder, &site.clock, site.bytes).await;
    site.log = Arc::new(EventLog::new(Some(history)));
    site.writer = Writer::new(Arc::clone(&site.clock) as _);
    let left = Snapshot {
        rows,
        ..Snapshot::default()
    };
    let source = SourceReport {
        state: SourceState::Live,
        as_of: Some(as_of),
    };
    let feed = site.writer.restore(left, source);
    site.run_from(feed, as_of);
}

/// How often the log says that a user is registered.
async fn registered(site: &Site, user: &str) -> usize {
    let events = site.log.history().unwrap().read(0, 1000).await.unwrap();
    let is_of = |event: &&Event| match &event.what {
        What::Registration(one) => {
            one.kind == Kind::Registered && *one.registration.username.lossy() == *user
        }
        _ => false,
    };
    events.iter().filter(is_of).count()
}

#[tokio::test]
async fn what_came_after_a_step_back_is_not_told_again_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&folder, 1 << 30).await;
    site.put("alice", 1);
    site.catch_up().await;
    let (rows, as_of) = (site.writer.registry().rows(), site.clock.unix());
    site.clock.step_to(NOW - 3600);
    site.put("bob", 1);
    site.catch_up().await;

    begin_again(&mut site, rows, as_of).await;
    // The table has been read.
    site.put("bob", 1);
    site.catch_up().await;
    assert_eq!(registered(&site, "bob").await, 1);
    site.put("carol", 1);
    site.catch_up().await;
    assert_eq!(registered(&site, "carol").await, 1);
    site.stop().await;
}

/// A machine whose clock was wrong for a moment still knows who flapped before.
#[tokio::test]
async fn an_event_of_1970_does_not_hide_the_day_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let history = history(&folder, &clock, 1 << 30).await;
    let row = binding("uloc-1", "bob", "sip:bob@192.0.2.1", NOW.cast_signed() + 60);
    let row = Arc::new(registration(row, Some("acme")));
    let loss = |seq: u64| Event {
        seq,
        at: (NOW - 3000 + seq * 300) * 1000,
        commit: seq,
        what: What::Registration(Box::new(Happening {
            kind: Kind::Terminated(Reason::Removed),
            audience: Audience::All,
            registration: Arc::clone(&row),
            former: None,
            happened_at: None,
            replaces: None,
            flush: None,
            stats: None,
        })),
    };
    let wrong = Event {
        at: 7,
        ..(*event(7)).clone()
    };
    let events = (1..7).map(loss).chain([wrong, (*event(8)).clone()]);
    let events: Vec<Arc<Event>> = events.map(Arc::new).collect();
    history.append(&events).await.unwrap();

    let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let registry = Arc::clone(Writer::new(Arc::clone(&shared)).registry());
    let metrics = Metrics::new(Arc::clone(&shared), "1.2.3", "");
    let rules = (config::Flap::default(), config::Burst::default());
    let finder = Finder::new(registry, shared, Arc::clone(&metrics.events), rules);
    finder.restore(&history).await;
    assert_eq!(finder.flapping().len(), 1);
}
