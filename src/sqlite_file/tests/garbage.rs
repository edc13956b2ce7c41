//! Bytes that no SQLite wrote: nothing panics, nothing loops, nothing is told that was not verified.

use std::time::Duration;

use proptest::prelude::*;

use super::support::{Bench, Mirror, Rows, beside, cases, oracle, spec, tail};
use crate::sqlite_file::header::Header;
use crate::sqlite_file::page::Node;
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::schema::Schema;
use crate::sqlite_file::table::Table;
use crate::sqlite_file::walker::Walker;
use crate::sqlite_file::{record, shm, wal};

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

/// Eight bytes at each call, from a seed: a thousand times cheaper than a strategy for each byte.
fn source(seed: u64) -> impl FnMut() -> [u8; 8] {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    }
}

/// Some bytes, half of them small.
fn bytes(eights: usize) -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0..=eights * 8).prop_map(move |(seed, length)| {
        let mut random = source(seed);
        let mut bytes: Vec<u8> = (0..eights).flat_map(|_| random()).collect();
        bytes.truncate(length);
        bytes.iter_mut().step_by(2).for_each(|byte| *byte %= 16);
        bytes
    })
}

/// A page that looks like one of a b-tree, so that more than the first check is met.
fn page() -> impl Strategy<Value = Vec<u8>> {
    any::<u64>().prop_map(|seed| {
        let mut random = source(seed);
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
    #![proptest_config(cases(200_000))]

    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes in bytes(16)) {
        if let Ok(values) = record::decode(&bytes) {
            prop_assert!(values.len() <= bytes.len());
        }
    }

    #[test]
    fn any_header_is_judged(bytes in bytes(16)) {
        let mut bytes = bytes;
        if bytes.len() >= 20 {
            bytes[..16].copy_from_slice(b"SQLite format 3\0");
            let size = 1_u16 << (bytes[17] % 16);
            bytes[16..18].copy_from_slice(&size.to_be_bytes());
            bytes[19] %= 4;
        }
        if let Ok(header) = Header::parse(&bytes) {
            prop_assert!((480..=header.page_size).contains(&header.usable));
        }
    }

    #[test]
    fn any_statement_is_a_table_or_an_error(picks in bytes(6)) {
        const WORDS: [&str; 16] = [
            "CREATE TABLE t", "(", ")", ",", "a", "INTEGER", "PRIMARY KEY", "'", "\"b", "[", "--", "/*", "DEFAULT",
            "x'0g'", "-1.e+", "é",
        ];
        let mut sql = String::from("CREATE TABLE t(");
        for pick in picks {
            sql.push_str(WORDS[usize::from(pick % 16)]);
            sql.push(if pick >= 128 { ' ' } else { '\n' });
        }
        let _ = Table::parse("t", 2, &sql);
    }

    #[test]
    fn any_log_ends(bytes in bytes(80), order in 0..2_u8, sums in any::<bool>(), torn in any::<prop::sample::Index>()) {
        let mut bytes = bytes;
        if bytes.len() < 32 {
            prop_assert_eq!(wal::count(bytes, sums), None);
            return Ok(());
        }
        bytes[..4].copy_from_slice(&[0x37, 0x7f, 6, 0x82 | order]);
        let whole = (bytes.len() - 32) / 88;
        // Page 0 is none, and ends the log.
        bytes[32..].chunks_mut(88).for_each(|frame| frame[0] |= 1);
        let frames = wal::count(bytes.clone(), sums).map_or(0, |it| it as usize);
        prop_assert_eq!(frames, if sums { whole } else { 0 });
        bytes.truncate(torn.index(bytes.len()));
        prop_assert!(wal::count(bytes, sums).map_or(0, |it| it as usize) <= whole);
    }

    #[test]
    fn any_index_is_read(bytes in bytes(17)) {
        if let Ok(mut bytes) = <[u8; 136]>::try_from(bytes) {
            bytes[12] = 1;
            let half: [u8; 48] = bytes[..48].try_into().unwrap();
            bytes[48..96].copy_from_slice(&half);
            shm::parse(&bytes);
        }
    }

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

/// The bytes of a database with rows on several levels, overflow and a log, and its rows at first and at last.
fn sample(journal: &str) -> ([Vec<u8>; 3], [Rows; 2]) {
    let bench = Bench::new(&["t"]);
    let mut writer = bench.writer();
    writer.run(&format!(
        "PRAGMA page_size=512; PRAGMA journal_mode={journal}; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a, b); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400) \
         INSERT INTO t SELECT i, printf('%.*c', i * 7 % 900, 'x') FROM n;"
    ));
    let columns = ["a".to_owned(), "b".to_owned()];
    let first = oracle(&mut writer, "t", &columns);
    writer.run("UPDATE t SET a=a+1 WHERE a%7=0;");
    let last = oracle(&mut writer, "t", &columns);
    let files = ["", "-wal", "-shm"]
        .map(|suffix| std::fs::read(beside(&bench.path, suffix)).unwrap_or_default());
    (files, [first, last])
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
        let (files, truth) = sample(journal);
        let strategy = proptest::collection::vec(damage(), 1..4);
        proptest!(cases(256), |(damages in strategy)| {
            let directory = tempfile::tempdir().unwrap();
            let mut files = files.clone();
            // Checksums protect the log and its index; the database has none.
            let verifiable = journal == "wal" && damages.iter().all(|it| it.file > 0);
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
            let mut tail = tail(&directory.path().join("t.db"), vec![spec("t", None)]);
            let mut mirror = Mirror::default();
            for second in 0..6 {
                tail.step(Duration::from_secs(second), &mut mirror);
            }
            prop_assert!(tail.counters().pages_read < 100_000);
            prop_assert!(tail.counters().windows > 0 || mirror.tables.is_empty());
            if verifiable {
                for (rowid, row) in mirror.tables.values().flatten() {
                    prop_assert!(truth.iter().any(|rows| rows.get(rowid) == Some(row)), "{rowid}");
                }
            }
        });
    }
}
