//! Runs a task on its own thread, for a task that is woken very often: the kernel wakes that thread only.
//!
//! In the runtime's pool it would wake a worker, which wakes a second one to look for more work before it begins.

use std::future::Future;
use std::panic::resume_unwind;
use std::thread::Builder;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How much a thread steps back, as `nice` counts.
const NICE: i32 = 5;

/// Lets others have the processor first where there is not enough of it: for this thread, and for those that it starts.
pub fn step_back() {
    // Where that is not allowed, all goes on as before.
    let _unchanged = rustix::process::nice(NICE);
}

/// Waits a moment, for a task with a thread of its own: for a timer of the runtime a worker would wake as well.
pub fn pause(moment: Duration) {
    std::thread::sleep(moment);
}

/// Runs the task to its end on a thread called `name`, with the timers of the calling runtime. It is dropped with the
/// returned future.
///
/// # Errors
/// When the operating system cannot start a thread.
///
/// # Panics
/// When the task does, or outside a runtime.
pub async fn run<T: Send + 'static>(
    name: &str,
    task: impl Future<Output = T> + Send + 'static,
) -> std::io::Result<T> {
    let runtime = Handle::current();
    let cancelled = CancellationToken::new();
    let _cancel_on_drop = cancelled.clone().drop_guard();
    let (ending, ended) = oneshot::channel::<()>();
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        // Dropped at the end, even after a panic.
        let _ending = ending;
        runtime.block_on(async {
            tokio::select! {
                // Once the runtime has ended the task must not be polled.
                biased;
                () = cancelled.cancelled() => None,
                result = task => Some(result),
            }
        })
    })?;
    let _dropped = ended.await;
    match thread.join() {
        Ok(result) => Ok(result.expect("it is not cancelled while it is waited for")),
        Err(panic) => resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn runs_on_a_thread_of_that_name_with_the_timers_of_the_runtime() {
        let task = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::current().name().map(ToOwned::to_owned)
        };
        assert_eq!(
            run("registry", task).await.unwrap().as_deref(),
            Some("registry")
        );
    }

    #[tokio::test]
    async fn a_task_that_panics_panics_here() {
        let panics = async {
            tokio::task::yield_now().await;
            panic!("as expected")
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(run::<()>("panics", panics));
        let joined = tasks.join_next().await.unwrap();
        assert!(joined.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn a_task_that_nobody_waits_for_is_dropped() {
        let (held, dropped) = oneshot::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let task = async move {
            let _held = held;
            let _begun = begun.send(());
            std::future::pending::<()>().await;
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(run("cancelled", task));
        begins.await.unwrap();
        tasks.abort_all();
        dropped.await.unwrap_err();
    }
}
