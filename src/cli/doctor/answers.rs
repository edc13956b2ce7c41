//! What Kamailio answers to questions over its JSON-RPC, and the configuration that it was started with.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::exposure;
use super::processes;
use super::version::Version;
use crate::config;
use crate::config::kamailio_cfg::KamailioCfg;
use crate::daemon::Failure;
use crate::kamailio::{Endpoint, Fault, Kamailio, Lasting, Options};

/// What Kamailio answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) endpoint: Endpoint,
    pub(super) answers: Result<Answers, Fault>,
    /// Its configuration, or why that is not known.
    pub(super) cfg: Result<KamailioCfg, String>,
}

/// The answers of a Kamailio.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) version: String,
    /// Its clock, as it writes it.
    pub(super) now: Option<String>,
    pub(super) uptime: Duration,
    /// `core.psx`.
    pub(super) processes: Value,
    /// Bytes of private memory of each process, as reported by the module `kex`.
    pub(super) private_memory: Option<u64>,
    /// `stats.fetchn`, also of the module `kex`.
    pub(super) statistics: Value,
    /// Whether it has the module `tm`, by which it asks phones; `None` where it does not say.
    pub(super) tm: Option<bool>,
    /// Addresses other than loopback on which JSON-RPC is answered.
    pub(super) open: Vec<IpAddr>,
}

/// Asks Kamailio all there is to ask.
pub(super) fn ask(config: &config::Kamailio) -> Result<Asked, Failure> {
    let endpoint: Endpoint = config
        .jsonrpc
        .parse()
        .context("[kamailio] jsonrpc")
        .map_err(Failure::Usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")
        .map_err(Failure::System)?;
    let kamailio = Kamailio::new(Options {
        endpoint: endpoint.clone(),
        timeout: config.rpc_timeout,
        connections: 1,
    });
    let answers = runtime.block_on(answers(&kamailio, &endpoint));
    let cfg = match &answers {
        Ok(answers) => configuration(&answers.processes),
        Err(_) => processes::of_database(&config.database)
            .ok_or_else(|| "Kamailio does not answer".to_owned()),
    };
    Ok(Asked {
        endpoint,
        answers,
        cfg,
    })
}

async fn answers(kamailio: &Kamailio, endpoint: &Endpoint) -> Result<Answers, Fault> {
    let version = kamailio.version().await?;
    let uptime = kamailio.call("core.uptime", &[]).await.unwrap_or_default();
    let memory = kamailio.call("pkg.stats", &[]).await.unwrap_or_default();
    let statistics = kamailio.call("stats.fetchn", &["usrloc:".into()]).await;
    Ok(Answers {
        version,
        now: uptime["now"].as_str().map(str::to_owned),
        uptime: Duration::from_secs(uptime["uptime"].as_u64().unwrap_or_default()),
        processes: kamailio.call("core.psx", &[]).await.unwrap_or_default(),
        private_memory: memory[0]["total_size"].as_u64(),
        statistics: statistics.unwrap_or_default(),
        tm: has_tm(kamailio).await,
        open: exposure::knock(endpoint).await,
    })
}

async fn has_tm(kamailio: &Kamailio) -> Option<bool> {
    match kamailio.call("tm.stats", &[]).await {
        Ok(_) => Some(true),
        Err(Fault::Rpc { message, .. }) if Lasting::of(&message) == Some(Lasting::NoMethod) => {
            Some(false)
        }
        Err(_) => None,
    }
}

/// The configuration that a running Kamailio was started with.
fn configuration(processes: &Value) -> Result<KamailioCfg, String> {
    let Some((file, defined)) = processes::of_processes(processes) else {
        return Err(
            "Kamailio's processes are not on this machine, or run in a separate container"
                .to_owned(),
        );
    };
    KamailioCfg::read(&file, &defined)
        .map_err(|error| format!("{} cannot be read ({error}); run as root", file.display()))
}

#[cfg(test)]
impl Answers {
    /// The answers of a Kamailio with so much private memory that reports nothing else.
    pub(super) fn testing(private_memory: Option<u64>) -> Self {
        Self {
            version: String::new(),
            now: None,
            uptime: Duration::ZERO,
            processes: Value::Null,
            private_memory,
            statistics: Value::Null,
            tm: None,
            open: Vec::new(),
        }
    }
}

impl Asked {
    /// Kamailio's configuration, where it can be read.
    pub(super) fn cfg(&self) -> Option<&KamailioCfg> {
        self.cfg.as_ref().ok()
    }

    /// Kamailio's version, where it answers with one.
    pub(super) fn version(&self) -> Option<Version> {
        Version::parse(&self.answers.as_ref().ok()?.version)
    }
}
