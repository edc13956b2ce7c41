//! Summaries of a short while ago: each is made at most once in two seconds for each set of accounts, and less often where
//! that takes long, however many browsers ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::asker::Asker;
use crate::http::App;

/// How long a summary is good for.
const FRESH: Duration = Duration::from_secs(2);

/// Making one takes at most this part of one core's time.
const SHARE: u32 = 20;

/// Summaries that are remembered.
const MOST: usize = 128;

/// The name of a summary, and whose accounts it is about; `None` for all.
type Key = (&'static str, Option<Vec<String>>);

/// Those that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Summaries(Mutex<HashMap<Key, Arc<Slot>>>);

/// A summary; whoever makes it has it locked.
type Slot = tokio::sync::Mutex<Option<Made>>;

#[derive(Clone, Debug)]
struct Made {
    at: Duration,
    took: Duration,
    json: Arc<str>,
}

impl Summaries {
    /// The summary `name` for `asker`, as JSON; `make` makes it where there is none that is good.
    pub(super) async fn get(
        &self,
        app: &App,
        name: &'static str,
        asker: &Asker,
        make: impl Future<Output = serde_json::Value>,
    ) -> Arc<str> {
        let slot = self.slot((name, asker.accounts.clone()));
        let mut last = slot.lock().await;
        let now = app.clock.monotonic();
        if let Some(made) = &*last
            && now.saturating_sub(made.at) < FRESH.max(made.took * SHARE)
        {
            return Arc::clone(&made.json);
        }
        let json: Arc<str> = make.await.to_string().into();
        let at = app.clock.monotonic();
        *last = Some(Made {
            at,
            took: at.saturating_sub(now),
            json: Arc::clone(&json),
        });
        json
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(&key) {
            slots.clear();
        }
        Arc::clone(slots.entry(key).or_default())
    }
}
