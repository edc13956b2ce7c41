//! Our own store in trouble: what is shown stays fresh, what is stored comes right, and nobody else's file suffers.

mod bounded;
pub(crate) mod read_only;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use usrlocd::consumers::store::{Store, Stored};

use crate::oracle::{PATIENCE, agree, list};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools};

const ALL: &str = "/v2/registrations";
const REALM: &str = "acme.example.com";

/// The rows of a store, by ruid and number of the last REGISTER: what the next start would find.
fn stored(store: &Path) -> Vec<String> {
    let copy = Table::copy_of(store);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let contents = runtime.block_on(async {
        let store = Store::open(copy.file(), 0).await;
        store.expect("it is a store").load().await
    });
    let rows = contents.expect("it can be read").registrations;
    let row = |one: &Stored| {
        let ruid = one.binding.key.ruid.0.lossy();
        format!("{ruid}|{}", one.binding.cseq.unwrap_or_default())
    };
    let mut rows: Vec<_> = rows.iter().map(row).collect();
    rows.sort();
    rows
}

fn in_tables(kamailio: &Kamailio) -> Vec<String> {
    let rows = kamailio.rows();
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| format!("{}|{}", row.text("ruid"), row.integer("cseq")))
        .collect();
    rows.sort();
    rows
}

/// Waits until the store has what the tables have.
fn keeps(kamailio: &Kamailio, store: &Path) {
    eventually("the store has every row", PATIENCE, || {
        let (found, expected) = (stored(store), in_tables(kamailio));
        holds(found == expected, || {
            format!("stored {found:?}, in the tables {expected:?}")
        })
    });
}

fn said(daemon: &Daemon, what: &str) {
    eventually(what, PATIENCE, || {
        holds(daemon.log().contains(what), || daemon.log())
    });
}

fn failures(daemon: &Daemon) -> u64 {
    let text = daemon.request("GET", "/metrics", &[], b"").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("usrlocd_store_write_failures_total "));
    let count = line.and_then(|count| count.parse().ok());
    count.unwrap_or_else(|| panic!("no such counter in\n{text}"))
}

/// Phones come, refresh and go while the store cannot be written; the list follows them.
fn stays_fresh(kamailio: &Kamailio, daemon: &Daemon, prefix: &str) {
    let mut phones: Vec<Phone> = (0..30)
        .map(|number| Phone::new(kamailio, format!("{prefix}{number}"), REALM))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    agree(kamailio, daemon);
    said(daemon, "serving registrations from memory only");
    assert!(failures(daemon) > 0);
    phones[..10].iter_mut().for_each(Phone::register);
    phones[20..].iter_mut().for_each(Phone::unregister);
    eventually("the last ones are gone", PATIENCE, || {
        let items = list(daemon, ALL);
        let of_these = |item: &&serde_json::Value| {
            item["username"]
                .as_str()
                .is_some_and(|name| name.starts_with(prefix))
        };
        let found = items.iter().filter(of_these).count();
        holds(found == 20, || format!("{found} of 20"))
    });
    agree(kamailio, daemon);
    assert_eq!(daemon.get("/readyz").status, 200);
}

#[test]
fn locked_store_is_written_when_it_is_free() {
    let kamailio = Kamailio::builder().start();
    let mut daemon = Daemon::builder(&kamailio).start();
    Phone::new(&kamailio, "first", REALM).register();
    agree(&kamailio, &daemon);
    let mut locker = Command::new(tools::program("sqlite3"))
        .arg(daemon.store())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sqlite3 starts");
    let mut input = locker.stdin.take().expect("the input is a pipe");
    input
        .write_all(b".timeout 10000\nbegin immediate;\n")
        .expect("sqlite3 reads");
    stays_fresh(&kamailio, &daemon, "user");
    drop(input);
    locker.wait().expect("it ends");
    said(&daemon, "the store can be written again");
    keeps(&kamailio, &daemon.store());
    assert!(daemon.stop().success());
    assert_eq!(stored(&daemon.store()), in_tables(&kamailio));
}

/// A usrlocd whose own files are on a file system of some hundred kilobytes, which only it and who looks through its
/// process can see.
pub(crate) fn on_a_small_disk(kamailio: &Kamailio) -> Daemon {
    const MOUNT: &str = "for last; do :; done; place=$(dirname \"$last\")/store; mkdir \"$place\" && \
                         mount -t tmpfs -o size=1m tmpfs \"$place\" && exec \"$@\"";
    let namespace = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    Daemon::builder(kamailio)
        .wrapper(&["unshare", namespace, "sh", "-c", MOUNT, "sh"])
        .start()
}

/// The store on its small disk.
fn on_disk(daemon: &Daemon) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", daemon.process().id()));
    let store = daemon.store();
    root.join(store.strip_prefix("/").expect("it is absolute"))
}

/// Fills the small disk. What is returned is to be deleted.
pub(crate) fn fill_the_disk(daemon: &Daemon) -> PathBuf {
    let filler = on_disk(daemon).with_file_name("filler");
    let mut file = fs::File::create(&filler).expect("there is room");
    while file.write_all(&[0; 4096]).is_ok() {}
    filler
}

#[test]
fn full_disk_is_waited_out() {
    let kamailio = Kamailio::builder().start();
    let mut daemon = on_a_small_disk(&kamailio);
    let store = on_disk(&daemon);
    let filler = fill_the_disk(&daemon);
    stays_fresh(&kamailio, &daemon, "user");
    fs::remove_file(&filler).expect("it is there");
    said(&daemon, "the store can be written again");
    keeps(&kamailio, &store);
    assert!(daemon.stop().success());
}

/// Killed as soon as it has begun to write, again and again: the store is never worse than old.
#[test]
fn kills_at_any_moment_of_writing() {
    let kamailio = Kamailio::builder().start();
    let mut daemon = Daemon::builder(&kamailio).start();
    let mut phones: Vec<Phone> = (0..40)
        .map(|number| Phone::new(&kamailio, format!("user{number}"), REALM))
        .collect();
    for round in 0..8 {
        let before = written(&daemon);
        for phone in &mut phones {
            phone.register();
        }
        if round % 2 == 1 {
            phones[..10].iter_mut().for_each(Phone::unregister);
        }
        eventually("it writes", PATIENCE, || {
            holds(written(&daemon) != before, || "not yet".to_owned())
        });
        // A different moment each time: how long this takes nobody knows.
        for _ in 0..round * 3 {
            let _ = list(&daemon, ALL);
        }
        daemon.kill9();
        if round == 5 {
            phones[30..].iter_mut().for_each(Phone::unregister);
        }
        daemon.start();
        agree(&kamailio, &daemon);
    }
    keeps(&kamailio, &daemon.store());
    assert!(daemon.stop().success());
    assert_eq!(stored(&daemon.store()), in_tables(&kamailio));
    assert!(!daemon.log().contains("set aside"), "{}", daemon.log());
}

/// What changes with every write to the store.
fn written(daemon: &Daemon) -> Vec<Option<(u64, std::time::SystemTime)>> {
    let state = |suffix: &str| {
        let file = format!("{}{suffix}", daemon.store().display());
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    ["", "-wal"].map(state).to_vec()
}

/// By whatever name: its bytes, its mode and its names stay.
#[test]
fn kamailios_database_is_no_store() {
    let mut kamailio = Kamailio::builder().start();
    Phone::new(&kamailio, "alice", REALM).register();
    eventually("the row is written", PATIENCE, || {
        holds(kamailio.rows().len() == 1, || "not yet".to_owned())
    });
    kamailio.stop();
    let database = kamailio.database().to_owned();
    let folder = database.parent().expect("it is in one");
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(&database, open).expect("ours");
    let links = tempfile::tempdir_in(folder).expect("an own directory is writable");
    symlink(&database, links.path().join("soft.db")).expect("ours");
    fs::hard_link(&database, links.path().join("hard.db")).expect("ours");
    let state = || {
        let names = [folder, links.path()].map(|folder| {
            let names = fs::read_dir(folder).expect("ours");
            let mut names: Vec<_> = names.map(|it| it.expect("ours").file_name()).collect();
            names.sort();
            names
        });
        let mode = fs::metadata(&database)
            .expect("it is there")
            .permissions()
            .mode();
        (names, mode, fs::read(&database).expect("it is there"))
    };
    let before = state();
    let refused = |daemon: &Daemon, config: &Path, store: &Path, status: i32| {
        let output = Command::new(tools::usrlocd())
            .args(["serve", "--config"])
            .arg(config)
            .arg("--store")
            .arg(store)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{}: {said}",
            store.display()
        );
        assert!(said.contains(&store.display().to_string()), "{said}");
        assert!(
            state() == before,
            "{} has left a trace: {said}",
            store.display()
        );
        assert!(!daemon.socket().exists());
    };
    let daemon = Daemon::builder(&kamailio).prepare();
    // One that is to look for the database does not know it yet.
    let text = fs::read_to_string(daemon.config_file()).expect("it is there");
    let others = text.lines().filter(|line| !line.starts_with("database = "));
    let seeking = daemon.file("seeking.toml");
    fs::write(&seeking, others.collect::<Vec<_>>().join("\n")).expect("ours");
    let same = links
        .path()
        .join("..")
        .join(database.file_name().expect("it has one"));
    for name in [
        database.clone(),
        same,
        links.path().join("soft.db"),
        links.path().join("hard.db"),
    ] {
        refused(&daemon, &daemon.config_file(), &name, 78);
        refused(&daemon, &seeking, &name, 73);
    }
}
