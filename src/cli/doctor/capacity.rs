//! Whether Kamailio can bear its table: workers that write at once, memory for the next start, rows that are missing.

use std::time::Duration;

use super::findings::{Findings, Group};
use super::kamailio::Answers;
use super::many;
use super::mend::Site;
use super::tables::Tables;

const GROUP: Group = Group::Kamailio;

/// Private memory that the preload takes for a row: with less Kamailio was seen not to start.
const LEAST_BYTES_A_ROW: u64 = 2200;

/// With so much it was always seen to start (32 MB for 10,000 rows).
const SAFE_BYTES_A_ROW: u64 = 3300;

/// Rows by which memory and table may differ: usrloc writes back by a timer.
const SLACK: usize = 20;

/// A Kamailio that is younger may still load its table, and has not written back yet.
const FRESH: Duration = Duration::from_mins(1);

/// Checks what needs the tables as well; `mode` is usrloc's `db_mode`, where it is known.
pub(super) fn check(
    site: &Site,
    answers: &Answers,
    mode: Option<i64>,
    tables: Option<&Tables>,
    findings: &mut Findings,
) {
    let Some(tables) = tables else {
        let message = "Not checked, since the tables cannot be read: workers, private memory, contacts in memory.";
        findings.note(GROUP, "workers", message);
        return;
    };
    workers(answers, mode, tables, findings);
    memory(site, answers, tables, findings);
    contacts(site, answers, tables, findings);
}

/// Processes that write one file in modes 1 and 3.
fn workers(answers: &Answers, mode: Option<i64>, tables: &Tables, findings: &mut Findings) {
    let check = "workers";
    let Some(processes) = answers.processes.as_array() else {
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
        let message = format!("{workers}: nobody else to collide with.");
        findings.ok(GROUP, check, message);
        return;
    }
    match mode {
        Some(1 | 3) => {
            let what = if tables.wal {
                "Even in WAL mode some rows are lost then, more of them the slower the disk is."
            } else {
                "With a rollback journal phones get 500. WAL, as above, makes it rare."
            };
            let message = format!(
                "{workers} write for themselves in db_mode {}, and collide (\"database is locked\"). {what} Have one process write, by a timer:",
                mode.unwrap_or_default()
            );
            let mend = ["modparam(\"usrloc\", \"db_mode\", 2)".to_owned()];
            findings.warn(GROUP, check, message, mend);
        }
        Some(mode) => {
            let message = format!(
                "{workers} do not collide: in db_mode {mode} they do not write themselves."
            );
            findings.ok(GROUP, check, message);
        }
        None => {
            let message = format!(
                "{workers}. In db_mode 2 they do not write themselves; in modes 1 and 3 they collide, and rows are lost, in WAL mode as well."
            );
            findings.note(GROUP, check, message);
        }
    }
}

/// Whether Kamailio will start again with as many rows.
fn memory(site: &Site, answers: &Answers, tables: &Tables, findings: &mut Findings) {
    let check = "private_memory";
    let Some(bytes) = answers.private_memory else {
        let message = "Not checked: Kamailio does not tell its private memory (loadmodule \"kex.so\" lets it). The next start needs 3.3 kB of it for each row (-M).";
        findings.note(GROUP, check, message);
        return;
    };
    let rows = u64::try_from(tables.counts.rows).unwrap_or(u64::MAX);
    let have = bytes >> 20;
    let shown = many(tables.counts.rows, "row");
    if bytes >= rows.saturating_mul(SAFE_BYTES_A_ROW) {
        let message =
            format!("Private memory of {have} MB suffices to load {shown} at the next start.");
        findings.ok(GROUP, check, message);
        return;
    }
    let need = (rows.saturating_mul(SAFE_BYTES_A_ROW) * 3 / 2) >> 20;
    let default = format!("/etc/default/{}", site.service);
    let mend = [format!(
        "# {default}\nPKG_MEMORY={}",
        need.next_multiple_of(8)
    )];
    if bytes >= rows.saturating_mul(LEAST_BYTES_A_ROW) {
        let message = format!(
            "Private memory of {have} MB may just suffice to load {shown} at the next start; a few more, and Kamailio loses attributes or does not start. Give it more (-M):"
        );
        findings.warn(GROUP, check, message, mend);
    } else {
        let message = format!(
            "Private memory of {have} MB is too little to load {shown}: Kamailio loses attributes or does not start next time. Give it more (-M):"
        );
        findings.fail(GROUP, check, message, mend);
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
        let message = "Not checked: Kamailio does not tell how many contacts it has (loadmodule \"kex.so\" lets it).";
        findings.note(GROUP, check, message);
        return;
    }
    let memory = usize::try_from(counts.iter().sum::<u64>()).unwrap_or(usize::MAX);
    let current = tables.counts.current;
    let apart = memory.abs_diff(current) > SLACK + current / 10;
    if answers.uptime < FRESH && apart {
        let message = format!(
            "Kamailio has {memory} contacts in memory, the table {current} current ones. It has just started; ask again in a minute."
        );
        findings.note(GROUP, check, message);
    } else if memory == 0 && current > 0 {
        let message = format!(
            "Kamailio has no contact in memory, the table {current}: it runs with usrloc db_mode 3, or has just started. If you can choose:"
        );
        let mend = ["modparam(\"usrloc\", \"db_mode\", 2)".to_owned()];
        findings.warn(GROUP, check, message, mend);
    } else if apart {
        let message = format!(
            "Kamailio has {memory} contacts in memory, the table {current} current ones. Rows that are not written yet show within the timer; if this stays so, writing fails. Look for \"database is locked\":"
        );
        let mend = [format!(
            "journalctl -u {} --since -1h | grep -iE 'locked|db_sqlite'",
            site.service
        )];
        findings.warn(GROUP, check, message, mend);
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

    fn judged(memory_mb: Option<u64>, rows: usize) -> ((usize, usize), String) {
        let site = Site::new(
            std::path::Path::new("/nonexistent"),
            "/k".as_ref(),
            "/c".as_ref(),
            &[],
        );
        let counts = Counts {
            rows,
            ..Counts::default()
        };
        let tables = Tables::testing(counts);
        let mut findings = Findings::default();
        let answers = Answers::testing(memory_mb.map(|mb| mb << 20));
        memory(&site, &answers, &tables, &mut findings);
        (findings.counts(), findings.text("x"))
    }

    #[test]
    fn private_memory_that_worked_is_no_error() {
        assert_eq!(judged(Some(16), 5_000).0, (0, 0));
        assert_eq!(judged(Some(32), 10_000).0, (0, 0));
        for (mb, rows) in [(64, 30_000), (128, 50_000)] {
            let (counts, text) = judged(Some(mb), rows);
            assert_eq!(counts, (0, 1), "{text}");
        }
        let (counts, text) = judged(Some(16), 20_000);
        assert_eq!(counts, (1, 0), "{text}");
        assert!(text.contains("PKG_MEMORY=96"), "{text}");
        let (counts, text) = judged(None, 20_000);
        assert_eq!(counts, (0, 0));
        assert!(text.contains("Not checked"), "{text}");
    }
}
