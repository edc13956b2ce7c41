//! Work on many items at once, on every core.

use std::thread;

/// How much can be done at once.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The items of all portions, in order.
#[must_use]
pub fn joined<T>(portions: Vec<Vec<T>>) -> Vec<T> {
    let count = portions.iter().map(Vec::len).sum::<usize>();
    let mut portions = portions.into_iter();
    let mut all = portions.next().unwrap_or_default();
    all.reserve_exact(count - all.len());
    portions.for_each(|portion| all.extend(portion));
    all
}

/// The items in portions, in order: one for each core, of at least `least` items; always one at least.
#[must_use]
pub fn split<T>(mut items: Vec<T>, least: usize) -> Vec<Vec<T>> {
    let parts = cores().min(items.len() / least.max(1)).max(1);
    let size = items.len().div_ceil(parts);
    let mut portions = Vec::with_capacity(parts);
    while items.len() > size {
        portions.push(items.split_off(items.len() - size));
    }
    portions.push(items);
    portions.reverse();
    portions
}

/// The result of each portion of the items, in order: a portion for each core, of at least `least` items.
///
/// # Panics
/// When `work` does.
pub fn portions<T: Send, U: Send>(
    items: Vec<T>,
    least: usize,
    work: impl Fn(Vec<T>) -> U + Sync,
) -> Vec<U> {
    let mut portions = split(items, least).into_iter();
    let own = portions.next().unwrap_or_default();
    let work = &work;
    thread::scope(|scope| {
        let helpers: Vec<_> = portions
            .map(|portion| scope.spawn(move || work(portion)))
            .collect();
        let mut results = vec![work(own)];
        for helper in helpers {
            match helper.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

/// The results of both, worked out at once.
///
/// # Panics
/// When one of them does.
pub fn both<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let helper = scope.spawn(one);
        let other = other();
        match helper.join() {
            Ok(one) => (one, other),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_the_items_in_order() {
        for count in [0, 1, 7, 64] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(portions(items.clone(), 4, |part| part).concat(), items);
        }
    }

    #[test]
    fn both_results_come() {
        assert_eq!(both(|| 1, || "b"), (1, "b"));
    }
}
