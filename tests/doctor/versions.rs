//! What the doctor knows of versions: Kamailio's and SQLite's.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::kamailio::{lacks, with_line};
use super::{examine, mends, says, wal_reset_bug};
use crate::oracle::lists;
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_running_kamailio_is_a_tested_one() {
    let kamailio = Kamailio::builder().start();
    let (report, _) = examine(&Daemon::builder(&kamailio).prepare(), &[]);
    says(&report, "kamailio_version", "ok", "Kamailio 5.5 to 6.1");
    says(
        &report,
        "kamailio_version",
        "ok",
        &tools::kamailio_version(),
    );
}

/// A phone that hangs up leaves list and table, as Kazoo has it; and where Kamailio itself fails at that, the doctor says
/// so, and which line ends it.
#[test]
fn phones_that_hang_up_leave_the_list_or_the_doctor_tells() {
    let mut kamailio = Kamailio::builder().handle_lost_tcp(true).start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut desk = Phone::new(&kamailio, "desk", "acme.example.com");
    let mut soft = Phone::tcp(&kamailio, "soft", "acme.example.com");
    desk.register();
    soft.register();
    let both = [desk.contact_uri(), soft.contact_uri()];
    lists(&daemon, "/v2/registrations", &both);
    drop(soft);
    eventually("Kamailio notices that it hung up", PATIENCE, || {
        let left = kamailio.lookup("soft@acme.example.com");
        holds(left.is_empty(), || format!("{left:?}"))
    });
    let (report, status) = examine(&daemon, &[]);
    let check = "handle_lost_tcp";
    if !tools::kamailio_is_at_least(6, 1, 3) {
        says(&report, check, "note", "are removed from the table");
        lists(&daemon, "/v2/registrations", &[desk.contact_uri()]);
        assert_eq!(kamailio.rows().len(), 1);
        return;
    }
    assert_eq!(status, Some(1), "{report:#}");
    says(&report, check, "fail", "stays in the table");
    says(&report, check, "fail", "kamailio.cfg line ");
    let off = "modparam(\"usrloc\", \"handle_lost_tcp\", 0)";
    assert!(mends(&report).iter().any(|it| it == off), "{report:#}");
    with_line(&mut kamailio, off);
    lacks(&examine(&daemon, &[]).0, check);
}

/// Another mode than write-back is not affected in any version.
#[test]
fn lost_connections_matter_in_write_back_alone() {
    let kamailio = Kamailio::builder().db_mode(1).handle_lost_tcp(true).start();
    lacks(
        &examine(&Daemon::builder(&kamailio).prepare(), &[]).0,
        "handle_lost_tcp",
    );
}

/// What is offered is run: Kamailio 6 starts with it and has the timeout; an older one would not start.
#[test]
fn a_busy_timeout_is_offered_to_those_that_have_it() {
    for journal in [Journal::Wal, Journal::Rollback] {
        let builder = Kamailio::builder().db_mode(1).children(2);
        let mut kamailio = builder.journal(journal).start();
        let daemon = Daemon::builder(&kamailio).prepare();
        let (report, _) = examine(&daemon, &[]);
        says(&report, "workers", "warn", "collide");
        let offered = mends(&report)
            .into_iter()
            .find(|it| it.contains("db_set_busy_timeout\""));
        if !tools::kamailio_is_at_least(6, 0, 0) {
            assert_eq!(offered, None);
            continue;
        }
        with_line(&mut kamailio, &offered.expect("Kamailio 6 has it"));
        let (report, _) = examine(&daemon, &[]);
        says(&report, "workers", "ok", "wait up to 2000 ms");
        says(&report, "journal", "ok", "WAL mode");
    }
}

#[test]
fn what_db_mode_3_costs_is_told_for_the_version() {
    let kamailio = Kamailio::builder().db_mode(3).start();
    let (report, _) = examine(&Daemon::builder(&kamailio).prepare(), &[]);
    let (_, message) = super::finding(&report, "db_mode");
    assert!(message.contains("crashes Kamailio"), "{message}");
    assert_eq!(
        message.contains("leaves attributes"),
        !tools::kamailio_is_at_least(5, 7, 5),
        "{message}"
    );
}

/// Writes another version into the header of a database as its last writer's.
fn written_by(database: &Path, version: u32) {
    let file = OpenOptions::new().write(true).open(database);
    let file = file.expect("it is ours");
    file.write_all_at(&version.to_be_bytes(), 96)
        .expect("it is ours");
}

#[test]
fn a_wal_database_of_a_sqlite_with_the_wal_reset_bug_is_a_warning() {
    for (journal, numbers) in [
        (
            Journal::Wal,
            [
                (3_040_001, Some("SQLite 3.40.1")),
                (3_007_000, Some("SQLite 3.7.0")),
                (3_046_001, Some("SQLite 3.46.1")),
                (3_051_002, Some("SQLite 3.51.2")),
                (3_044_006, None),
                (3_050_007, None),
                (3_051_003, None),
                (3_006_023, None),
            ],
        ),
        (Journal::Rollback, [(3_040_001, None); 8]),
    ] {
        let mut kamailio = Kamailio::builder().journal(journal).start();
        kamailio.stop();
        let daemon = Daemon::builder(&kamailio).prepare();
        for (number, expected) in numbers {
            written_by(kamailio.database(), number);
            let (report, _) = examine(&daemon, &[]);
            assert_eq!(wal_reset_bug(&report), expected.is_some(), "{number}");
            if let Some(words) = expected {
                says(&report, "sqlite_version", "warn", words);
                says(&report, "sqlite_version", "warn", "WAL-reset bug");
            }
        }
    }
}

/// A table that is not Kamailio's is left alone: no line drops it, adds to it or indexes it.
#[test]
fn nothing_is_offered_against_a_table_that_is_not_kamailios() {
    for (replacement, missing) in [
        (
            "drop table location; create table location (id, username, domain, contact, expires, callid)",
            "location.ruid",
        ),
        (
            "drop table location; create table location (place text, ruid text, expires real)",
            "location.contact",
        ),
        (
            "drop table location_attrs; create table location_attrs (id, owner, avalue)",
            "location_attrs.ruid",
        ),
    ] {
        let mut kamailio = Kamailio::builder().start();
        kamailio.stop();
        kamailio.sql(replacement);
        kamailio.sql("delete from version");
        kamailio.sql("insert into location (expires) values (julianday('now') - 1)");
        kamailio.sql("insert into location_attrs (avalue) values ('x')");
        let daemon = Daemon::builder(&kamailio).prepare();
        let (report, status) = examine(&daemon, &[]);
        assert_eq!(status, Some(1), "{report:#}");
        says(&report, "columns", "fail", missing);
        says(
            &report,
            "columns",
            "fail",
            "not a table of Kamailio's usrloc",
        );
        lacks(&report, "attributes_index");
        for mend in mends(&report) {
            let word = ["drop ", "alter ", "create ", "delete ", "insert "]
                .into_iter()
                .find(|word| mend.contains(word));
            assert_eq!(word, None, "{mend}");
        }
    }
}
