//! What ends, breaks or is replaced, at either side: after it the list is right again, and meanwhile it is honest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::oracle::{PATIENCE, agree, agrees_with_tables, list, lists};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools};

const ALL: &str = "/v2/registrations";
const REALM: &str = "acme.example.com";

fn phones(kamailio: &Kamailio, prefix: &str, count: usize) -> Vec<Phone> {
    (0..count)
        .map(|number| Phone::new(kamailio, format!("{prefix}{number}"), REALM))
        .collect()
}

pub(crate) fn has(daemon: &Daemon, count: usize) {
    eventually("all registrations show", PATIENCE, || {
        let found = list(daemon, ALL).len();
        holds(found == count, || format!("{found} of {count}"))
    });
}

fn source(daemon: &Daemon) -> Value {
    daemon.get("/v2/registrations/count").json()["source"]["state"].clone()
}

fn state_becomes(daemon: &Daemon, state: &str) {
    eventually("the state of the source", PATIENCE, || {
        let found = source(daemon);
        holds(found == state, || found.to_string())
    });
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A write-back Kamailio with these many registrations in its tables, and usrlocd beside it.
fn lab(count: usize) -> (Kamailio, Daemon) {
    let kamailio = Kamailio::builder().start();
    phones(&kamailio, "user", count)
        .iter_mut()
        .for_each(Phone::register);
    let daemon = Daemon::builder(&kamailio).start();
    has(&daemon, count);
    (kamailio, daemon)
}

/// Starts Kamailio again and registers one more phone; then there are these many.
pub(crate) fn goes_on(kamailio: &mut Kamailio, daemon: &Daemon, count: usize) {
    kamailio.start();
    Phone::new(kamailio, "late", REALM).register();
    has(daemon, count);
    agree(kamailio, daemon);
}

fn killed_in_the_middle_of_writes(journal: Journal) {
    let mut kamailio = Kamailio::builder().journal(journal).start();
    let mut daemon = Daemon::builder(&kamailio).start();
    let mut phones = phones(&kamailio, "user", 120);
    for (number, phone) in phones.iter_mut().enumerate() {
        phone.register();
        if number == 60 {
            daemon.kill9();
        }
    }
    daemon.start();
    has(&daemon, 120);
    agree(&kamailio, &daemon);
    for phone in &mut phones[..40] {
        phone.unregister();
    }
    for phone in &mut phones[40..80] {
        phone.register();
    }
    // The write-back is under way as soon as its first change can be seen.
    eventually("Kamailio writes", PATIENCE, || {
        holds(list(&daemon, ALL).len() < 120, || "not yet".to_owned())
    });
    kamailio.kill9();
    // A commit that stands in the log, but not yet in its index, counts at once: nobody has the database open. A
    // rollback journal that was left may keep the tables from being read until Kamailio starts.
    if journal == Journal::Wal {
        agrees_with_tables(&kamailio, &daemon);
    }
    let known = list(&daemon, ALL).len();
    assert!((80..120).contains(&known), "{known}");
    kamailio.start();
    agree(&kamailio, &daemon);
    phones[0].register();
    eventually("the new registration shows", PATIENCE, || {
        let items = list(&daemon, ALL);
        let there = items
            .iter()
            .any(|item| item["username"] == "user0" && item["cseq"].as_i64() == Some(3));
        holds(there, || format!("{} others", items.len()))
    });
    agree(&kamailio, &daemon);
}

#[test]
fn kills_in_the_middle_of_writes_wal() {
    killed_in_the_middle_of_writes(Journal::Wal);
}

#[test]
fn kills_in_the_middle_of_writes_rollback() {
    killed_in_the_middle_of_writes(Journal::Rollback);
}

#[test]
fn restart_changes_neither_revision_nor_first_times() {
    let (kamailio, mut daemon) = lab(3);
    let mut phone = Phone::new(&kamailio, "user9", REALM);
    phone.register();
    has(&daemon, 4);
    agree(&kamailio, &daemon);
    let before = daemon.get(ALL).json();
    assert!(daemon.stop().success());
    daemon.start();
    let after = daemon.get(ALL).json();
    assert_eq!(before["revision"], after["revision"]);
    let times = |envelope: &Value| -> Vec<Value> {
        let items = envelope["data"].as_array().expect("a list").iter();
        items
            .map(|item| item["initial_registration"].clone())
            .collect()
    };
    assert_eq!(times(&before), times(&after));
}

#[test]
fn lost_store_is_filled_again() {
    let (kamailio, mut daemon) = lab(5);
    assert!(daemon.stop().success());
    let folder = daemon.store().parent().expect("it is in one").to_owned();
    fs::remove_dir_all(folder).expect("it is ours");
    daemon.start();
    has(&daemon, 5);
    agree(&kamailio, &daemon);
}

#[test]
fn broken_store_is_set_aside_and_filled_again() {
    let (kamailio, mut daemon) = lab(5);
    // Ended in order, it has no log from which SQLite would restore the file.
    assert!(daemon.stop().success());
    fs::write(
        daemon.store(),
        b"this is not a database, however long one looks at it",
    )
    .expect("ours");
    daemon.start();
    has(&daemon, 5);
    agree(&kamailio, &daemon);
    let folder = daemon.store().parent().expect("it is in one").to_owned();
    let aside = fs::read_dir(folder)
        .expect("ours")
        .map(|entry| entry.expect("ours").file_name())
        .any(|name| name.to_string_lossy().contains(".broken-"));
    assert!(aside, "{}", daemon.log());
    assert!(daemon.log().contains("set aside"), "{}", daemon.log());
}

#[test]
fn store_deleted_while_running_disturbs_nobody() {
    let (kamailio, mut daemon) = lab(3);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(with_suffix(&daemon.store(), suffix)).expect("it is there");
    }
    Phone::new(&kamailio, "late", REALM).register();
    has(&daemon, 4);
    assert!(daemon.stop().success());
    daemon.start();
    has(&daemon, 4);
    agree(&kamailio, &daemon);
}

#[test]
fn copy_moved_over_the_tables_is_followed() {
    let (mut kamailio, daemon) = lab(4);
    kamailio.stop();
    let database = kamailio.database().to_owned();
    kamailio.sql("pragma wal_checkpoint(truncate)");
    let copy = with_suffix(&database, ".copy");
    fs::copy(&database, &copy).expect("an own directory is writable");
    Table::at(&copy).query("delete from location where username = 'user2'");
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(with_suffix(&copy, suffix));
        let _ = fs::remove_file(with_suffix(&database, suffix));
    }
    fs::rename(&copy, &database).expect("an own directory is writable");
    has(&daemon, 3);
    goes_on(&mut kamailio, &daemon, 4);
}

/// What a start finds gone is looked for once more, and shown until then.
#[test]
fn file_that_was_emptied_meanwhile_is_believed_at_the_second_look() {
    let (mut kamailio, mut daemon) = lab(4);
    assert!(daemon.stop().success());
    kamailio.stop();
    let database = kamailio.database().to_owned();
    let empty = with_suffix(&database, ".empty");
    for script in ["standard-create.sql", "usrloc-create.sql"] {
        let script = fs::read_to_string(tools::schema(script)).expect("a schema");
        Table::at(&empty).query(&script);
    }
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(with_suffix(&database, suffix));
    }
    fs::rename(&empty, &database).expect("an own directory is writable");
    daemon.start_unready();
    let mut shown = 0;
    eventually("they are gone", PATIENCE, || {
        let envelope = daemon.get(ALL).json();
        let rows = envelope["data"].as_array().map(Vec::len);
        let state = &envelope["source"]["state"];
        assert!(
            (rows == Some(4) && state == "catching_up") || rows == Some(0),
            "{envelope}"
        );
        shown += u32::from(rows == Some(4));
        holds(rows == Some(0) && state == "live", || {
            format!("{rows:?}, {state}")
        })
    });
    assert!(shown > 0, "they went at once");
    let said = "reading them again before removing any";
    assert!(daemon.log().contains(said), "{}", daemon.log());
    goes_on(&mut kamailio, &daemon, 1);
}

/// A Kamailio that only starts anew has all that it had.
#[test]
fn few_that_are_gone_go_at_once() {
    let (mut kamailio, mut daemon) = lab(4);
    assert!(daemon.stop().success());
    kamailio.stop();
    kamailio.sql("delete from location where username = 'user2'");
    daemon.start();
    has(&daemon, 3);
    assert!(
        !daemon.log().contains("looks once more"),
        "{}",
        daemon.log()
    );
}

#[test]
fn tables_made_anew_are_empty() {
    let (mut kamailio, daemon) = lab(4);
    kamailio.stop();
    let script = fs::read_to_string(tools::schema("usrloc-create.sql")).expect("a schema");
    let drop = "drop table location; drop table location_attrs; \
                delete from version where table_name like 'location%'";
    kamailio.sql(&format!("begin; {drop}; {script}; commit"));
    has(&daemon, 0);
    state_becomes(&daemon, "live");
    goes_on(&mut kamailio, &daemon, 1);
}

#[test]
fn vacuum_and_another_journal_change_nothing() {
    let (mut kamailio, daemon) = lab(30);
    kamailio.stop();
    for statement in [
        "vacuum",
        "pragma journal_mode = delete",
        "vacuum",
        "pragma journal_mode = wal",
        "pragma page_size = 8192; pragma journal_mode = delete; vacuum",
    ] {
        kamailio.sql(statement);
        state_becomes(&daemon, "live");
        agrees_with_tables(&kamailio, &daemon);
        assert_eq!(list(&daemon, ALL).len(), 30, "after {statement}");
    }
    goes_on(&mut kamailio, &daemon, 31);
}

#[test]
fn database_that_comes_later_is_awaited() {
    let kamailio = Kamailio::builder().start();
    let mut phone = Phone::new(&kamailio, "alice", REALM);
    phone.register();
    let place = tempfile::TempDir::with_prefix("usrlocd-later-").expect("a directory");
    let database = place.path().join("not/yet/there.sqlite");
    let mut daemon = Daemon::builder(&kamailio).database(&database).prepare();
    daemon.start_unready();
    for target in [
        ALL,
        "/v2/registrations/count",
        "/v2/accounts/x/registrations",
    ] {
        let answer = daemon.get(target);
        assert_eq!(answer.status, 503, "{target}: {}", answer.text());
        assert_eq!(answer.json()["message"], "datastore_unreachable");
    }
    assert_eq!(daemon.get("/readyz").status, 503);
    fs::create_dir_all(database.parent().expect("it is in one")).expect("ours");
    eventually("the row is written", PATIENCE, || {
        holds(kamailio.rows().len() == 1, || "not yet".to_owned())
    });
    Table::copy_of(kamailio.database()).query(&format!("vacuum into '{}'", database.display()));
    lists_once(&daemon, &phone);
    assert_eq!(daemon.get("/readyz").status, 200);
}

fn lists_once(daemon: &Daemon, phone: &Phone) {
    eventually("the list comes", PATIENCE, || {
        let answer = daemon.get(ALL);
        holds(answer.status == 200, || answer.text())
    });
    lists(daemon, ALL, &[phone.contact_uri()]);
}

#[test]
fn tables_that_cannot_be_read_are_stale() {
    let (mut kamailio, daemon) = lab(3);
    kamailio.stop();
    let database = kamailio.database().to_owned();
    let away = with_suffix(&database, ".away");
    fs::rename(&database, &away).expect("an own directory is writable");
    state_becomes(&daemon, "stale");
    assert_eq!(list(&daemon, ALL).len(), 3, "the last known rows");
    let ready = daemon.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    let [first, later] = ["a first look", "a later one"].map(|what| {
        let known = daemon.get("/v2/registrations/count").json()["source"].clone();
        eventually(what, PATIENCE, || {
            let now = daemon.get("/v2/registrations/count").json()["source"].clone();
            holds(now["lag_ms"].as_u64() > known["lag_ms"].as_u64(), || {
                now.to_string()
            })
        });
        known
    });
    assert_eq!(first["as_of"], later["as_of"], "nothing new is known");
    assert!(later["lag_ms"].as_u64() > first["lag_ms"].as_u64());
    fs::write(&database, b"").expect("an own directory is writable");
    state_becomes(&daemon, "stale");
    assert_eq!(
        list(&daemon, ALL).len(),
        3,
        "a file of 0 bytes says nothing"
    );
    fs::rename(&away, &database).expect("an own directory is writable");
    state_becomes(&daemon, "live");
    eventually("it is of a later moment", PATIENCE, || {
        let now = daemon.get("/v2/registrations/count").json()["source"].clone();
        holds(now["as_of"].as_f64() > later["as_of"].as_f64(), || {
            now.to_string()
        })
    });
    assert_eq!(daemon.get("/readyz").status, 200);
    agrees_with_tables(&kamailio, &daemon);
    assert_eq!(list(&daemon, ALL).len(), 3);
}

#[test]
fn store_that_may_not_be_written_is_an_error_at_start() {
    let (_kamailio, mut daemon) = lab(1);
    assert!(daemon.stop().success());
    // Root may write anything but where the file system refuses: a directory in the store's place.
    let store = daemon.store();
    fs::remove_file(&store).expect("it is there");
    fs::create_dir(&store).expect("ours");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).expect("ours");
    let output = daemon.command("serve").output().expect("it runs");
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&store.display().to_string()), "{said}");
}

#[test]
fn two_daemons_do_not_share_a_store() {
    let (kamailio, daemon) = lab(1);
    let other = Daemon::builder(&kamailio).prepare();
    let output = Command::new(tools::usrlocd())
        .args(["serve", "--config"])
        .arg(other.config_file())
        .arg("--store")
        .arg(daemon.store())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(71), "{output:?}");
    assert_eq!(list(&daemon, ALL).len(), 1);
}
