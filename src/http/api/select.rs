//! Applies the filters of a request.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::events::flap::Snapshot;
use crate::http::App;
use crate::http::api::subject::Subject;
use crate::http::request::filter::Filters;
use crate::parallel;
use crate::registration::Registration;
use crate::registration::item::{Item, Wire};
use crate::registry::Listing;

/// How many registrations are looked through before other tasks get a turn: less than a millisecond's work.
pub(crate) const BATCH: usize = 256;

/// Fewer registrations than this are not worth a task.
const WORTH_A_TASK: usize = 8192;

/// What registrations are looked through for.
#[derive(Clone, Debug)]
struct Wanted {
    filters: Filters,
    wire: Wire,
    now: i64,
    flaps: Arc<Snapshot>,
}

/// The registrations of `subject` that the filters select. Others are served in between, however many there are;
/// very many are looked through on every core.
pub(crate) async fn select(
    app: &App,
    subject: Subject<'_>,
    filters: &Filters,
    now: i64,
) -> Listing {
    let listing = subject.list(app).await;
    if filters.is_empty() {
        return listing;
    }
    let wanted = Wanted {
        filters: filters.clone(),
        wire: app.settings.wire,
        now,
        flaps: app.flaps.now(),
    };
    let mut portions = parallel::split(listing.registrations, WORTH_A_TASK).into_iter();
    let first = portions.next().unwrap_or_default();
    let others = portions.enumerate().map(|(number, portion)| {
        let wanted = wanted.clone();
        async move { (number, wanted.of(portion).await) }
    });
    // They end with this one, should the caller go away.
    let others: JoinSet<_> = others.collect();
    let first = wanted.of(first).await;
    let mut others = others.join_all().await;
    others.sort_unstable_by_key(|(number, _)| *number);
    others.into_iter().fold(first, |mut all, (_, mut more)| {
        all.revision = all.revision.wrapping_add(more.revision);
        all.registrations.append(&mut more.registrations);
        all
    })
}

impl Wanted {
    /// Those of the registrations that are wanted.
    async fn of(&self, registrations: Vec<Arc<Registration>>) -> Listing {
        let mut left = Listing::default();
        for (number, one) in registrations.into_iter().enumerate() {
            if number % BATCH == BATCH - 1 {
                tokio::task::yield_now().await;
            }
            let item = Item {
                registration: &one,
                wire: self.wire,
                now: self.now,
                flap: self.flaps.of(&one),
            };
            if self.filters.match_item(&item) {
                left.revision = left.revision.wrapping_add(one.digest());
                left.registrations.push(one);
            }
        }
        left
    }
}
