use std::time::Duration;

use super::*;
use crate::clock::ManualClock;

const NOW: u64 = 1_700_000_000;

/// A store that may fail.
#[derive(Debug, Default)]
struct Kept {
    records: Mutex<HashMap<Id, Record>>,
    writes: Mutex<usize>,
    fails: Mutex<bool>,
}

impl Keep for Kept {
    fn keep<'a>(&'a self, put: &'a [Record], remove: &'a [Id]) -> Keeping<'a> {
        Box::pin(async move {
            if *self.fails.lock().unwrap() {
                return Err("the disk is full".into());
            }
            *self.writes.lock().unwrap() += 1;
            let mut records = self.records.lock().unwrap();
            records.extend(put.iter().map(|record| (record.id, record.clone())));
            records.retain(|id, _| !remove.contains(id));
            Ok(())
        })
    }
}

impl Kept {
    fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().values().cloned().collect()
    }
}

struct Place {
    clock: Arc<ManualClock>,
    kept: Arc<Kept>,
}

impl Place {
    fn new() -> Self {
        Self {
            clock: Arc::new(ManualClock::at(NOW)),
            kept: Arc::default(),
        }
    }

    /// The sessions of a start.
    fn start(&self) -> Sessions {
        let (kept, clock) = (Arc::clone(&self.kept), Arc::clone(&self.clock));
        Sessions::new("n", kept.records(), kept, clock)
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn holder(name: &str) -> Holder {
    Holder::Token {
        sha256: name.to_owned(),
    }
}

#[tokio::test]
async fn a_session_is_found_by_its_cookie_alone_and_survives_a_restart() {
    let place = Place::new();
    let sessions = place.start();
    let value = sessions.begin(holder("a")).await.unwrap();
    assert_eq!(value.len(), 64);
    assert_ne!(value, sessions.begin(holder("a")).await.unwrap());
    let id = sessions.find(&value).unwrap();
    assert_eq!(sessions.uses(id).unwrap().holder, holder("a"));
    assert_eq!(sessions.find("x"), None);
    assert_eq!(sessions.find(&hex::encode(id.0)), None);
    let shown = format!("{sessions:?} {:?}", place.kept);
    assert!(!shown.contains(&value) && !shown.contains(&hex::encode(id.0)));
    assert_eq!(place.start().find(&value), Some(id));
}

#[tokio::test]
async fn it_ends_after_an_hour_without_use() {
    let place = Place::new();
    let sessions = place.start();
    let value = sessions.begin(holder("a")).await.unwrap();
    for _ in 0..3 {
        place.wait(3599);
        assert!(sessions.find(&value).is_some());
    }
    place.wait(3600);
    assert!(sessions.find(&value).is_none());
    sessions.save().await;
    assert_eq!(place.kept.records(), []);
}

#[tokio::test]
async fn it_ends_after_twelve_hours_of_use() {
    let place = Place::new();
    let sessions = place.start();
    let value = sessions.begin(holder("a")).await.unwrap();
    for _ in 0..719 {
        place.wait(60);
        assert!(sessions.find(&value).is_some());
    }
    place.wait(59);
    assert!(sessions.find(&value).is_some());
    place.wait(1);
    assert!(sessions.find(&value).is_none());
}

#[tokio::test]
async fn what_ended_is_not_there_after_a_restart() {
    let place = Place::new();
    let sessions = place.start();
    let value = sessions.begin(holder("a")).await.unwrap();
    let other = sessions.begin(holder("a")).await.unwrap();
    sessions.end(sessions.find(&value).unwrap()).await;
    assert!(sessions.find(&value).is_none());
    assert!(place.start().find(&value).is_none());
    assert!(place.start().find(&other).is_some());
    place.wait(3600);
    let later = place.start();
    assert!(later.find(&other).is_none());
    later.save().await;
    assert_eq!(place.kept.records(), []);
}

#[tokio::test]
async fn use_is_kept_by_the_minute() {
    let place = Place::new();
    let sessions = place.start();
    let value = sessions.begin(holder("a")).await.unwrap();
    let writes = || *place.kept.writes.lock().unwrap();
    assert_eq!(writes(), 1);
    place.wait(59);
    assert!(sessions.find(&value).is_some());
    sessions.save().await;
    assert_eq!(writes(), 1);
    place.wait(1);
    assert!(sessions.find(&value).is_some());
    sessions.save().await;
    sessions.save().await;
    assert_eq!(writes(), 2);
    place.wait(3590);
    assert!(place.start().find(&value).is_some());
}

#[tokio::test]
async fn a_store_that_fails_is_tried_again() {
    let place = Place::new();
    let sessions = place.start();
    *place.kept.fails.lock().unwrap() = true;
    let value = sessions.begin(holder("a")).await.unwrap();
    let gone = sessions.begin(holder("a")).await.unwrap();
    sessions.end(sessions.find(&gone).unwrap()).await;
    assert!(sessions.find(&value).is_some());
    assert_eq!(place.kept.records(), []);
    *place.kept.fails.lock().unwrap() = false;
    sessions.save().await;
    assert!(place.start().find(&value).is_some());
    assert!(place.start().find(&gone).is_none());
}

#[tokio::test]
async fn there_is_room_for_so_many() {
    let place = Place::new();
    let sessions = place.start();
    let mut values = Vec::new();
    for _ in 0..=EACH {
        values.push(sessions.begin(holder("a")).await.unwrap());
        place.wait(1);
        // The first of them is in use.
        assert!(sessions.find(&values[0]).is_some());
    }
    assert!(sessions.find(&values[1]).is_none());
    assert!(values[2..].iter().all(|it| sessions.find(it).is_some()));
    for number in 0..MOST {
        place.wait(1);
        let name = format!("token {number}");
        sessions.begin(holder(&name)).await.unwrap();
    }
    assert_eq!(sessions.open().sessions.len(), MOST);
    assert_eq!(place.kept.records().len(), MOST);
    assert!(sessions.find(&values[2]).is_none());
}
