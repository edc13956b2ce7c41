//! `usrlocd fleet`: answers for all nodes of a fleet, from its database; there is no Kamailio beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::activation::Inherited;
use super::failure::Failure;
use super::notify::{Manager, alive};
use super::reload::Live;
use super::supervise::Tasks;
use super::{GRACE, Reload, bind, files, rlimit, settings};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Loaded, Problems};
use crate::event_log::{EventLog, Finder};
use crate::fleet::nodes::Nodes;
use crate::fleet::{Fleet, identity};
use crate::flush::{AuditQuery, Auditing, Flush, Flushing, Outcome, Request};
use crate::http::{self, App, KamailioState};
use crate::logging;
use crate::metrics::Metrics;
use crate::notify::{Notify, Notifying, Request as NotifyRequest};
use crate::rate_limited::RateLimited;
use crate::registry::Writer;
use crate::sessions::{Id, Keep, Keeping, Record, Sessions};

/// How often the nodes are looked at when nobody asks.
const LOOK: Duration = Duration::from_secs(2);

/// Answers until SIGTERM.
pub(super) async fn serve(
    loaded: Loaded,
    log: logging::Handle,
    reload: Reload,
    inherited: Inherited,
) -> Result<(), Failure> {
    let config = loaded.config.clone();
    let fleet = open(&config)?;
    let fleet = fleet.ok_or_else(|| {
        let message = "not set; it names the database where the nodes publish";
        Failure::Config(Problems::one("[fleet] url", message.to_owned()))
    })?;
    let (listeners, _socket) = bind::listeners(&config.http, inherited)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    super::log_start(&loaded);
    rlimit::raise(config.limits.connections);
    let live = Live::load(loaded, log, &clock)?;
    let manager = Manager::default();
    let mut tasks = Tasks::new()?;
    let sessions = sessions(&clock)?;
    let app = app(
        &config,
        (&clock, &sessions),
        &live,
        &fleet,
        tasks.draining(),
    );
    tasks.start("sessions", |stop| async move {
        sessions.run(stop).await;
        Ok(())
    });
    tasks.start_draining("http", |drain| http::serve(listeners, app, drain, GRACE));
    let (ready, watched) = (manager.clone(), Arc::clone(&fleet));
    tasks.start("fleet", |stop| look(watched, clock, ready, stop));
    let result = tasks.supervise(reload, live, &manager).await;
    tracing::info!("stopped");
    result
}

/// The fleet that the configuration names, if any.
pub(super) fn open(config: &Config) -> Result<Option<Arc<Fleet>>, Failure> {
    let Some(server) = files::fleet_server(&config.fleet)? else {
        return Ok(None);
    };
    let fleet = Fleet::new(server.url());
    let fleet = fleet.map_err(|error| Problems::one("[fleet] url", error.to_string()))?;
    Ok(Some(Arc::new(fleet)))
}

/// Those who are logged in on the page. They are kept in memory alone: a restart logs them out.
fn sessions(clock: &Arc<dyn Clock>) -> Result<Arc<Sessions>, Failure> {
    let id = identity::random().context("make an id for sessions");
    let id = id.map_err(Failure::System)?;
    let sessions = Sessions::new(&id, Vec::new(), Arc::new(Nothing), Arc::clone(clock));
    Ok(Arc::new(sessions))
}

/// An API whose every answer is the fleet's. What it has of a node's own is empty.
fn app(
    config: &Config,
    (clock, sessions): (&Arc<dyn Clock>, &Arc<Sessions>),
    live: &Live,
    fleet: &Arc<Fleet>,
    draining: CancellationToken,
) -> Arc<App> {
    let revision = option_env!("USRLOCD_REVISION").unwrap_or_default();
    let metrics = Metrics::new(Arc::clone(clock), env!("CARGO_PKG_VERSION"), revision);
    let writer = Writer::new(Arc::clone(clock));
    let registry = Arc::clone(writer.registry());
    let history = &config.history;
    let rules = (history.flap.clone(), history.burst.clone());
    let flaps = Finder::new(
        Arc::clone(&registry),
        Arc::clone(clock),
        Arc::clone(&metrics.events),
        rules,
    );
    App::new(http::Parts {
        registry,
        directory: live.directory(),
        tokens: live.tokens(),
        keys: live.keys(),
        sessions: Arc::clone(sessions),
        limits: live.limits(),
        flush: Arc::new(Nothing),
        notify: Arc::new(Nothing),
        events: Arc::new(EventLog::new(None)),
        flaps,
        fleet: Some(Arc::clone(fleet)),
        publishing: None,
        kamailio: watch::Sender::new(KamailioState::Unknown).subscribe(),
        examine: Arc::new(Vec::new),
        draining,
        clock: Arc::clone(clock),
        metrics,
        settings: http::Settings {
            answers: http::Answers::OfFleet,
            ..settings(config)
        },
    })
}

/// Looks at the nodes until `stop`, and logs when they cannot be seen, and when many seem to have died at once.
async fn look(
    fleet: Arc<Fleet>,
    clock: Arc<dyn Clock>,
    manager: Manager,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = RateLimited::default();
    let mut was_suspect = false;
    manager.ready();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let read = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            read = fleet.nodes() => read,
        };
        let now = clock.monotonic();
        match read {
            Ok(nodes) => {
                if let Some(recovered) = trouble.succeeded(now) {
                    let lasted = recovered.lasted.as_secs();
                    tracing::info!(
                        failures = recovered.failures,
                        seconds = lasted,
                        "the fleet's database can be read again"
                    );
                }
                report(&nodes, &mut was_suspect);
                alive(&status(&nodes));
            }
            Err(error) => {
                if let Some(say) = trouble.failed(now) {
                    tracing::warn!(%error, count = say.count(), seconds = say.seconds(), "the fleet's database cannot be read");
                }
                alive(&error.to_string());
            }
        }
    }
}

/// Logs once that many nodes seem to have died at once.
fn report(nodes: &Nodes, was_suspect: &mut bool) {
    let is_suspect = nodes.is_suspect();
    if is_suspect && !*was_suspect {
        let missed: Vec<_> = nodes.missed().collect();
        let missed = missed.join(", ");
        tracing::warn!(
            nodes = missed,
            "many nodes stopped publishing within seconds; suspect the fleet's database or the network"
        );
    }
    *was_suspect = is_suspect;
}

fn status(nodes: &Nodes) -> String {
    let rows: u64 = nodes.all().iter().map(|node| node.row.rows).sum();
    let state = nodes.state().as_str();
    format!("{rows} registrations; {} nodes; {state}", nodes.all().len())
}

/// Stands for what only a node has. Nobody asks it: requests for it are refused before.
#[derive(Debug)]
struct Nothing;

impl Flush for Nothing {
    fn flush(&self, _: Request) -> Flushing<'_> {
        Box::pin(async { Ok(Outcome::default()) })
    }

    fn audit(&self, _: AuditQuery) -> Auditing<'_> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Notify for Nothing {
    fn notify(&self, _: NotifyRequest) -> Notifying<'_> {
        Box::pin(async { Vec::new() })
    }
}

impl Keep for Nothing {
    fn keep<'a>(&'a self, _: &'a [Record], _: &'a [Id]) -> Keeping<'a> {
        Box::pin(async { Ok(()) })
    }
}
