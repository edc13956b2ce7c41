//! What is shown early is what will be shown when everything is there.

use futures_util::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::accounts::directory::Directory;
use crate::clock::{Clock, ManualClock};
use crate::consumers::store::{Batch, Store};
use crate::daemon::pipeline::Naming;
use crate::registration::testing::binding;
use crate::registration::{Attributes, Binding, Expiry, Hidden, Life, Stored, Tombstone};
use crate::registry::Scope;

const NOW: i64 = 1_700_000_000;

/// Realms `a` and `b` belong to `acme`, every other to itself.
fn resolver(directory: &str) -> Resolver {
    let directory = Arc::new(Directory::parse(directory).unwrap());
    Resolver::new(Arc::new(Naming::default()), directory)
}

const PLAIN: &str = r#"{"accounts": [{"id": "acme", "realm": "A.example.com"}]}"#;

/// Twelve rows: of two accounts by realm and of one by token; permanent, expired, hidden, alike.
fn rows() -> Vec<Binding> {
    let row = |number: usize| {
        let ruid = number.to_string();
        let domain = ["a.example.com", "b.example.com"][number % 2];
        let user = format!("user{}", number % 4);
        let contact = format!("sip:{user}@192.0.2.{}", number % 8);
        let end = NOW + [600, -5, 1][number % 3];
        let token = number
            .is_multiple_of(5)
            .then(|| ("token".into(), "d@by-token".into()));
        Binding {
            domain: Some(domain.into()),
            expiry: if number == 3 {
                Expiry::Permanent
            } else {
                Expiry::At(end)
            },
            attributes: token.into_iter().collect::<Attributes>(),
            ..binding(&ruid, &user, &contact, NOW + 600)
        }
    };
    (0..12).map(row).collect()
}

/// A store with these rows, of which one is hidden and one has departed.
async fn store(resolver: &Resolver, rows: Vec<Binding>) -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("s.db"), NOW).await.unwrap();
    let hide = |row: &Binding| Hidden {
        key: row.key.clone(),
        fingerprint: row.row_fingerprint(),
        at: NOW + 600,
    };
    store.hide(&[hide(&rows[6])]).await.unwrap();
    let gone = Tombstone {
        account: Some("gone".into()),
        username: "dave".into(),
        domain: None,
        at: NOW - 5,
    };
    let keep = |row| Stored::from(&resolver.registration(Arc::new(row), Life::since(NOW - 60)));
    let batch = Batch {
        upserts: rows.into_iter().map(keep).collect::<Vec<Stored>>(),
        departed: vec![gone],
        as_of: Some(std::time::Duration::from_secs(NOW.cast_unsigned())),
        owners: Some(resolver.owners()),
        ..Batch::default()
    };
    store.apply(&batch).await.unwrap();
    (folder, store)
}

fn registry() -> Arc<Writer> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW.cast_unsigned()));
    Arc::new(Writer::new(clock))
}

#[tokio::test]
async fn an_account_has_early_what_it_has_with_all_others() {
    let resolver = resolver(PLAIN);
    let (_folder, store) = store(&resolver, rows()).await;
    let (early, whole) = (registry(), registry());
    let reading = store.reading().await.unwrap();
    let contents = reading.everything(&Arc::default()).await.unwrap();
    let source = source(&contents);
    let kept = Snapshot {
        rows: resolver.registrations(contents.registrations).rows,
        tombstones: contents.departed,
        hidden: contents.hidden,
        ..Snapshot::default()
    };
    whole.restore(kept, source);
    let accounts = ["acme", "b.example.com", "by-token", "gone", "unknown"];
    let ask = async {
        for account in accounts {
            early.wait_for(Scope::Account(account)).await;
        }
    };
    tokio::select! {
        never = preload(&reading, &resolver, &early) => match never.unwrap() {},
        () = ask => {}
    }
    let told = |registry: &Writer, account| {
        let scope = Scope::Account(account);
        let users: Vec<_> = (0..4)
            .map(|user| {
                let user = format!("user{user}");
                let list = registry.list_user(scope, user.as_bytes());
                (list, registry.known_aors(scope, user.as_bytes()))
            })
            .collect();
        let all = (registry.list(scope), registry.count(scope), users);
        (format!("{all:?}"), registry.knows_account(account))
    };
    for account in accounts {
        assert_eq!(told(&early, account), told(&whole, account), "{account}");
    }
    assert!(early.count(Scope::Account("acme")).0 > 0);
    assert!(early.knows_account("gone") && !early.knows_account("unknown"));
    let answers = early.source_of_answers();
    assert_eq!((answers.state, answers.as_of), (source.state, source.as_of));
    assert_eq!(early.source().state, SourceState::Unavailable);
    assert!(early.wait_for(Scope::System).now_or_never().is_none());
    assert_eq!(early.counts(), crate::registry::Counts::default());
}

/// An earlier run that ended before all was kept has left a part, which says nothing about what is not in it.
#[tokio::test]
async fn what_was_kept_in_part_is_not_taken_for_all() {
    let resolver = resolver(PLAIN);
    let (_folder, store) = store(&resolver, rows()).await;
    let whole = store.load().await.unwrap();
    assert_eq!(source(&whole).state, SourceState::CatchingUp);
    let part = Contents {
        as_of: None,
        ..whole
    };
    assert_eq!(source(&part), SourceReport::default());
    assert_eq!(source(&part).state, SourceState::Unavailable);
}

#[tokio::test]
async fn nothing_is_shown_early_where_other_rules_decide_on_owners() {
    let former = resolver(PLAIN);
    let (_folder, store) = store(&former, rows()).await;
    let other = resolver(r#"{"accounts": [{"id": "acme", "realm": "b.example.com"}]}"#);
    let reading = store.reading().await.unwrap();
    let registry = registry();
    assert!(
        preload(&reading, &other, &registry)
            .now_or_never()
            .is_none()
    );
    assert_eq!(registry.source_of_answers().state, SourceState::Unavailable);
    let contents = reading.everything(&Arc::default()).await.unwrap();
    let moved = other.registrations(contents.registrations).moved;
    assert!(!moved.is_empty() && moved.len() < 12);
    let contents = reading.everything(&Arc::default()).await.unwrap();
    let moved = former.registrations(contents.registrations).moved;
    assert_eq!(moved, []);
}
