//! `/ui/data/overview`: all that a caller may see, in figures. Others are served while they are counted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::asker::Asker;
use crate::events::json::moment;
use crate::events::{Burst, Group, Viewer};
use crate::http::App;
use crate::http::api::count;
use crate::http::response::envelope;
use crate::registration::Registration;
use crate::registry::Scope;
use crate::sip::Transport;

/// How many registrations are looked at before others get a turn.
const BATCH: usize = 2048;

/// Accounts that are named.
const LARGEST: usize = 20;

/// Seconds before the end from which on a registration counts as expiring.
const SOON: i64 = 60;

/// Whether Kamailio answers, as the page shows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum KamailioState {
    /// It has not been asked yet.
    #[default]
    Unknown,
    /// It answered the last question.
    Answers,
    /// It did not; why.
    Unreachable(Arc<str>),
}

/// What is counted of registrations.
#[derive(Debug, Default)]
struct Tally {
    total: usize,
    /// By the place of the transport in [`Transport::ALL`]; the last have none that is known.
    transports: [usize; Transport::ALL.len() + 1],
    expiring: usize,
    permanent: usize,
    unstable: usize,
}

/// The figures.
pub(super) async fn overview(app: &App, asker: &Asker) -> Value {
    let viewer = asker.viewer();
    let tally = tally(app, asker).await;
    let mut accounts = counts(app, asker);
    let account_count = accounts.len();
    accounts.sort_by(|(a, left), (b, right)| right.cmp(left).then_with(|| a.cmp(b)));
    accounts.truncate(LARGEST);
    let directory = Arc::clone(&app.directory.borrow());
    let accounts = accounts.iter().map(|(id, count)| {
        let mut account = count::account(app, &directory, id, *count);
        if account["name"].is_null() {
            account["name"] = (**id).into();
        }
        account
    });
    let flapping = app.flaps.flapping().into_iter();
    let flapping = flapping.filter(|one| viewer.sees(one.phone.account_id.as_deref()));
    let now = u64::try_from(app.clock.unix().as_millis()).unwrap_or(u64::MAX);
    let (plot, bursts) = app
        .flaps
        .day(|day| (day.plot(viewer, now), day.bursts(viewer, now)));
    let plot = plot.iter().map(
        |quarter| json!({"at": quarter.at, "losses": quarter.losses, "returns": quarter.returns}),
    );
    let bursts = bursts.iter().map(|(at, burst)| {
        let mut one = shown(*at, burst);
        if burst.group == Group::Account {
            one["account_name"] = count::account(app, &directory, &burst.value, 0)["name"].take();
        }
        one
    });
    let history = app.events.history().and_then(|it| it.oldest_at());
    json!({
        "total": tally.total,
        "accounts": accounts.collect::<Vec<_>>(),
        "account_count": account_count,
        "transports": tally.transports(),
        "states": {
            "expiring": tally.expiring,
            "permanent": tally.permanent,
            "flapping": flapping.count(),
            "unstable": tally.unstable,
        },
        "plot": plot.collect::<Vec<_>>(),
        "bursts": bursts.collect::<Vec<_>>(),
        "source": source(app),
        "kamailio": kamailio(app, viewer),
        "history_oldest": history.map(|at| at / 1000),
    })
}

/// The accounts that have registrations, and how many.
fn counts(app: &App, asker: &Asker) -> Vec<(Arc<str>, usize)> {
    let Some(ids) = &asker.accounts else {
        return app.registry.accounts();
    };
    let counts = ids.iter().map(|id| {
        let (count, _) = app.registry.count(Scope::Account(id));
        (id.as_str().into(), count)
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

/// Counts what the asker may see, account by account or all at once.
async fn tally(app: &App, asker: &Asker) -> Tally {
    let scopes: Vec<Scope<'_>> = match &asker.accounts {
        None => vec![Scope::System],
        Some(ids) => ids.iter().map(|id| Scope::Account(id)).collect(),
    };
    let (flaps, unstable) = (app.flaps.now(), app.flaps.rules().0.unstable);
    let soon = app.clock.unix_seconds().saturating_add(SOON);
    let mut tally = Tally::default();
    for scope in scopes {
        for batch in app.registry.list(scope).registrations.chunks(BATCH) {
            for one in batch {
                tally.add(one, soon);
                let flap = flaps.of(one);
                tally.unstable += usize::from(flap.is_some_and(|it| it.losses_24h >= unstable));
            }
            tokio::task::yield_now().await;
        }
    }
    tally
}

impl Tally {
    fn add(&mut self, one: &Registration, soon: i64) {
        self.total += 1;
        let transport = one.common.proxy_protocol;
        let place = transport.map_or(Transport::ALL.len(), |transport| transport as usize);
        self.transports[place] += 1;
        match one.binding.expiry.end() {
            None => self.permanent += 1,
            Some(at) if at <= soon => self.expiring += 1,
            Some(_) => {}
        }
    }

    /// Those that there are, the most used first.
    fn transports(&self) -> Vec<Value> {
        let names = Transport::ALL.map(Transport::as_str).into_iter();
        let names = names.chain(["unknown"]).zip(self.transports);
        let mut used: Vec<_> = names.filter(|(_, count)| *count > 0).collect();
        used.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        used.iter()
            .map(|(name, count)| json!({"value": name, "count": count}))
            .collect()
    }
}

fn shown(at: u64, burst: &Burst) -> Value {
    json!({
        "type": "burst",
        "at": moment(at),
        "account_id": burst.account,
        "group": burst.group.as_str(),
        "value": burst.value,
        "lost": burst.lost,
        "of": burst.of,
        "from": moment(burst.from),
        "to": moment(burst.to),
    })
}

fn source(app: &App) -> Value {
    let mut out = Vec::new();
    envelope::source(app.registry.source_of_answers(), &mut out);
    serde_json::from_slice(&out).unwrap_or_default()
}

fn kamailio(app: &App, viewer: Viewer<'_>) -> Value {
    let (state, text) = match &*app.kamailio.borrow() {
        KamailioState::Unknown => ("unknown", "Kamailio has not been asked yet.".to_owned()),
        KamailioState::Answers => ("ok", "Kamailio answers.".to_owned()),
        // The reason names an address.
        KamailioState::Unreachable(why) if viewer == Viewer::System => (
            "unreachable",
            format!("Kamailio does not answer JSON-RPC: {why}."),
        ),
        KamailioState::Unreachable(_) => (
            "unreachable",
            "Kamailio does not answer JSON-RPC.".to_owned(),
        ),
    };
    json!({"state": state, "text": text})
}
