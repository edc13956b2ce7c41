//! The store against real files.

mod content;
mod files;
mod hiding;
mod reading;
mod shapes;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::own_database::copies_aside;
use crate::registration::{Attributes, Binding, Expiry, Number, Ruid};

const NOW: i64 = 1_795_000_000;

fn key(ruid: &str) -> Key {
    Key {
        table: "location".into(),
        ruid: ruid.into(),
    }
}

fn registration(number: u32) -> Stored {
    let ruid = format!("uloc-6543-1a2b-{number:x}");
    let user = format!("user{number}");
    let attributes = [
        ("token", format!("{number:032x}@{:032x}", number % 1000)),
        (
            "custom_channel_vars",
            format!(
                r#"{{"Account-ID":"{:032x}","Username":"{user}","Authorizing-Type":"device","Owner-ID":"{number:032x}"}}"#,
                number % 1000
            ),
        ),
    ];
    Stored {
        binding: Arc::new(Binding {
            key: key(&ruid),
            username: user.as_str().into(),
            domain: Some("acme.example.com".into()),
            contact: format!("sip:{user}@192.0.2.17:5060;transport=udp")
                .as_str()
                .into(),
            received: Some("sip:203.0.113.9:1024".into()),
            path: None,
            expiry: Expiry::At(NOW + 3600),
            last_modified: NOW,
            q: Some(0.5),
            call_id: Some(format!("{number}@192.0.2.17").as_str().into()),
            cseq: Number::new(7),
            flags: Number::new(0),
            cflags: Number::new(2),
            user_agent: Some("Yealink SIP-T46S 66.85.0.5".into()),
            socket: Some("udp:127.0.0.1:5060".into()),
            methods: Number::new(5087),
            instance: Some("<urn:uuid:00000000-0000-1000-8000-000A95A0E128>".into()),
            reg_id: Number::new(1),
            server_id: Number::new(0),
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).into(), value.as_str().into()))
                .collect(),
        }),
        refreshes: 3,
        first_registration: NOW - 100,
        account: Some(format!("{:032x}", number % 1000).as_str().into()),
    }
}

fn upserts(upserts: Vec<Stored>) -> Batch {
    Batch {
        upserts,
        ..Batch::default()
    }
}

fn hidden(ruid: &str) -> Hidden {
    Hidden {
        key: key(ruid),
        fingerprint: u64::MAX - 1,
        at: NOW,
    }
}

fn record(at: i64) -> AuditRecord {
    AuditRecord {
        at,
        token: "ops".into(),
        client: "127.0.0.1".into(),
        request_id: "r1".into(),
        account: Some("acme".into()),
        username: None,
        filters: "filter_user_agent=X".into(),
        event: None,
        done: 3,
        failed: 1,
        ended: Some(at),
    }
}

fn temporary() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("made/usrlocd.db");
    (directory, path)
}

/// A store with one registration, closed; for tests that then harm it.
async fn closed_store() -> (TempDir, PathBuf) {
    let (directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store
        .apply(&upserts((0..200).map(registration).collect()))
        .await
        .unwrap();
    store.close().await;
    drop(store);
    (directory, path)
}

/// The store is set aside when it is opened or loaded, is empty then, and works.
async fn assert_begun_anew(path: &Path) {
    let store = Store::open(path, NOW).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Contents::default());
    assert_eq!(copies_aside(path).len(), 1);
    let one = registration(1);
    store.apply(&upserts(vec![one.clone()])).await.unwrap();
    assert_eq!(store.load().await.unwrap().registrations, [one]);
}

async fn pragma(store: &Store, sql: &'static str) {
    store.execute(sql).await;
}

/// SQLite up to 3.51.2 can lose what was committed to a write-ahead log (<https://sqlite.org/wal.html#the_wal_reset_bug>).
/// The store writes one; an older `libsqlite3-sys` would bring the bug back without a word.
#[tokio::test]
async fn our_sqlite_resets_its_log_safely() {
    use sqlx::Connection;
    let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:")
        .await
        .unwrap();
    let version: String = sqlx::query_scalar("select sqlite_version()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let numbers: Vec<u32> = version
        .split('.')
        .map(|part| part.parse().unwrap())
        .collect();
    assert!(numbers >= vec![3, 51, 3], "{version}");
}
