//! Reading the store at a start: what is little at once, then accounts one by one as they are asked for, and beside
//! that everything.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::HashSet;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{RwLockWriteGuard, mpsc};
use tokio::task::JoinSet;

use super::read::{self, Block};
use super::record::Decoder;
use super::shapes::{self, ShapeKeys};
use super::{Contents, Error, Store, Stored};
use crate::own_database::is_broken;
use crate::parallel;
use crate::progress::Progress;

/// The registrations of a block. So few that malloc has room for it: memory for a large block comes from the system each
/// time, page by page.
const BLOCK: u32 = 256;

/// Blocks that may wait to be decoded.
const WAITING: usize = 16;

/// The store as an earlier run left it. Writes wait until this is dropped.
#[derive(Debug)]
pub struct Reading<'a> {
    store: &'a Store,
    /// Everything but the registrations.
    little: Contents,
    owners: Option<u64>,
    shapes: Arc<ShapeKeys>,
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
            let shapes = Arc::new(shapes::read(&mut connection).await?);
            Ok((little, owners, shapes))
        };
        let (little, owners, shapes) = match first.await {
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
            shapes,
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
            let mut decoder = Decoder::of(Arc::clone(&self.shapes));
            let read = decoder.decode(&records, &mut registrations);
            read.map_err(|malformed| sqlx::Error::Decode(malformed.into()))?;
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
        let (little, portions) = self.everything_made(progress, || |portion| portion).await?;
        Ok(Contents {
            registrations: portions.concat(),
            ..little
        })
    }

    /// The same, with the registrations beside it, a portion after the other, as `makes` makes them: that is called
    /// once for each core, and what it returns has several portions to work on.
    ///
    /// # Errors
    /// [`Error::CannotRead`], and those of [`Store::open`].
    pub async fn everything_made<T, M>(
        &self,
        progress: &Arc<Progress>,
        makes: impl Fn() -> M,
    ) -> Result<(Contents, Vec<T>), Error>
    where
        T: Send + 'static,
        M: FnMut(Vec<Stored>) -> T + Send + 'static,
    {
        let pool = self.store.pool();
        match registrations(&pool, &self.shapes, progress, makes).await {
            Ok((made, used)) => {
                self.prune(&pool, &used).await;
                Ok((self.little.clone(), made))
            }
            Err(error) if is_broken(&error) => {
                self.store.begin_anew(&pool, &error).await?;
                progress.reach(0);
                progress.expect(0);
                Ok((Contents::default(), Vec::new()))
            }
            Err(error) => Err(self.store.cannot_read(error)),
        }
    }

    /// Forgets the shapes that are not `used`, where there are many.
    async fn prune(&self, pool: &SqlitePool, used: &HashSet<u32>) {
        let prune = async {
            let mut connection = pool.acquire().await?;
            shapes::prune(&mut connection, &self.shapes, used).await
        };
        if let Err(error) = prune.await {
            tracing::debug!(%error, "cannot forget unused shapes of attributes");
        }
        self.store.forget_shapes();
    }
}

/// All registrations, and the shapes that their records have: SQLite's thread reads them, and at the same time each core decodes, and makes something of, a
/// block of its own.
async fn registrations<T, M>(
    pool: &SqlitePool,
    shapes: &Arc<ShapeKeys>,
    progress: &Arc<Progress>,
    makes: impl Fn() -> M,
) -> Result<(Vec<T>, HashSet<u32>), sqlx::Error>
where
    T: Send + 'static,
    M: FnMut(Vec<Stored>) -> T + Send + 'static,
{
    progress.expect(read::count(&mut *pool.acquire().await?).await?);
    let (blocks, arriving) = mpsc::channel(WAITING);
    let arriving = Arc::new(Mutex::new(arriving));
    let mut making = JoinSet::new();
    for _ in 0..parallel::cores() {
        let (arriving, progress, make) = (Arc::clone(&arriving), Arc::clone(progress), makes());
        let decoder = Decoder::of(Arc::clone(shapes));
        making.spawn_blocking(move || make_of(&arriving, &progress, decoder, make));
    }
    drop(arriving);
    let mut after = i64::MIN;
    let mut number = 0;
    // The connection is given back after each block, for an account that is asked for meanwhile.
    while let Some(block) = read::block(&mut *pool.acquire().await?, after, BLOCK).await? {
        after = block.last;
        if blocks.send((number, block)).await.is_err() {
            break;
        }
        number += 1;
    }
    drop(blocks);
    let (mut made, mut used) = (Vec::with_capacity(number), HashSet::default());
    while let Some(some) = making.join_next().await {
        match some {
            Ok(some) => {
                let (some, decoder) = some?;
                made.extend(some);
                used.extend(decoder.met());
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    made.sort_unstable_by_key(|(number, _)| *number);
    Ok((made.into_iter().map(|(_, made)| made).collect(), used))
}

/// What `make` makes of the blocks that this thread gets, with their numbers; the decoder at the end.
fn make_of<T>(
    arriving: &Mutex<mpsc::Receiver<(usize, Block)>>,
    progress: &Progress,
    mut decoder: Decoder,
    mut make: impl FnMut(Vec<Stored>) -> T,
) -> Result<(Vec<(usize, T)>, Decoder), sqlx::Error> {
    let next = || {
        let mut arriving = arriving.lock().unwrap_or_else(PoisonError::into_inner);
        arriving.blocking_recv()
    };
    let mut all = Vec::new();
    while let Some((number, block)) = next() {
        let mut registrations = Vec::new();
        decoder
            .decode(&block.records, &mut registrations)
            .map_err(|malformed| sqlx::Error::Decode(malformed.into()))?;
        progress.advance(registrations.len());
        all.push((number, make(registrations)));
    }
    Ok((all, decoder))
}
