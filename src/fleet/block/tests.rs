use proptest::prelude::*;

use super::*;

fn any_refresh() -> impl Strategy<Value = Refresh> {
    let cseq = proptest::option::of(i64::MIN..i64::MAX);
    let end = proptest::option::of(any::<i64>());
    (any::<i64>(), end, cseq).prop_map(|(last_modified, end, cseq)| Refresh {
        last_modified,
        expiry: end.map_or(Expiry::Permanent, Expiry::At),
        cseq: cseq.and_then(Number::new),
    })
}

/// A phone that refreshes as phones do.
fn usual(last_modified: i64, cseq: i64) -> Refresh {
    Refresh {
        last_modified,
        expiry: Expiry::At(last_modified + 360),
        cseq: Number::new(cseq),
    }
}

fn batch(sequence: u64, time: i64, entries: &[(u16, Refresh, Refresh)]) -> Vec<u8> {
    let mut writer = BatchWriter::new(sequence, time);
    for (place, former, now) in entries {
        writer.push(*place, *former, *now);
    }
    writer.finish()
}

proptest! {
    #[test]
    fn a_refresh_is_what_it_was_written_as(
        entries in prop::collection::btree_map(0..u16::try_from(SLOTS).unwrap(), (any_refresh(), any_refresh()), 0..40),
        sequence in 1..u64::MAX,
        time in any::<i64>(),
    ) {
        let list: Vec<_> = entries.iter().map(|(place, (former, now))| (*place, *former, *now)).collect();
        let bytes = batch(sequence, time, &list);
        let as_segment = Block::decode(&[], [&bytes[..]]).expect("it was written");
        let as_base = Block::decode(&bytes, [&[][..]]).expect("it was written");
        for (place, former, now) in list {
            for block in [&as_segment, &as_base] {
                prop_assert_eq!(block.latest(place, sequence - 1, former), now);
                prop_assert_eq!(block.latest(place, sequence, former), former, "the row is as new");
            }
            prop_assert_eq!(as_base.based(place, sequence - 1, former), now);
            prop_assert_eq!(as_segment.based(place, sequence - 1, former), former);
        }
    }

    #[test]
    fn any_bytes_are_a_block_or_none(
        base in prop::collection::vec(any::<u8>(), 0..64),
        segment in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        if let Ok(block) = Block::decode(&base, [&segment[..]]) {
            let _ = block.latest(3, 0, usual(1000, 1));
        }
    }

    /// Whatever the order of rows, bases and segments: the latest of what was published for a slot is what is read.
    #[test]
    fn the_latest_of_row_base_and_segments_counts(steps in prop::collection::vec((0..3_u8, any_refresh()), 1..20)) {
        let place = 7;
        let mut written = (0_u64, usual(0, 0));
        let (mut base, mut segments) = (Vec::new(), vec![Vec::new(); SEGMENTS]);
        for (number, (what, now)) in steps.into_iter().enumerate() {
            let sequence = number as u64 + 1;
            match what {
                0 => written = (sequence, now),
                1 => {
                    base = batch(sequence, 5, &[(place, written.1, now)]);
                    segments.iter_mut().for_each(Vec::clear);
                }
                _ => {
                    let block = Block::decode(&base, []).expect("it was written");
                    let former = block.based(place, written.0, written.1);
                    segments[number % SEGMENTS] = batch(sequence, 5, &[(place, former, now)]);
                }
            }
            let block = Block::decode(&base, segments.iter().map(|bytes| &bytes[..])).expect("it was written");
            prop_assert_eq!(block.latest(place, written.0, written.1), now);
        }
    }
}

#[test]
fn a_refresh_as_phones_do_takes_three_bytes() {
    let now: Vec<_> = (0..100_u16)
        .map(|phone| {
            (
                phone * 5,
                usual(1_000, 1),
                usual(1_900 + i64::from(phone % 60), 90),
            )
        })
        .collect();
    let header = batch(70_000, 1_960, &[]).len();
    assert_eq!(
        batch(70_000, 1_960, &now).len() - header,
        299,
        "the first has no gap"
    );
    let all: Vec<_> = (0..512_u16)
        .map(|phone| (phone, usual(1_000, 1), usual(1_900, 90)))
        .collect();
    assert_eq!(batch(70_000, 1_960, &all).len() - header, 1024);
}

/// What an older version wrote must be read by the next one: a change here needs a migration.
#[test]
fn the_bytes_stay_as_they_are() {
    let permanent = Refresh {
        last_modified: 1_000,
        expiry: Expiry::Permanent,
        cseq: None,
    };
    let bytes = batch(
        300,
        2_000,
        &[
            (0, usual(1_000, 1), usual(1_990, 3)),
            (
                1,
                usual(1_000, 1),
                Refresh {
                    expiry: Expiry::At(2_600),
                    ..usual(1_990, 3)
                },
            ),
            (9, usual(1_000, 1), permanent),
        ],
    );
    insta::assert_snapshot!(bytes.escape_ascii(), @r"\xac\x02\xa0\x1f\n\x02\x8a\x01\xc4\t\x02\xff\x07\x06\xd0\x0f");
}
