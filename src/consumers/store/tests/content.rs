//! What is written is there again.

use super::*;

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
    store.record(None, &record(NOW)).await.unwrap();
    store.close().await;
    drop(store);

    let store = Store::open(&path, NOW).await.unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(contents.registrations, [registration(1), registration(2)]);
    assert_eq!(contents.hidden, [hidden("uloc-1")]);
    assert_eq!(store.flushes(10).await.unwrap(), [record(NOW)]);
    assert!(copies_aside(&path).is_empty());
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
        departed: vec![Tombstone {
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
async fn batches_of_every_size_are_whole() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    for size in [1, 7, 255, 256, 257, 600] {
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
async fn a_row_that_changes_hands_has_its_new_account() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let of = |account: Option<&str>| Stored {
        account: account.map(Into::into),
        ..registration(1)
    };
    // Each account is new to the store, but the last, which it has seen.
    for account in [None, Some("a"), None, Some("b"), Some("c"), None, Some("a")] {
        store.apply(&upserts(vec![of(account)])).await.unwrap();
        assert_eq!(store.load().await.unwrap().registrations, [of(account)]);
    }
}

#[tokio::test]
async fn the_departed_are_forgotten_in_time() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let departed = |username: &str, at| Tombstone {
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

/// What a batch costs must not depend on how much is kept: rows are found by their keys.
#[tokio::test]
async fn no_statement_for_many_rows_reads_a_whole_table() {
    const OWN: &str = include_str!("../../../../sql/store/registration_own.sql");
    const REMOVE: &str = include_str!("../../../../sql/store/registration_remove.sql");
    const UNHIDE: &str = include_str!("../../../../sql/store/unhide.sql");
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    for (sql, row) in [
        (OWN, "('t', x'01', 1)"),
        (REMOVE, "('t', x'01')"),
        (UNHIDE, "('t', x'01', 1)"),
    ] {
        let rows = format!("VALUES {row}, {row}, {row}");
        let explain = format!("EXPLAIN QUERY PLAN {}", sql.replace("/*rows*/", &rows));
        let plan = sqlx::query(sqlx::AssertSqlSafe(explain));
        let plan = plan.fetch_all(&store.pool()).await.unwrap();
        let steps: Vec<String> = plan
            .iter()
            .map(|step| sqlx::Row::get(step, "detail"))
            .collect();
        let searches = |step: &String| {
            step.starts_with("SEARCH registration") || step.starts_with("SEARCH hidden")
        };
        assert!(steps.iter().any(searches), "{sql}: {steps:?}");
        let scans = |step: &String| {
            step.starts_with("SCAN registration") || step.starts_with("SCAN hidden")
        };
        assert!(!steps.iter().any(scans), "{sql}: {steps:?}");
    }
}

#[tokio::test]
async fn a_notify_is_recorded_when_it_begins_and_when_it_ends() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let begun = AuditRecord {
        at: NOW,
        token: "ops".to_owned(),
        client: "127.0.0.1".to_owned(),
        request_id: "r1".to_owned(),
        account: Some("acme".to_owned()),
        username: None,
        filters: "filter_authorizing_id=d1".to_owned(),
        event: Some("check-sync;reboot=true".to_owned()),
        done: 0,
        failed: 0,
        ended: None,
    };
    let id = store.record(None, &begun).await.unwrap();
    let other = store.record(None, &begun).await.unwrap();
    assert_ne!(id, other);
    let ended = AuditRecord {
        done: 2,
        failed: 1,
        ended: Some(NOW + 5),
        ..begun
    };
    assert_eq!(store.record(Some(id), &ended).await.unwrap(), id);
    store.close().await;
    drop(store);
    let shown = std::process::Command::new("sqlite3")
        .arg(&path)
        .arg("select id, event, notified, failed, coalesce(ended - at, 'none') from notify order by id")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&shown.stdout),
        "1|check-sync;reboot=true|2|1|5\n2|check-sync;reboot=true|0|0|none\n"
    );
}
