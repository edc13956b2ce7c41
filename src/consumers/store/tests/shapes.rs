//! What the attributes of many registrations have in common is kept once, and is there before any record that needs it.

use super::*;

/// A registration whose attributes have a shape of their own.
fn of_shape(number: u32) -> Stored {
    let one = registration(number);
    let vars = format!(r#"{{"Var-{number}":"x","Username":"user"}}"#);
    let attributes = [("custom_channel_vars".into(), vars.as_str().into())];
    Stored {
        binding: Arc::new(Binding {
            attributes: attributes.into_iter().collect(),
            ..(*one.binding).clone()
        }),
        ..one
    }
}

async fn shapes(store: &Store) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM shape");
    count.fetch_one(&store.pool()).await.unwrap()
}

#[tokio::test]
async fn equal_shapes_are_kept_once_also_after_a_restart() {
    let (_directory, path) = temporary();
    let first: Vec<_> = (2..100).map(registration).collect();
    let store = Store::open(&path, NOW).await.unwrap();
    store.apply(&upserts(first.clone())).await.unwrap();
    let kept = shapes(&store).await;
    assert_eq!(kept, 1);
    store.close().await;
    drop(store);
    let store = Store::open(&path, NOW).await.unwrap();
    let more: Vec<_> = (100..200).map(registration).collect();
    store.apply(&upserts(more.clone())).await.unwrap();
    assert_eq!(shapes(&store).await, kept);
    let all = [first, more].concat();
    assert_eq!(store.load().await.unwrap().registrations, all);
}

#[tokio::test]
async fn shapes_that_are_too_many_stand_in_their_records_and_unused_ones_make_room() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    let many: Vec<_> = (0..12).map(of_shape).collect();
    store.apply(&upserts(many.clone())).await.unwrap();
    assert_eq!(shapes(&store).await, 8);
    assert_eq!(store.load().await.unwrap().registrations, many);
    let gone = many[1..].iter().map(|one| one.binding.key.clone());
    let removal = Batch {
        removed: gone.collect(),
        ..Batch::default()
    };
    store.apply(&removal).await.unwrap();
    assert_eq!(store.load().await.unwrap().registrations, many[..1]);
    assert_eq!(shapes(&store).await, 1);
    store.apply(&upserts(many.clone())).await.unwrap();
    assert_eq!(shapes(&store).await, 8);
    assert_eq!(store.load().await.unwrap().registrations, many);
}

#[tokio::test]
async fn a_batch_that_is_not_written_teaches_no_shape() {
    let (_directory, path) = temporary();
    let store = Store::open(&path, NOW).await.unwrap();
    store.apply(&upserts(vec![of_shape(1)])).await.unwrap();
    pragma(
        &store,
        "CREATE TRIGGER refuse BEFORE INSERT ON registration BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    .await;
    let batch = upserts(vec![of_shape(2)]);
    let refused = store.apply(&batch).await;
    assert!(matches!(refused, Err(Error::CannotWrite { .. })));
    pragma(&store, "DROP TRIGGER refuse").await;
    store.apply(&batch).await.unwrap();
    let registrations = store.load().await.unwrap().registrations;
    assert_eq!(registrations, [of_shape(1), of_shape(2)]);
}

#[tokio::test]
async fn a_record_without_its_shape_has_the_store_begun_anew() {
    let (_directory, path) = closed_store().await;
    let store = Store::open(&path, NOW).await.unwrap();
    pragma(&store, "DELETE FROM shape").await;
    store.close().await;
    drop(store);
    assert_begun_anew(&path).await;
}
