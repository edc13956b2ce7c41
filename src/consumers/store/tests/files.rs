//! The file: whose it is, what is wrong with it, and what becomes of it then.

use super::*;

#[tokio::test]
async fn two_processes_do_not_share_a_store() {
    let (_directory, path) = temporary();
    let _first = Store::open(&path, NOW).await.unwrap();
    let second = Store::open(&path, NOW).await;
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
    assert!(copies_aside(&path).is_empty());
}

/// A child that is just being started has copies of all open files for a moment.
#[tokio::test]
async fn a_store_that_has_ended_is_free_whoever_still_has_its_files() {
    let (_directory, path) = temporary();
    let first = Store::open(&path, NOW).await.unwrap();
    let of_a_child = first.lock_of_a_child();
    first.close().await;
    drop(first);
    Store::open(&path, NOW).await.unwrap();
    drop(of_a_child);
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
    drop(store);
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
    assert_eq!(copies_aside(&path).len(), 1);
}

#[tokio::test]
async fn the_latest_three_copies_are_kept_aside() {
    let (_directory, path) = closed_store().await;
    for second in [0, 0, 5, 5, 9] {
        fs::write(&path, "no database".repeat(100)).unwrap();
        let store = Store::open(&path, NOW + second).await.unwrap();
        store.close().await;
        drop(store);
    }
    let kept =
        [5, 6, 9].map(|second| path.with_file_name(format!("usrlocd.db.broken-{}", NOW + second)));
    assert_eq!(copies_aside(&path), kept);
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
