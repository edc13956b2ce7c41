//! A row that Kamailio does not have, and whose end has been told: it stays in the table, and so in the store.

use super::*;
use crate::events::Kind;
use crate::registration::{Binding, Registration};
use crate::registry::Due;

/// Two rows of bob's contact, which only Kamailio can tell apart; the old one ends at `end`.
fn rows(end: i64) -> Vec<Arc<Registration>> {
    let row = |ruid: &str, end: i64| Binding {
        call_id: Some(ruid.into()),
        ..binding(ruid, "bob", "sip:bob@192.0.2.1", end)
    };
    let rows = [row("old", end), row("new", end + 7200)];
    let rows = rows.map(|row| Arc::new(registration(row, Some("acme"))));
    rows.to_vec()
}

/// Kamailio is asked, and has the new one.
fn has_the_new_one(site: &Site) {
    let overlay = site.writer.overlay();
    let all = Due {
        changed: usize::MAX,
        again: 0,
        void_before: Duration::ZERO,
        again_before: Duration::ZERO,
    };
    for asked in overlay.ambiguous(&all) {
        overlay.decide(&asked, |key| *key.ruid.0.lossy() == *"new");
    }
}

/// A site that has told the end of the old row.
async fn begun(folder: &TempDir, rows: &[Arc<Registration>]) -> Site {
    let mut site = Site::new(folder, 1 << 30).await;
    let put = |row: &Arc<Registration>| Change::Upsert(Arc::clone(row));
    site.writer.apply(rows.iter().map(put));
    has_the_new_one(&site);
    site.catch_up().await;
    assert_eq!(ends(&site).await, 1);
    site
}

/// The program ends, and begins again after a `pause` with the rows that the store has.
async fn again_after(site: &mut Site, rows: Vec<Arc<Registration>>, pause: Duration) {
    let as_of = site.clock.unix();
    site.end(false).await;
    site.clock.advance(pause);
    site.log.history().unwrap().close().await;
    site.log = Arc::new(EventLog::new(None));
    let history = open(&site.folder, &site.clock, site.bytes).await;
    site.log = Arc::new(EventLog::new(Some(history)));
    site.writer = Writer::new(Arc::clone(&site.clock) as _);
    let gone = site.log.gone(&rows).await;
    let left = Snapshot {
        rows,
        ..Snapshot::default()
    };
    let source = SourceReport {
        state: SourceState::Live,
        as_of: Some(as_of),
    };
    let feed = site.writer.restore_without(left, source, |_| gone);
    site.run_from(feed, as_of);
}

/// How often the end of the old row was told.
async fn ends(site: &Site) -> usize {
    let events = site.log.history().unwrap().read(0, 1000).await.unwrap();
    let is_end = |event: &&Event| match &event.what {
        What::Registration(one) => {
            let is_old = *one.registration.binding.key.ruid.0.lossy() == *"old";
            is_old && matches!(one.kind, Kind::Terminated(_))
        }
        _ => false,
    };
    events.iter().filter(is_end).count()
}

#[tokio::test]
async fn its_end_is_not_told_again_when_kamailio_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(NOW.cast_signed() + 3600);
    let mut site = begun(&folder, &rows).await;
    again_after(&mut site, rows, Duration::from_secs(20)).await;
    let counts = site.writer.registry().counts();
    assert_eq!((counts.rows, counts.superseded), (2, 1));
    has_the_new_one(&site);
    site.catch_up().await;
    assert_eq!(ends(&site).await, 1);
    site.stop().await;
}

#[tokio::test]
async fn its_end_is_not_told_again_when_it_expired_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(NOW.cast_signed() + 60);
    let mut site = begun(&folder, &rows).await;
    again_after(&mut site, rows, Duration::from_secs(90)).await;
    site.catch_up().await;
    assert_eq!(ends(&site).await, 1);
    site.stop().await;
}
