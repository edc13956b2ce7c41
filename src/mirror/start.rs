//! The start: what an earlier run kept is taken over, and shown until the tables have been read.
//!
//! That takes a while where it is much. Accounts that are asked for meanwhile are read before all others, and the
//! tail begins to compare the tables as soon as it knows what to compare them with.

use std::convert::Infallible;
use std::sync::Arc;

use super::causes::Causes;
use super::follow::Follower;
use super::keeper::Keeper;
use super::mailbox::Mailbox;
use super::resolve::{Resolved, Resolver};
use super::seek::Place;
use super::settling::Settling;
use super::{Mirror, Options, Parts, stored};
use crate::rate_limited::RateLimited;
use crate::store::{Contents, Reading};
use crate::view::{Kept, Source, SourceState, View};

/// The registrations of an account that is read before all others, at most: for more it waits with the rest.
const MOST: u32 = 10_000;

impl Mirror {
    /// A mirror whose view shows what the store had kept, until the tables have been read.
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
        let view = Arc::clone(&parts.view);
        let early = resolver.clone();
        let restored = Arc::clone(view.restored());
        let take_over = async {
            let contents = reading.everything(&restored).await;
            let contents = contents.map_err(std::io::Error::other)?;
            take_over(options, parts, (naming, resolver), contents).await
        };
        let mirror = tokio::select! {
            mirror = take_over => mirror?,
            never = bring_early(&reading, &early, &view) => match never? {},
        };
        reading.end().await;
        Ok(mirror)
    }
}

/// Shows all that the store had kept, and has the tables compared with it.
async fn take_over(
    options: Options,
    parts: Parts,
    (naming, resolver): (Arc<super::Naming>, Resolver),
    contents: Contents,
) -> std::io::Result<Mirror> {
    let source = source(&contents);
    let mailbox = Arc::new(Mailbox::default());
    let kept = contents.registrations.iter();
    let former = kept.map(|one| Arc::clone(&one.binding)).collect();
    let database = Place::default();
    let follower = Follower::new(options, Arc::clone(&mailbox), &database, &parts);
    let thread = follower.start(former)?;
    let keeper = Arc::new(Keeper::new(
        Arc::clone(&parts.store),
        Arc::clone(&parts.view),
        Arc::clone(&parts.clock),
        Arc::clone(&parts.metrics),
    ));
    let (resolving, view) = (resolver.clone(), Arc::clone(&parts.view));
    let restore = move || {
        let Resolved { rows, moved } = resolving.registrations(contents.registrations);
        let kept = Kept {
            rows,
            departed: contents.departed,
            hidden: contents.hidden,
        };
        view.restore(kept, source);
        moved
    };
    let moved = tokio::task::spawn_blocking(restore).await?;
    let moved = moved
        .iter()
        .map(|one| (one.binding.key.clone(), Some(stored(one))));
    keeper.put(moved, Vec::new(), Vec::new());
    keeper.set_owners(Some(resolver.owners()));
    Ok(Mirror {
        parts,
        naming,
        resolver,
        mailbox,
        keeper,
        thread,
        state: None,
        trouble: RateLimited::default(),
        causes: Causes::default(),
        database,
        complete: false,
        known: source.as_of.is_some(),
        settling: Settling::default(),
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
async fn bring_early(
    reading: &Reading<'_>,
    resolver: &Resolver,
    view: &Arc<View>,
) -> std::io::Result<Infallible> {
    let little = reading.little();
    if reading.owners() != Some(resolver.owners()) || little.as_of.is_none() {
        return std::future::pending().await;
    }
    let source = Source {
        state: SourceState::CatchingUp,
        as_of: little.as_of,
    };
    view.begin_early(little.departed.clone(), little.hidden.clone(), source);
    loop {
        let account = view.wanted().await;
        let kept = match reading.account(&account, MOST).await {
            Ok(kept) => kept,
            Err(error) => {
                // Whether it must be said will show when everything is read.
                tracing::debug!(%error, "cannot read an account early");
                None
            }
        };
        let (resolver, view) = (resolver.clone(), Arc::clone(view));
        let bring = move || {
            let rows = kept.map(|kept| resolver.registrations(kept));
            let whole = rows.filter(|rows| rows.moved.is_empty());
            view.bring_early(&account, whole.as_ref().map(|whole| &*whole.rows));
        };
        tokio::task::spawn_blocking(bring).await?;
    }
}

#[cfg(test)]
mod tests;
