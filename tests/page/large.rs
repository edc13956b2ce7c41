//! A table of more phones than can register in a test's time, in which 200 rows change each second. Its file is a copy of
//! Kamailio's, so the schema is Kamailio's own.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::table::Table;
use crate::support::tools;

/// So many of the rows are on the screen.
const SHOWN: u64 = 100;

/// The columns that a row needs to be listed.
const COLUMNS: &str =
    "ruid, username, domain, contact, received, expires, last_modified, callid, user_agent, socket";

/// The table, and a usrlocd that follows it.
#[derive(Debug)]
pub(super) struct Large {
    daemon: Daemon,
    writer: Writer,
    rows: u64,
    turn: u64,
    _table: Table,
}

/// Has the table open all the time, as Kamailio has: the log of a table that everybody has closed goes.
#[derive(Debug)]
struct Writer {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Large {
    /// A table of `rows` phones.
    pub(super) fn start(kamailio: &Kamailio, rows: u64) -> Self {
        let table = Table::copy_of(kamailio.database());
        let numbers = format!(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})"
        );
        let made = values("i");
        table.query(&format!(
            "pragma journal_mode = wal; begin; delete from location; delete from location_attrs; \
             {numbers} insert into location (id, {COLUMNS}) select i, {made} from n; commit"
        ));
        let writer = Writer::of(&table);
        let daemon = Daemon::builder(kamailio).database(table.file()).start();
        Self {
            daemon,
            writer,
            rows,
            turn: 0,
            _table: table,
        }
    }

    /// Where its page is.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.daemon.address())
    }

    /// A tenth of a second's changes: phones move, here and there and on the screen; one goes, and another comes.
    pub(super) fn change(&mut self) {
        self.turn += 1;
        let turn = self.turn;
        let mut sql = "begin".to_owned();
        for at in 0..18 {
            let id = if at < 2 {
                (turn * 37 + at * 11) % SHOWN + 1
            } else {
                (turn * 7919 + at * 104_729) % self.rows + 1
            };
            let address = format!(
                "198.51.100.{}:{}",
                turn % 250,
                1024 + at + 20 * (turn % 3000)
            );
            write!(
                sql,
                "; update location set received = 'sip:{address}' where id = {id}"
            )
            .expect("a String takes all");
        }
        let (gone, come) = (turn * 13 % SHOWN + 1, self.rows + turn);
        let made = values(&come.to_string());
        write!(
            sql,
            "; delete from location where id = {gone}; insert into location (id, {COLUMNS}) select {come}, {made}; \
             update location set username = 'u' || printf('%07d', {gone}) where id = {come}; commit"
        )
        .expect("a String takes all");
        self.writer.run(&sql);
    }
}

impl Writer {
    fn of(table: &Table) -> Self {
        let mut child = Command::new(tools::program("sqlite3"))
            .args(["-batch", "-bail"])
            .arg(table.file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3 starts");
        let input = child.stdin.take().expect("the input is a pipe");
        let output = child.stdout.take().expect("the output is a pipe");
        let output = BufReader::new(output).lines();
        let mut writer = Self {
            child,
            input,
            output,
        };
        writer.run("pragma synchronous = normal");
        writer
    }

    /// Returns when it is done.
    fn run(&mut self, sql: &str) {
        writeln!(self.input, "{sql};\nselect 'done';").expect("sqlite3 reads its input");
        let answer = self.output.next().expect("sqlite3 goes on");
        assert_eq!(answer.expect("its output can be read"), "done");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What a phone's row holds, as SQL of its number: users in the order of the numbers.
fn values(number: &str) -> String {
    let address = format!("'192.0.2.' || ({number} % 250) || ':' || (1024 + {number} % 60000)");
    format!(
        "'uloc-large-' || {number}, 'u' || printf('%07d', {number}), 'realm' || ({number} % 50) || '.test', \
         'sip:u@' || {address}, 'sip:' || {address}, julianday('now', '+1 day'), julianday('now'), \
         'call-' || {number}, 'Phone ' || ({number} % 9), 'udp:192.0.2.1:5060'"
    )
}
