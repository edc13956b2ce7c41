//! SQLite's WAL-reset bug (<https://sqlite.org/wal.html#the_wal_reset_bug>): a version that has it can lose a commit, or
//! damage a database in WAL mode, when one connection starts the log over while another commits.

use std::fmt;

use super::findings::{Findings, Group};
use super::remedies::Site;
use crate::sqlite_file::Inspection;

/// The first version that has the bug, and the first that never has it.
const FIRST: SqliteVersion = SqliteVersion(3_007_000);
const MENDED: SqliteVersion = SqliteVersion(3_051_003);

/// Older lines that have got the remedy: from this version on, before that one.
const ALSO_MENDED: [(SqliteVersion, SqliteVersion); 2] = [
    (SqliteVersion(3_044_006), SqliteVersion(3_045_000)),
    (SqliteVersion(3_050_007), SqliteVersion(3_051_000)),
];

/// A version of SQLite as the database's header has it: `3040001` is 3.40.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct SqliteVersion(u32);

impl SqliteVersion {
    fn has_wal_reset_bug(self) -> bool {
        let is_mended = |(from, before): &(Self, Self)| (*from..*before).contains(&self);
        (FIRST..MENDED).contains(&self) && !ALSO_MENDED.iter().any(is_mended)
    }
}

impl fmt::Display for SqliteVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number) = self;
        let (major, minor, patch) = (number / 1_000_000, number / 1000 % 1000, number % 1000);
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Warns of a database in WAL mode whose last writer has the bug.
pub(super) fn check(site: &Site, inspection: &Inspection, findings: &mut Findings) {
    // A header that is newer in the log than in the file shows that SQLite has been updated meanwhile, or was mended.
    let writers = [inspection.writer, inspection.committed_writer].map(SqliteVersion);
    if !inspection.wal || !writers.iter().all(|it| it.has_wal_reset_bug()) {
        return;
    }
    let message = format!(
        "SQLite {}, which last wrote this database, has the WAL-reset bug: a commit can be lost, or the file damaged, when one process resets the log while another commits. It is rare and takes several writing processes, as in db_mode 1 and 3; in db_mode 2 it hardly ever happens. 3.51.3, 3.50.7 and 3.44.6 do not have it. Without an update a rollback journal (pragma journal_mode=delete while Kamailio is stopped) is safe and only costs Kamailio speed: usrlocd takes no lock in either mode. Update SQLite, and restart Kamailio:",
        writers[0]
    );
    let remedy = [
        "apt-get install --only-upgrade libsqlite3-0".to_owned(),
        format!("systemctl restart {}", site.service),
    ];
    findings.warn(Group::Database, "sqlite_version", message, remedy);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_the_bug_are_known() {
        let has = |number| SqliteVersion(number).has_wal_reset_bug();
        for number in [
            3_007_000, 3_034_001, 3_040_001, 3_044_005, 3_045_000, 3_046_001, 3_050_006, 3_051_000,
            3_051_002,
        ] {
            assert!(has(number), "{number}");
        }
        for number in [
            0, 3_006_023, 3_044_006, 3_044_010, 3_050_007, 3_050_012, 3_051_003, 3_053_004,
            4_000_000,
        ] {
            assert!(!has(number), "{number}");
        }
        assert_eq!(SqliteVersion(3_040_001).to_string(), "3.40.1");
        assert_eq!(SqliteVersion(3_053_014).to_string(), "3.53.14");
    }
}
