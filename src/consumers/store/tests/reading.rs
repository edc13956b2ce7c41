//! Reading what an earlier run left.

use super::*;
use crate::progress::Progress;
use crate::registration::Binding;

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
    let one_by_one = Progress::default();
    let slowly = read::registrations(&mut connection, &accounts, &one_by_one)
        .await
        .unwrap();
    assert_eq!(one_by_one.done(), all.len());
    let count = read::count(&mut connection).await.unwrap();
    assert_eq!(count, all.len());
    drop(connection);
    let held = Held::open(&path).unwrap();
    assert!(
        bulk::registrations(&held, &path, &accounts, &Progress::default()).is_err(),
        "the log has rows that the file has not"
    );
    store.close().await;
    let quickly = Progress::default();
    assert_eq!(
        bulk::registrations(&held, &path, &accounts, &quickly).unwrap(),
        slowly
    );
    assert_eq!(slowly, all);
    assert_eq!(quickly.done(), all.len());
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
        let contents = reading.everything(&Arc::default()).await.unwrap();
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
                    cseq: numbers.0.and_then(Number::new),
                    flags: numbers.1.and_then(Number::new),
                    cflags: numbers.2.and_then(Number::new),
                    methods: numbers.3.and_then(Number::new),
                    reg_id: numbers.4.and_then(Number::new),
                    server_id: numbers.5.and_then(Number::new),
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
