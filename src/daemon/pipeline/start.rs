//! The start: what an earlier run stored is restored, and served until the tables have been read.
//!
//! That takes a while where it is much. Accounts that are asked for meanwhile are read before all others, and the source
//! begins to compare the tables as soon as it knows what to compare them with.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::causes::Causes;
use super::first_load::FirstLoad;
use super::readiness::Readiness;
use super::{Options, Origin, Parts, Pipeline};
use crate::accounts::{Naming, Resolved, Resolver};
use crate::consumers::store::{Contents, Reading};
use crate::consumers::write_behind::WriteBehind;
use crate::event_log::{self, Keeper};
use crate::parallel;
use crate::rate_limited::RateLimited;
use crate::registration::{Binding, Stored};
use crate::registry::{Snapshot, SourceReport, SourceState, Writer};
use crate::source::sql::SqlSource;
use crate::source::sqlite::{self, SqliteSource};
use crate::source::{self, Configured};

/// The registrations of an account that is read before all others, at most: for more it waits with the rest.
const MOST: u32 = 10_000;

/// Bindings that were stored, and what they are now.
type Portion = (Vec<Arc<Binding>>, Resolved);

impl Pipeline {
    /// A pipeline whose registry has what the store had, until the tables have been read.
    ///
    /// # Errors
    /// When the store cannot be read, or the operating system starts no thread.
    pub async fn start(options: Options, mut parts: Parts) -> std::io::Result<Self> {
        let naming = Arc::new(options.naming.clone());
        let directory = Arc::clone(&parts.directory.borrow_and_update());
        parts.in_force.send_replace(Arc::clone(&directory));
        let resolver = Resolver::new(Arc::clone(&naming), directory);
        let store = Arc::clone(&parts.store);
        let reading = store.reading().await.map_err(std::io::Error::other)?;
        let writer = Arc::clone(&parts.writer);
        let early = resolver.clone();
        let restored = Arc::clone(writer.restored());
        let take_over = async {
            let portions = || {
                let mut make = resolver.restoring();
                move |stored: Vec<Stored>| {
                    let bindings = stored.iter().map(|one| Arc::clone(&one.binding));
                    (bindings.collect::<Vec<_>>(), make(stored))
                }
            };
            let left = reading.everything_made(&restored, portions).await;
            let left = left.map_err(std::io::Error::other)?;
            take_over(options, parts, (naming, resolver), left).await
        };
        let pipeline = tokio::select! {
            pipeline = take_over => pipeline?,
            never = preload(&reading, &early, &writer) => match never? {},
        };
        drop(reading);
        Ok(pipeline)
    }
}

/// Restores all that the store had, and has the tables compared with it.
async fn take_over(
    options: Options,
    mut parts: Parts,
    (naming, resolver): (Arc<Naming>, Resolver),
    (contents, portions): (Contents, Vec<Portion>),
) -> std::io::Result<Pipeline> {
    let source = source(&contents);
    let (former, rows): (Vec<_>, Vec<_>) = portions.into_iter().unzip();
    let former = parallel::joined(former);
    let (following, place) = follow(options.origin, &parts, former)?;
    let writer = Arc::clone(&parts.writer);
    let owners = resolver.owners();
    let (log, runtime) = (Arc::clone(&parts.events), Handle::current());
    let restore = move || {
        let each = rows.into_iter().map(|one: Resolved| (one.rows, one.moved));
        let (rows, moved): (_, Vec<_>) = each.unzip();
        let left = Snapshot {
            rows: parallel::joined(rows),
            moved: moved.concat(),
            owners: Some(owners),
            tombstones: contents.departed,
            hidden: contents.hidden,
            intents: contents.intents,
        };
        // The log has said that they are gone, and does not say so again.
        writer.restore_without(left, source, |rows| runtime.block_on(log.gone(rows)))
    };
    let feed = tokio::task::spawn_blocking(restore).await?;
    let keeper = Keeper::new(event_log::Parts {
        log: Arc::clone(&parts.events),
        feed: feed.clone(),
        as_of: source.as_of,
        clock: Arc::clone(&parts.clock),
        observers: std::mem::take(&mut parts.observers),
    });
    let write_behind = Arc::new(WriteBehind::new(
        Arc::clone(&parts.store),
        feed,
        Arc::clone(&parts.clock),
        parts.events.followed(),
        Arc::clone(&parts.metrics),
    ));
    Ok(Pipeline {
        parts,
        naming,
        resolver,
        keeper: Some(keeper),
        write_behind,
        source: following,
        place,
        health: None,
        trouble: RateLimited::default(),
        causes: Causes::default(),
        complete: false,
        known: source.as_of.is_some(),
        first_load: source.as_of.is_none().then(FirstLoad::default),
        readiness: Readiness::default(),
        hung: 0,
    })
}

/// Starts to follow the tables. Returns the server's name too, if they are on one.
fn follow(
    origin: Origin,
    parts: &Parts,
    former: Vec<Arc<Binding>>,
) -> std::io::Result<(Configured, Option<String>)> {
    let shared = source::Parts {
        clock: Arc::clone(&parts.clock),
        metrics: Arc::clone(&parts.metrics),
        heartbeat: Arc::clone(parts.writer.heartbeat()),
        rows_read: Arc::clone(parts.writer.read_rows()),
        cycle: Arc::clone(parts.writer.cycle()),
    };
    match origin {
        Origin::File {
            database,
            discover,
            tables,
        } => {
            if discover.is_none() {
                parts.writer.report_file(database.clone());
            }
            let follow = sqlite::Options {
                database,
                discover,
                store: parts.store.path().to_owned(),
                tables,
            };
            let following = SqliteSource::start(follow, shared, former)?;
            Ok((Configured::File(following), None))
        }
        Origin::Server { options, place } => {
            let following = SqlSource::start(options, shared, former);
            Ok((Configured::Server(following), Some(place)))
        }
    }
}

/// How well what was stored is known to equal the tables. Where that never was so, because the earlier run ended before
/// all was stored, it is only a part of them, and says nothing about what is not in it.
fn source(contents: &Contents) -> SourceReport {
    let as_of = contents.as_of;
    let state = match as_of {
        Some(_) => SourceState::CatchingUp,
        None => SourceState::Unavailable,
    };
    SourceReport { state, as_of }
}

/// Preloads accounts that are asked for before everything is there; only where the rows that each has in the store are
/// those that it will have then, because they were stored by the rules that are in force.
async fn preload(
    reading: &Reading<'_>,
    resolver: &Resolver,
    writer: &Arc<Writer>,
) -> std::io::Result<Infallible> {
    let little = reading.little();
    if reading.owners() != Some(resolver.owners()) || little.as_of.is_none() {
        return std::future::pending().await;
    }
    let source = SourceReport {
        state: SourceState::CatchingUp,
        as_of: little.as_of,
    };
    let hidden = little.hidden.iter().chain(&little.intents).cloned();
    writer.begin_preload(little.departed.clone(), hidden.collect(), source);
    loop {
        let account = writer.wanted().await;
        let stored = match reading.account(&account, MOST).await {
            Ok(stored) => stored,
            Err(error) => {
                // Whether it must be said will show when everything is read.
                tracing::debug!(%error, "cannot preload an account");
                None
            }
        };
        let (resolver, writer) = (resolver.clone(), Arc::clone(writer));
        let preload = move || {
            let rows = stored.map(|stored| resolver.registrations(stored));
            let whole = rows.filter(|rows| rows.moved.is_empty());
            writer.preload(&account, whole.as_ref().map(|whole| &*whole.rows));
        };
        tokio::task::spawn_blocking(preload).await?;
    }
}

#[cfg(test)]
mod tests;
