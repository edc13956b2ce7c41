//! Clocks: whether somebody sets this machine's, and whether Kamailio's is the same.

use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::findings::{Findings, Group};
use crate::clock::{Clock, SystemClock};

const GROUP: Group = Group::Clock;

/// What systemd-timesyncd makes once the clock is right, and that it runs at all.
const SYNCHRONISED: &str = "run/systemd/timesync/synchronized";
const TIMESYNC: &str = "run/systemd/timesync";

/// What other programs that set the clock keep while they run.
const OTHERS: [(&str, &str); 6] = [
    ("run/chrony/chronyd.pid", "chrony"),
    ("run/chronyd.pid", "chrony"),
    ("run/chrony/chronyd.sock", "chrony"),
    ("run/ntpd.pid", "ntpd"),
    ("run/openntpd.pid", "openntpd"),
    ("run/ntpd-rs/observe", "ntpd-rs"),
];

/// By how many seconds the clocks may differ: Kamailio's moves on by whole seconds, and an answer takes its time.
const SLACK: i64 = 3;

/// Time zones differ by quarters of an hour.
const QUARTER: i64 = 900;

/// Checks who sets the clock of the machine whose root directory is `root`.
pub(super) fn check(root: &Path, findings: &mut Findings) {
    let check = "clock_set";
    let is_there = |file: &str| root.join(file).exists();
    if is_there(SYNCHRONISED) {
        findings.ok(
            GROUP,
            check,
            "systemd-timesyncd synchronizes this machine's clock.",
        );
    } else if let Some((_, name)) = OTHERS.iter().find(|(file, _)| is_there(file)) {
        findings.ok(
            GROUP,
            check,
            format!("{name} synchronizes this machine's clock."),
        );
    } else if is_there(TIMESYNC) {
        let message = "systemd-timesyncd is running but has not set the clock yet. With a wrong clock registrations expire early or late. Does it reach its servers?";
        let remedy =
            ["timedatectl timesync-status; journalctl -u systemd-timesyncd -n 20".to_owned()];
        findings.warn(GROUP, check, message, remedy);
    } else {
        let message = "Found nothing that synchronizes this machine's clock (systemd-timesyncd, chrony, ntpd). In a container or virtual machine the host may do it; otherwise install one.";
        findings.note(GROUP, check, message);
    }
}

/// Compares Kamailio's clock, as `core.uptime` writes it (`Tue Nov 24 04:20:11 2026`, in its own time zone), with ours.
pub(super) fn compare(kamailio: &str, findings: &mut Findings) {
    let check = "clock_kamailio";
    let now = SystemClock::new().unix_seconds();
    let Some(apart) = apart(kamailio, now) else {
        return;
    };
    if apart.abs() <= SLACK {
        let message = "Kamailio's clock and this machine's clock agree.";
        findings.ok(GROUP, check, message);
    } else {
        let message = format!(
            "Kamailio's clock is {} s {} this machine's. Kamailio runs on another machine, one of the two clocks is wrong, and registrations are listed for too long or not long enough. On both:",
            apart.abs(),
            if apart > 0 { "ahead of" } else { "behind" }
        );
        let remedy = ["timedatectl timesync-status; chronyc tracking".to_owned()];
        findings.warn(GROUP, check, message, remedy);
    }
}

/// By how many seconds a local time of an unknown zone is ahead of the Unix second `now`.
fn apart(local: &str, now: i64) -> Option<i64> {
    let words: Vec<&str> = local.split_whitespace().collect();
    let local = DateTime::strptime("%b %d %H:%M:%S %Y", words.get(1..)?.join(" ")).ok()?;
    let local = local.to_zoned_datetime(TimeZone::UTC).ok()?;
    let apart = (local.timestamp().as_second() - now).rem_euclid(QUARTER);
    Some(if apart > QUARTER / 2 {
        apart - QUARTER
    } else {
        apart
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn zones_do_not_count() {
        // 2026-11-24 04:20:11 UTC.
        let now = 1_795_494_011;
        assert_eq!(apart("Tue Nov 24 04:20:11 2026", now), Some(0));
        assert_eq!(apart("Tue Nov 24 09:50:13 2026\n", now), Some(2));
        assert_eq!(apart("Mon Nov 23 23:19:41 2026", now), Some(-30));
        assert_eq!(apart("Fri Jan  2 00:00:00 1970", 0), Some(0));
        assert_eq!(apart("yesterday", now), None);
    }

    #[test]
    fn who_sets_the_clock() {
        let root = tempfile::TempDir::new().unwrap();
        let marks = || {
            let mut findings = Findings::default();
            check(root.path(), &mut findings);
            (findings.counts(), findings.text("x"))
        };
        assert_eq!(marks().0, (0, 0), "nobody knows");
        fs::create_dir_all(root.path().join(TIMESYNC)).unwrap();
        assert_eq!(marks().0, (0, 1));
        fs::write(root.path().join(SYNCHRONISED), "").unwrap();
        assert!(marks().1.contains("systemd-timesyncd synchronizes"));
        let other = tempfile::TempDir::new().unwrap();
        fs::create_dir_all(other.path().join("run/chrony")).unwrap();
        fs::write(other.path().join("run/chrony/chronyd.pid"), "1").unwrap();
        let mut findings = Findings::default();
        check(other.path(), &mut findings);
        assert!(findings.text("x").contains("chrony synchronizes"));
    }
}
