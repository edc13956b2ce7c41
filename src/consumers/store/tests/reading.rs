//! Reading what an earlier run left.

use super::*;
use crate::progress::Progress;
use crate::registration::testing::any_binding;

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

/// What the first version of the schema had is there: times of first registration, hidden rows, departed users and
/// the audit. The rest of a registration is read from Kamailio's tables again.
#[tokio::test]
async fn a_store_of_the_first_schema_is_brought_up_to_date() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    pragma(
        &store,
        "DROP TABLE registration; DROP TABLE departed; DROP TABLE hidden; DROP TABLE flush; DROP TABLE notify;
        DROP TABLE source; DROP TABLE node; DROP TABLE session; DROP TABLE shape",
    )
    .await;
    pragma(
        &store,
        include_str!("../../../../sql/store/migrations/0001_begin.sql"),
    )
    .await;
    pragma(
        &store,
        "INSERT INTO account VALUES (7, 'acme');
        INSERT INTO registration (
            id, location_table, ruid, account_id, first_registration, username, contact, last_modified, attributes_hash
        ) VALUES
            (3, 'location', CAST('uloc-1' AS BLOB), 7, -5, x'61', x'62', 9, 0),
            (4, 'stra\u{df}e', x'ff00', NULL, 1795000000, x'61', x'62', 9, 0);
        INSERT INTO attribute VALUES (3, x'61', x'62');
        INSERT INTO departed VALUES (7, CAST('bob' AS BLOB), NULL, 1795000000);
        INSERT INTO hidden VALUES ('location', x'61', -2, 1795000000);
        INSERT INTO flush VALUES (1, 1795000000, 'ops', '127.0.0.1', 'r1', 'acme', NULL, 'filter_user_agent=X', 3, 1);
        PRAGMA user_version = 1",
    )
    .await;
    store.close().await;
    drop(store);
    let store = Store::open(&path, NOW).await.unwrap();
    let contents = store.load().await.unwrap();
    let known: Vec<_> = contents
        .registrations
        .iter()
        .map(|one| (&one.binding.key, one.first_registration))
        .collect();
    let of_street = Key {
        table: "stra\u{df}e".into(),
        ruid: Ruid(b"\xff\0".as_slice().into()),
    };
    assert_eq!(known, [(&key("uloc-1"), -5), (&of_street, NOW)]);
    for one in &contents.registrations {
        assert_eq!(one.binding.expiry, Expiry::At(1), "it is not listed");
    }
    assert_eq!(contents.hidden, [hidden("a")]);
    let departed = Tombstone {
        account: Some("acme".into()),
        username: "bob".into(),
        domain: None,
        at: NOW,
    };
    assert_eq!(contents.departed, std::slice::from_ref(&departed));
    assert_eq!(contents.as_of, None);
    assert_eq!(store.flushes(10).await.unwrap(), [record(NOW)]);
    let fresh = Batch {
        as_of: Some(Duration::from_millis(1_795_000_000_123)),
        departed: vec![departed.clone()],
        ..Batch::default()
    };
    store.apply(&fresh).await.unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(contents.as_of, fresh.as_of);
    assert_eq!(contents.departed, [departed]);
    assert!(copies_aside(&path).is_empty());
}

#[tokio::test]
async fn columns_that_are_added_to_our_tables_shift_nothing() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    store.hide(&[hidden("a")]).await.unwrap();
    store.record(None, &record(NOW)).await.unwrap();
    let before = store.load().await.unwrap();
    for table in ["registration", "departed", "hidden", "flush", "source"] {
        let add = format!("ALTER TABLE {table} ADD COLUMN added TEXT DEFAULT 'x'");
        let add = sqlx::raw_sql(sqlx::AssertSqlSafe(add));
        add.execute(&store.pool()).await.unwrap();
    }
    let batch = Batch {
        upserts: before.registrations.clone(),
        departed: vec![Tombstone {
            account: Some("acme".into()),
            username: "bob".into(),
            domain: Some("d".into()),
            at: NOW,
        }],
        ..Batch::default()
    };
    store.apply(&batch).await.unwrap();
    let after = store.load().await.unwrap();
    assert_eq!(after.departed, batch.departed);
    let expected = Contents {
        departed: batch.departed,
        ..before
    };
    assert_eq!(after, expected);
    assert_eq!(store.flushes(10).await.unwrap(), [record(NOW)]);
}

#[tokio::test]
async fn blocks_are_all_that_there_is() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let all: Vec<Stored> = (0..5000).map(registration).collect();
    store.apply(&upserts(all.clone())).await.unwrap();
    let gone = Batch {
        removed: (0..5000)
            .filter(|number| number % 7 == 0)
            .map(|number| all[number].binding.key.clone())
            .collect(),
        ..Batch::default()
    };
    store.apply(&gone).await.unwrap();
    let left: Vec<_> = all
        .into_iter()
        .enumerate()
        .filter(|(number, _)| number % 7 != 0)
        .map(|(_, one)| one)
        .collect();
    let progress = Arc::<Progress>::default();
    let reading = store.reading().await.unwrap();
    assert_eq!(
        reading.everything(&progress).await.unwrap().registrations,
        left
    );
    assert_eq!(progress.done(), left.len());
}

#[tokio::test]
async fn a_store_with_a_record_that_is_none_is_set_aside() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    pragma(
        &store,
        "UPDATE registration SET content = x'0000' WHERE id = 100",
    )
    .await;
    store.close().await;
    drop(store);
    assert_begun_anew(&path).await;
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
    assert_eq!(
        reading
            .everything(&Arc::default())
            .await
            .unwrap()
            .registrations,
        all
    );
    let name = format!("{:032x}", 5);
    let own = reading.account(&name, 3).await.unwrap();
    assert_eq!(own.unwrap().len(), 3, "also after everything was read");
}

#[tokio::test]
async fn an_account_has_what_moved_to_it_and_not_what_left() {
    let all: Vec<Stored> = (0..100).map(registration).collect();
    assert_moves(complete(all.clone())).await;
    // Before there is an index of owners.
    assert_moves(upserts(all)).await;
}

/// After `first`, registrations move to another account or to none.
async fn assert_moves(first: Batch) {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.apply(&first).await.unwrap();
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
    assert_eq!(
        reading
            .everything(&Arc::default())
            .await
            .unwrap()
            .registrations,
        moved
    );
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
    pragma(&store, "DROP INDEX registration_owner").await;
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
        let contents = reading.everything(&Arc::default()).await.unwrap();
        drop(reading);
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
                refreshes: 0,
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
            drop(store);
            contents
        });
        prop_assert_eq!(contents.registrations, registrations);
        prop_assert_eq!(contents.hidden, hidden);
    }
}
