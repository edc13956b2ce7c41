//! Bytes that no SQLite wrote: nothing panics, nothing loops, nothing is told that was not verified.

use std::time::Duration;

use proptest::prelude::*;

use super::support::{Bench, Mirror, beside, cases, spec};
use crate::sqlite_file::page::Node;
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::schema::Schema;
use crate::sqlite_file::walker::Walker;
use crate::sqlite_file::{Tail, TailOptions};

/// Pages in memory.
#[derive(Debug)]
struct Memory {
    size: usize,
    bytes: Vec<u8>,
    reads: usize,
}

impl Pages for Memory {
    fn usable(&self) -> usize {
        self.size
    }

    fn count(&self) -> u32 {
        u32::try_from(self.bytes.len() / self.size).unwrap()
    }

    fn read(&mut self, number: u32, page: &mut Vec<u8>) -> Result<()> {
        self.reads += 1;
        let start = (number as usize).wrapping_sub(1).saturating_mul(self.size);
        let bytes = self.bytes.get(start..start.saturating_add(self.size));
        page.clear();
        page.extend_from_slice(bytes.ok_or(Reason::Malformed("no page"))?);
        Ok(())
    }
}

/// A page that looks like one of a b-tree, so that more than the first check is met.
fn page() -> impl Strategy<Value = Vec<u8>> {
    any::<u64>().prop_map(|seed| {
        let mut state = seed | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut bytes: Vec<u8> = (0..64).flat_map(|_| random()).collect();
        // Half of all bytes are small: likely lengths, page numbers and serial types.
        for (at, byte) in bytes.iter_mut().enumerate() {
            if at % 2 == 0 {
                *byte %= 8;
            }
        }
        let [kind, cells, ..] = random();
        for start in [0, 100] {
            bytes[start] = [2, 5, 10, 13, 5, 13, 0, kind][usize::from(kind % 8)];
            bytes[start + 3] = 0;
            bytes[start + 4] = cells % 6;
        }
        bytes
    })
}

fn database() -> impl Strategy<Value = Memory> {
    proptest::collection::vec(page(), 1..6).prop_map(|pages| Memory {
        size: 512,
        bytes: pages.concat(),
        reads: 0,
    })
}

proptest! {
    #![proptest_config(cases(500_000))]

    #[test]
    fn any_pages_are_walked_to_an_end(mut pages in database(), key in any::<i64>()) {
        let _ = Schema::read(&mut pages);
        prop_assert!(pages.reads < 10_000);
        let mut walker = Walker::default();
        for key in [key, 0, i64::MAX, i64::MIN] {
            if walker.seek(&mut pages, 1, key).is_ok() {
                let leaf = walker.leaf().unwrap();
                prop_assert!(leaf.span.contains(key));
            }
        }
    }

    #[test]
    fn any_page_is_a_node_or_an_error(page in page(), number in 1..3_u32) {
        let Ok(node) = Node::parse(number, &page, 512) else { return Ok(()) };
        for cell in 0..=node.cells {
            let _ = node.row(cell);
            let _ = node.separator(cell);
            let _ = node.entry(cell);
            let _ = node.child(cell);
        }
        prop_assert!(node.child(node.cells + 1).is_err());
    }
}

/// The bytes of a database with rows on several levels, overflow and a log.
fn sample(journal: &str) -> [Vec<u8>; 3] {
    let bench = Bench::new(&["t"]);
    let mut writer = bench.writer();
    writer.run(&format!(
        "PRAGMA page_size=512; PRAGMA journal_mode={journal}; CREATE TABLE t(a, b); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400) \
         INSERT INTO t SELECT i, printf('%.*c', i * 7 % 900, 'x') FROM n; \
         UPDATE t SET a=a+1 WHERE a%7=0;"
    ));
    ["", "-wal", "-shm"]
        .map(|suffix| std::fs::read(beside(&bench.path, suffix)).unwrap_or_default())
}

/// Damage to one of the files: where, with what, and where it is cut.
#[derive(Debug, Clone)]
struct Damage {
    file: usize,
    bytes: Vec<(prop::sample::Index, u8)>,
    cut: Option<prop::sample::Index>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(13), Just(5)];
    (
        0..3_usize,
        proptest::collection::vec((any::<prop::sample::Index>(), byte), 0..12),
        proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    )
        .prop_map(|(file, bytes, cut)| Damage { file, bytes, cut })
}

#[test]
fn damaged_files_do_no_harm() {
    for journal in ["wal", "delete"] {
        let files = sample(journal);
        let strategy = proptest::collection::vec(damage(), 1..4);
        proptest!(cases(256), |(damages in strategy)| {
            let directory = tempfile::tempdir().unwrap();
            let mut files = files.clone();
            for damage in damages {
                let file = &mut files[damage.file];
                if file.is_empty() {
                    continue;
                }
                for (at, byte) in damage.bytes {
                    let at = at.index(file.len());
                    file[at] = byte;
                }
                if let Some(cut) = damage.cut {
                    file.truncate(cut.index(file.len()));
                }
            }
            for (file, suffix) in files.iter().zip(["", "-wal", "-shm"]) {
                if journal == "wal" || suffix.is_empty() {
                    std::fs::write(directory.path().join(format!("t.db{suffix}")), file).unwrap();
                }
            }
            let mut tail = Tail::new(TailOptions {
                path: directory.path().join("t.db"),
                tables: vec![spec("t", None)],
            });
            let mut mirror = Mirror::default();
            for second in 0..6 {
                tail.step(Duration::from_secs(second), &mut mirror);
            }
            prop_assert!(tail.counters().pages_read < 100_000);
        });
    }
}
