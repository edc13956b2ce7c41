//! The pace, without a server.

use super::*;

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A comparison of 1000 rows.
fn took(keys: u64, changed: u64) -> Took {
    Took {
        rows: 1000,
        keys: at(keys),
        changed: at(changed),
    }
}

/// The pause after a comparison, in milliseconds.
fn pause(pace: &mut Pace, took: Took) -> u128 {
    pace.compared(Duration::ZERO, took);
    pace.compare.as_millis()
}

#[test]
fn a_small_table_is_compared_all_the_time() {
    let mut pace = Pace::new(0.05);
    assert_eq!(pace.next(), (Due::Comparison, at(0)));
    pace.compared(at(10), took(1, 0));
    assert_eq!(pace.next(), (Due::Glance, at(210)));
    pace.glanced(at(211), 5, at(1));
    assert_eq!(pace.next(), (Due::Comparison, at(260)));
}

#[test]
fn the_load_is_bounded() {
    let mut pace = Pace::new(0.05);
    pace.compared(at(1000), took(70, 0));
    let mut glances = 0;
    let next = loop {
        match pace.next() {
            (Due::Glance, then) => pace.glanced(then + at(3), 30, at(3)),
            (Due::Comparison, then) => break then,
            (Due::Ids, _) => panic!("there is no index"),
        }
        glances += 1;
    };
    assert_eq!(next, at(1000 + 1930), "70 of 2000 ms are 3.5 %");
    assert!(glances * 3 <= 1930 * 15 / 1000 + 3, "1.5 %: {glances}");
}

#[test]
fn what_a_busy_machine_adds_is_not_the_server_s_work() {
    let mut pace = Pace::new(0.05);
    assert_eq!(pause(&mut pace, took(700, 0)), 19_300);
    assert_eq!(pause(&mut pace, took(70, 0)), 1930);
    for _ in 1..RECENT {
        assert_eq!(pause(&mut pace, took(700, 0)), 1930);
    }
    // It has been so for long: the server itself may be slower than it was.
    assert_eq!(pause(&mut pace, took(700, 0)), 19_300);
    // Other numbers of rows cost as much more or less.
    let twice = Took {
        rows: 2000,
        keys: at(5000),
        changed: at(0),
    };
    assert_eq!(pause(&mut pace, twice), 38_600);
    let none = Took {
        rows: 0,
        keys: at(5000),
        changed: at(0),
    };
    assert_eq!(pause(&mut pace, none), COMPARE.as_millis());
}

#[test]
fn a_large_change_is_made_up_for_little_by_little() {
    let mut pace = Pace::new(0.05);
    let first = pause(&mut pace, took(70, 1400));
    assert_eq!(first, (70 + 175) * 2000 / 70 - 70 - 175, "an eighth of it");
    let mut last = first;
    for _ in 0..60 {
        let next = pause(&mut pace, took(70, 0));
        assert!(next <= last, "{next} after {last}");
        last = next;
    }
    assert!((1930..1935).contains(&last), "all of it: {last}");
    for _ in 0..60 {
        last = pause(&mut pace, took(70, 70));
    }
    assert!(
        (3800..=3860).contains(&last),
        "what comes each time costs as much: {last}"
    );
}

#[test]
fn tries_become_rarer() {
    let mut pace = Pace::new(0.05);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        pace.failed(at(0));
        pauses.push(pace.next().1.as_millis());
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000, 5000, 5000]);
    pace.compared(at(0), took(1, 0));
    pace.failed(at(0));
    assert_eq!(pace.next(), (Due::Comparison, at(500)));
}

/// What share of the time questions take, in thousandths, and how long it takes at most until the next look at every row,
/// at what is gone, and at what is new; over ten minutes.
fn spent(ways: Ways, took: impl Fn(Due) -> (usize, u64)) -> (u128, [u128; 3]) {
    let mut pace = Pace::new(0.05);
    pace.set_ways(ways);
    let (mut now, mut busy) = (at(0), 0);
    let (mut looked, mut pauses) = ([at(0); 3], [0; 3]);
    while now < at(600_000) {
        let (due, then) = pace.next();
        let (rows, spent) = took(due);
        let began = now.max(then);
        (now, busy) = (began + at(spent), busy + u128::from(spent));
        let (keys, changed) = (at(spent), at(0));
        let took = Took {
            rows,
            keys,
            changed,
        };
        let finds: &[usize] = match due {
            Due::Comparison => {
                pace.compared(now, took);
                &[0, 1]
            }
            Due::Ids => {
                pace.read_ids(now, rows, keys);
                &[1]
            }
            Due::Glance => {
                pace.glanced(now, rows, keys);
                &[2]
            }
        };
        for of in finds {
            pauses[*of] = pauses[*of].max(now.saturating_sub(looked[*of]).as_millis());
            looked[*of] = now;
        }
    }
    (busy * 1000 / now.as_millis(), pauses)
}

/// 100,000 rows of a `MariaDB` with 500 changes a second.
#[test]
fn an_index_has_changes_and_removals_seen_quickly_within_the_share() {
    let took = |due| match due {
        Due::Comparison => (100_000, 160),
        Due::Ids => (100_000, 45),
        Due::Glance => (1200, 8),
    };
    let indexed = Ways {
        has_index: true,
        reads_ids: true,
    };
    let (share, [every, gone, new]) = spent(indexed, took);
    assert!(share <= 46, "{share} ‰");
    assert!(every <= 25_000, "{every} ms");
    assert!(gone <= 3500, "{gone} ms");
    // A comparison is between two of them here; the source looks between its pages.
    assert!(new <= 400 + 200 + 160, "{new} ms");
    // Without the index comparisons have nearly all.
    let (share, [every, gone, _]) = spent(Ways::default(), took);
    assert!(share <= 46, "{share} ‰");
    assert!(every == gone && every <= 6000, "{every} ms");
}

/// One glance that a busy machine held up does not make the next ones late, and so ever larger.
#[test]
fn a_glance_that_was_held_up_does_not_delay_the_next_ones() {
    let mut pace = Pace::new(0.05);
    pace.set_ways(Ways {
        has_index: true,
        reads_ids: false,
    });
    pace.glanced(at(0), 1200, at(8));
    pace.glanced(at(1000), 1200, at(100));
    let after = pace.glance.saturating_sub(at(1000));
    assert!(after < at(400), "{after:?}");
}
