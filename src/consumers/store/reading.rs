//! Reading the store at a start: what is little at once, then accounts one by one as they are asked for, and beside
//! that everything.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::SqlitePool;
use tokio::sync::RwLockWriteGuard;

use super::read::Names;
use super::{Change, Contents, Durability, Error, Store, Stored, bulk, commit, file, read};
use crate::progress::Progress;
use crate::sqlite_file::{Held, Reason};

/// The store as an earlier run left it. Writes wait until this goes.
#[derive(Debug)]
pub struct Reading<'a> {
    store: &'a Store,
    /// Everything but the registrations.
    little: Contents,
    accounts: Arc<Names>,
    owners: Option<u64>,
    /// The ids of accounts that nobody has any more.
    unused: Mutex<Vec<i64>>,
    nobody_writes: RwLockWriteGuard<'a, ()>,
}

impl<'a> Reading<'a> {
    pub(super) async fn begin(store: &'a Store) -> Result<Self, Error> {
        let nobody_writes = store.gate.write().await;
        let pool = store.pool();
        let first = async {
            let mut connection = pool.acquire().await?;
            let owners = read::owners(&mut connection).await?;
            let (little, accounts) = read::all_but_registrations(&mut connection).await?;
            Ok((little, accounts, owners))
        };
        let (little, accounts, owners) = match first.await {
            Ok(first) => first,
            Err(error) if file::is_broken(&error) => {
                store.begin_anew(&pool, &error).await?;
                Default::default()
            }
            Err(error) => return Err(store.cannot_read(error)),
        };
        Ok(Self {
            store,
            little,
            accounts: Arc::new(accounts),
            owners,
            unused: Mutex::default(),
            nobody_writes,
        })
    }

    /// Everything but the registrations.
    #[must_use]
    pub fn little(&self) -> &Contents {
        &self.little
    }

    /// The hash of the rules by which every registration belongs to its account; `None` where not all do so by the
    /// same, or accounts cannot be read one by one.
    #[must_use]
    pub fn owners(&self) -> Option<u64> {
        self.owners
    }

    /// The registrations of the account `name`, none where there is no such account; `None` where these are more
    /// than `most`.
    ///
    /// # Errors
    /// [`Error::CannotRead`].
    pub async fn account(&self, name: &str, most: u32) -> Result<Option<Vec<Stored>>, Error> {
        let known = self.accounts.iter().find(|(_, known)| ***known == *name);
        let Some((id, _)) = known else {
            return Ok(Some(Vec::new()));
        };
        let pool = self.store.pool();
        let read = async {
            let mut connection = pool.acquire().await?;
            read::registrations_of(&mut connection, *id, most, &self.accounts).await
        };
        read.await.map_err(|error| self.store.cannot_read(error))
    }

    /// Everything. `progress` counts the registrations that have been read.
    ///
    /// # Errors
    /// [`Error::CannotRead`], and those of [`Store::open`].
    pub async fn everything(&self, progress: &Arc<Progress>) -> Result<Contents, Error> {
        let pool = self.store.pool();
        match self.registrations(&pool, progress).await {
            Ok(registrations) => {
                self.note_unused();
                Ok(Contents {
                    registrations,
                    ..self.little.clone()
                })
            }
            Err(error) if file::is_broken(&error) => {
                self.store.begin_anew(&pool, &error).await?;
                progress.reach(0);
                progress.expect(0);
                Ok(Contents::default())
            }
            Err(error) => Err(self.store.cannot_read(error)),
        }
    }

    async fn registrations(
        &self,
        pool: &SqlitePool,
        progress: &Arc<Progress>,
    ) -> Result<Vec<Stored>, sqlx::Error> {
        progress.expect(read::count(&mut *pool.acquire().await?).await?);
        // What stands in SQLite's log goes into the file.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(pool)
            .await?;
        let (path, accounts) = (self.store.path.clone(), Arc::clone(&self.accounts));
        let held = self.store.hold();
        let done = Arc::clone(progress);
        let bulk = move || bulk::registrations(&*held?, &path, &accounts, &done);
        match tokio::task::spawn_blocking(bulk).await {
            Ok(Ok(registrations)) => Ok(registrations),
            strange => {
                tracing::debug!(?strange, "reads the store row by row");
                progress.reach(0);
                let mut connection = pool.acquire().await?;
                read::registrations(&mut connection, &self.accounts, progress).await
            }
        }
    }

    fn note_unused(&self) {
        // Whoever has an account shares its name.
        let is_unused = |name: &Arc<str>| Arc::strong_count(name) == 1;
        let unused = self.accounts.iter().filter(|(_, name)| is_unused(name));
        let unused = unused.map(|(id, _)| *id).collect();
        *self.unused.lock().unwrap_or_else(PoisonError::into_inner) = unused;
    }

    /// Ends the reading, and forgets accounts that nobody has any more.
    pub async fn end(self) {
        let unused = self
            .unused
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if !unused.is_empty() {
            let forget = Change::Forget(&unused);
            if let Err(error) = commit(&self.store.pool(), Durability::Process, forget).await {
                // They take a little room until the next start.
                tracing::debug!(%error, "cannot forget accounts");
            }
        }
        drop(self.nobody_writes);
    }
}

impl Store {
    /// The store's file, held open for as long as the store is.
    fn hold(&self) -> Result<Arc<Held>, Reason> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held.iter().find(|it| it.is_at(&self.path)) {
            return Ok(Arc::clone(known));
        }
        let new = Arc::new(Held::open(&self.path)?);
        held.push(Arc::clone(&new));
        Ok(new)
    }
}
