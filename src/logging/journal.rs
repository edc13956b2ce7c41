//! Lines to systemd's journal, with their fields (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
//!
//! The sentence of an entry has the fields behind it, since `journalctl` shows nothing else; each is also a field of
//! its own, `USRLOCD_` before its name, to be searched for.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::fields::{Fields, plain};
use super::severity::Severity;

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The program's name in the journal.
const IDENTIFIER: &str = "usrlocd";

/// Stands before the names of our fields, so that none is taken for one of systemd's.
const PREFIX: &str = "USRLOCD_";

/// Bytes of a value: with some of these an entry still fits into a datagram (`net.core.wmem_default` is above 200 KiB).
const MOST: usize = 32 << 10;

/// Writes to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Looks whether somebody listens: an empty datagram is none of the journal's entries.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.send_to(&[], path)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        // If the log itself cannot be written there is nowhere to report it.
        let _ = self.socket.send_to(&entry(event), &self.path);
    }
}

fn entry(event: &Event<'_>) -> Vec<u8> {
    let metadata = event.metadata();
    let fields = Fields::of(event);
    let mut entry = Vec::with_capacity(512);
    put(&mut entry, "PRIORITY", Severity::of(metadata).priority());
    put(&mut entry, "SYSLOG_IDENTIFIER", IDENTIFIER);
    put(&mut entry, "MESSAGE", &fields.sentence());
    put(&mut entry, "TARGET", metadata.target());
    if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
        put(&mut entry, "CODE_FILE", file);
        put(&mut entry, "CODE_LINE", &line.to_string());
    }
    for (name, value) in &fields.others {
        put(&mut entry, &field_name(name), &plain(value));
    }
    entry
}

/// Capitals, digits and underscores are what the journal takes.
fn field_name(name: &str) -> String {
    let good = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    PREFIX.chars().chain(name.chars().map(good)).collect()
}

/// A field: its name, the length of its value, its value.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    let end = value.floor_char_boundary(MOST);
    let rest = if end < value.len() { "…" } else { "" };
    let length = (end + rest.len()) as u64;
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(&value.as_bytes()[..end]);
    entry.extend_from_slice(rest.as_bytes());
    entry.push(b'\n');
}
