//! The composition root: opens, binds, starts, supervises, drains.
//!
//! Permanent failures happen before the first task starts; after that the daemon stays up and reports what it lacks.
//! Tasks end in the order of the data's way: first no more requests, then no more changes.

mod activation;
mod bind;
mod clients;
mod failure;
mod file_watch;
mod files;
mod fleet;
mod fleet_reader;
mod intents;
mod kamailio_probe;
mod notify;
pub mod pipeline;
mod reload;
mod rlimit;
mod supervise;

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::accounts::{Directory, Naming};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Http, Loaded, Problems};
use crate::consumers::store::Store;
use crate::event_log::{self, EventLog, Finder, History};
use crate::fleet::{Fleet, Status};
use crate::flush::Flusher;
use crate::http::{self, App};
use crate::kamailio::Gate;
use crate::logging;
use crate::metrics::Metrics;
use crate::notify as notifying;
use crate::own_thread;
use crate::registry::{Registry, Writer};
use crate::sessions::Sessions;
use crate::source::sql;
use crate::webhook;
use activation::Inherited;
pub use failure::Failure;
pub use files::{Report, check_files, check_keys, fleet_server, server};
pub use fleet::node_name;
use kamailio_probe::{Answers, Probe};
use pipeline::{Origin, Pipeline};
use reload::Live;
use supervise::Tasks;

/// By default `/readyz` bears so many comparisons of a database server's tables.
const CYCLES: u32 = 3;

/// How long requests in progress may take to complete after SIGTERM.
const GRACE: Duration = Duration::from_secs(6);

/// How long closing the store may take; it only saves time at the next start.
const CLOSE: Duration = Duration::from_secs(1);

/// How long to wait at the end for threads that are blocked on a disk.
const SHUTDOWN: Duration = Duration::from_millis(300);

/// Runs until SIGTERM. `reload` reads the configuration again; `log` changes the log level; `examine` checks all that is
/// needed, as `usrlocd doctor` does.
///
/// # Errors
/// When something that cannot be waited for prevents the start, or a defect ends the run.
pub fn run(
    loaded: Loaded,
    log: logging::Handle,
    reload: impl Fn() -> Result<Config, Problems> + Send + 'static,
    examine: http::Examine,
) -> Result<(), Failure> {
    let inherited = Inherited::of_process()?;
    blocking(serve(loaded, log, Box::new(reload), examine, inherited))
}

/// Runs `usrlocd fleet` until SIGTERM: the same without a source.
///
/// # Errors
/// As [`run`].
pub fn run_fleet(
    loaded: Loaded,
    log: logging::Handle,
    reload: impl Fn() -> Result<Config, Problems> + Send + 'static,
) -> Result<(), Failure> {
    let inherited = Inherited::of_process()?;
    blocking(fleet_reader::serve(
        loaded,
        log,
        Box::new(reload),
        inherited,
    ))
}

fn blocking(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("worker")
        .enable_all()
        .build()
        .context("start the runtime")
        .map_err(Failure::System)?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

/// When the history is read for phones that flap, where the tables cannot be.
const RESTORE: Duration = Duration::from_secs(30);

type Reload = Box<dyn Fn() -> Result<Config, Problems> + Send>;

/// What most tasks are made with.
struct Basics {
    config: Config,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    events: Arc<EventLog>,
    gate: Gate,
    sessions: Arc<Sessions>,
    examine: http::Examine,
}

/// What the API sees of other tasks.
struct Around {
    registry: Arc<Registry>,
    directory: watch::Receiver<Arc<Directory>>,
    kamailio: Answers,
    draining: CancellationToken,
    fleet: Option<Arc<Fleet>>,
    publishing: Option<watch::Receiver<Status>>,
}

async fn serve(
    loaded: Loaded,
    log: logging::Handle,
    reload: Reload,
    examine: http::Examine,
    inherited: Inherited,
) -> Result<(), Failure> {
    let (listeners, _socket) = bind::listeners(&loaded.config.http, inherited)?;
    let basics = Basics::open(loaded.config.clone(), examine).await?;
    log_start(&loaded);
    rlimit::raise(basics.config.limits.connections);
    let live = Live::load(loaded, log, &basics.clock)?;
    let writer = Arc::new(Writer::new(Arc::clone(&basics.clock)));
    // Lasts until the process ends: freeing a million registrations one by one would take many seconds.
    let _never_dropped = ManuallyDrop::new(Arc::clone(writer.registry()));
    let manager = notify::Manager::default();
    let mut tasks = Tasks::new()?;
    basics.start(&mut tasks, listeners, &writer, &live, &manager)?;
    let Basics { store, events, .. } = basics;
    drop(writer);
    let result = tasks.supervise(reload, live, &manager).await;
    if tokio::time::timeout(CLOSE, store.close()).await.is_err() {
        // As after a power cut: nothing that was written is lost.
        tracing::debug!("could not close the store in time");
    }
    if let Some(history) = events.history()
        && tokio::time::timeout(CLOSE, history.close()).await.is_err()
    {
        tracing::debug!("could not close the history in time");
    }
    tracing::info!("stopped");
    result
}

impl Basics {
    async fn open(config: Config, examine: http::Examine) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let revision = option_env!("USRLOCD_REVISION").unwrap_or_default();
        let metrics = Metrics::new(Arc::clone(&clock), env!("CARGO_PKG_VERSION"), revision);
        let is_first_run = !config.store.path.exists();
        let store = Store::open(&config.store.path, clock.unix_seconds()).await;
        let store = Arc::new(store.map_err(Failure::of_store)?);
        let (node, sessions) = store.sessions().await.map_err(Failure::of_store)?;
        let keep = Arc::clone(&store);
        let sessions = Sessions::new(&node, sessions, keep, Arc::clone(&clock));
        let events = Arc::new(EventLog::new(history(&config, &clock, is_first_run).await));
        Ok(Self {
            config,
            clock,
            metrics,
            store,
            events,
            gate: Gate::default(),
            sessions: Arc::new(sessions),
            examine,
        })
    }

    /// Starts all tasks, those that answer first.
    fn start(
        &self,
        tasks: &mut Tasks,
        listeners: http::Listeners,
        writer: &Arc<Writer>,
        live: &Live,
        manager: &notify::Manager,
    ) -> Result<(), Failure> {
        let flusher = self.flusher(writer.overlay())?;
        let notifier = self.notifier()?;
        let in_force = watch::Sender::new(Arc::clone(&live.directory().borrow()));
        let directory = in_force.subscribe();
        let draining = tasks.draining();
        let flaps = self.flaps(writer.registry());
        let hooks = self.webhooks(directory.clone());
        let (cursors, configured) = (self.events.history().cloned(), live.hooks());
        tasks.start("webhooks", |stop| {
            webhook::run(hooks, cursors, configured, stop)
        });
        let started = (Arc::clone(&flaps), Arc::clone(&self.clock));
        let probe = Probe::new(self.probed()?, Arc::clone(&self.metrics), started);
        let publisher = self.publisher(writer.registry())?;
        let app = self.app(
            live,
            (flusher.clone(), notifier.clone()),
            &flaps,
            Around {
                registry: Arc::clone(writer.registry()),
                directory,
                kamailio: probe.answers(),
                draining,
                fleet: fleet_reader::open(&self.config)?,
                publishing: publisher.as_ref().map(|(publisher, _)| publisher.status()),
            },
        );
        tasks.start_draining("http", |drain| http::serve(listeners, app, drain, GRACE));
        let sessions = Arc::clone(&self.sessions);
        tasks.start("sessions", |stop| async move {
            sessions.run(stop).await;
            Ok(())
        });
        let settled = watch::Sender::new(false);
        let reported = notify::Parts {
            answers: probe.answers(),
            clock: Arc::clone(&self.clock),
            registry: Arc::clone(writer.registry()),
            settled: settled.subscribe(),
        };
        tasks.start("notify", |stop| manager.clone().report(reported, stop));
        let parts = pipeline::Parts {
            clock: Arc::clone(&self.clock),
            writer: Arc::clone(writer),
            store: Arc::clone(&self.store),
            events: Arc::clone(&self.events),
            observers: vec![flaps.observer()],
            directory: live.directory(),
            in_force,
            metrics: Arc::clone(&self.metrics),
            settled,
            hurry: tasks.hurry(),
        };
        if let Some(history) = self.events.history().cloned() {
            let (newest, registry) = (history.newest(), Arc::clone(writer.registry()));
            let flaps = Arc::clone(&flaps);
            tasks.start("restore", |stop| async move {
                let restore = async {
                    // The start has the processor first.
                    let _late = tokio::time::timeout(RESTORE, registry.compared()).await;
                    flaps.restore_to(&history, newest).await;
                };
                stop.run_until_cancelled(restore).await;
                // A task that ends early is a fault.
                stop.cancelled().await;
                Ok(())
            });
        }
        if let Some(publisher) = publisher {
            let doing = (flusher.clone(), notifier);
            self.publish(tasks, publisher, writer.registry(), flaps, doing);
        }
        let options = followed(&self.config)?;
        tasks.start("pipeline", |stop| pipeline(options, parts, stop));
        tasks.start("probe", |stop| probe.run(stop));
        let resolver = flusher.clone();
        tasks.start("ambiguous", |stop| async move {
            resolver.resolve_ambiguous(stop).await;
            Ok(())
        });
        tasks.start("recheck", |stop| async move {
            flusher.recheck(stop).await;
            Ok(())
        });
        Ok(())
    }

    /// What finds phones that flap.
    fn flaps(&self, registry: &Arc<Registry>) -> Arc<Finder> {
        let config::History { flap, burst, .. } = self.config.history.clone();
        let rules = (flap, burst);
        let (clock, counted) = (Arc::clone(&self.clock), Arc::clone(&self.metrics.events));
        Finder::new(Arc::clone(registry), clock, counted, rules)
    }

    fn app(
        &self,
        live: &Live,
        (flusher, notifier): (Flusher, notifying::Notifier),
        flaps: &Arc<Finder>,
        around: Around,
    ) -> Arc<App> {
        App::new(http::Parts {
            registry: around.registry,
            directory: around.directory,
            kamailio: around.kamailio,
            draining: around.draining,
            sessions: Arc::clone(&self.sessions),
            examine: Arc::clone(&self.examine),
            tokens: live.tokens(),
            keys: live.keys(),
            limits: live.limits(),
            flush: Arc::new(flusher),
            notify: Arc::new(notifier),
            events: Arc::clone(&self.events),
            flaps: Arc::clone(flaps),
            fleet: around.fleet,
            publishing: around.publishing,
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
            settings: settings(&self.config),
        })
    }

    fn webhooks(&self, directory: watch::Receiver<Arc<Directory>>) -> webhook::Parts<EventLog> {
        let http::Settings { node, wire, .. } = settings(&self.config);
        webhook::Parts {
            source: Arc::clone(&self.events),
            directory,
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
            node,
            wire,
        }
    }
}

/// What is kept of earlier events; without it everything else goes on.
async fn history(
    config: &Config,
    clock: &Arc<dyn Clock>,
    is_first_run: bool,
) -> Option<Arc<History>> {
    let history = &config.history;
    if !history.enabled {
        return None;
    }
    let options = event_log::Options {
        path: history.path.clone(),
        keep: history.keep,
        size: history.size,
    };
    let clock = Arc::clone(clock);
    let open = own_thread::run("history", async move {
        // The thread that SQLite writes on begins here.
        own_thread::step_back();
        History::open(options, clock).await
    });
    let opened = open.await.map_err(anyhow::Error::from);
    match opened.and_then(|opened| opened.map_err(anyhow::Error::from)) {
        Ok(history) => {
            if is_first_run && let Err(error) = history.lacks_no_cursors().await {
                tracing::debug!(%error, "cannot note that no cursor is missing");
            }
            Some(Arc::new(history))
        }
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            tracing::error!(%error, cause, "events are not being recorded; clients that resume a stream must read the list again");
            None
        }
    }
}

/// Logs what started: with which configuration, where it listens, what it reads.
fn log_start(loaded: &Loaded) {
    let config = &loaded.config;
    let configuration = if loaded.found {
        loaded.file.display().to_string()
    } else {
        format!("defaults, there is no {}", loaded.file.display())
    };
    let addresses = config.http.listen.iter().map(ToString::to_string);
    let socket = config
        .http
        .socket
        .iter()
        .map(|path| path.display().to_string());
    let listen: Vec<String> = addresses.chain(socket).collect();
    let kamailio = &config.kamailio;
    if let Some(found) = &kamailio.found_server {
        tracing::info!(
            server = %found.server,
            why = found.why,
            "found Kamailio's database server, and reading it with Kamailio's login"
        );
    }
    let found = kamailio.found_server.as_ref().map(|found| &found.server);
    let database = if let Some(server) = kamailio.server.as_ref().or(found) {
        server.to_string()
    } else if let Some(file) = &kamailio.database_file {
        format!("see {}", file.display())
    } else if kamailio.database_given {
        kamailio.database.display().to_string()
    } else {
        "to be discovered".to_owned()
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        configuration,
        listen = listen.join(", "),
        database,
        "started"
    );
}

/// Lists what the store has kept, then follows the source until `stop`. Requests that come meanwhile wait a little.
async fn pipeline(
    options: pipeline::Options,
    parts: pipeline::Parts,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let pipeline = async move {
        let start = Pipeline::start(options, parts);
        match stop.run_until_cancelled(start).await {
            Some(Ok(pipeline)) => pipeline.run(stop.clone()).await,
            Some(Err(error)) => Err(error),
            None => Ok(()),
        }
    };
    own_thread::run("pipeline", pipeline).await?
}

/// What the pipeline is to follow.
fn followed(config: &Config) -> Result<pipeline::Options, Problems> {
    let kamailio = &config.kamailio;
    let origin = match server(kamailio)? {
        Some(server) => Origin::Server {
            options: sql::Options {
                url: server.url().to_owned(),
                tables: kamailio.tables.clone(),
                zone: kamailio.zone(),
                servers: kamailio.server_ids.clone(),
                load: kamailio.max_load,
            },
            place: server.to_string(),
        },
        None => Origin::File {
            database: kamailio.database.clone(),
            discover: (!kamailio.database_given).then(|| "/".into()),
            tables: kamailio.tables.clone(),
        },
    };
    Ok(pipeline::Options {
        origin,
        naming: Naming {
            default_realm: kamailio.default_realm.clone().unwrap_or_default(),
            advertise: kamailio.advertise.clone().into_iter().collect(),
            proxy_path: kamailio.proxy_path.clone().unwrap_or_default(),
        },
    })
}

fn settings(config: &Config) -> http::Settings {
    let system = rustix::system::uname();
    let node = system.nodename().to_string_lossy();
    let Http {
        hosts, public_url, ..
    } = &config.http;
    let is_default = config.http.max_lag == Config::default().http.max_lag;
    http::Settings {
        wire: config.http.wire,
        max_lag: config.http.max_lag,
        max_lag_cycles: if is_default { CYCLES } else { 0 },
        cors_origins: config.http.cors_origins.clone(),
        hosts: http::Hosts::new(&node, hosts, public_url.as_deref()),
        ui: config.http.ui,
        https: config.http.is_https(),
        below_path: config.http.is_below_path(),
        answers: http::Answers::OfNode,
        node: node.into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        metrics_accounts: config.metrics.accounts,
        notify_events: config.notify.choice(),
    }
}
