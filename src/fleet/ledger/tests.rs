use std::sync::Arc;

use super::*;
use crate::registration::testing::{binding, registration};
use crate::registration::{Binding, Details, Number, Registration};

const START: i64 = 1_700_000_000;

fn row(phone: usize, at: i64, cseq: i64) -> Arc<Registration> {
    let binding = Binding {
        last_modified: at,
        cseq: Number::new(cseq),
        ..binding(&format!("u-{phone}"), "bob", "sip:bob@192.0.2.1", at + 360)
    };
    let row = Details {
        first_registration: START,
        ..(*registration(binding, None)).clone()
    };
    Arc::new(Registration::new(row))
}

/// What the database has of one block.
#[derive(Default)]
struct Database {
    base: Vec<u8>,
    segments: [Vec<u8>; SEGMENTS],
    /// Bytes of segments and bases that were written.
    written: usize,
}

impl Database {
    fn write(&mut self, write: Option<Write>) {
        match write {
            None => {}
            Some(Write::Base(bytes)) => {
                self.written += bytes.len();
                self.base = bytes;
                self.segments = Default::default();
            }
            Some(Write::Segment(segment, bytes)) => {
                self.written += bytes.len();
                self.segments[segment] = bytes;
            }
        }
    }

    #[track_caller]
    fn is_current(&self, slots: &mut Slots) {
        let segments = self.segments.iter().map(|bytes| &bytes[..]);
        let block = Block::decode(&self.base, segments).unwrap();
        for (place, slot) in slots.of_block(0) {
            let read = block.latest(place, slot.sequence, slot.written);
            assert_eq!(read, slot.now, "place {place}");
        }
    }
}

/// 512 phones for some minutes, each of which refreshes every `interval` seconds; the bytes that a refresh takes.
#[track_caller]
fn bytes_a_refresh(interval: usize, minutes: usize) -> f64 {
    let mut slots = Slots::new(Vec::new());
    let mut ledger = Ledger::default();
    let mut database = Database::default();
    let phones: Vec<_> = (0..512).map(|phone| row(phone, START, 1)).collect();
    slots.list(&phones);
    let rows = slots.take(1, 1000).rows;
    assert_eq!(rows.len(), 512);
    let (mut refreshes, mut sequence) = (0, 1);
    database.write(ledger.write(0, &mut slots, (sequence, START), Duration::ZERO));
    for second in 1..=minutes * 60 {
        let now = START + i64::try_from(second).unwrap();
        for phone in (0..512).filter(|phone| (second + phone * 7) % interval == 0) {
            let cseq = i64::try_from(second / interval).unwrap() + 2;
            let row = row(phone, now, cseq);
            slots.follow(&row.binding.key, Some(&row));
            refreshes += 1;
        }
        if second % 60 == 0 {
            sequence += 1;
            let at = Duration::from_secs(second as u64);
            let write = ledger.write(0, &mut slots, (sequence, now), at);
            database.write(write);
            database.is_current(&mut slots);
        }
    }
    assert_eq!(slots.waiting(), 0, "no row is written");
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let bytes = database.written as f64 / f64::from(refreshes);
    bytes
}

#[test]
fn phones_that_refresh_every_five_minutes_take_three_bytes_each_time() {
    let bytes = bytes_a_refresh(300, 240);
    assert!(bytes < 3.2, "{bytes}");
}

#[test]
fn other_intervals_take_little_too() {
    // Of a phone that refreshes once an hour a refresh takes more, and a second less.
    for (interval, most) in [(60, 2.4), (120, 2.8), (600, 4.5), (3600, 26.0)] {
        let bytes = bytes_a_refresh(interval, 180);
        assert!(bytes < most, "{interval} s: {bytes}");
    }
}

#[test]
fn a_block_that_nothing_moves_is_not_written() {
    let mut slots = Slots::new(Vec::new());
    let mut ledger = Ledger::default();
    slots.list(&[row(1, START, 1)]);
    slots.take(1, 10);
    let first = ledger.write(0, &mut slots, (1, START), Duration::ZERO);
    assert!(matches!(first, Some(Write::Base(_))));
    assert_eq!(
        ledger.write(0, &mut slots, (2, START), Duration::ZERO),
        None
    );
    ledger.forget();
    let again = ledger.write(0, &mut slots, (3, START), Duration::ZERO);
    assert!(matches!(again, Some(Write::Base(_))));
}
