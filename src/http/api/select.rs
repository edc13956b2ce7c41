//! Applies the filters of a request, and sorts what they leave.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::turns::Turn;
use crate::http::App;
use crate::http::api::subject::Subject;
use crate::http::error::Error;
use crate::http::request::filter::Filters;
use crate::http::response::view::View;
use crate::parallel;
use crate::registration::Registration;
use crate::registration::item::sort::{Sort, SortValue};
use crate::registry::Listing;

/// How many registrations are looked through before other tasks get a turn: less than a millisecond's work.
pub(crate) const BATCH: usize = 256;

/// Fewer registrations than this are not worth a task.
const WORTH_A_TASK: usize = 8192;

/// What registrations are looked through for.
#[derive(Clone, Debug)]
struct Wanted {
    filters: Filters,
    view: View,
}

/// A registration, and its rank by a key.
#[derive(Debug)]
pub(crate) struct Ranked {
    pub(crate) value: SortValue,
    /// Its place in the usual order.
    place: usize,
    pub(crate) row: Arc<Registration>,
}

/// A place among ranked registrations: what is sorted by, and the first place in the usual order that comes after it
/// among those of the same value.
pub(crate) type After = (SortValue, usize);

/// The first registrations by a key.
#[derive(Debug)]
struct First {
    sort: Sort,
    most: usize,
    rows: Vec<Ranked>,
    /// Nothing that comes after this is among them.
    bar: Option<After>,
}

/// A turn to look through the registrations of `subject`; where there are few it needs none.
pub(crate) async fn turn<'a>(
    app: &'a App,
    subject: Subject<'_>,
    caller: impl fmt::Display,
) -> Option<Turn<'a>> {
    let are_few = || subject.fleet.is_none() && subject.count(app).0 < WORTH_A_TASK;
    if subject.username.is_some() || are_few() {
        return None;
    }
    Some(app.turns.take(&caller.to_string()).await)
}

/// The registrations of `subject` that the filters select. Others are served in between, however many there are;
/// very many are looked through on every core.
pub(crate) async fn select(
    app: &App,
    subject: Subject<'_>,
    filters: &Filters,
    view: &View,
) -> Listing {
    let listing = subject.list(app).await;
    if filters.is_empty() {
        return listing;
    }
    let wanted = Wanted {
        filters: filters.clone(),
        view: view.clone(),
    };
    let left = in_portions(listing.registrations, |_, rows| {
        let wanted = wanted.clone();
        async move { wanted.of(rows).await }
    });
    let mut left = left.await.into_iter();
    let first = left.next().unwrap_or_default();
    left.fold(first, |mut all, mut more| {
        all.revision = all.revision.wrapping_add(more.revision);
        all.registrations.append(&mut more.registrations);
        all
    })
}

/// The same, of the fleet where that is asked.
pub(crate) async fn pick(
    app: &App,
    subject: Subject<'_>,
    filters: &Filters,
    caller: impl fmt::Display,
) -> Result<Vec<Arc<Registration>>, Error> {
    let _turn = turn(app, subject, caller).await;
    let view = subject.view(app);
    match subject.fleet {
        None => Ok(select(app, subject, filters, &view).await.registrations),
        Some(fleet) => fleet.choose(subject.of_fleet(), filters, &view).await,
    }
}

/// At most `most` of the registrations, which are in the usual order, by a key: those that come after a place.
pub(crate) async fn sorted(
    rows: Vec<Arc<Registration>>,
    sort: Sort,
    view: &View,
    after: Option<After>,
    most: usize,
) -> Vec<Ranked> {
    let found = in_portions(rows, |offset, rows| {
        let (view, after) = (view.clone(), after.clone());
        async move { First::of(rows, offset, sort, &view, after, most).await }
    });
    let mut all = parallel::joined(found.await);
    let few = all.len() < WORTH_A_TASK;
    let in_order = move || {
        all.sort_unstable_by(|one, other| order(sort, one, &other.value, other.place));
        all.truncate(most);
        all
    };
    if few {
        return in_order();
    }
    // Very many take longer than others should wait.
    match tokio::task::spawn_blocking(in_order).await {
        Ok(rows) => rows,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What `work` makes of each portion of the registrations, in order; it is given the place where the portion begins.
async fn in_portions<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    rows: Vec<Arc<Registration>>,
    work: impl Fn(usize, Vec<Arc<Registration>>) -> F,
) -> Vec<T> {
    let mut portions = parallel::split(rows, WORTH_A_TASK).into_iter();
    let first = portions.next().unwrap_or_default();
    let mut offset = first.len();
    let others = portions.enumerate().map(|(number, portion)| {
        let begin = offset;
        offset += portion.len();
        let work = work(begin, portion);
        async move { (number, work.await) }
    });
    // They end with this one, should the caller go away.
    let others: JoinSet<_> = others.collect();
    let first = work(0, first).await;
    let mut others = others.join_all().await;
    others.sort_unstable_by_key(|(number, _)| *number);
    let others = others.into_iter().map(|(_, result)| result);
    std::iter::once(first).chain(others).collect()
}

fn order(sort: Sort, one: &Ranked, value: &SortValue, place: usize) -> Ordering {
    let by_value = sort.compare(&one.value, value);
    by_value.then_with(|| one.place.cmp(&place))
}

impl Wanted {
    /// Those of the registrations that are wanted.
    async fn of(&self, registrations: Vec<Arc<Registration>>) -> Listing {
        let mut left = Listing::default();
        let mut room = Vec::new();
        for (number, one) in registrations.into_iter().enumerate() {
            if number % BATCH == BATCH - 1 {
                tokio::task::yield_now().await;
            }
            if self.filters.match_item(&self.view.item(&one), &mut room) {
                left.revision = left.revision.wrapping_add(one.digest());
                left.registrations.push(one);
            }
        }
        left
    }
}

impl First {
    async fn of(
        rows: Vec<Arc<Registration>>,
        offset: usize,
        sort: Sort,
        view: &View,
        after: Option<After>,
        most: usize,
    ) -> Vec<Ranked> {
        let mut first = Self {
            sort,
            most,
            rows: Vec::new(),
            bar: None,
        };
        let mut value = SortValue::default();
        for (number, row) in rows.into_iter().enumerate() {
            if number % BATCH == BATCH - 1 {
                tokio::task::yield_now().await;
            }
            sort.read(&view.item(&row), &mut value);
            let place = offset + number;
            let is_next = |(start, begin): &After| match sort.compare(&value, start) {
                Ordering::Less => false,
                Ordering::Equal => place >= *begin,
                Ordering::Greater => true,
            };
            if after.as_ref().is_none_or(is_next) {
                first.add(&value, place, row);
            }
        }
        first.rows
    }

    fn add(&mut self, value: &SortValue, place: usize, row: Arc<Registration>) {
        let is_beyond = |(bar, last): &After| {
            let by_value = self.sort.compare(value, bar);
            by_value.then_with(|| place.cmp(last)).is_gt()
        };
        if self.bar.as_ref().is_some_and(is_beyond) {
            return;
        }
        let value = value.clone();
        self.rows.push(Ranked { value, place, row });
        if self.rows.len() > self.most.saturating_mul(2).saturating_add(BATCH) {
            self.leave_first();
        }
    }

    fn leave_first(&mut self) {
        let last = self.most.saturating_sub(1);
        let sort = self.sort;
        let by_rank = |one: &Ranked, other: &Ranked| order(sort, one, &other.value, other.place);
        let (_, bar, _) = self.rows.select_nth_unstable_by(last, by_rank);
        self.bar = Some((bar.value.clone(), bar.place));
        self.rows.truncate(self.most);
    }
}
