//! What `sqlite3` reads from Kamailio's tables: the oracle that the API is compared with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{eventually, holds, tools};

/// The files of a database, as suffixes of its name. `-shm` is made anew from `-wal`.
const FILES: [&str; 3] = ["", "-wal", "-journal"];

pub(super) const TEXTS: [&str; 11] = [
    "ruid",
    "username",
    "domain",
    "contact",
    "received",
    "path",
    "callid",
    "user_agent",
    "socket",
    "instance",
    "methods",
];
pub(super) const NUMBERS: [&str; 8] = [
    "expires",
    "last_modified",
    "q",
    "cseq",
    "flags",
    "cflags",
    "reg_id",
    "server_id",
];

/// A database that nobody else has open, read and written through the `sqlite3` program.
#[derive(Debug)]
pub(crate) struct Table {
    file: PathBuf,
    _folder: Option<TempDir>,
}

/// A row of a usrloc table with its attributes; texts as the bytes that they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    texts: BTreeMap<&'static str, Option<Vec<u8>>>,
    numbers: BTreeMap<&'static str, f64>,
    /// The attributes by name.
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
}

/// The lock of a writer, which nobody else gets meanwhile.
#[derive(Debug)]
pub(crate) struct Lock {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Its end takes the transaction back.
        drop(self.input.take());
        let _ended = self.child.wait();
    }
}

impl Table {
    /// A database in place.
    pub(crate) fn at(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            _folder: None,
        }
    }

    /// A copy of a database that others may have open. It is read as bytes, without a lock, and taken when two
    /// readings are the same; so the writer must come to rest.
    pub(crate) fn copy_of(file: &Path) -> Self {
        let folder = TempDir::with_prefix("usrlocd-table-").expect("a temporary directory");
        let copy = folder.path().join("copy.sqlite");
        let bytes = eventually("the tables come to rest", Duration::from_secs(10), || {
            let bytes = read_all(file);
            holds(bytes == read_all(file), || "they change".to_owned()).map(|()| bytes)
        });
        for (suffix, bytes) in FILES.iter().zip(bytes) {
            if let Some(bytes) = bytes {
                fs::write(with_suffix(&copy, suffix), bytes).expect("an own directory is writable");
            }
        }
        Self {
            file: copy,
            _folder: Some(folder),
        }
    }

    /// Its file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// What `sqlite3` prints for a statement; NULL is printed as nothing.
    ///
    /// # Panics
    ///
    /// When the statement fails.
    pub(crate) fn query(&self, sql: &str) -> String {
        let mut child = Command::new(tools::program("sqlite3"))
            .args(["-batch", "-bail", "-noheader", "-separator", "|"])
            .arg(&self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sqlite3 starts");
        let mut input = child.stdin.take().expect("the input is a pipe");
        input
            .write_all(format!("{sql};\n").as_bytes())
            .expect("sqlite3 reads its input");
        drop(input);
        let output = child.wait_with_output().expect("sqlite3 ends");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "sqlite3 {}: {}",
            self.file.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("the lab asks for numbers and hexadecimal digits")
    }

    /// Holds the lock of a writer, as somebody in the middle of a transaction does, until the value is dropped.
    ///
    /// # Panics
    ///
    /// When somebody else holds it.
    pub(crate) fn lock(&self) -> Lock {
        let mut child = Command::new(tools::program("sqlite3"))
            .args(["-batch", "-bail", "-noheader"])
            .arg(&self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3 starts");
        let mut input = child.stdin.take().expect("the input is a pipe");
        input
            .write_all(b"begin immediate;\nselect 'held';\n")
            .expect("sqlite3 reads its input");
        let mut said = [0; 5];
        let output = child.stdout.as_mut().expect("the output is a pipe");
        output.read_exact(&mut said).expect("sqlite3 gets the lock");
        Lock {
            child,
            input: Some(input),
        }
    }

    /// All rows of a usrloc table, also those that are over, by username, domain and contact.
    pub(crate) fn rows_of(&self, table: &str) -> Vec<Row> {
        let texts = TEXTS.map(|column| {
            format!("case when {column} is null then '-' else hex(cast({column} as blob)) end")
        });
        let numbers = NUMBERS.map(|column| format!("printf('%!.17g', {column})"));
        let columns = [texts.as_slice(), numbers.as_slice()].concat().join(", ");
        let rows = self.query(&format!(
            "select {columns} from {table} order by username, domain, contact, ruid"
        ));
        let attributes = self.query(&format!(
            "select hex(cast(ruid as blob)), hex(cast(aname as blob)), hex(cast(avalue as blob)) from {table}_attrs order by id",
        ));
        self::rows(&rows, &attributes)
    }
}

/// The rows that lines of [`TEXTS`] (in hexadecimal digits) and [`NUMBERS`] stand for, with the attributes that lines of
/// ruid, name and value do.
pub(super) fn rows(lines: &str, attributes: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = lines.lines().map(parse).collect();
    for line in attributes.lines() {
        let mut fields = line.split('|').map(unhex);
        let mut next = || fields.next().expect("three columns were asked for");
        let (ruid, name, value) = (next(), next(), next());
        if let Some(row) = rows
            .iter_mut()
            .find(|row| row.texts["ruid"].as_deref() == Some(&ruid))
        {
            row.attributes
                .insert(String::from_utf8_lossy(&name).into_owned(), value);
        }
    }
    rows
}

impl Row {
    /// The bytes of a text column, `None` where it is NULL.
    pub(crate) fn bytes(&self, column: &str) -> Option<&[u8]> {
        self.texts[column].as_deref()
    }

    /// A text column, with U+FFFD for what is no UTF-8, and nothing where it is NULL.
    pub(crate) fn text(&self, column: &str) -> String {
        String::from_utf8_lossy(self.bytes(column).unwrap_or_default()).into_owned()
    }

    pub(crate) fn number(&self, column: &str) -> f64 {
        self.numbers[column]
    }

    /// A whole number.
    pub(crate) fn integer(&self, column: &str) -> i64 {
        whole(self.number(column))
    }

    /// A column of time in Unix seconds; 0 stands for "never" where the column is `expires`.
    pub(crate) fn time(&self, column: &str) -> i64 {
        let value = self.number(column);
        whole(((value - 2_440_587.5) * 86_400.0 + 0.5).round())
    }

    /// The address of record, in the form that Kamailio's commands want.
    pub(crate) fn aor(&self) -> Vec<u8> {
        let username = self.bytes("username").unwrap_or_default();
        match self.bytes("domain") {
            None => username.to_vec(),
            Some(domain) => [username, b"@", domain].concat(),
        }
    }
}

fn parse(line: &str) -> Row {
    let mut fields = line.split('|');
    let mut next = || fields.next().expect("as many fields as columns");
    let texts = TEXTS.map(|column| match next() {
        "-" => (column, None),
        digits => (column, Some(unhex(digits))),
    });
    let numbers = NUMBERS.map(|column| (column, next().parse().expect("a number")));
    Row {
        texts: texts.into(),
        numbers: numbers.into(),
        attributes: BTreeMap::new(),
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    hex::decode(digits).expect("sqlite3 prints hexadecimal digits")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of the tables are far below 2^53"
)]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

fn read_all(file: &Path) -> [Option<Vec<u8>>; 3] {
    FILES.map(|suffix| fs::read(with_suffix(file, suffix)).ok())
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
