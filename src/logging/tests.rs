use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use super::*;
use crate::flush::AUDIT;

/// What is written, for all to read.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What the program says in these tests.
fn say() {
    let cause = io::Error::other("no disk");
    let error = &cause as &dyn std::error::Error;
    tracing::warn!(error, tries = 3, "cannot write \"it\"");
    tracing::info!(target: AUDIT, token = "ops", flushed = 2_u64, none = None::<&str>, "flushed registrations");
    tracing::info!(ok = true, "ready");
}

/// Each line without its time.
fn lines_of(written: &Written) -> Vec<String> {
    let text = written.text();
    let lines = text.lines();
    lines
        .map(|line| {
            line.split_once(' ')
                .expect("a time stands first")
                .1
                .to_owned()
        })
        .collect()
}

#[test]
fn levels_are_read_as_the_configuration_allows_them() {
    for level in ["info", "off", "warn,usrlocd::http=debug"] {
        assert!(targets(level).is_ok(), "{level}");
    }
    assert!(targets("usrlocd=loud").is_err());
}

#[test]
fn the_level_changes_while_the_filter_is_in_use() {
    let (filter, handle) = reload::Layer::new(targets("info").unwrap());
    let handle = Handle { filter: handle };
    let subscriber = tracing_subscriber::registry().with(filter);
    tracing::subscriber::with_default(subscriber, || {
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        handle.set_level("debug").unwrap();
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert!(handle.set_level("x=y").is_err());
    });
}

#[test]
fn text_has_the_audit_at_notice() {
    let written = Written::default();
    let writer = written.clone();
    let layer = fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .event_format(format::Text);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
    let expected = [
        "  WARN usrlocd::logging::tests: cannot write \"it\" error=no disk tries=3",
        "NOTICE usrlocd::audit: flushed registrations token=\"ops\" flushed=2",
        "  INFO usrlocd::logging::tests: ready ok=true",
    ];
    assert_eq!(lines_of(&written), expected);
}

/// What a phone sends neither steers the terminal nor makes a line of its own.
#[test]
fn text_is_harmless() {
    let written = Written::default();
    let writer = written.clone();
    let layer = fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .event_format(format::Text);
    let aor = "a\u{202e}b\u{200b}\u{9b}31m\n2026-11-30T00:00:00Z ERROR usrlocd: forged";
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(%aor, user = aor, "said {aor}");
    });
    let text = written.text();
    assert!(
        text.contains("\\u{202e}") && text.contains("\\u{200b}"),
        "{text}"
    );
    assert!(!text.contains(['\u{202e}', '\u{200b}', '\u{9b}']), "{text}");
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("2026-11-30T00"))
            .count(),
        0
    );
}

#[test]
fn json_is_an_object_a_line() {
    let written = Written::default();
    let writer = written.clone();
    let layer = fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .event_format(format::Json);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
    let mut objects = Vec::new();
    for line in written.text().lines() {
        let mut object: serde_json::Value = serde_json::from_str(line).unwrap();
        let time = object.as_object_mut().unwrap().remove("timestamp");
        let time = time.expect("each line has its time");
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        objects.push(object);
    }
    let expected = [
        serde_json::json!({"level": "WARN", "target": "usrlocd::logging::tests", "message": "cannot write \"it\"", "error": "no disk", "tries": 3}),
        serde_json::json!({"level": "NOTICE", "target": "usrlocd::audit", "message": "flushed registrations", "token": "ops", "flushed": 2}),
        serde_json::json!({"level": "INFO", "target": "usrlocd::logging::tests", "message": "ready", "ok": true}),
    ];
    assert_eq!(objects, expected);
}

#[test]
fn each_line_of_an_error_has_its_priority() {
    assert_eq!(marked("f:1:1: a\nf:2:1: b"), "<3>f:1:1: a\n<3>f:2:1: b");
    assert_eq!(as_error("a"), "a", "no test runs under systemd");
}

/// The fields of a datagram in the journal's format, each value with its length before it.
fn fields(mut datagram: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|byte| *byte == b'\n').unwrap();
        let (name, rest) = datagram.split_at(end);
        let (length, rest) = rest[1..].split_at(8);
        let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
        let (value, rest) = rest.split_at(length);
        assert_eq!(rest[0], b'\n');
        datagram = &rest[1..];
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found.push((text(name), text(value)));
    }
    found
}

#[test]
fn the_journal_has_fields_and_priorities() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    assert!(Journal::open(&path).is_err(), "nobody listens yet");
    let socket = UnixDatagram::bind(&path).unwrap();
    let layer = Journal::open(&path).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        say();
        tracing::error!("{}", "x".repeat(1 << 20));
        tracing::debug!("small");
    });
    let next = || {
        let mut bytes = vec![0; 1 << 20];
        let length = socket.recv(&mut bytes).unwrap();
        fields(&bytes[..length])
    };
    let has = |entry: &[(String, String)], name: &str, value: &str| {
        let one = (name.to_owned(), value.to_owned());
        assert!(entry.contains(&one), "no {name}={value} in {entry:?}");
    };
    assert_eq!(next(), [], "the look whether somebody listens");
    let warning = next();
    has(&warning, "PRIORITY", "4");
    has(
        &warning,
        "MESSAGE",
        "cannot write \"it\" error=\"no disk\" tries=3",
    );
    has(&warning, "USRLOCD_ERROR", "no disk");
    has(&warning, "SYSLOG_IDENTIFIER", "usrlocd");
    has(&warning, "TARGET", "usrlocd::logging::tests");
    has(&warning, "CODE_FILE", file!());
    let audit = next();
    has(&audit, "PRIORITY", "5");
    has(
        &audit,
        "MESSAGE",
        "flushed registrations token=ops flushed=2",
    );
    has(&audit, "USRLOCD_TOKEN", "ops");
    has(&audit, "USRLOCD_FLUSHED", "2");
    let ready = next();
    has(&ready, "PRIORITY", "6");
    has(&ready, "USRLOCD_OK", "true");
    // A line that fits into no datagram is cut, not lost.
    let long = next();
    has(&long, "PRIORITY", "3");
    assert!(
        long.iter()
            .any(|(name, text)| name == "MESSAGE" && text.ends_with("x…"))
    );
    has(&next(), "PRIORITY", "7");
}
