//! Kamailio does not notice usrlocd: its files are opened for reading alone, no lock is taken on them, nothing appears
//! beside them, and no statement of Kamailio's fails that would not fail without.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use usrlocd::clock::{Clock, SystemClock};

use crate::oracle::{agree, agrees_with_tables, shows_round, writes_round};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

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
        _ => Some("is no call of a reader"),
    }
}

fn only_reads(journal: Journal) {
    let kamailio = Kamailio::builder().journal(journal).start();
    let folder = kamailio.database().parent().expect("it is in one");
    let before: BTreeSet<String> = kamailio.database_files().into_iter().collect();
    let traces = TempDir::with_prefix("usrlocd-strace-").expect("a temporary directory");
    let trace = traces.path().join("strace.log");
    let shown = trace.display().to_string();
    let mut daemon = Daemon::builder(&kamailio)
        .wrapper(&["strace", "-f", "-y", "-s", "0", "-o", &shown])
        .start();

    let mut phones: Vec<Phone> = (0..20)
        .map(|number| Phone::new(&kamailio, format!("u{number}"), "acme.example.com"))
        .collect();
    for round in 1..=3 {
        phones.iter_mut().for_each(Phone::register);
        shows_round(&daemon, phones.len(), round);
    }
    let answer = daemon.delete("/v2/accounts/acme.example.com/registrations/u3");
    assert_eq!(answer.status, 200, "{}", answer.text());
    agree(&kamailio, &daemon);

    assert!(daemon.stop().success(), "{}", daemon.log());
    let text = fs::read(&trace).expect("strace wrote it");
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
    // What proves that it was this daemon and these files.
    assert!(
        seen.get("pread64").is_some_and(|count| *count > 10),
        "{seen:?}"
    );
    assert!(seen.contains_key("fcntl"), "no lock was probed: {seen:?}");
    for name in kamailio.database_files() {
        let of_kamailio = ["-wal", "-shm", "-journal"]
            .iter()
            .any(|suffix| name == format!("kamailio.sqlite{suffix}"));
        assert!(before.contains(&name) || of_kamailio, "{name} appeared");
    }
    assert_eq!(kamailio.lock_errors(), 0, "{}", kamailio.log());
}

#[test]
fn only_reads_kamailios_files_wal() {
    only_reads(Journal::Wal);
}

#[test]
fn only_reads_kamailios_files_rollback() {
    only_reads(Journal::Rollback);
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
    assert_eq!(kamailio.lock_errors(), 0, "{}", kamailio.log());
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
