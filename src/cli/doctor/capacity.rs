//! Whether Kamailio can bear its table: workers that write at once, memory for the next start, rows that are missing.

use std::fmt::Write;
use std::time::Duration;

use super::answers::Answers;
use super::findings::{Findings, Group};
use super::many;
use super::remedies::Site;
use super::tables::Tables;
use super::version::Version;
use crate::config::kamailio_cfg::{BusyTimeout, KamailioCfg};

const GROUP: Group = Group::Kamailio;

/// With so much it was always seen to start (32 MB for 10,000 rows).
const SAFE_BYTES_A_ROW: u64 = 3300;

/// Rows by which memory and table may differ: usrloc writes back by a timer.
const SLACK: usize = 20;

/// A Kamailio that is younger may still load its table, and has not written back yet.
const FRESH: Duration = Duration::from_mins(1);

/// What is known of the running Kamailio.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running<'a> {
    pub(super) answers: &'a Answers,
    pub(super) version: Option<Version>,
    /// Its configuration, where it can be read.
    pub(super) cfg: Option<&'a KamailioCfg>,
    /// usrloc's `db_mode`, where it is known.
    pub(super) mode: Option<i64>,
}

/// Checks what needs the tables as well.
pub(super) fn check(
    site: &Site,
    running: Running<'_>,
    tables: Option<&Tables>,
    findings: &mut Findings,
) {
    let Some(tables) = tables else {
        if site.on_server {
            return;
        }
        let message = "Not checked, since the tables cannot be read: workers, private memory, contacts in memory.";
        findings.note(GROUP, "workers", message);
        return;
    };
    workers(site, running, tables, findings);
    memory(site, running, tables, findings);
    contacts(site, running.answers, tables, findings);
}

/// Processes that write one file in modes 1 and 3.
fn workers(site: &Site, running: Running<'_>, tables: &Tables, findings: &mut Findings) {
    let check = "workers";
    let Some(processes) = running.answers.processes.as_array() else {
        findings.note(
            GROUP,
            check,
            "Not checked: Kamailio does not list its processes.",
        );
        return;
    };
    let is_worker =
        |it: &&serde_json::Value| it["DSC"].as_str().is_some_and(|it| it.contains("receiver"));
    let count = processes.iter().filter(is_worker).count();
    let noun = if count == 1 { "process" } else { "processes" };
    let workers = format!("{count} worker {noun}");
    if count <= 1 {
        let message = format!("{workers}: no collisions possible.");
        findings.ok(GROUP, check, message);
        return;
    }
    match running.mode {
        Some(mode @ (1 | 3)) => colliding(site, running, tables, (&workers, mode), findings),
        Some(mode) => {
            let message = format!(
                "{workers} do not collide: in db_mode {mode} they do not write to the database."
            );
            findings.ok(GROUP, check, message);
        }
        None => {
            let message = format!(
                "{workers}. In db_mode 2 they do not write to the database; in modes 1 and 3 they collide, and rows are lost, even in WAL mode."
            );
            findings.note(GROUP, check, message);
        }
    }
}

/// Workers that write for themselves in this `db_mode`.
fn colliding(
    site: &Site,
    running: Running<'_>,
    tables: &Tables,
    (workers, mode): (&str, i64),
    findings: &mut Findings,
) {
    let check = "workers";
    let timeout = running
        .cfg
        .map_or(BusyTimeout::Unset, KamailioCfg::busy_timeout);
    if let BusyTimeout::Set(time, setting) = timeout {
        let message = format!(
            "{workers} write to the database in db_mode {mode}, and wait up to {time} ms for each other (db_set_busy_timeout, {setting})."
        );
        findings.ok(GROUP, check, message);
        return;
    }
    let what = if tables.wal {
        "Even in WAL mode some rows are lost; the slower the disk, the more."
    } else {
        "With a rollback journal phones get 500. WAL makes that rare."
    };
    let mut message = format!(
        "{workers} write to the database in db_mode {mode}, and collide (\"database is locked\"). {what}"
    );
    let mut remedy = vec!["modparam(\"usrloc\", \"db_mode\", 2)".to_owned()];
    if let Some(version) = running.version.filter(|it| it.has_busy_timeout()) {
        if let BusyTimeout::ForAnother(setting) = timeout {
            let name = running.cfg.and_then(KamailioCfg::sqlite_name);
            let _ = write!(
                message,
                " db_set_busy_timeout ({setting}) has no effect: it must name the database exactly as db_url does after sqlite:///, {}.",
                name.unwrap_or("which is unknown")
            );
        }
        let _ = write!(
            message,
            " Have a single process write, by a timer; or have Kamailio {version} wait for the lock, which is possible from 6.0 (older versions do not start with these parameters):"
        );
        remedy.push(wait_for_locks(site, running.cfg));
    } else {
        message.push_str(" Have a single process write, by a timer:");
    }
    findings.warn(GROUP, check, message, remedy);
}

/// The lines of `kamailio.cfg` by which Kamailio 6.0 and newer waits for locks on its database. `db_set_journal_mode` is
/// safe with the timeout alone: all processes run that pragma when they start.
pub(super) fn wait_for_locks(site: &Site, cfg: Option<&KamailioCfg>) -> String {
    let path = site.database.display().to_string();
    let name = cfg.and_then(KamailioCfg::sqlite_name).unwrap_or(&path);
    format!(
        "modparam(\"db_sqlite\", \"db_set_busy_timeout\", \"{name}=2000\")
modparam(\"db_sqlite\", \"db_set_journal_mode\", \"{name}=WAL\")"
    )
}

/// Whether Kamailio will start again with as many rows.
fn memory(site: &Site, running: Running<'_>, tables: &Tables, findings: &mut Findings) {
    let check = "private_memory";
    let Some(bytes) = running.answers.private_memory else {
        let message = "Not checked: Kamailio does not report its private memory (it does with loadmodule \"kex.so\"). The next start needs 3.3 kB of it per row (-M).";
        findings.note(GROUP, check, message);
        return;
    };
    let rows = u64::try_from(tables.counts.rows).unwrap_or(u64::MAX);
    let have = bytes >> 20;
    let shown = many(tables.counts.rows, "row");
    if bytes >= rows.saturating_mul(SAFE_BYTES_A_ROW) {
        let message =
            format!("Private memory of {have} MB is enough to load {shown} at the next start.");
        findings.ok(GROUP, check, message);
        return;
    }
    let need = (rows.saturating_mul(SAFE_BYTES_A_ROW) * 3 / 2) >> 20;
    let default = site.defaults();
    let remedy = [format!(
        "# {default}\nPKG_MEMORY={}",
        need.next_multiple_of(8)
    )];
    if bytes >= rows.saturating_mul(Version::least_bytes_a_row(running.version)) {
        let message = format!(
            "Private memory of {have} MB may be just enough to load {shown} at the next start; with a few more, Kamailio loses attributes or does not start. Increase it (-M):"
        );
        findings.warn(GROUP, check, message, remedy);
    } else {
        let message = format!(
            "Private memory of {have} MB is not enough to load {shown}: at the next start Kamailio loses attributes or does not start. Increase it (-M):"
        );
        findings.fail(GROUP, check, message, remedy);
    }
}

/// Memory against table.
fn contacts(site: &Site, answers: &Answers, tables: &Tables, findings: &mut Findings) {
    let check = "contacts";
    let counts = site
        .tables
        .iter()
        .filter_map(|table| answers.statistics[format!("usrloc.{table}_contacts")].as_u64());
    let counts: Vec<u64> = counts.collect();
    if counts.is_empty() {
        let message = "Not checked: Kamailio does not report how many contacts it has (it does with loadmodule \"kex.so\").";
        findings.note(GROUP, check, message);
        return;
    }
    let memory = usize::try_from(counts.iter().sum::<u64>()).unwrap_or(usize::MAX);
    let current = tables.counts.current;
    let apart = memory.abs_diff(current) > SLACK + current / 10;
    if answers.uptime < FRESH && apart {
        let message = format!(
            "Kamailio has {memory} contacts in memory, and the table has {current} current ones. It has just started; check again in a minute."
        );
        findings.note(GROUP, check, message);
    } else if memory == 0 && current > 0 {
        let message = format!(
            "Kamailio has no contacts in memory, and the table has {current}: it runs with usrloc db_mode 3, or has just started. If you can choose:"
        );
        let remedy = ["modparam(\"usrloc\", \"db_mode\", 2)".to_owned()];
        findings.warn(GROUP, check, message, remedy);
    } else if apart {
        let message = format!(
            "Kamailio has {memory} contacts in memory, and the table has {current} current ones. The timer writes missing rows soon; if the difference remains, writing fails. Look for \"database is locked\":"
        );
        let remedy = [format!(
            "journalctl -u {} --since -1h | grep -iE 'locked|db_sqlite'",
            site.service
        )];
        findings.warn(GROUP, check, message, remedy);
    } else {
        let message = format!(
            "{} in memory, {} in the table.",
            many(memory, "contact"),
            many(current, "current row")
        );
        findings.ok(GROUP, check, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::rows::Counts;

    fn site() -> Site {
        Site::new(
            std::path::Path::new("/nonexistent"),
            None,
            "/k".as_ref(),
            "/c".as_ref(),
            &[],
        )
    }

    fn version(number: &str) -> Option<Version> {
        Version::parse(&format!("kamailio {number} (x86_64/linux)"))
    }

    fn judged(memory_mb: Option<u64>, rows: usize, number: &str) -> ((usize, usize), String) {
        let counts = Counts {
            rows,
            ..Counts::default()
        };
        let tables = Tables::testing(counts);
        let mut findings = Findings::default();
        let answers = Answers::testing(memory_mb.map(|mb| mb << 20));
        let running = Running {
            answers: &answers,
            version: version(number),
            cfg: None,
            mode: None,
        };
        memory(&site(), running, &tables, &mut findings);
        (findings.counts(), findings.text("x"))
    }

    #[test]
    fn private_memory_that_worked_is_no_error() {
        assert_eq!(judged(Some(16), 5_000, "5.6.3").0, (0, 0));
        assert_eq!(judged(Some(32), 10_000, "5.6.3").0, (0, 0));
        for (mb, rows) in [(64, 30_000), (128, 50_000)] {
            let (counts, text) = judged(Some(mb), rows, "5.6.3");
            assert_eq!(counts, (0, 1), "{text}");
        }
        let (counts, text) = judged(Some(16), 20_000, "5.6.3");
        assert_eq!(counts, (1, 0), "{text}");
        assert!(text.contains("PKG_MEMORY=96"), "{text}");
        let (counts, text) = judged(None, 20_000, "5.6.3");
        assert_eq!(counts, (0, 0));
        assert!(text.contains("Not checked"), "{text}");
    }

    /// What was seen with -M 8 and two attributes a row: newer ones need more.
    #[test]
    fn private_memory_is_judged_by_version() {
        for number in ["5.8.8", "6.0.1", "6.1.5"] {
            assert_eq!(judged(Some(8), 2_500, number).0, (0, 0));
            assert_eq!(judged(Some(8), 2_900, number).0, (0, 1));
            assert_eq!(judged(Some(8), 3_700, number).0, (1, 0));
        }
        for number in ["5.5.4", "5.6.3", "5.7.4"] {
            assert_eq!(judged(Some(8), 3_700, number).0, (0, 1));
        }
    }

    fn workers_of(number: &str, lines: &str) -> ((usize, usize), String) {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("kamailio.cfg");
        let url = "modparam(\"usrloc\", \"db_url\", \"sqlite:///srv/k.db\")";
        std::fs::write(&file, format!("{url}\n{lines}\n")).unwrap();
        let cfg = KamailioCfg::read(&file, &[]).unwrap();
        let mut answers = Answers::testing(None);
        answers.processes =
            serde_json::json!([{"DSC": "udp receiver child=0"}, {"DSC": "tcp receiver child=0"}]);
        let running = Running {
            answers: &answers,
            version: version(number),
            cfg: Some(&cfg),
            mode: Some(1),
        };
        let mut findings = Findings::default();
        let tables = Tables::testing(Counts::default());
        workers(&site(), running, &tables, &mut findings);
        (findings.counts(), findings.text("x"))
    }

    #[test]
    fn a_busy_timeout_is_offered_from_6_0_on_and_never_before() {
        let offer = "\"db_set_busy_timeout\", \"srv/k.db=2000\")";
        for number in ["6.0.1", "6.1.5", "6.2.0-dev1"] {
            let (counts, text) = workers_of(number, "");
            assert_eq!(counts, (0, 1), "{text}");
            assert!(text.contains(offer), "{text}");
            assert!(text.contains("\"srv/k.db=WAL\")"), "{text}");
            let set = offer.replace("\"db_set", "modparam(\"db_sqlite\", \"db_set");
            assert_eq!(workers_of(number, &set).0, (0, 0));
            let (counts, text) = workers_of(number, &set.replace("srv", "/srv"));
            assert_eq!(counts, (0, 1), "{text}");
            assert!(text.contains("has no effect"), "{text}");
        }
        for number in ["5.5.4", "5.6.3", "5.8.8"] {
            let (counts, text) = workers_of(number, "");
            assert_eq!(counts, (0, 1), "{text}");
            assert!(!text.contains("busy_timeout"), "{text}");
        }
    }
}
