//! Sends one hook's events: reads the log behind the cursor, sends, moves the cursor.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::body::{Message, Writer};
use super::client::{Outcome, Post};
use super::cursor::{CursorFile, Cursors};
use super::parts::Parts;
use super::{Hook, Position, Source};
use crate::event_log::Missed;
use crate::events::json::LogId;
use crate::events::{Event, Gap, GapCause, What};
use crate::rate_limited::RateLimited;

/// How many events are read at a time.
const CHUNK: usize = 512;

/// How long events are gathered for a hook that wants several at a time.
const GATHER: Duration = Duration::from_millis(100);

/// How often the cursor is kept while events are sent one after the other. What was sent behind it is sent again after a
/// crash.
const KEEP: Duration = Duration::from_secs(1);

/// The same while all events are left out.
const KEEP_IDLE: Duration = Duration::from_secs(30);

/// What the names of cursors start with.
const CURSOR: &str = "webhook/";

/// What the names start with under which is kept that a hook is switched off.
const OFF: &str = "webhook-off/";

/// The task of one hook.
pub(super) struct Sender<S: Source, F, P> {
    hook: Hook,
    parts: Arc<Parts<S>>,
    cursors: Arc<Cursors<F>>,
    post: P,
    /// The event that was handled last.
    at: Position,
    /// Where a new hook begins.
    end: Option<S::Cursor>,
    kept: Kept,
    failures: RateLimited,
}

/// What the cursor's file has.
#[derive(Debug)]
struct Kept {
    at: Option<Position>,
    /// When it was written, monotonic.
    when: Duration,
    /// Whether something was sent since.
    is_behind: bool,
}

/// The receiver wants no more.
struct Gone;

impl<S: Source, F: CursorFile, P: Post> Sender<S, F, P> {
    pub(super) fn new(hook: Hook, parts: Arc<Parts<S>>, cursors: Arc<Cursors<F>>, post: P) -> Self {
        let kept = Kept {
            at: None,
            when: parts.clock.monotonic(),
            is_behind: false,
        };
        let end = parts.source.end();
        Self {
            at: S::position(&end),
            end: Some(end),
            hook,
            parts,
            cursors,
            post,
            kept,
            failures: RateLimited::default(),
        }
    }

    /// Sends until `stop`. Then the cursor is kept.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        // Before that the cursor is not known, and must not be kept.
        let Some(is_on) = stop.run_until_cancelled(self.begin()).await else {
            return;
        };
        if is_on && let Some(Gone) = stop.run_until_cancelled(self.follow()).await {
            self.switch_off().await;
        }
        self.keep_if(|kept, at| kept.at != Some(at)).await;
        stop.cancelled().await;
    }

    /// Finds the cursor. Returns whether there is something to do.
    async fn begin(&mut self) -> bool {
        let off = self.cursors.get(&self.off_name()).await;
        let is_off = off.is_some_and(|(digest, _)| digest.0 == self.hook.config.digest());
        self.parts
            .metrics
            .webhooks
            .started(&self.hook.config.name, is_off);
        match self.cursors.get(&self.name()).await {
            Some(position) => {
                self.at = position;
                self.end = None;
                self.kept.at = Some(position);
            }
            None => self.keep_if(|_, _| true).await,
        }
        if is_off {
            tracing::warn!(
                webhook = self.hook.config.name,
                "the receiver of this webhook answered 410 Gone earlier; nothing is sent until its configuration changes"
            );
        } else if off.is_some() {
            self.cursors.delete(&self.off_name()).await;
        }
        !is_off
    }

    /// Sends everything, as it comes.
    async fn follow(&mut self) -> Gone {
        let mut cursor = match self.end.take() {
            Some(end) => Ok(end),
            None => self.parts.source.after(self.at),
        };
        loop {
            let missed = match cursor {
                Ok(cursor) => self.follow_from(cursor).await,
                Err(missed) => Ok(missed),
            };
            let told = match missed {
                Ok(missed) => self.send_gap(missed).await,
                Err(gone) => Err(gone),
            };
            cursor = match told {
                Ok(next) => Ok(next),
                Err(gone) => return gone,
            };
        }
    }

    /// Sends everything behind the cursor, until that cannot be read.
    async fn follow_from(&mut self, mut cursor: S::Cursor) -> Result<Missed, Gone> {
        let source = Arc::clone(&self.parts.source);
        loop {
            let events = match source.read(&mut cursor, CHUNK).await {
                Ok(events) => events,
                Err(missed) => return Ok(missed),
            };
            if events.is_empty() {
                let metrics = &self.parts.metrics.webhooks;
                metrics.waits(&self.hook.config.name, None);
                self.keep_when_quiet().await;
                source.news(&cursor).await;
                if self.hook.config.batch > 1 {
                    sleep(GATHER).await;
                }
            } else {
                let events: Vec<&Event> = events.iter().map(|it| (**it).as_ref()).collect();
                let end = S::position(&cursor);
                for message in self.messages(end.0, &events) {
                    self.deliver(&message).await?;
                    self.move_to((end.0, message.last), true).await;
                }
                self.move_to(end, false).await;
            }
        }
    }

    /// Tells that events are missing, and goes on behind them: with what is kept, or else with what is to come.
    async fn send_gap(&mut self, missed: Missed) -> Result<S::Cursor, Gone> {
        let source = &self.parts.source;
        let cursor = source.end();
        let end = S::position(&cursor);
        let before = source.oldest().saturating_sub(1);
        let (next, cause) = match missed {
            Missed::TooOld => (before, GapCause::TooOld),
            // Where the numbers go on in another log, so does the hook.
            Missed::OtherLog if end.0 != self.at.0 && (before..=end.1).contains(&self.at.1) => {
                (self.at.1, GapCause::OtherLog)
            }
            Missed::OtherLog => (before, GapCause::OtherLog),
        };
        let cursor = source.after((end.0, next)).unwrap_or(cursor);
        let next = S::position(&cursor);
        tracing::warn!(
            webhook = self.hook.config.name,
            cause = cause.as_str(),
            "events were deleted before this webhook could deliver them; the receiver should read the list again"
        );
        let from = self.at.1.min(next.1);
        let gap = Event {
            seq: next.1,
            at: u64::try_from(self.parts.clock.unix().as_millis()).unwrap_or(u64::MAX),
            commit: 0,
            what: What::Gap(Gap { from, cause }),
        };
        for message in self.messages(next.0, &[&gap]) {
            self.deliver(&message).await?;
        }
        self.move_to(next, true).await;
        Ok(cursor)
    }

    /// Moves the cursor, behind what the receiver has or what the hook does not want.
    async fn move_to(&mut self, position: Position, is_sent: bool) {
        self.at = position;
        self.kept.is_behind |= is_sent;
        self.cursors.note(&self.name(), position);
        if is_sent {
            let now = self.parts.clock.monotonic();
            self.keep_if(|kept, _| now.saturating_sub(kept.when) >= KEEP)
                .await;
        }
    }

    fn messages(&self, log: LogId, events: &[&Event]) -> Vec<Message> {
        let config = &self.hook.config;
        let directory = Arc::clone(&self.parts.directory.borrow());
        let accounts = config.accounts.as_ref();
        let accounts: Option<Vec<String>> =
            accounts.map(|ids| ids.iter().flat_map(|id| directory.within(id)).collect());
        let writer = Writer {
            hook: config,
            accounts: accounts.as_deref(),
            wire: self.parts.wire,
            node: &self.parts.node,
            log,
            now: self.parts.clock.unix_seconds(),
        };
        writer.messages(events.iter().copied())
    }

    /// Sends one message until the receiver has it.
    async fn deliver(&mut self, message: &Message) -> Result<(), Gone> {
        let name = self.hook.config.name.clone();
        let metrics = Arc::clone(&self.parts.metrics);
        metrics.webhooks.waits(&name, Some(message.since));
        let mut backoff = Backoff::default();
        loop {
            let started = metrics.now();
            let now = self.parts.clock.unix_seconds();
            let outcome = self.post.post(message, now).await;
            let took = metrics.since(started);
            metrics.webhooks.requested(&name, outcome.as_str(), took);
            let asked = match outcome {
                Outcome::Delivered(_) => {
                    self.report_success();
                    return Ok(());
                }
                Outcome::Gone => return Err(Gone),
                Outcome::Refused { retry_after, .. } => retry_after,
                Outcome::Failed(_) => None,
            };
            let pause = backoff.failed(getrandom::u32().unwrap_or_default(), asked);
            self.report_failure(&outcome, pause);
            self.keep_when_quiet().await;
            sleep(pause).await;
        }
    }

    fn report_failure(&mut self, outcome: &Outcome, pause: Duration) {
        if let Some(say) = self.failures.failed(self.parts.clock.monotonic()) {
            tracing::warn!(
                webhook = self.hook.config.name,
                receiver = self.hook.config.origin(),
                count = say.count(),
                seconds = say.seconds(),
                "webhook not delivered, trying again in {} s: {outcome}",
                pause.as_secs()
            );
        }
    }

    fn report_success(&mut self) {
        if let Some(recovered) = self.failures.succeeded(self.parts.clock.monotonic()) {
            tracing::info!(
                webhook = self.hook.config.name,
                failures = recovered.failures,
                seconds = recovered.lasted.as_secs(),
                "webhook delivered again"
            );
        }
    }

    /// Notes that the receiver wants no more, as long as the configuration is what it is.
    async fn switch_off(&mut self) {
        let name = &self.hook.config.name;
        let digest = LogId(self.hook.config.digest());
        self.cursors.put(&self.off_name(), (digest, 0)).await;
        self.parts.metrics.webhooks.started(name, true);
        tracing::error!(
            webhook = name,
            receiver = self.hook.config.origin(),
            "the receiver answered 410 Gone: webhook switched off until its configuration changes"
        );
    }

    /// Keeps the cursor while nothing is sent.
    async fn keep_when_quiet(&mut self) {
        let now = self.parts.clock.monotonic();
        self.keep_if(|kept, at| {
            let is_old = now.saturating_sub(kept.when) >= KEEP_IDLE;
            kept.at != Some(at) && (kept.is_behind || is_old)
        })
        .await;
    }

    async fn keep_if(&mut self, is_due: impl FnOnce(&Kept, Position) -> bool) {
        if is_due(&self.kept, self.at) {
            self.kept = Kept {
                at: Some(self.at),
                when: self.parts.clock.monotonic(),
                is_behind: false,
            };
            self.cursors.put(&self.name(), self.at).await;
        }
    }

    fn name(&self) -> String {
        cursor_name(&self.hook.config.name)
    }

    fn off_name(&self) -> String {
        off_name(&self.hook.config.name)
    }
}

/// Under what name the cursor of a hook is kept.
pub(super) fn cursor_name(hook: &str) -> String {
    format!("{CURSOR}{hook}")
}

/// Under what name is kept that a hook is switched off, with the digest of its configuration in the log's place.
pub(super) fn off_name(hook: &str) -> String {
    format!("{OFF}{hook}")
}

/// Whether something of a hook is kept under this name.
pub(super) fn is_of_hook(name: &str) -> bool {
    name.starts_with(CURSOR) || name.starts_with(OFF)
}
