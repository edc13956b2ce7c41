//! Kamailio does not notice usrlocd: its files are opened for reading alone, no lock is taken on them, nothing appears
//! beside them, and no statement of Kamailio's fails that would not fail without.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::geteuid;
use tempfile::TempDir;
use usrlocd::clock::{Clock, SystemClock};

use crate::oracle::{PATIENCE, agree, agrees_with_tables, shows_round, writes_round};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools};

/// Calls that take a file by its number, and change neither it nor anybody's way to it.
const HARMLESS: [&str; 9] = [
    "pread64",
    "read",
    "fstat",
    "statx",
    "newfstatat",
    "close",
    "lseek",
    "readlink",
    "stat",
];

/// One line of `strace -f -y`: the call and its arguments with the result.
pub(crate) fn call(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let (name, rest) = line.split_once('(')?;
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_name.then_some((name, rest))
}

/// Why a call on Kamailio's files is not what a passive reader does.
pub(crate) fn complaint(name: &str, arguments: &str) -> Option<&'static str> {
    match name {
        "open" | "openat" => {
            let reads = arguments.contains("O_RDONLY")
                && !["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"]
                    .iter()
                    .any(|flag| arguments.contains(flag));
            (!reads).then_some("opens for more than reading")
        }
        "fcntl" => (!arguments.contains("F_GETLK")
            && !arguments.contains("F_GETFD")
            && !arguments.contains("F_SETFD"))
        .then_some("takes a lock"),
        "mmap" => arguments
            .contains("PROT_WRITE")
            .then_some("maps for writing"),
        "inotify_add_watch" => None,
        name if HARMLESS.contains(&name) => None,
        _ => Some("is not a call that a reader makes"),
    }
}

/// What makes a usrlocd note each of its calls in `trace`.
///
/// Root may write everywhere, unless this right is taken from it and the files are somebody else's: with [`give_away`]
/// the system refuses whatever the trace would show.
fn traced(trace: &Path) -> Vec<String> {
    let root = ["setpriv", "--bounding-set=-dac_override,-fowner,-chown"];
    let strace = ["strace", "-f", "-y", "-s", "0", "-o"];
    let root = root.into_iter().filter(|_| geteuid().is_root());
    let words = root.chain(strace).map(str::to_owned);
    words.chain([trace.display().to_string()]).collect()
}

/// Makes the files below `folder`, and it, somebody else's.
fn give_away(folder: &Path) {
    const NOBODY: u32 = 65534;
    if !geteuid().is_root() {
        return;
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may");
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be listed").path();
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
}

/// How often which call was made on Kamailio's database in `folder`; each must be one of a passive reader.
fn judged(trace: &Path, folder: &Path) -> BTreeMap<String, usize> {
    let seen = calls_of_a_reader(trace, folder);
    // What proves that it was this daemon and these files.
    assert!(
        seen.get("pread64").is_some_and(|count| *count > 10),
        "{seen:?}"
    );
    assert!(seen.contains_key("fcntl"), "no lock was probed: {seen:?}");
    seen
}

/// How often which call was made on files below `folder`; each must be one of a passive reader.
fn calls_of_a_reader(trace: &Path, folder: &Path) -> BTreeMap<String, usize> {
    let text = fs::read(trace).expect("strace wrote it");
    let text = String::from_utf8_lossy(&text);
    let prefix = folder.display().to_string();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| line.contains(&prefix)) {
        let Some((name, arguments)) = call(line) else {
            // The second half of a call that was interrupted says again what the first half did.
            assert!(
                line.contains("resumed>") || line.contains("execve"),
                "{line}"
            );
            continue;
        };
        *seen.entry(name.to_owned()).or_default() += 1;
        if let Some(why) = complaint(name, arguments) {
            wrong.push(format!("{why}: {line}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    seen
}

/// A Kamailio whose files are somebody else's, and a place for the trace of the usrlocd beside it.
struct Watched {
    kamailio: Kamailio,
    before: BTreeSet<String>,
    traces: TempDir,
}

impl Watched {
    fn new(kamailio: Kamailio) -> Self {
        let before = kamailio.database_files().into_iter().collect();
        let traces = TempDir::with_prefix("usrlocd-strace-").expect("a temporary directory");
        let watched = Self {
            kamailio,
            before,
            traces,
        };
        give_away(watched.folder());
        watched
    }

    fn folder(&self) -> &Path {
        self.kamailio
            .database()
            .parent()
            .expect("it is in a folder")
    }

    fn trace(&self) -> PathBuf {
        self.traces.path().join("strace.log")
    }

    /// Phones register, and again, and usrlocd shows each round.
    fn rounds(&self, daemon: &Daemon) {
        let mut phones: Vec<Phone> = (0..20)
            .map(|number| Phone::new(&self.kamailio, format!("u{number}"), "acme.example.com"))
            .collect();
        for round in 1..=3 {
            phones.iter_mut().for_each(Phone::register);
            shows_round(daemon, phones.len(), round);
        }
    }

    /// Ends usrlocd; it has read Kamailio's files and done nothing else to them.
    fn is_untouched_by(&self, daemon: &mut Daemon) {
        agree(&self.kamailio, daemon);
        assert!(daemon.stop().success(), "{}", daemon.log());
        judged(&self.trace(), self.folder());
        for name in self.kamailio.database_files() {
            let of_kamailio = ["-wal", "-shm", "-journal"]
                .iter()
                .any(|suffix| name == format!("kamailio.sqlite{suffix}"));
            assert!(
                self.before.contains(&name) || of_kamailio,
                "{name} appeared"
            );
        }
        self.kamailio.has_missed_no_lock();
    }
}

fn only_reads(journal: Journal) {
    let watched = Watched::new(Kamailio::builder().journal(journal).start());
    let strace = traced(&watched.trace());
    let wrapper: Vec<&str> = strace.iter().map(String::as_str).collect();
    let mut daemon = Daemon::builder(&watched.kamailio).wrapper(&wrapper).start();
    watched.rounds(&daemon);
    let answer = daemon.delete("/v2/accounts/acme.example.com/registrations/u3");
    assert_eq!(answer.status, 200, "{}", answer.text());
    watched.is_untouched_by(&mut daemon);
}

#[test]
fn only_reads_kamailios_files_wal() {
    only_reads(Journal::Wal);
}

#[test]
fn only_reads_kamailios_files_rollback() {
    only_reads(Journal::Rollback);
}

/// Makes a place of our own out of `/etc/kamailio`, which only this usrlocd sees, and puts a `kamailio.cfg` there.
const ETC: &str = "mount -t tmpfs tmpfs /etc/kamailio && cp \"$1\" /etc/kamailio/kamailio.cfg && shift && exec \"$@\"";

/// Nobody has said where the database is: usrlocd reads Kamailio's configuration to find it.
#[test]
fn only_reads_while_it_looks_for_the_database() {
    let watched = Watched::new(Kamailio::builder().start());
    let cfg = watched.kamailio.config_file().display().to_string();
    let strace = traced(&watched.trace());
    let namespace = if geteuid().is_root() { "-m" } else { "-rm" };
    let wrapper = ["unshare", namespace, "sh", "-c", ETC, "sh", &cfg];
    let wrapper = wrapper.into_iter().chain(strace.iter().map(String::as_str));
    let mut daemon = Daemon::builder(&watched.kamailio)
        .wrapper(&wrapper.collect::<Vec<_>>())
        .prepare();
    let config = fs::read_to_string(daemon.config_file()).expect("it was written");
    let others = config
        .lines()
        .filter(|line| !line.starts_with("database = "));
    let others = others.collect::<Vec<_>>().join("\n");
    assert_ne!(others.lines().count(), config.lines().count());
    fs::write(daemon.config_file(), others).expect("an own directory is writable");
    daemon.start();
    watched.rounds(&daemon);
    let log = daemon.log();
    assert!(log.contains("/etc/kamailio/kamailio.cfg line "), "{log}");
    watched.is_untouched_by(&mut daemon);
    let seen = calls_of_a_reader(&watched.trace(), Path::new("/etc/kamailio"));
    assert!(seen.contains_key("read"), "{seen:?}");
}

/// Leaves a transaction of `file` half written, as a crash does.
fn crash_in_a_transaction(file: &Path) {
    let mut writer = Command::new(tools::program("sqlite3"))
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("sqlite3 starts");
    let sql = "pragma cache_size = 1; pragma cache_spill = 1; begin; \
               update location set user_agent = hex(zeroblob(20000));\n";
    let mut input = writer.stdin.take().expect("the input is a pipe");
    input.write_all(sql.as_bytes()).expect("sqlite3 reads");
    let mut journal = file.as_os_str().to_owned();
    journal.push("-journal");
    eventually("the journal is written", PATIENCE, || {
        let first = fs::read(&journal).unwrap_or_default();
        holds(first.first().is_some_and(|byte| *byte != 0), || {
            "not yet".to_owned()
        })
    });
    writer.kill().expect("it runs");
    writer.wait().expect("an own child");
}

#[test]
fn only_reads_whatever_becomes_of_the_files() {
    let mut kamailio = Kamailio::builder().journal(Journal::Rollback).start();
    for name in ["alice", "bob", "carol"] {
        Phone::new(&kamailio, name, "acme.example.com").register();
    }
    kamailio.stop();
    let folders = TempDir::with_prefix("usrlocd-files-").expect("a temporary directory");
    let folder = folders.path().join("kamailio");
    fs::create_dir(&folder).expect("an own directory");
    let (file, next) = (folder.join("k.sqlite"), folders.path().join("next.sqlite"));
    fs::copy(kamailio.database(), &next).expect("nobody has it open");
    Table::at(&next).query("delete from location where username = 'bob'");
    let trace = folders.path().join("strace.log");
    let mut daemon = Daemon::builder(&kamailio)
        .database(&file)
        .wrapper(
            &traced(&trace)
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
        )
        .prepare();
    let shows = |daemon: &Daemon, count: usize| {
        eventually("it shows what is there", PATIENCE, || {
            let answer = daemon.get("/v2/registrations/count");
            holds(
                answer.status == 200 && answer.json()["data"]["count"] == count,
                || answer.text(),
            )
        });
    };
    // It is not there yet.
    give_away(&folder);
    daemon.start_unready();
    fs::copy(kamailio.database(), &file).expect("nobody has it open");
    give_away(&folder);
    shows(&daemon, 3);
    crash_in_a_transaction(&file);
    eventually("it cannot be read", PATIENCE, || {
        holds(daemon.log().contains("rolled back"), || daemon.log())
    });
    let files = fs::read_dir(&folder).expect("it is there").count();
    assert_eq!(files, 2, "the journal was left to the next writer");
    Table::at(&file).query("select count(*) from location");
    eventually("it can be read again", PATIENCE, || {
        holds(daemon.get("/readyz").status == 200, || daemon.log())
    });
    fs::rename(&next, &file).expect("an own directory");
    give_away(&folder);
    shows(&daemon, 2);
    assert!(daemon.stop().success(), "{}", daemon.log());
    judged(&trace, &folder);
    assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 1);
}

#[test]
fn judge_of_calls_condemns_what_is_wrong() {
    for (line, right) in [
        (
            "12 openat(AT_FDCWD</>, \"/db/k.sqlite\", O_RDONLY|O_CLOEXEC) = 9</db/k.sqlite>",
            true,
        ),
        (
            "12 openat(AT_FDCWD</>, \"/db/k.sqlite\", O_RDWR|O_CLOEXEC) = 9</db/k.sqlite>",
            false,
        ),
        (
            "12 fcntl(9</db/k.sqlite>, F_GETLK, {l_type=F_UNLCK}) = 0",
            true,
        ),
        (
            "12 fcntl(9</db/k.sqlite>, F_SETLK, {l_type=F_RDLCK}) = 0",
            false,
        ),
        (
            "12 fcntl(9</db/k.sqlite>, F_OFD_SETLK, {l_type=F_RDLCK}) = 0",
            false,
        ),
        ("12 flock(9</db/k.sqlite>, LOCK_SH) = 0", false),
        (
            "12 mmap(NULL, 32768, PROT_READ, MAP_SHARED, 9</db/k.sqlite-shm>, 0) = 0x7f",
            true,
        ),
        (
            "12 mmap(NULL, 32768, PROT_READ|PROT_WRITE, MAP_SHARED, 9</db/k.sqlite-shm>, 0) = 0x7f",
            false,
        ),
        ("12 pwrite64(9</db/k.sqlite>, \"\"..., 1, 0) = 1", false),
        ("12 unlink(\"/db/k.sqlite-wal\") = 0", false),
    ] {
        let (name, arguments) = call(line).expect("a call");
        assert_eq!(complaint(name, arguments).is_none(), right, "{line}");
    }
}

/// Registrations a second, and for how long.
const RATE: u32 = 200;
const SECONDS: u32 = 20;

/// One worker for UDP writes nothing itself in write-back mode, and the timer is the only writer: without usrlocd no
/// lock can be missed, so that with it none may be.
fn load_fails_nothing(journal: Journal) {
    let kamailio = Kamailio::builder().journal(journal).children(1).start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut phones: Vec<Phone> = (0..RATE * 2)
        .map(|number| Phone::new(&kamailio, format!("u{number}"), "acme.example.com"))
        .collect();
    let clock = SystemClock::new();
    let total = RATE * SECONDS;
    for number in 0..total {
        let due = Duration::from_secs(1) * number / RATE;
        eventually("it is time", Duration::from_mins(1), || {
            let now = clock.monotonic();
            holds(now + Duration::from_millis(25) >= due, || {
                format!("{now:?}")
            })
        });
        let index = (number % (RATE * 2)) as usize;
        phones[index].register();
    }
    let took = clock.monotonic();
    assert!(
        took < Duration::from_secs(u64::from(SECONDS) * 2),
        "{took:?}"
    );
    let rounds = i64::from(total / (RATE * 2));
    shows_round(&daemon, phones.len(), rounds);
    agrees_with_tables(&kamailio, &daemon);
    kamailio.has_missed_no_lock();
}

#[test]
fn load_fails_nothing_wal() {
    load_fails_nothing(Journal::Wal);
}

#[test]
fn load_fails_nothing_rollback() {
    load_fails_nothing(Journal::Rollback);
}

/// The length of the log after 1200 registrations.
fn log_after_load(with_usrlocd: bool) -> u64 {
    let kamailio = Kamailio::builder().start();
    let daemon = with_usrlocd.then(|| Daemon::builder(&kamailio).start());
    let mut phones: Vec<Phone> = (0..150)
        .map(|number| Phone::new(&kamailio, format!("u{number}"), "acme.example.com"))
        .collect();
    for round in 1..=8 {
        phones.iter_mut().for_each(Phone::register);
        writes_round(&kamailio, phones.len(), round);
    }
    if let Some(daemon) = &daemon {
        agree(&kamailio, daemon);
    }
    let folder = kamailio.database().parent().expect("it is in one");
    let log = fs::metadata(folder.join("kamailio.sqlite-wal")).expect("WAL mode");
    log.len()
}

#[test]
fn log_of_the_tables_does_not_grow() {
    let (without, with) = (log_after_load(false), log_after_load(true));
    // SQLite checkpoints at 1000 pages of 4 KiB and starts the log over when no reader holds it. A commit or two more
    // may come before the checkpoint.
    assert!(without < 6 << 20, "{without} bytes without usrlocd");
    assert!(
        with < without + (1 << 18),
        "{with} bytes, {without} without"
    );
}
