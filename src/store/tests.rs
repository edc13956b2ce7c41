//! The store against real files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::registration::Text;
use crate::registration::{Attributes, Expiry, Ruid};

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
            cseq: Some(7),
            flags: Some(0),
            cflags: Some(2),
            user_agent: Some("Yealink SIP-T46S 66.85.0.5".into()),
            socket: Some("udp:127.0.0.1:5060".into()),
            methods: Some(5087),
            instance: Some("<urn:uuid:00000000-0000-1000-8000-000A95A0E128>".into()),
            reg_id: Some(1),
            server_id: Some(0),
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).into(), value.as_str().into()))
                .collect(),
        }),
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

fn record(at: i64) -> FlushRecord {
    FlushRecord {
        at,
        token: "ops".into(),
        client: "127.0.0.1".into(),
        request_id: "r1".into(),
        account: Some("acme".into()),
        username: None,
        filters: "filter_user_agent=X".into(),
        flushed: 3,
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
    (directory, path)
}

/// The store is set aside when it is opened or loaded, is empty then, and works.
async fn assert_begun_anew(path: &Path) {
    let store = Store::open(path, NOW).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Contents::default());
    assert_eq!(file::copies_aside(path).len(), 1);
    let one = registration(1);
    store.apply(&upserts(vec![one.clone()])).await.unwrap();
    assert_eq!(store.load().await.unwrap().registrations, [one]);
}

async fn pragma(store: &Store, sql: &'static str) {
    store.execute(sql).await;
}

#[tokio::test]
async fn file_and_directory_are_made_for_us_alone() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.apply(&upserts(vec![registration(1)])).await.unwrap();
    for file in [
        "usrlocd.db",
        "usrlocd.db-wal",
        "usrlocd.db-shm",
        "usrlocd.db.lock",
    ] {
        let mode = fs::metadata(path.with_file_name(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let directory = fs::metadata(path.parent().unwrap()).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn contents_survive_a_close() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store
        .apply(&upserts(vec![registration(1), registration(2)]))
        .await
        .unwrap();
    store.hide(&[hidden("uloc-1")]).await.unwrap();
    store.record_flush(None, &record(NOW)).await.unwrap();
    store.close().await;

    let store = Store::open(&path, NOW).await.unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(contents.registrations, [registration(1), registration(2)]);
    assert_eq!(contents.hidden, [hidden("uloc-1")]);
    assert_eq!(store.flushes(10).await.unwrap(), [record(NOW)]);
    assert!(file::copies_aside(&path).is_empty());
}

#[tokio::test]
async fn a_batch_may_come_twice() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store
        .apply(&upserts(vec![registration(1), registration(2)]))
        .await
        .unwrap();
    let batch = Batch {
        upserts: vec![registration(3)],
        removed: vec![key("uloc-6543-1a2b-1"), key("unknown")],
        departed: vec![Departed {
            account: Some("gone".into()),
            username: "user1".into(),
            domain: None,
            at: NOW,
        }],
        unhidden: vec![hidden("unknown")],
        forget_departed_before: NOW - 3600,
        as_of: Some(Duration::from_millis(1_795_000_000_123)),
        owners: None,
    };
    store.apply(&batch).await.unwrap();
    let once = store.load().await.unwrap();
    store.apply(&batch).await.unwrap();
    assert_eq!(store.load().await.unwrap(), once);
    assert_eq!(once.registrations, [registration(2), registration(3)]);
    assert_eq!(once.departed, batch.departed);
}

#[tokio::test]
async fn of_one_key_twice_in_a_batch_the_last_counts() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let mut later = registration(1);
    Arc::make_mut(&mut later.binding).attributes =
        Attributes::from_iter([("x".into(), "y".into())]);
    let batch = upserts(vec![registration(1), registration(2), later.clone()]);
    store.apply(&batch).await.unwrap();
    let registrations = store.load().await.unwrap().registrations;
    assert_eq!(registrations, [registration(2), later]);
}

#[tokio::test]
async fn batches_of_every_size_are_whole() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    for size in [1, 7, 9, 63, 64, 65, 137] {
        let all: Vec<Stored> = (0..size).map(registration).collect();
        let keys: Vec<Key> = all
            .iter()
            .map(|stored| stored.binding.key.clone())
            .collect();
        let rows: Vec<Hidden> = keys
            .iter()
            .map(|key| Hidden {
                key: key.clone(),
                ..hidden("")
            })
            .collect();
        store.apply(&upserts(all.clone())).await.unwrap();
        store.hide(&rows).await.unwrap();
        let contents = store.load().await.unwrap();
        assert_eq!(contents.registrations, all);
        assert_eq!(contents.hidden.len(), rows.len());
        let gone = Batch {
            removed: keys,
            unhidden: rows,
            ..Batch::default()
        };
        store.apply(&gone).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Contents::default());
    }
}

#[tokio::test]
async fn a_refresh_replaces_columns_account_and_attributes() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.apply(&upserts(vec![registration(1)])).await.unwrap();
    let mut times_only = registration(1);
    let binding = Arc::make_mut(&mut times_only.binding);
    binding.expiry = Expiry::Permanent;
    binding.last_modified += 60;
    times_only.account = None;
    store
        .apply(&upserts(vec![times_only.clone()]))
        .await
        .unwrap();
    assert_eq!(
        store.load().await.unwrap().registrations,
        [times_only.clone()]
    );

    Arc::make_mut(&mut times_only.binding).attributes =
        Attributes::from_iter([("x".into(), "y".into())]);
    store
        .apply(&upserts(vec![times_only.clone()]))
        .await
        .unwrap();
    assert_eq!(store.load().await.unwrap().registrations, [times_only]);
}

#[tokio::test]
async fn the_departed_are_forgotten_in_time() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let departed = |username: &str, at| Departed {
        account: None,
        username: username.into(),
        domain: Some("d".into()),
        at,
    };
    let batch = Batch {
        departed: vec![
            departed("old", NOW - 4000),
            departed("twice", NOW - 4000),
            departed("twice", NOW),
        ],
        ..Batch::default()
    };
    store.apply(&batch).await.unwrap();
    let forget = Batch {
        forget_departed_before: NOW - 3600,
        ..Batch::default()
    };
    store.apply(&forget).await.unwrap();
    assert_eq!(
        store.load().await.unwrap().departed,
        [departed("twice", NOW)]
    );
}

#[tokio::test]
async fn accounts_without_rows_go_at_the_next_load() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.apply(&upserts(vec![registration(1)])).await.unwrap();
    let accounts = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM account")
            .fetch_one(&store.pool())
            .await
            .unwrap()
    };
    store.load().await.unwrap();
    assert_eq!(accounts().await, 1);
    let gone = Batch {
        removed: vec![key("uloc-6543-1a2b-1")],
        departed: vec![Departed {
            account: registration(1).account,
            username: "user1".into(),
            domain: None,
            at: NOW,
        }],
        ..Batch::default()
    };
    store.apply(&gone).await.unwrap();
    store.load().await.unwrap();
    assert_eq!(accounts().await, 1, "somebody departed from it");
    let forget = Batch {
        forget_departed_before: NOW + 1,
        ..Batch::default()
    };
    store.apply(&forget).await.unwrap();
    store.load().await.unwrap();
    assert_eq!(accounts().await, 0);
}

#[tokio::test]
async fn what_is_hidden_survives_a_crash() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store
        .hide(&[hidden("a"), hidden("b"), hidden("c")])
        .await
        .unwrap();
    store.unhide(&[hidden("b")]).await.unwrap();
    // What a crash at this moment would leave: the files as they are, nothing closed.
    let crashed = TempDir::new().unwrap();
    for name in ["usrlocd.db", "usrlocd.db-wal"] {
        fs::copy(path.with_file_name(name), crashed.path().join(name)).unwrap();
    }
    let store = Store::open(&crashed.path().join("usrlocd.db"), NOW)
        .await
        .unwrap();
    assert_eq!(
        store.load().await.unwrap().hidden,
        [hidden("a"), hidden("c")]
    );
}

#[tokio::test]
async fn what_is_hidden_lightly_survives_the_process() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.hide_lightly(&[hidden("a")]).await.unwrap();
    let crashed = TempDir::new().unwrap();
    for name in ["usrlocd.db", "usrlocd.db-wal"] {
        fs::copy(path.with_file_name(name), crashed.path().join(name)).unwrap();
    }
    let store = Store::open(&crashed.path().join("usrlocd.db"), NOW)
        .await
        .unwrap();
    assert_eq!(store.load().await.unwrap().hidden, [hidden("a")]);
}

#[tokio::test]
async fn what_was_hidden_anew_is_not_shown_by_an_earlier_word() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let anew = Hidden {
        at: NOW + 1,
        ..hidden("a")
    };
    let rows = [hidden("a"), hidden("b"), hidden("c")];
    store.hide(&rows).await.unwrap();
    store.hide(std::slice::from_ref(&anew)).await.unwrap();
    let late = Batch {
        unhidden: vec![hidden("a"), hidden("b")],
        ..Batch::default()
    };
    store.apply(&late).await.unwrap();
    let kept = || async { store.load().await.unwrap().hidden };
    assert_eq!(kept().await, [hidden("c"), anew.clone()]);
    store.unhide(&[anew, hidden("c")]).await.unwrap();
    assert_eq!(kept().await, []);
}

#[tokio::test]
async fn a_flush_is_noted_when_it_begins_and_when_it_ends() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let begun = FlushRecord {
        flushed: 0,
        failed: 0,
        ended: None,
        ..record(NOW)
    };
    let id = store.record_flush(None, &begun).await.unwrap();
    let other = store.record_flush(None, &begun).await.unwrap();
    assert_ne!(id, other);
    assert_eq!(
        store.flushes(10).await.unwrap(),
        [begun.clone(), begun.clone()]
    );
    store.record_flush(Some(id), &record(NOW)).await.unwrap();
    assert_eq!(store.flushes(10).await.unwrap(), [begun, record(NOW)]);
}

#[tokio::test]
async fn batches_are_not_synchronous_after_hiding() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.hide(&[hidden("a")]).await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&store.pool())
        .await
        .unwrap();
    assert_eq!(synchronous, 1, "NORMAL again after hide");
}

#[tokio::test]
async fn two_processes_do_not_share_a_store() {
    let (_directory, path) = temporary();
    let _first = Store::open(&path, NOW).await.unwrap();
    let second = Store::open(&path, NOW).await;
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    assert!(file::copies_aside(&path).is_empty());
}

#[tokio::test]
async fn what_is_no_database_is_set_aside() {
    let (_directory, path) = closed_store().await;
    fs::write(
        &path,
        "this is not a database, however long one looks at it\n".repeat(200),
    )
    .unwrap();
    assert_begun_anew(&path).await;
}

/// Whatever the name by which we get there, and whatever part of a database it is.
#[tokio::test]
async fn another_programs_database_is_left_as_it_is() {
    let (directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    pragma(&store, "PRAGMA application_id = 7; PRAGMA wal_checkpoint").await;
    let of_theirs = directory.path().join("theirs");
    fs::create_dir(&of_theirs).unwrap();
    let theirs = of_theirs.join("kamailio.sqlite");
    fs::copy(&path, &theirs).unwrap();
    let log = of_theirs.join("kamailio.sqlite-wal");
    fs::copy(path.with_file_name("usrlocd.db-wal"), &log).unwrap();
    fs::write(
        of_theirs.join("journal"),
        b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",
    )
    .unwrap();
    for name in ["kamailio.sqlite", "kamailio.sqlite-wal"] {
        let mode = fs::Permissions::from_mode(0o640);
        fs::set_permissions(of_theirs.join(name), mode).unwrap();
    }
    let links = directory.path().join("links");
    fs::create_dir(&links).unwrap();
    std::os::unix::fs::symlink(&theirs, links.join("soft.db")).unwrap();
    fs::hard_link(&theirs, links.join("hard.db")).unwrap();
    let all = || {
        let contents = |folder: &Path| -> Vec<_> {
            let names = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
            let state = |path: PathBuf| {
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                (fs::read(&path).unwrap(), mode, path)
            };
            let mut all: Vec<_> = names.map(state).collect();
            all.sort();
            all
        };
        (contents(&of_theirs), contents(&links))
    };
    let before = all();
    for name in [
        "theirs/kamailio.sqlite",
        "theirs/kamailio.sqlite-wal",
        "theirs/journal",
        "links/soft.db",
        "links/hard.db",
        "links/../theirs/kamailio.sqlite",
    ] {
        let error = Store::open(&directory.path().join(name), NOW).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{name}: {error:?}");
        assert!(all() == before, "{name} has left a trace");
    }
}

/// A process that ends before SQLite has moved the log into the file leaves a store, too.
#[tokio::test]
async fn a_store_is_known_as_ours_from_its_first_moment() {
    let (directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.apply(&upserts(vec![registration(1)])).await.unwrap();
    let crashed = directory.path().join("crashed");
    fs::create_dir(&crashed).unwrap();
    for name in ["usrlocd.db", "usrlocd.db-wal"] {
        fs::copy(path.with_file_name(name), crashed.join(name)).unwrap();
    }
    let again = Store::open(&crashed.join("usrlocd.db"), NOW).await.unwrap();
    assert_eq!(again.load().await.unwrap().registrations.len(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_set_aside() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    pragma(&store, "PRAGMA user_version = 99").await;
    store.close().await;
    assert_begun_anew(&path).await;
}

#[tokio::test]
async fn a_truncated_store_is_set_aside() {
    let (_directory, path) = closed_store().await;
    let whole = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(whole / 2)
        .unwrap();
    assert_begun_anew(&path).await;
}

#[tokio::test]
async fn an_empty_file_is_a_new_store() {
    let (_directory, path) = closed_store().await;
    fs::write(&path, "").unwrap();
    let store = Store::open(&path, NOW).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Contents::default());
}

/// Overwrites every page but the first with garbage: the file opens well, and breaks when it is read.
fn spoil_pages(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[5 * 4096..].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_store_that_breaks_at_load_is_set_aside() {
    let (_directory, path) = closed_store().await;
    spoil_pages(&path);
    assert_begun_anew(&path).await;
}

#[tokio::test]
async fn a_store_that_breaks_at_a_write_is_begun_anew() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    pragma(&store, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    spoil_pages(&path);
    pragma(&store, "PRAGMA shrink_memory").await;
    let batch = upserts((0..300).map(registration).collect());
    let error = store.apply(&batch).await.unwrap_err();
    assert!(matches!(error, Error::BegunAnew { .. }), "{error:?}");
    store.apply(&batch).await.unwrap();
    assert_eq!(store.load().await.unwrap().registrations, batch.upserts);
    assert_eq!(file::copies_aside(&path).len(), 1);
}

#[tokio::test]
async fn the_latest_three_copies_are_kept_aside() {
    let (_directory, path) = closed_store().await;
    for second in [0, 0, 5, 5, 9] {
        fs::write(&path, "no database".repeat(100)).unwrap();
        let store = Store::open(&path, NOW + second).await.unwrap();
        store.close().await;
    }
    let kept =
        [5, 6, 9].map(|second| path.with_file_name(format!("usrlocd.db.broken-{}", NOW + second)));
    assert_eq!(file::copies_aside(&path), kept);
}

#[tokio::test]
async fn a_place_that_cannot_hold_a_store_is_an_error() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    for path in ["file/usrlocd.db", "."] {
        let error = Store::open(&directory.path().join(path), NOW)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::CannotCreate { .. }),
            "{path}: {error:?}"
        );
    }
    let error = Store::open(Path::new("/proc/usrlocd/usrlocd.db"), NOW)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::CannotCreate { .. }), "{error:?}");
}

#[tokio::test]
async fn a_full_disk_rolls_the_batch_back() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.apply(&upserts(vec![registration(0)])).await.unwrap();
    pragma(&store, "PRAGMA max_page_count = 40").await;
    let large = upserts((0..5000).map(registration).collect());
    let error = store.apply(&large).await.unwrap_err();
    assert!(matches!(error, Error::CannotWrite { .. }), "{error:?}");
    assert_eq!(store.load().await.unwrap().registrations, [registration(0)]);
    let small = upserts(vec![registration(1)]);
    store.apply(&small).await.unwrap();
    pragma(&store, "PRAGMA max_page_count = 1000000").await;
    store.apply(&large).await.unwrap();
    assert_eq!(store.load().await.unwrap().registrations.len(), 5000);
}

#[tokio::test]
async fn the_audit_lists_the_latest_first_and_forgets() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    for day in [0, 300, 399, 401] {
        store
            .record_flush(None, &record(NOW + day * 86_400))
            .await
            .unwrap();
    }
    let days = |records: Vec<FlushRecord>| -> Vec<i64> {
        records
            .iter()
            .map(|record| (record.at - NOW) / 86_400)
            .collect()
    };
    assert_eq!(days(store.flushes(10).await.unwrap()), [401, 399, 300]);
    assert_eq!(days(store.flushes(1).await.unwrap()), [401]);
}

#[tokio::test]
async fn a_hundred_thousand_registrations_load_quickly() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let batch = upserts((0..100_000).map(registration).collect());
    let fill = SystemClock::new();
    store.apply(&batch).await.unwrap();
    let written = fill.monotonic();
    let load = SystemClock::new();
    let contents = store.load().await.unwrap();
    let loaded = load.monotonic();
    assert_eq!(contents.registrations.len(), 100_000);
    let part = upserts(batch.upserts[..10_000].to_vec());
    let refresh = SystemClock::new();
    store.apply(&part).await.unwrap();
    let refreshed = refresh.monotonic();
    println!("100k written {written:?}, loaded {loaded:?}; 10k refreshed {refreshed:?}");
    assert!(loaded.as_secs() < 10, "{loaded:?}");
}

#[tokio::test]
async fn a_store_of_the_first_schema_is_brought_up_to_date() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    store.hide(&[hidden("a")]).await.unwrap();
    store.record_flush(None, &record(NOW)).await.unwrap();
    pragma(
        &store,
        "ALTER TABLE flush DROP COLUMN ended; DROP TABLE source; PRAGMA user_version = 1",
    )
    .await;
    store.close().await;
    let store = Store::open(&path, NOW).await.unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(contents.registrations.len(), 200);
    assert_eq!(contents.hidden, [hidden("a")]);
    assert_eq!(contents.as_of, None);
    assert_eq!(store.flushes(10).await.unwrap(), [record(NOW)]);
    let fresh = Batch {
        as_of: Some(Duration::from_millis(1_795_000_000_123)),
        ..Batch::default()
    };
    store.apply(&fresh).await.unwrap();
    assert_eq!(store.load().await.unwrap().as_of, fresh.as_of);
    assert!(file::copies_aside(&path).is_empty());
}

#[tokio::test]
async fn pages_and_sqlite_say_the_same() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let all: Vec<Stored> = (0..5000).map(registration).collect();
    store.apply(&upserts(all.clone())).await.unwrap();
    let pool = store.pool();
    let mut connection = pool.acquire().await.unwrap();
    let (_, accounts) = read::all_but_registrations(&mut connection).await.unwrap();
    let slowly = read::registrations(&mut connection, &accounts)
        .await
        .unwrap();
    drop(connection);
    let held = Held::open(&path).unwrap();
    assert!(
        bulk::registrations(&held, &path, &accounts).is_err(),
        "the log has rows that the file has not"
    );
    store.close().await;
    assert_eq!(
        bulk::registrations(&held, &path, &accounts).unwrap(),
        slowly
    );
    assert_eq!(slowly, all);
}

/// A batch after which all is told, and belongs to its accounts by the rules 7.
fn complete(registrations: Vec<Stored>) -> Batch {
    Batch {
        upserts: registrations,
        as_of: Some(Duration::from_millis(1_795_000_000_123)),
        owners: Some(u64::MAX - 7),
        ..Batch::default()
    }
}

#[tokio::test]
async fn accounts_are_read_one_by_one_as_they_are_with_all_others() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let all: Vec<Stored> = (0..3000).map(registration).collect();
    store.apply(&complete(all.clone())).await.unwrap();
    let reading = store.reading().await.unwrap();
    assert_eq!(reading.owners(), Some(u64::MAX - 7));
    for account in [0, 17, 999] {
        let name = format!("{account:032x}");
        let own = reading.account(&name, 3).await.unwrap();
        let is_its = |one: &&Stored| one.account.as_deref() == Some(&name);
        assert_eq!(
            own.unwrap(),
            all.iter().filter(is_its).cloned().collect::<Vec<_>>()
        );
        assert_eq!(
            reading.account(&name, 2).await.unwrap(),
            None,
            "it has three"
        );
    }
    assert_eq!(
        reading.account("unknown", 2).await.unwrap(),
        Some(Vec::new())
    );
    assert_eq!(reading.everything().await.unwrap().registrations, all);
    let name = format!("{:032x}", 5);
    let own = reading.account(&name, 3).await.unwrap();
    assert_eq!(own.unwrap().len(), 3, "also after everything was read");
    reading.end().await;
}

#[tokio::test]
async fn an_account_has_what_moved_to_it_and_not_what_left() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let all = (0..100).map(registration).collect();
    store.apply(&complete(all)).await.unwrap();
    let moved: Vec<Stored> = (0..100)
        .map(|number| Stored {
            account: (number % 2 == 0).then(|| "new".into()),
            ..registration(number)
        })
        .collect();
    store.apply(&complete(moved.clone())).await.unwrap();
    let reading = store.reading().await.unwrap();
    let own = reading.account("new", 100).await.unwrap().unwrap();
    let is_its = |one: &&Stored| one.account.is_some();
    assert_eq!(
        own,
        moved.iter().filter(is_its).cloned().collect::<Vec<_>>()
    );
    let former = reading.account(&format!("{:032x}", 4), 100).await.unwrap();
    assert_eq!(former, Some(Vec::new()));
    assert_eq!(reading.everything().await.unwrap().registrations, moved);
}

#[tokio::test]
async fn accounts_are_not_read_one_by_one_while_rules_may_differ() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let owners = async || store.reading().await.unwrap().owners();
    assert_eq!(owners().await, None);
    store.apply(&complete(vec![registration(1)])).await.unwrap();
    assert!(owners().await.is_some());
    store.apply(&upserts(vec![registration(2)])).await.unwrap();
    assert_eq!(owners().await, None, "more is to come");
    store.apply(&complete(Vec::new())).await.unwrap();
    assert!(owners().await.is_some());
    let unclear = Batch {
        owners: None,
        ..complete(Vec::new())
    };
    store.apply(&unclear).await.unwrap();
    assert_eq!(owners().await, None);
    store.apply(&complete(Vec::new())).await.unwrap();
    pragma(&store, "DROP INDEX registration_account").await;
    assert_eq!(owners().await, None);
}

#[tokio::test]
async fn writes_wait_until_what_was_left_has_been_read() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    let reading = store.reading().await.unwrap();
    let hiding = [hidden("a")];
    let mut hide = std::pin::pin!(store.hide(&hiding));
    let read = async {
        let contents = reading.everything().await.unwrap();
        reading.end().await;
        contents
    };
    tokio::select! {
        biased;
        _ = &mut hide => panic!("it was written while the store was read"),
        contents = read => assert_eq!(contents.hidden, []),
    }
    hide.await.unwrap();
    assert_eq!(store.load().await.unwrap().hidden, [hidden("a")]);
}

#[tokio::test]
async fn reading_past_sqlite_leaves_its_locks_alone() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    store.hide(&[hidden("a")]).await.unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let locks = || {
        let all = fs::read_to_string("/proc/locks").unwrap();
        let ours = |line: &&str| line.contains(&format!(":{inode} "));
        all.lines().filter(ours).count()
    };
    assert_ne!(locks(), 0);
    store.load().await.unwrap();
    store.load().await.unwrap();
    assert_ne!(locks(), 0);
}

fn any_text() -> impl Strategy<Value = Text> {
    proptest::collection::vec(any::<u8>(), 0..12).prop_map(Text::from)
}

fn any_binding() -> impl Strategy<Value = Binding> {
    let text = || proptest::option::of(any_text());
    let number = || proptest::option::of(any::<i64>());
    let texts = (text(), text(), text(), text(), text(), text(), text());
    let numbers = (number(), number(), number(), number(), number(), number());
    let attributes =
        proptest::collection::vec((any_text(), any_text()), 0..4).prop_map(Attributes::from_iter);
    let q = proptest::option::of(proptest::num::f64::NORMAL | proptest::num::f64::ZERO);
    (
        any_text(),
        any_text(),
        any_text(),
        texts,
        numbers,
        number(),
        any::<i64>(),
        q,
        attributes,
    )
        .prop_map(
            |(ruid, username, contact, texts, numbers, expires, last_modified, q, attributes)| {
                Binding {
                    key: Key {
                        table: "location".into(),
                        ruid: Ruid(ruid),
                    },
                    username,
                    contact,
                    domain: texts.0,
                    received: texts.1,
                    path: texts.2,
                    call_id: texts.3,
                    user_agent: texts.4,
                    socket: texts.5,
                    instance: texts.6,
                    cseq: numbers.0,
                    flags: numbers.1,
                    cflags: numbers.2,
                    methods: numbers.3,
                    reg_id: numbers.4,
                    server_id: numbers.5,
                    expiry: expires.map_or(Expiry::Permanent, Expiry::At),
                    last_modified,
                    q,
                    attributes,
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_field_comes_back(
        bindings in proptest::collection::vec(any_binding(), 0..6),
        account in proptest::option::of(".{0,8}"),
        first_registration: i64,
        fingerprint: u64,
    ) {
        let mut registrations: Vec<Stored> = bindings
            .into_iter()
            .map(|binding| Stored {
                binding: Arc::new(binding),
                first_registration,
                account: account.as_deref().map(Arc::from),
            })
            .collect();
        registrations.sort_by(|a, b| a.binding.key.cmp(&b.binding.key));
        registrations.dedup_by(|a, b| a.binding.key == b.binding.key);
        let hidden: Vec<Hidden> = registrations
            .iter()
            .map(|stored| Hidden { key: stored.binding.key.clone(), fingerprint, at: first_registration })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let contents = runtime.block_on(async {
            let (_directory, path) = temporary();
            let store = Store::open(&path, NOW).await.unwrap();
            store.apply(&upserts(registrations.clone())).await.unwrap();
            store.hide(&hidden).await.unwrap();
            let contents = store.load().await.unwrap();
            store.close().await;
            contents
        });
        prop_assert_eq!(contents.registrations, registrations);
        prop_assert_eq!(contents.hidden, hidden);
    }
}
