//! The start: what an earlier run kept is taken over, and shown until the tables have been read.
//!
//! That takes a while where it is much. Accounts that are asked for meanwhile are read before all others, and the
//! tail begins to compare the tables as soon as it knows what to compare them with.

use std::convert::Infallible;
use std::sync::Arc;

use super::causes::Causes;
use super::readiness::Readiness;
use super::{Options, Parts, Pipeline};
use crate::accounts::{Naming, Resolved, Resolver};
use crate::consumers::store::{Contents, Reading};
use crate::consumers::write_behind::WriteBehind;
use crate::rate_limited::RateLimited;
use crate::registration::Stored;
use crate::registry::{Registry, Snapshot, Source, SourceState};
use crate::source::sqlite::{self, SqliteSource};

/// The registrations of an account that is read before all others, at most: for more it waits with the rest.
const MOST: u32 = 10_000;

impl Pipeline {
    /// A pipeline whose registry shows what the store had kept, until the tables have been read.
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
        let registry = Arc::clone(&parts.registry);
        let early = resolver.clone();
        let restored = Arc::clone(registry.restored());
        let take_over = async {
            let contents = reading.everything(&restored).await;
            let contents = contents.map_err(std::io::Error::other)?;
            take_over(options, parts, (naming, resolver), contents).await
        };
        let pipeline = tokio::select! {
            pipeline = take_over => pipeline?,
            never = preload(&reading, &early, &registry) => match never? {},
        };
        drop(reading);
        Ok(pipeline)
    }
}

/// Shows all that the store had kept, and has the tables compared with it.
async fn take_over(
    options: Options,
    parts: Parts,
    (naming, resolver): (Arc<Naming>, Resolver),
    contents: Contents,
) -> std::io::Result<Pipeline> {
    let source = source(&contents);
    let kept = contents.registrations.iter();
    let former = kept.map(|one| Arc::clone(&one.binding)).collect();
    let follow = sqlite::Options {
        database: options.database.clone(),
        discover: options.discover,
        store: parts.store.path().to_owned(),
        tables: options.tables,
    };
    if follow.discover.is_none() {
        parts.registry.set_source_file(options.database);
    }
    let shared = sqlite::Parts {
        clock: Arc::clone(&parts.clock),
        metrics: Arc::clone(&parts.metrics),
        heartbeat: Arc::clone(parts.registry.heartbeat()),
        rows_read: Arc::clone(parts.registry.read_rows()),
    };
    let following = SqliteSource::start(follow, shared, former)?;
    let write_behind = Arc::new(WriteBehind::new(
        Arc::clone(&parts.store),
        Arc::clone(&parts.registry),
        Arc::clone(&parts.clock),
        Arc::clone(&parts.metrics),
    ));
    let (resolving, registry) = (resolver.clone(), Arc::clone(&parts.registry));
    let restore = move || {
        let Resolved { rows, moved } = resolving.registrations(contents.registrations);
        let kept = Snapshot {
            rows,
            departed: contents.departed,
            hidden: contents.hidden,
        };
        registry.restore(kept, source);
        moved
    };
    let moved = tokio::task::spawn_blocking(restore).await?;
    let moved = moved
        .iter()
        .map(|one| (one.binding.key.clone(), Some(Stored::from(&**one))));
    write_behind.put(moved, Vec::new(), Vec::new());
    write_behind.set_owners(Some(resolver.owners()));
    Ok(Pipeline {
        parts,
        naming,
        resolver,
        write_behind,
        source: following,
        health: None,
        trouble: RateLimited::default(),
        causes: Causes::default(),
        complete: false,
        known: source.as_of.is_some(),
        readiness: Readiness::default(),
        hung: 0,
    })
}

/// How well what was kept is known to equal the tables. Where that never was so, because the earlier run ended before
/// all was kept, it is only a part of them, and says nothing about what is not in it.
fn source(contents: &Contents) -> Source {
    let as_of = contents.as_of;
    let state = match as_of {
        Some(_) => SourceState::CatchingUp,
        None => SourceState::Unavailable,
    };
    Source { state, as_of }
}

/// Shows accounts that are asked for before everything is there; only where the rows that each has in the store are
/// those that it will have then, because they were kept by the rules that are in force.
async fn preload(
    reading: &Reading<'_>,
    resolver: &Resolver,
    registry: &Arc<Registry>,
) -> std::io::Result<Infallible> {
    let little = reading.little();
    if reading.owners() != Some(resolver.owners()) || little.as_of.is_none() {
        return std::future::pending().await;
    }
    let source = Source {
        state: SourceState::CatchingUp,
        as_of: little.as_of,
    };
    registry.begin_preload(little.departed.clone(), little.hidden.clone(), source);
    loop {
        let account = registry.wanted().await;
        let kept = match reading.account(&account, MOST).await {
            Ok(kept) => kept,
            Err(error) => {
                // Whether it must be said will show when everything is read.
                tracing::debug!(%error, "cannot read an account early");
                None
            }
        };
        let (resolver, registry) = (resolver.clone(), Arc::clone(registry));
        let bring = move || {
            let rows = kept.map(|kept| resolver.registrations(kept));
            let whole = rows.filter(|rows| rows.moved.is_empty());
            registry.preload(&account, whole.as_ref().map(|whole| &*whole.rows));
        };
        tokio::task::spawn_blocking(bring).await?;
    }
}

#[cfg(test)]
mod tests;
