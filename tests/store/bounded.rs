//! A store that is far behind: what waits for it is bounded by the rows there are, not by their changes.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::oracle::{PATIENCE, list};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools};

const ROWS: usize = 20_000;

/// How often each row changes before the memory is that of a daemon at work.
const FIRST: usize = 8;

/// How often each row changes after that. If each change waited, that were some hundred megabytes.
const ROUNDS: usize = 15;

/// How many of the last rounds are looked at: what an allocator has not given back yet comes and goes.
const LAST: usize = 3;

/// KiB that they may add to the memory of usrlocd.
const GROWTH: u64 = 48 << 10;

/// Somebody who has locked the store.
struct Locker {
    sqlite: Child,
    input: ChildStdin,
}

impl Locker {
    fn of(daemon: &Daemon) -> Self {
        let mut sqlite = Command::new(tools::program("sqlite3"))
            .arg(daemon.store())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("sqlite3 starts");
        let mut input = sqlite.stdin.take().expect("the input is a pipe");
        let sql = b".timeout 10000\nbegin exclusive;\n";
        input.write_all(sql).expect("sqlite3 reads");
        Self { sqlite, input }
    }

    fn ends(mut self) {
        drop(self.input);
        self.sqlite.wait().expect("an own child");
    }
}

/// Changes each row, and waits until that shows.
fn round(kamailio: &Kamailio, daemon: &Daemon, number: usize) {
    let sql = format!(
        "update location set cseq = {number}, last_modified = last_modified + 1.0 / 86400, \
         user_agent = 'Phone {number}'"
    );
    Table::at(kamailio.database()).query(&sql);
    eventually("the round shows", PATIENCE, || {
        let last = list(daemon, "/v2/accounts/acme.example.com/registrations/last");
        let cseq = last[0]["cseq"].as_u64();
        holds(cseq == Some(number as u64), || {
            format!("{cseq:?} of {number}")
        })
    });
}

#[test]
fn what_waits_for_a_locked_store_is_bounded_and_not_lost() {
    let mut kamailio = Kamailio::builder().start();
    Phone::new(&kamailio, "last", "acme.example.com").register();
    kamailio.stop();
    let columns = "username, domain, contact, path, expires, q, callid, cseq, last_modified, flags, cflags, \
                   user_agent, socket, methods, server_id, connection_id, keepalive, partition";
    let others = columns.replace("username", "'user' || value").replace(
        "contact",
        "'sip:user' || value || '@192.0.2.1:5060;line=' || hex(zeroblob(20))",
    );
    Table::at(kamailio.database()).query(&format!(
        "pragma journal_mode = wal; \
         insert into location (ruid, {columns}) with recursive number(value) as \
         (select 1 union all select value + 1 from number where value < {}) \
         select 'uloc-made-' || value, {others} from location, number",
        ROWS - 1
    ));
    let mut daemon = Daemon::builder(&kamailio).start();
    let shown = |count: usize| {
        eventually("all rows are shown", PATIENCE, || {
            let answer = daemon.get("/v2/registrations/count").json();
            holds(answer["data"]["count"] == count, || answer.to_string())
        });
    };
    shown(ROWS);
    let locker = Locker::of(&daemon);
    let memory: Vec<_> = (2..2 + FIRST + ROUNDS)
        .map(|number| {
            round(&kamailio, &daemon, number);
            daemon.process().resident()
        })
        .collect();
    super::said(&daemon, "serving registrations from memory only");
    let before = memory[..FIRST].iter().max();
    let after = memory[memory.len() - LAST..].iter().min();
    let grown = after
        .zip(before)
        .map(|(it, before)| it.saturating_sub(*before));
    assert!(
        grown.is_some_and(|grown| grown < GROWTH),
        "KiB after each round of {ROWS} changes: {memory:?}"
    );
    // Some go while nothing can be written of it.
    Table::at(kamailio.database()).query("delete from location where ruid like '%7'");
    let left = Table::at(kamailio.database()).query("select count(*) from location");
    shown(left.trim().parse().expect("a number"));
    locker.ends();
    super::said(&daemon, "the store can be written again");
    let rows =
        Table::at(kamailio.database()).query("select cast(ruid as text), cseq from location");
    let mut in_table: Vec<_> = rows.lines().collect();
    in_table.sort_unstable();
    eventually("the store has every row", PATIENCE, || {
        let stored = super::stored(&daemon.store());
        holds(stored == in_table, || {
            format!("{} of {} rows", stored.len(), in_table.len())
        })
    });
    assert!(daemon.stop().success());
}
