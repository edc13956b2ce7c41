//! Hidden rows, and the audit of flushes.

use super::*;

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
async fn what_is_intended_survives_the_process_until_it_is_done_or_not() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.hide(&[hidden("d")]).await.unwrap();
    let intents = ["a", "b", "c", "d"].map(hidden);
    store.intend(&intents).await.unwrap();
    store.hide(&[hidden("b")]).await.unwrap();
    store.unhide(&[hidden("c")]).await.unwrap();
    let crashed = TempDir::new().unwrap();
    for name in ["usrlocd.db", "usrlocd.db-wal"] {
        fs::copy(path.with_file_name(name), crashed.path().join(name)).unwrap();
    }
    let store = Store::open(&crashed.path().join("usrlocd.db"), NOW)
        .await
        .unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(contents.hidden, [hidden("b"), hidden("d")]);
    assert_eq!(contents.intents, [hidden("a")]);
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
    let begun = AuditRecord {
        done: 0,
        failed: 0,
        ended: None,
        ..record(NOW)
    };
    let id = store.record(None, &begun).await.unwrap();
    let other = store.record(None, &begun).await.unwrap();
    assert_ne!(id, other);
    assert_eq!(
        store.flushes(10).await.unwrap(),
        [begun.clone(), begun.clone()]
    );
    store.record(Some(id), &record(NOW)).await.unwrap();
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
async fn the_audit_lists_the_latest_first_and_forgets() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    for day in [0, 300, 399, 401] {
        store
            .record(None, &record(NOW + day * 86_400))
            .await
            .unwrap();
    }
    let days = |records: Vec<AuditRecord>| -> Vec<i64> {
        records
            .iter()
            .map(|record| (record.at - NOW) / 86_400)
            .collect()
    };
    assert_eq!(days(store.flushes(10).await.unwrap()), [401, 399, 300]);
    assert_eq!(days(store.flushes(1).await.unwrap()), [401]);
}
