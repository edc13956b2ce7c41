//! What a flush costs, and what earlier ones have left.

use std::time::Duration;

use super::{examine, says};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

#[test]
fn what_a_flush_costs_is_said_where_kamailio_writes_through() {
    for mode in [1, 3] {
        let kamailio = Kamailio::builder().db_mode(mode).start();
        let daemon = Daemon::builder(&kamailio).start();
        let (report, _) = examine(&daemon, &[]);
        says(&report, "flush_cost", "note", "db_mode 2 avoids this");
        says(&report, "flush_cost", "note", "db_set_busy_timeout");
        says(
            &report,
            "flush_leftover_rows",
            "ok",
            "No flushed registration",
        );
    }
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let report = examine(&daemon, &[]).0.to_string();
    assert!(!report.contains("flush_cost"), "{report}");
}

#[test]
fn rows_that_a_flush_left_are_shown_with_the_end_of_the_danger() {
    let mut kamailio = Kamailio::builder().db_mode(1).start();
    kamailio.stop();
    kamailio.sql("create trigger keep before delete on location begin select raise(ignore); end");
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut phone = Phone::new(&kamailio, b"alice", "acme.example.com");
    phone.register();
    let path = "/v2/accounts/acme.example.com/registrations";
    let patience = Duration::from_secs(30);
    eventually("it is listed", patience, || {
        let count = daemon.get(path).json()["data"]
            .as_array()
            .map_or(0, Vec::len);
        holds(count == 1, || count.to_string())
    });
    assert_eq!(daemon.delete(path).status, 502);
    eventually("the daemon counts it", patience, || {
        let text = daemon.get("/metrics").text();
        let is_there = text.contains("usrlocd_flush_leftover_rows 1\n");
        holds(is_there, || text)
    });
    let (report, _) = examine(&daemon, &[]);
    says(&report, "flush_leftover_rows", "warn", "1 row of flushed");
    says(
        &report,
        "flush_leftover_rows",
        "warn",
        "A restart of Kamailio before 2",
    );
}
