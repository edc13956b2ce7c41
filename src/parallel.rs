//! Work on many items at once, on every core.

use std::thread;

/// Fewer items than this are not worth a thread.
const WORTH_A_THREAD: usize = 4096;

/// Each item's result, in the order of the items.
///
/// # Panics
/// When `work` does.
pub fn map<T: Send, U: Send>(mut items: Vec<T>, work: impl Fn(T) -> U + Sync) -> Vec<U> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let parts = cores.min(items.len() / WORTH_A_THREAD).max(1);
    let size = items.len().div_ceil(parts);
    let mut portions = Vec::with_capacity(parts);
    while items.len() > size {
        portions.push(items.split_off(items.len() - size));
    }
    let total = items.len() + portions.iter().map(Vec::len).sum::<usize>();
    let work = &work;
    thread::scope(|scope| {
        let helpers: Vec<_> = portions
            .into_iter()
            .rev()
            .map(|portion| scope.spawn(move || portion.into_iter().map(work).collect::<Vec<U>>()))
            .collect();
        let mut results = Vec::with_capacity(total);
        results.extend(items.into_iter().map(work));
        for helper in helpers {
            match helper.join() {
                Ok(part) => results.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for count in [0, 1, WORTH_A_THREAD, 3 * WORTH_A_THREAD + 7, 100_000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = (0..count).map(|item| item * 2).collect();
            assert_eq!(map(items, |item| item * 2), doubled);
        }
    }
}
