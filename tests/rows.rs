//! Rows of real tables become bindings: what SQLite does to rowids is told right.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use usrlocd::registration::{Binding, Change, Key};
use usrlocd::source::usrloc::{Reading, Usrloc};
use usrlocd::sqlite_file::{Tail, TailOptions};

use crate::support::table::Table;
use crate::support::tools;

/// From one step to the next, of a clock that goes by steps.
const STEP: Duration = Duration::from_millis(10);

/// The steps within which all must be told: more than a minute.
const STEPS: usize = 10_000;

/// What became of a binding, by its ruid: its contact and attributes, or nothing where it is gone.
type Told = BTreeMap<String, Option<String>>;

struct Lab {
    folder: TempDir,
    table: Table,
    tail: Tail,
    usrloc: Usrloc,
    now: Duration,
}

impl Lab {
    fn new() -> Self {
        Self::with_schema(|schema| schema)
    }

    fn with_schema(change: impl Fn(String) -> String) -> Self {
        let folder = TempDir::with_prefix("usrlocd-rows-").expect("a temporary directory");
        let path = folder.path().join("kamailio.sqlite");
        let table = tables_at(&path, change);
        let usrloc = Usrloc::new(&["location".to_owned()]);
        let tables = usrloc.specs();
        Self {
            folder,
            table,
            tail: Tail::new(TailOptions { path, tables }),
            usrloc,
            now: Duration::ZERO,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("kamailio.sqlite")
    }

    /// Writes, and returns what is told of it.
    fn write(&mut self, sql: &str) -> Told {
        self.table.query(sql);
        self.told()
    }

    /// Steps until all that stands in the tables has been told and nothing is waited for; what was told last of each.
    fn told(&mut self) -> Told {
        let steps = self.steps(STEPS);
        steps.into_iter().flatten().collect()
    }

    /// What is told in each step, until all is.
    fn steps(&mut self, most: usize) -> Vec<Told> {
        let mut told = Vec::new();
        for _ in 0..most {
            self.now += STEP;
            let step = self.tail.step(self.now, &mut self.usrloc);
            let reading = if step.complete {
                Reading::Complete
            } else {
                Reading::Underway
            };
            let changes = self.usrloc.changes(self.now, reading);
            told.push(
                changes
                    .into_iter()
                    .map(|change| match change {
                        Change::Upsert(binding) => (ruid(&binding.key), Some(shown(&binding))),
                        Change::Remove(key) => (ruid(&key), None),
                    })
                    .collect(),
            );
            if step.current && self.usrloc.deadline().is_none() {
                return told;
            }
        }
        panic!("not told within {most} steps: {:?}", self.usrloc);
    }
}

fn tables_at(path: &std::path::Path, change: impl Fn(String) -> String) -> Table {
    let table = Table::at(path);
    for script in ["standard-create.sql", "usrloc-create.sql"] {
        let schema = fs::read_to_string(tools::schema(script)).expect("a schema is text");
        table.query(&change(schema));
    }
    table
}

fn ruid(key: &Key) -> String {
    key.ruid.0.lossy().into_owned()
}

fn shown(binding: &Binding) -> String {
    let attributes = binding.attributes.iter();
    let attributes = attributes
        .map(|(name, value)| format!(" {}={}", name.lossy(), String::from_utf8_lossy(&value)));
    binding.contact.lossy().into_owned() + &attributes.collect::<String>()
}

fn row(id: i64, ruid: &str) -> String {
    format!(
        "insert into location (id, ruid, username, domain, contact, expires, last_modified) values \
         ({id}, '{ruid}', 'u', 'acme.example.com', 'sip:{ruid}', 2470000.5, 2460000.5);"
    )
}

fn attribute(id: i64, ruid: &str, value: &str) -> String {
    format!(
        "insert into location_attrs (id, ruid, username, domain, aname, atype, avalue, last_modified) values \
         ({id}, '{ruid}', 'u', 'acme.example.com', 'token', 2, '{value}', 2460000.5);"
    )
}

fn expected(pairs: &[(&str, Option<&str>)]) -> Told {
    let owned =
        |(ruid, shown): &(&str, Option<&str>)| ((*ruid).to_owned(), shown.map(str::to_owned));
    pairs.iter().map(owned).collect()
}

#[test]
fn a_rowid_that_another_ruid_gets() {
    let mut lab = Lab::new();
    assert_eq!(lab.write(&row(1, "a")), expected(&[("a", Some("sip:a"))]));
    let both = format!("begin; delete from location; {} commit", row(1, "b"));
    assert_eq!(
        lab.write(&both),
        expected(&[("a", None), ("b", Some("sip:b"))])
    );
}

#[test]
fn a_ruid_that_gets_another_rowid() {
    let mut lab = Lab::new();
    lab.write(&(row(5, "a") + &attribute(1, "a", "x")));
    for (from, to) in [(5, 9), (9, 2), (2, 5000), (5000, -3)] {
        let sql = format!("update location set id = {to} where id = {from}");
        assert_eq!(lab.write(&sql), expected(&[]), "{sql}");
    }
    assert_eq!(lab.write("delete from location"), expected(&[("a", None)]));
    assert_eq!(lab.usrloc.orphans(), 1);
    lab.write("delete from location_attrs");
    assert_eq!(lab.usrloc.orphans(), 0);
}

#[test]
fn rows_that_change_places_stay() {
    let mut lab = Lab::new();
    lab.write(&(row(1, "a") + &row(2, "b")));
    let swap = "begin; update location set id = 3 where id = 1; update location set id = 1 where id = 2; \
                update location set id = 2 where id = 3; commit";
    let told = lab.write(swap);
    assert!(told.values().all(Option::is_some), "{told:?}");
    assert_eq!(
        lab.write("delete from location where ruid = 'a'"),
        expected(&[("a", None)])
    );
}

#[test]
fn an_attribute_rowid_that_another_ruid_gets() {
    let mut lab = Lab::new();
    lab.write(&(row(1, "a") + &row(2, "b") + &attribute(1, "a", "x")));
    let moved = "update location_attrs set ruid = 'b' where id = 1";
    let told = expected(&[("a", Some("sip:a")), ("b", Some("sip:b token=x"))]);
    assert_eq!(lab.write(moved), told);
}

#[test]
fn a_row_that_turns_bad_and_good_again() {
    let mut lab = Lab::new();
    lab.write(&row(1, "a"));
    let told = lab.write("update location set expires = 'soon'");
    assert_eq!((told, lab.usrloc.bad_rows()), (expected(&[("a", None)]), 1));
    let told = lab.write("update location set cseq = 9");
    assert_eq!((told, lab.usrloc.bad_rows()), (expected(&[]), 1));
    let told = lab.write("update location set expires = 2470000.5");
    let again = expected(&[("a", Some("sip:a"))]);
    assert_eq!((told, lab.usrloc.bad_rows()), (again, 0));
    lab.write("update location set expires = 'soon'");
    lab.write("delete from location");
    assert_eq!(lab.usrloc.bad_rows(), 0);
}

#[test]
fn a_ruid_that_two_rows_have() {
    let unique = "CONSTRAINT location_ruid_idx UNIQUE (ruid)";
    let mut lab = Lab::with_schema(|schema| {
        schema.replace(unique, "CONSTRAINT location_ruid_idx CHECK (ruid <> 'x')")
    });
    lab.write(&(row(1, "a") + &row(2, "a")));
    assert_eq!(
        lab.write("delete from location where id = 2"),
        expected(&[])
    );
    assert_eq!(lab.write(&row(3, "a")), expected(&[]));
    assert_eq!(
        lab.write("delete from location where id = 1"),
        expected(&[])
    );
    assert_eq!(lab.write("delete from location"), expected(&[("a", None)]));
}

/// Of another file, in which the same registrations have other rowids, none is told to be gone even for a moment.
#[test]
fn a_file_with_other_rowids_makes_nothing_flicker() {
    let mut lab = Lab::new();
    let rows = |ids: [i64; 3]| -> String {
        let named = ids.into_iter().zip(["a", "b", "c"]);
        named
            .map(|(id, ruid)| row(id, ruid) + &attribute(id + 10, ruid, ruid))
            .collect()
    };
    lab.write(&rows([1, 2, 3]));
    let other = lab.folder.path().join("other.sqlite");
    let table = tables_at(&other, |schema| schema);
    table.query(&rows([3, 1, 2]));
    table.query("delete from location where ruid = 'c'");
    fs::rename(&other, lab.path()).expect("an own directory is writable");
    let began = lab.now;
    let steps = lab.steps(STEPS);
    let removals: Vec<_> = (1_u32..)
        .zip(&steps)
        .flat_map(|(step, told)| told.iter().map(move |(ruid, shown)| (step, ruid, shown)))
        .filter(|(_, _, shown)| shown.is_none())
        .collect();
    let [(step, ruid, _)] = removals[..] else {
        panic!("told to be gone: {removals:?}");
    };
    assert_eq!(ruid, "c");
    assert!(
        STEP * step >= Duration::from_secs(1),
        "at once, in step {step} after {began:?}"
    );
}
