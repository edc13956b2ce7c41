//! What stands in the tables.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{examine, says, statement};
use crate::oracle::lists;
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::tools;

/// A row of `location`, as Kamailio writes it, but for `expires` and what `columns` say.
fn row(ruid: &str, expires: &str, columns: &str, values: &str) -> String {
    format!(
        "insert into location (ruid, username, contact, expires, last_modified{columns}) values \
         ('{ruid}', 'u{ruid}', 'sip:{ruid}@192.0.2.1', {expires}, julianday('now') - 1{values});"
    )
}

fn of_acme(ruid: &str, expires: &str) -> String {
    row(ruid, expires, ", domain", ", 'acme.example.com'")
}

#[test]
fn odd_rows_and_a_stopped_kamailio_are_told() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    let soon = "julianday('now') + 0.1";
    kamailio.sql(&of_acme("now", soon));
    kamailio.sql(&of_acme("old", "julianday('now') - 1"));
    kamailio.sql(&of_acme("permanent", "2440587.499994212"));
    kamailio.sql(&of_acme("epoch", "strftime('%s', 'now') + 3600"));
    kamailio.sql(&row("nameless", soon, "", ""));
    kamailio.sql(&of_acme("twin", soon));
    kamailio.sql(
        "update location set username = 'unow', contact = 'sip:now@192.0.2.1' where ruid = 'twin'",
    );
    kamailio.sql(&of_acme("ahead", soon));
    kamailio.sql("update location set last_modified = julianday('now') + 1 where ruid = 'ahead'");
    kamailio.sql("insert into location_attrs (ruid, aname, avalue) values ('gone', 'token', 'x'), ('now', 'token', 'x')");
    kamailio.sql("update version set table_version = 8 where table_name = 'location'");
    let daemon = Daemon::builder(&kamailio).prepare();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    says(
        &report,
        "rows",
        "ok",
        "7 rows, 6 of them current, with 2 attributes",
    );
    says(&report, "zombies", "warn", "1 row expired");
    says(
        &report,
        "expires_type",
        "warn",
        "1 row has times as seconds",
    );
    says(&report, "use_domain", "warn", "1 of 7 rows have no domain");
    says(&report, "repeated", "warn", "1 row repeats a contact");
    says(&report, "clock", "warn", "1 row was written in the future");
    says(
        &report,
        "orphans",
        "warn",
        "1 row of attributes belongs to no contact",
    );
    says(&report, "version", "warn", "has 8 for location");
    says(&report, "jsonrpc", "fail", "cannot reach Kamailio");
    says(&report, "daemon", "fail", "does not answer");
}

#[test]
fn missing_column_is_an_error() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    kamailio.sql("alter table location drop column user_agent");
    let daemon = Daemon::builder(&kamailio).prepare();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    says(&report, "columns", "fail", "Missing: location.user_agent.");
    kamailio.sql(&of_acme("kept", "julianday('now') + 0.1"));
    kamailio.sql(&statement(&report, "columns"));
    let (report, _) = examine(&daemon, &[]);
    says(&report, "columns", "ok", "All columns are present");
    says(&report, "rows", "ok", "1 row, 1 of them current");
}

#[test]
fn a_missing_table_is_created_and_the_others_stay() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    kamailio.sql("create table subscriber (username text)");
    kamailio.sql("insert into subscriber values ('alice')");
    kamailio.sql("drop table location_attrs");
    let daemon = Daemon::builder(&kamailio).prepare();
    let (report, _) = examine(&daemon, &[]);
    says(&report, "columns", "fail", "Missing: location_attrs.");
    let script = fs::read_to_string(tools::schema("usrloc-create.sql")).expect("it is text");
    // As sqlite3 reads it from a pipe: what is there already is passed over.
    let mut sqlite3 = Command::new(tools::program("sqlite3"))
        .arg(kamailio.database())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut stdin = sqlite3.stdin.take().expect("it is piped");
    stdin.write_all(script.as_bytes()).expect("it reads");
    drop(stdin);
    sqlite3.wait().expect("it ends");
    says(&examine(&daemon, &[]).0, "columns", "ok", "All columns");
    assert_eq!(kamailio.sql("select * from subscriber").trim(), "alice");
}

/// Each row is counted and removed by the same rule, whatever form its time has and whatever its table.
#[test]
fn what_clears_rows_away_clears_those_that_are_counted() {
    let mut kamailio = Kamailio::builder().tables(&["location", "vip"]).start();
    kamailio.stop();
    for (ruid, expires) in [
        ("julian", "julianday('now') - 0.0075"),
        ("seconds", "strftime('%s', 'now') - 650"),
        ("text", "datetime('now', '-11 minutes')"),
        ("julian-fresh", "julianday('now') - 0.006"),
        ("seconds-fresh", "strftime('%s', 'now') - 500"),
        ("text-fresh", "datetime('now', '-8 minutes')"),
        ("permanent", "2440587.499994212"),
        ("permanent-seconds", "0"),
        ("current", "strftime('%s', 'now') + 100"),
    ] {
        let row = of_acme(ruid, expires);
        kamailio.sql(&row);
        kamailio.sql(&row.replace("into location ", "into vip "));
    }
    kamailio.sql(
        "insert into location_attrs (ruid, aname) values ('current', 'a'), ('gone', 'a'), ('julian', 'a');
         insert into vip_attrs (ruid, aname) values ('current', 'a'), ('gone', 'a')",
    );
    let daemon = Daemon::builder(&kamailio).prepare();
    let config = fs::read_to_string(daemon.config_file()).expect("it is ours");
    let both = "[kamailio]\ntable = [\"location\", \"vip\"]";
    let config = config.replace("[kamailio]", both);
    fs::write(daemon.config_file(), config).expect("it is ours");
    let (report, _) = examine(&daemon, &[]);
    says(&report, "zombies", "warn", "6 rows expired");
    says(&report, "orphans", "warn", "2 rows of attributes belong");
    kamailio.sql(&statement(&report, "zombies"));
    let (report, _) = examine(&daemon, &[]);
    says(&report, "rows", "ok", "12 rows, 6 of them current");
    says(&report, "orphans", "warn", "3 rows of attributes belong");
    kamailio.sql(&statement(&report, "orphans"));
    let (report, _) = examine(&daemon, &[]);
    says(&report, "rows", "ok", "with 2 attributes");
    let findings = report["findings"].as_array().expect("a list");
    let is_left = |check: &str| findings.iter().any(|it| it["check"] == check);
    assert!(!is_left("zombies") && !is_left("orphans"), "{report:#}");
}

#[test]
fn missing_index_matters_where_attributes_are_looked_up() {
    let mut kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let index = |mark, words| says(&examine(&daemon, &[]).0, "attributes_index", mark, words);
    index("note", "It has no rows either");
    let account = Account::new("ac", "Acme", "acme.example.com");
    let mut phone = Phone::of(&kamailio, &account.device("alice", 1));
    phone.register();
    lists(&daemon, "/v2/registrations", &[phone.contact_uri()]);
    index("warn", "(db_ops_ruid 1, the default) and reads all ");
    kamailio.stop();
    index("warn", "no index on ruid");
    kamailio.sql("create index location_attrs_ruid_idx on location_attrs (ruid)");
    index("ok", "have an index on ruid");
}

#[test]
fn versions_of_the_tables_are_compared() {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    let daemon = Daemon::builder(&kamailio).prepare();
    let version = |mark, words| says(&examine(&daemon, &[]).0, "version", mark, words);
    kamailio.sql("delete from version where table_name = 'location_attrs'");
    version("warn", "no row for location_attrs");
    kamailio.sql("delete from version");
    version("note", "is empty or missing");
    kamailio.sql("drop table version");
    version("note", "is empty or missing");
}
