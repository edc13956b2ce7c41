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
        departed: vec![Tombstone {
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
