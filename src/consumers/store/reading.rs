//! Reading the store at a start: what is little at once, then accounts one by one as they are asked for, and beside
//! that everything.

use std::sync::Arc;

use sqlx::sqlite::SqlitePool;
use tokio::sync::{RwLockWriteGuard, mpsc};

use super::read::{self, Block};
use super::record::Decoder;
use super::{Contents, Error, Store, Stored};
use crate::own_database::is_broken;
use crate::progress::Progress;

/// The registrations of a block: one is read while the one before it is decoded.
const BLOCK: u32 = 2048;

/// Blocks that may wait to be decoded.
const WAITING: usize = 2;

/// The store as an earlier run left it. Writes wait until this is dropped.
#[derive(Debug)]
pub struct Reading<'a> {
    store: &'a Store,
    /// Everything but the registrations.
    little: Contents,
    owners: Option<u64>,
    _nobody_writes: RwLockWriteGuard<'a, ()>,
}

impl<'a> Reading<'a> {
    pub(super) async fn begin(store: &'a Store) -> Result<Self, Error> {
        let nobody_writes = store.gate.write().await;
        let pool = store.pool();
        let first = async {
            let mut connection = pool.acquire().await?;
            let owners = read::owners(&mut connection).await?;
            let little = read::all_but_registrations(&mut connection).await?;
            Ok((little, owners))
        };
        let (little, owners) = match first.await {
            Ok(first) => first,
            Err(error) if is_broken(&error) => {
                store.begin_anew(&pool, &error).await?;
                Default::default()
            }
            Err(error) => return Err(store.cannot_read(error)),
        };
        Ok(Self {
            store,
            little,
            owners,
            _nobody_writes: nobody_writes,
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
        let pool = self.store.pool();
        let read = async {
            let mut connection = pool.acquire().await?;
            let Some(records) = read::block_of(&mut connection, name, most).await? else {
                return Ok(None);
            };
            let mut registrations = Vec::new();
            let decoded = Decoder::default().decode(&records, &mut registrations);
            decoded.map_err(|malformed| sqlx::Error::Decode(malformed.into()))?;
            // Another account may have the same hash.
            registrations.retain(|one| one.account.as_deref() == Some(name));
            Ok(Some(registrations))
        };
        read.await.map_err(|error| self.store.cannot_read(error))
    }

    /// Everything. `progress` counts the registrations that have been read.
    ///
    /// # Errors
    /// [`Error::CannotRead`], and those of [`Store::open`].
    pub async fn everything(&self, progress: &Arc<Progress>) -> Result<Contents, Error> {
        let pool = self.store.pool();
        match registrations(&pool, progress).await {
            Ok(registrations) => Ok(Contents {
                registrations,
                ..self.little.clone()
            }),
            Err(error) if is_broken(&error) => {
                self.store.begin_anew(&pool, &error).await?;
                progress.reach(0);
                progress.expect(0);
                Ok(Contents::default())
            }
            Err(error) => Err(self.store.cannot_read(error)),
        }
    }
}

/// All registrations: SQLite's thread reads them, and another one decodes them at the same time.
async fn registrations(
    pool: &SqlitePool,
    progress: &Arc<Progress>,
) -> Result<Vec<Stored>, sqlx::Error> {
    let count = read::count(&mut *pool.acquire().await?).await?;
    progress.expect(count);
    let (blocks, mut arriving) = mpsc::channel::<Block>(WAITING);
    let done = Arc::clone(progress);
    let decode = tokio::task::spawn_blocking(move || {
        let mut decoder = Decoder::default();
        let mut registrations = Vec::with_capacity(count);
        while let Some(block) = arriving.blocking_recv() {
            decoder.decode(&block.records, &mut registrations)?;
            done.reach(registrations.len());
        }
        Ok(registrations)
    });
    let mut after = i64::MIN;
    // The connection is given back after each block, for an account that is asked for meanwhile.
    while let Some(block) = read::block(&mut *pool.acquire().await?, after, BLOCK).await? {
        after = block.last;
        if blocks.send(block).await.is_err() {
            break;
        }
    }
    drop(blocks);
    match decode.await {
        Ok(decoded) => {
            decoded.map_err(|error: super::record::Malformed| sqlx::Error::Decode(error.into()))
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
