//! What a flush costs Kamailio, and rows that earlier flushes have left in its table.

use jiff::Timestamp;

use super::super::output::local_time;
use super::findings::{Findings, Group};
use super::many;
use super::remedies::Site;
use super::usrlocd;
use super::version::Version;
use crate::config;
use crate::config::kamailio_cfg::{BusyTimeout, KamailioCfg, Setting};

/// The modes in which each removal makes one of Kamailio's workers write.
const WRITE_THROUGH: [i64; 2] = [1, 3];

/// Says what a flush costs in this `db_mode`, and what ends that.
pub(super) fn cost(cfg: &KamailioCfg, version: Option<Version>, findings: &mut Findings) {
    let check = "flush_cost";
    let mode = cfg.usrloc("db_mode").and_then(Setting::number);
    let Some(mode) = mode.filter(|mode| WRITE_THROUGH.contains(mode)) else {
        return;
    };
    if let BusyTimeout::Set(time, _) = cfg.busy_timeout() {
        let message = format!(
            "In db_mode {mode} each removal of a flush writes to the database. Kamailio waits up to {time} ms for a lock, so nothing is lost."
        );
        findings.ok(Group::Kamailio, check, message);
        return;
    }
    let wait = if version.is_none_or(Version::has_busy_timeout) {
        "db_mode 2 avoids this, and from Kamailio 6.0 so does db_set_busy_timeout of db_sqlite."
    } else {
        "db_mode 2 avoids this, and so does db_set_busy_timeout of db_sqlite in Kamailio 6.0 and newer."
    };
    let message = format!(
        "In db_mode {mode} each removal of a flush makes one of Kamailio's workers write to the database, and Kamailio does not wait for a lock. usrlocd removes one contact at a time, at a moment when nobody writes. A REGISTER that arrives at that moment may still be refused, or the row of a removed contact may stay, which the flush reports. {wait}"
    );
    findings.note(Group::Kamailio, check, message);
}

/// Asks the daemon for rows that flushes have left in Kamailio's table.
pub(super) fn leftovers(site: &Site, http: &config::Http, findings: &mut Findings) {
    let check = "flush_leftover_rows";
    // That it does not answer is another finding.
    let Some(Ok((200, metrics))) = usrlocd::request(http, "/metrics").map(|(_, answer)| answer)
    else {
        return;
    };
    let Some(rows) = value(&metrics, "usrlocd_flush_leftover_rows") else {
        return;
    };
    if rows == 0 {
        let message = "No flushed registrations remain in Kamailio's table.";
        findings.ok(Group::Usrlocd, check, message);
        return;
    }
    let until = value(&metrics, "usrlocd_flush_leftover_until_timestamp_seconds");
    let until = until
        .filter(|at| *at > 0)
        .and_then(|at| Timestamp::from_second(at).ok())
        .map_or_else(String::new, |at| {
            format!(" before {}", local_time(at, "%Y-%m-%d %H:%M:%S"))
        });
    let message = format!(
        "{} of flushed registrations remain in Kamailio's table, although they are gone from its memory. A restart of Kamailio{until} would restore them. Its log has the reason why it could not delete them:",
        many(usize::try_from(rows).unwrap_or(usize::MAX), "row")
    );
    let remedy = [format!(
        "journalctl -u {} | grep -c 'database is locked'",
        site.service
    )];
    findings.warn(Group::Usrlocd, check, message, remedy);
}

/// A number of the daemon's metrics.
fn value(metrics: &str, name: &str) -> Option<i64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_metrics() {
        let text = "# HELP a b\nusrlocd_flush_leftover_rows 12\nusrlocd_flushes_total{a=\"b\"} 1\n";
        assert_eq!(value(text, "usrlocd_flush_leftover_rows"), Some(12));
        assert_eq!(value(text, "usrlocd_flush_leftover"), None);
    }
}
