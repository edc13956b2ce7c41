//! Damaged, full, read-only, deleted, foreign and newer files.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::own_database::copies_aside;

fn some(from: u64, to: u64) -> Vec<Event> {
    let of = |seq: u64| {
        let one = row("acme", &format!("user{seq}"), "uloc-1");
        event(seq, seq, Kind::Registered, &one)
    };
    (from..to).map(of).collect()
}

/// A history with a hundred events, closed.
fn filled() -> Bench {
    let bench = Bench::new();
    let history = bench.open();
    bench.wait(history.append(&arcs(&some(1, 101)))).unwrap();
    bench.wait(history.close());
    bench
}

fn append(bench: &Bench, history: &History, events: &[Event]) -> Result<(), Error> {
    bench.wait(history.append(&arcs(events)))
}

#[test]
fn the_file_is_for_its_user_and_group_alone() {
    let bench = Bench::new();
    let history = bench.open_with(|it| it.path = bench.folder.path().join("new/folder/h.db"));
    append(&bench, &history, &some(1, 2)).unwrap();
    for side in ["", "-wal"] {
        let file = fs::metadata(own_database::beside(history.path(), side)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o640, "{side}");
    }
}

#[test]
fn two_daemons_do_not_share_it() {
    let bench = Bench::new();
    let _history = bench.open();
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let second = bench.wait(History::open(options(&bench.path()), clock));
    let error = second.expect_err("it is in use");
    assert!(
        matches!(error, Error::CannotOpen(own_database::Error::InUse { .. })),
        "{error}"
    );
}

/// What a process that is killed in the middle of a transaction leaves on the disk.
#[test]
fn a_batch_is_there_as_a_whole_or_not_at_all() {
    let bench = filled();
    let history = bench.open();
    append(&bench, &history, &some(101, 121)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    bench.wait(async {
        let mut connection = history.files().writer.acquire().await.unwrap();
        // So little memory that SQLite writes its log before the end.
        sqlx::raw_sql("PRAGMA cache_size = 2; BEGIN IMMEDIATE")
            .execute(&mut *connection)
            .await
            .unwrap();
        append::append(&mut connection, &arcs(&some(121, 900)))
            .await
            .unwrap();
        for side in ["", "-wal"] {
            let from = own_database::beside(&bench.path(), side);
            fs::copy(from, copy.path().join(format!("history.db{side}"))).unwrap();
        }
    });
    let log = fs::metadata(copy.path().join("history.db-wal"))
        .unwrap()
        .len();
    assert!(log > 100_000, "the log has the half of it");
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let left = History::open(options(&copy.path().join("history.db")), clock);
    let left = bench.wait(left).unwrap();
    assert_eq!((left.log(), left.newest()), (history.log(), 120));
    assert_eq!(bench.wait(left.read(0, 999)).unwrap(), some(1, 121));
    append(&bench, &left, &some(121, 130)).unwrap();
    assert_eq!(bench.wait(left.read(100, 999)).unwrap(), some(101, 130));
}

#[test]
fn a_file_that_is_none_is_set_aside() {
    let bench = filled();
    fs::write(bench.path(), "rubbish, and much of it").unwrap();
    let history = bench.open();
    assert_eq!(copies_aside(&bench.path()).len(), 1);
    assert_eq!(history.newest(), 0);
    append(&bench, &history, &some(1, 3)).unwrap();
    assert_eq!(bench.wait(history.read(0, 9)).unwrap(), some(1, 3));
}

#[test]
fn damage_that_an_append_meets_costs_what_was_there() {
    let bench = filled();
    let whole = fs::read(bench.path()).unwrap();
    // All but the first page, which has the schema.
    let mut broken = whole.clone();
    broken[4096..].fill(0xa5);
    fs::write(bench.path(), broken).unwrap();
    // What it first looks at may be whole, or not.
    let history = bench.open();
    let log = history.log();
    let first = append(&bench, &history, &some(101, 103));
    if copies_aside(&bench.path()).len() == 1 && first.is_ok() {
        // Already found at the start.
        assert_eq!(history.oldest(), 101);
    } else {
        assert!(matches!(first, Err(Error::BegunAnew { .. })), "{first:?}");
        assert_ne!(history.log(), log);
        append(&bench, &history, &some(101, 103)).unwrap();
    }
    assert_eq!(copies_aside(&bench.path()).len(), 1);
    assert_eq!(bench.wait(history.read(100, 9)).unwrap(), some(101, 103));
}

/// Damage to one table's pages, which nothing meets before it is read.
#[test]
fn damage_that_a_reader_meets_is_an_error_and_a_new_file_the_way_on() {
    let bench = filled();
    let pages = bench.wait(async {
        let options = SqliteConnectOptions::new().filename(bench.path());
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'trait'";
        let root: i64 = sqlx::query_scalar(root)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        usize::try_from(root).unwrap() - 1
    });
    let mut broken = fs::read(bench.path()).unwrap();
    broken[pages * 4096..(pages + 1) * 4096].fill(0xa5);
    fs::write(bench.path(), broken).unwrap();
    let history = bench.open();
    assert_eq!(history.newest(), 100);
    let read = bench.wait(history.read(0, 9));
    assert!(
        matches!(read, Err(ReadError::Failed(Error::CannotRead { .. }))),
        "{read:?}"
    );
    let log = history.log();
    bench
        .wait(history.begin_anew("a reader found it damaged"))
        .unwrap();
    assert_ne!(history.log(), log);
    assert_eq!((history.newest(), history.oldest()), (100, 101));
    append(&bench, &history, &some(101, 103)).unwrap();
    assert_eq!(bench.wait(history.read(100, 9)).unwrap(), some(101, 103));
    assert_eq!(copies_aside(&bench.path()).len(), 1);
}

#[test]
fn another_programs_database_is_left_as_it_is() {
    let bench = Bench::new();
    bench.wait(async {
        let options = SqliteConnectOptions::new()
            .filename(bench.path())
            .create_if_missing(true);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let table = sqlx::raw_sql("CREATE TABLE location (id INTEGER)");
        table.execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    let before = fs::read(bench.path()).unwrap();
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let error = bench.wait(History::open(options(&bench.path()), clock));
    let error = error.expect_err("it is not ours");
    assert!(
        matches!(
            error,
            Error::CannotOpen(own_database::Error::Foreign { .. })
        ),
        "{error}"
    );
    assert_eq!(fs::read(bench.path()).unwrap(), before);
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 1);
}

#[test]
fn what_a_later_version_wrote_is_set_aside() {
    let bench = filled();
    bench.wait(async {
        let options = SqliteConnectOptions::new().filename(bench.path());
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let newer = sqlx::raw_sql("PRAGMA user_version = 99");
        newer.execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    assert_eq!(bench.open().newest(), 0);
    assert_eq!(copies_aside(&bench.path()).len(), 1);
}

/// A full disk and a read-only one, as SQLite reports them.
#[test]
fn what_cannot_be_written_may_be_tried_again() {
    for (trouble, said) in [
        ("PRAGMA max_page_count = 1", "full"),
        ("PRAGMA query_only = ON", "readonly"),
    ] {
        let bench = filled();
        let history = bench.open();
        let log = history.log();
        bench.wait(async {
            let mut connection = history.files().writer.acquire().await.unwrap();
            let trouble = sqlx::raw_sql(trouble);
            trouble.execute(&mut *connection).await.unwrap();
        });
        let error = append(&bench, &history, &some(101, 2_000)).unwrap_err();
        let Error::CannotWrite { source, .. } = &error else {
            panic!("{error}");
        };
        assert!(source.to_string().contains(said), "{source}");
        assert_eq!(history.newest(), 100);
        assert_eq!(bench.wait(history.read(0, 999)).unwrap(), some(1, 101));
        // Its connection was closed, and with it the trouble.
        append(&bench, &history, &some(101, 2_000)).unwrap();
        assert_eq!((history.log(), history.newest()), (log, 1_999));
        assert!(copies_aside(&bench.path()).is_empty());
    }
}

#[test]
fn a_file_that_is_deleted_or_replaced_is_begun_anew() {
    for replacement in [None, Some("something else")] {
        let bench = filled();
        let history = bench.open();
        let log = history.log();
        for side in ["", "-wal", "-shm"] {
            let _may_be_missing = fs::remove_file(own_database::beside(&bench.path(), side));
        }
        if let Some(text) = replacement {
            fs::write(bench.path(), text).unwrap();
        }
        let first = append(&bench, &history, &some(101, 103));
        assert!(matches!(first, Err(Error::BegunAnew { .. })), "{first:?}");
        assert_ne!(history.log(), log);
        assert_eq!((history.newest(), history.oldest()), (100, 101));
        append(&bench, &history, &some(101, 103)).unwrap();
        assert_eq!(bench.wait(history.read(100, 9)).unwrap(), some(101, 103));
        assert!(bench.path().exists());
    }
}

/// A question that is no longer waited for ends, and holds nobody up.
#[test]
fn readers_do_not_hold_up_the_writer() {
    let bench = filled();
    let history = bench.open();
    bench.wait(async {
        let mut reader = history.reader().await.unwrap();
        let mut reading = reader.begin().await.unwrap();
        let first: i64 = sqlx::query_scalar("SELECT count(*) FROM event")
            .fetch_one(&mut *reading)
            .await
            .unwrap();
        history.append(&arcs(&some(101, 400))).await.unwrap();
        let second: i64 = sqlx::query_scalar("SELECT count(*) FROM event")
            .fetch_one(&mut *reading)
            .await
            .unwrap();
        assert_eq!((first, second), (100, 100));
        drop(reading);
        let write = sqlx::query("DELETE FROM event").execute(&mut *reader).await;
        write.expect_err("readers cannot write");
    });
    let query = all_of(Of::All);
    bench.wait(async {
        let asked = history.query(&query);
        tokio::select! {
            biased;
            _ = asked => panic!("it takes longer than that"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(history.query(&query).await.unwrap().len(), 399);
    });
}
