//! Hooks over a log, from start to stop, in virtual time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::Parts;
use super::super::body::Message;
use super::super::client::{Failure, Outcome, Post};
use super::super::supervisor::run_with;
use super::super::{Hook, Source as _};
use super::log::{File, Log};
use super::{hook, other_secret};
use crate::accounts::directory::Directory;
use crate::clock::{Clock, ManualClock};
use crate::events::json::LogId;
use crate::metrics::{Figures, Format, Metrics};
use crate::registration::item::Wire;

const URL: &str = "https://crm.example.com/x";

/// Answers in turn, then with 200; notes what was sent when.
#[derive(Clone, Debug)]
struct Script {
    answers: Arc<Mutex<VecDeque<Reply>>>,
    sent: watch::Sender<Vec<(Instant, Message)>>,
}

#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    /// 503 with `Retry-After` in seconds.
    Later(u64),
    Silent,
    /// It gets the message and is never heard of again.
    Hangs,
}

impl Script {
    fn new(answers: &[Reply]) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            sent: watch::Sender::new(Vec::new()),
        }
    }

    /// Waits for so many messages in all, and no more.
    async fn sent(&self, number: usize) -> Vec<(Instant, Message)> {
        let mut sent = self.sent.subscribe();
        let sent = sent.wait_for(|sent| sent.len() >= number).await.unwrap();
        assert_eq!(sent.len(), number, "{sent:?}");
        sent.clone()
    }

    /// The numbers of the first so many messages.
    async fn numbers(&self, number: usize) -> Vec<u64> {
        let sent = self.sent(number).await;
        sent.iter().map(|(_, message)| message.last).collect()
    }
}

impl Post for Script {
    async fn post(&self, message: &Message, _: i64) -> Outcome {
        let sent = (Instant::now(), message.clone());
        self.sent.send_modify(|all| all.push(sent));
        let answer = self.answers.lock().unwrap().pop_front();
        let refused = |status, retry_after| Outcome::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after,
        };
        match answer {
            None => Outcome::Delivered(StatusCode::OK),
            Some(Reply::Status(410)) => Outcome::Gone,
            Some(Reply::Status(status)) => refused(status, None),
            Some(Reply::Later(seconds)) => refused(503, Some(Duration::from_secs(seconds))),
            Some(Reply::Silent) => Outcome::Failed(Failure::Timeout),
            Some(Reply::Hangs) => std::future::pending().await,
        }
    }
}

/// All that there is of a daemon around its hooks.
struct House {
    log: Arc<Log>,
    file: File,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
    hooks: watch::Sender<Arc<Vec<Hook>>>,
    directory: watch::Sender<Arc<Directory>>,
    scripts: Arc<Mutex<Vec<(String, Script)>>>,
    stop: CancellationToken,
    tasks: JoinSet<std::io::Result<()>>,
}

impl House {
    /// With these hooks, each with its script.
    fn new(hooks: Vec<(Hook, &Script)>) -> Self {
        let clock = Arc::new(ManualClock::at(1_800_000_000));
        let mut house = Self {
            log: Log::new(1),
            file: File::default(),
            metrics: Metrics::new(Arc::clone(&clock) as Arc<dyn Clock>, "0", ""),
            clock,
            hooks: watch::Sender::new(Arc::default()),
            directory: watch::Sender::new(Arc::default()),
            scripts: Arc::default(),
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        house.configure(hooks);
        house.start();
        house
    }

    fn configure(&self, hooks: Vec<(Hook, &Script)>) {
        let script =
            |(hook, script): &(Hook, &Script)| (hook.config.name.clone(), Script::clone(script));
        *self.scripts.lock().unwrap() = hooks.iter().map(script).collect();
        let hooks = hooks.into_iter().map(|(hook, _)| hook).collect();
        self.hooks.send_replace(Arc::new(hooks));
    }

    fn start(&mut self) {
        let parts = Parts {
            source: Arc::clone(&self.log),
            directory: self.directory.subscribe(),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            node: "k1".to_owned(),
            wire: Wire::Document,
        };
        let scripts = Arc::clone(&self.scripts);
        let post = move |hook: &Hook| {
            let scripts = scripts.lock().unwrap();
            let of = scripts.iter().find(|(name, _)| *name == hook.config.name);
            of.unwrap().1.clone()
        };
        self.stop = CancellationToken::new();
        let (stop, hooks) = (self.stop.clone(), self.hooks.subscribe());
        self.tasks
            .spawn(run_with(parts, self.file.clone(), post, hooks, stop));
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
    }

    /// Ends as kill -9 does: nothing is kept any more.
    async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }

    async fn restart(&mut self) {
        self.stop().await;
        self.start();
    }

    /// Waits until the cursor of the hook is kept there.
    async fn kept(&self, hook: &str, seq: u64) {
        self.file
            .wait(&format!("webhook/{hook}"), (LogId(1), seq))
            .await;
    }

    fn register(&self, number: usize) {
        for _ in 0..number {
            self.log.register("alice", "acme");
        }
    }

    fn sample(&self, sample: &str) -> Option<f64> {
        let text = self.metrics.text(Format::Prometheus, &Figures::default());
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
    }
}

fn cause(message: &Message) -> (String, String, String) {
    let body: Value = serde_json::from_slice(&message.body).unwrap();
    let text = |key: &str| body["data"][key].as_str().unwrap().to_owned();
    assert_eq!(body["type"], "org.usrlocd.gap.v1");
    (text("cause"), text("from"), text("to"))
}

#[tokio::test(start_paused = true)]
async fn events_are_sent_in_order_once_over_restarts() {
    let script = Script::new(&[]);
    let mut house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.register(3);
    assert_eq!(script.numbers(3).await, [1, 2, 3]);
    house.restart().await;
    house.register(1);
    assert_eq!(script.numbers(4).await, [1, 2, 3, 4]);
    house.stop().await;
    house.register(600);
    house.start();
    assert_eq!(script.numbers(604).await, (1..=604).collect::<Vec<_>>());
    house.stop().await;
    assert_eq!(
        house.file.has(),
        [("webhook/crm".to_owned(), (LogId(1), 604))]
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_nothing_is_missing() {
    let script = Script::new(&[]);
    let mut house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.register(2);
    house.kept("crm", 2).await;
    script.answers.lock().unwrap().push_back(Reply::Hangs);
    house.register(2);
    assert_eq!(script.numbers(3).await, [1, 2, 3]);
    house.kill().await;
    house.start();
    assert_eq!(script.numbers(5).await, [1, 2, 3, 3, 4]);
    let sent = script.sent(5).await;
    assert_eq!(sent[2].1, sent[3].1, "the same message again");
}

#[tokio::test(start_paused = true)]
async fn the_cursor_is_kept_once_a_second_while_many_are_sent() {
    let script = Script::new(&[]);
    let house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    let writes = house.file.writes();
    house.register(400);
    house.kept("crm", 400).await;
    assert_eq!(house.file.writes(), writes + 1);
}

/// What comes within a moment is one request, where the hook wants that.
#[tokio::test(start_paused = true)]
async fn a_batch_is_gathered_for_a_moment() {
    let script = Script::new(&[]);
    let mut house = House::new(vec![(hook(URL, "batch = 10"), &script)]);
    house.kept("crm", 0).await;
    for _ in 0..3 {
        house.register(1);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(script.numbers(1).await, [3]);
    house.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_hook_begins_now() {
    let script = Script::new(&[]);
    let mut house = House::new(Vec::new());
    house.register(3);
    house.configure(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 3).await;
    house.register(1);
    assert_eq!(script.numbers(1).await, [4]);
    house.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_with_growing_pauses() {
    let answers = [
        Reply::Status(500),
        Reply::Silent,
        Reply::Status(302),
        Reply::Status(404),
        Reply::Later(60),
        Reply::Later(100_000),
    ];
    let script = Script::new(&answers);
    let house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.register(2);
    let sent = script.sent(8).await;
    let pauses: Vec<f64> = sent
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0).as_secs_f64())
        .collect();
    for (pause, least) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 60.0, 3600.0, 0.0]) {
        assert!(*pause >= least && *pause <= least * 1.5 + 0.1, "{pauses:?}");
    }
    for (_, again) in &sent[1..7] {
        assert_eq!(again, &sent[0].1, "the same id and body at each try");
    }
    assert_eq!(sent[7].1.last, 2);
    for (outcome, times) in [("delivered", 2.0), ("refused", 5.0), ("timeout", 1.0)] {
        let sample =
            format!("usrlocd_webhook_requests_total{{hook=\"crm\",outcome=\"{outcome}\"}}");
        assert_eq!(house.sample(&sample), Some(times), "{sample}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_holds_up_no_other() {
    let (bad, good) = (Script::new(&[Reply::Hangs]), Script::new(&[]));
    let mut other = hook(URL, "");
    other.config.name = "other".to_owned();
    let house = House::new(vec![(hook(URL, ""), &bad), (other, &good)]);
    house.kept("crm", 0).await;
    house.kept("other", 0).await;
    house.register(3);
    assert_eq!(good.numbers(3).await, [1, 2, 3]);
    assert_eq!(bad.numbers(1).await, [1]);
    house.kept("other", 3).await;
    house.clock.advance(Duration::from_secs(90));
    let lag = |hook: &str| house.sample(&format!("usrlocd_webhook_lag_seconds{{hook=\"{hook}\"}}"));
    assert_eq!((lag("crm"), lag("other")), (Some(90.0), Some(0.0)));
}

#[tokio::test(start_paused = true)]
async fn gone_switches_off_until_the_configuration_changes() {
    let script = Script::new(&[Reply::Status(410)]);
    let hook_then = hook(URL, "");
    let mut house = House::new(vec![(hook_then.clone(), &script)]);
    house.kept("crm", 0).await;
    house.register(2);
    assert_eq!(script.numbers(1).await, [1]);
    house.file.wait_for_name("webhook-off/crm").await;
    let off = "usrlocd_webhook_off{hook=\"crm\"}";
    assert_eq!(house.sample(off), Some(1.0));
    // Not by a restart, and not by another secret.
    house.restart().await;
    house.register(1);
    let mut with_other_secret = hook_then.clone();
    with_other_secret.secret = other_secret();
    house.configure(vec![(with_other_secret, &script)]);
    house.restart().await;
    house.register(1);
    house.restart().await;
    script.sent(1).await;
    house.configure(vec![(hook(URL, "batch = 10"), &script)]);
    let sent = script.sent(2).await;
    assert_eq!(
        sent[1].1.id, "0000000000000001-1-4",
        "it goes on where it was"
    );
    house.kept("crm", 4).await;
    assert_eq!(house.sample(off), Some(0.0));
    // The former configuration is a change as well.
    house.configure(vec![(hook_then, &script)]);
    house.register(1);
    assert_eq!(script.numbers(3).await, [1, 4, 5]);
    house.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_any_more_is_a_gap() {
    let script = Script::new(&[]);
    let mut house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.stop().await;
    house.register(5);
    house.log.prune(4);
    house.start();
    let sent = script.sent(3).await;
    let of = |seq: u64| format!("0000000000000001-{seq}");
    assert_eq!(cause(&sent[0].1), ("too_old".to_owned(), of(0), of(3)));
    assert_eq!(script.numbers(3).await, [3, 4, 5]);
    house.stop().await;
    assert_eq!(
        house.file.has(),
        [("webhook/crm".to_owned(), (LogId(1), 5))]
    );
}

#[tokio::test(start_paused = true)]
async fn another_log_is_a_gap() {
    let script = Script::new(&[]);
    let house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.register(2);
    script.sent(2).await;
    house.log.become_another(2);
    house.register(1);
    let sent = script.sent(4).await;
    let (cause, _, to) = cause(&sent[2].1);
    assert_eq!((&*cause, &*to), ("other_log", "0000000000000002-2"));
    assert_eq!(sent[3].1.id, "0000000000000002-3");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_put_back_is_a_gap() {
    let script = Script::new(&[]);
    let mut house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.register(5);
    script.sent(5).await;
    house.stop().await;
    house.log = Log::new(1);
    house.register(1);
    house.start();
    let sent = script.sent(7).await;
    assert_eq!(cause(&sent[5].1).0, "other_log");
    assert_eq!(sent[6].1.id, "0000000000000001-1");
    house.stop().await;
}

/// With the history the cursors are gone; who has one again, is told no second time, and a new hook begins now.
#[tokio::test(start_paused = true)]
async fn a_history_that_was_begun_anew_is_a_gap_once() {
    let (script, new) = (Script::new(&[]), Script::new(&[]));
    let mut house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.register(5);
    script.sent(5).await;
    house.stop().await;
    house.file.lose();
    house.log = Log::new(1);
    house.register(1);
    house.start();
    let sent = script.sent(7).await;
    assert_eq!(cause(&sent[5].1).0, "other_log");
    assert_eq!(sent[6].1.id, "0000000000000001-1");
    house.stop().await;
    let mut bi = hook(URL, "");
    bi.config.name = "bi".into();
    house.configure(vec![(hook(URL, ""), &script), (bi, &new)]);
    house.start();
    house.kept("bi", 1).await;
    house.register(1);
    assert_eq!(script.numbers(8).await[7], 2);
    assert_eq!(new.numbers(1).await, [2]);
    house.stop().await;
}

/// There is no place in such a log to go on from: a new hook begins all the same, and who has missed something is told
/// so once.
#[tokio::test(start_paused = true)]
async fn without_a_history_events_are_sent_as_they_come() {
    let script = Script::new(&[]);
    let mut house = House::new(Vec::new());
    house.log.keep_nothing();
    house.configure(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.register(2);
    assert_eq!(script.numbers(2).await, [1, 2]);
    house.restart().await;
    let sent = script.sent(3).await;
    assert_eq!(cause(&sent[2].1).0, "other_log");
    house.kept("crm", 2).await;
    house.register(1);
    assert_eq!(script.numbers(4).await[3], 3);
    house.stop().await;
}

#[tokio::test(start_paused = true)]
async fn kazoo_is_told_of_no_gap_and_goes_on() {
    let script = Script::new(&[]);
    let mut house = House::new(vec![(hook(URL, "format = \"kazoo\""), &script)]);
    house.kept("crm", 0).await;
    house.stop().await;
    house.register(5);
    house.log.prune(5);
    house.start();
    assert_eq!(script.numbers(1).await, [5]);
    house.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_starts_changes_and_ends_hooks() {
    let (first, second) = (Script::new(&[]), Script::new(&[Reply::Hangs]));
    let mut house = House::new(vec![(hook(URL, ""), &second)]);
    house.kept("crm", 0).await;
    house.register(1);
    second.sent(1).await;
    // What is being sent is given up, and sent by the new configuration.
    house.configure(vec![(hook(URL, "batch = 2"), &first)]);
    assert_eq!(first.numbers(1).await, [1]);
    house.kept("crm", 1).await;
    house.configure(Vec::new());
    house.file.wait_empty().await;
    let text = house.metrics.text(Format::Prometheus, &Figures::default());
    assert!(!text.contains("crm"), "{text}");
    house.register(2);
    house.configure(vec![(hook(URL, ""), &first)]);
    house.kept("crm", 3).await;
    house.register(1);
    assert_eq!(first.numbers(2).await, [1, 4]);
    house.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_went_while_nothing_ran_is_forgotten() {
    let script = Script::new(&[]);
    let mut house = House::new(vec![(hook(URL, ""), &script)]);
    house.kept("crm", 0).await;
    house.stop().await;
    house.configure(Vec::new());
    house.start();
    house.file.wait_empty().await;
    house.stop().await;
}

#[tokio::test(start_paused = true)]
async fn accounts_include_those_below() {
    let script = Script::new(&[]);
    let house = House::new(vec![(hook(URL, "accounts = [\"acme\"]"), &script)]);
    house.kept("crm", 0).await;
    let directory =
        r#"{"accounts": [{"id": "acme"}, {"id": "below", "parent": "acme"}, {"id": "x"}]}"#;
    house
        .directory
        .send_replace(Arc::new(Directory::parse(directory).unwrap()));
    for account in ["x", "below", "x", "acme", "x"] {
        house.log.register("alice", account);
    }
    assert_eq!(script.numbers(2).await, [2, 4]);
    assert_eq!(house.log.end(), (LogId(1), 5));
}
