//! What the running Kamailio says, and what its configuration says of it.

use super::{examine, says};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};

#[test]
fn db_mode_is_read_from_the_configuration_of_the_running_one() {
    for (mode, mark, words) in [
        (1, "ok", "writes each registration through"),
        (2, "ok", "writes back to the database by a timer"),
        (3, "warn", "in the database alone (db_mode 3"),
    ] {
        let kamailio = Kamailio::builder().db_mode(mode).start();
        let daemon = Daemon::builder(&kamailio).start();
        let (report, _) = examine(&daemon, &[]);
        says(&report, "db_mode", mark, words);
        says(&report, "db_mode", mark, "kamailio.cfg line ");
        says(&report, "clock_kamailio", "ok", "are the same");
    }
}

#[test]
fn workers_that_write_collide() {
    for (mode, journal, mark, words) in [
        (2, Journal::Rollback, "ok", "do not collide"),
        (1, Journal::Rollback, "warn", "phones get 500"),
        (1, Journal::Wal, "warn", "even in WAL mode"),
    ] {
        let kamailio = Kamailio::builder()
            .db_mode(mode)
            .children(2)
            .journal(journal);
        let kamailio = kamailio.start();
        let daemon = Daemon::builder(&kamailio).prepare();
        says(&examine(&daemon, &[]).0, "workers", mark, words);
    }
}
