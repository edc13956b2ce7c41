//! Kamailio itself, by its JSON-RPC: questions only.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::clocks;
use super::findings::{Findings, Group};
use super::kamailio_cfg::{self, KamailioCfg, Setting};
use super::tables::Tables;
use crate::config;
use crate::daemon::Failure;
use crate::kamailio::{Endpoint, Fault, Kamailio, Options};

/// Private memory that the preload takes for a row, with some to spare (observed: 16 MB for 5,000 rows).
const PRIVATE_BYTES_A_ROW: usize = 3300;

/// How long an address of this machine may take to answer where it should not.
const KNOCK: Duration = Duration::from_millis(500);

/// Rows by which memory and table may differ: usrloc writes back by a timer.
const SLACK: usize = 20;

/// A Kamailio that is younger may still load its table, and has not written back yet.
const FRESH: Duration = Duration::from_mins(1);

/// What keeps strangers from JSON-RPC.
const GUARD: &str = "event_route[xhttp:request] {
    if ($si != \"127.0.0.1\" && $si != \"::1\") { xhttp_reply(\"403\", \"Forbidden\", \"\", \"\"); exit; }
    if ($hu =~ \"^/RPC\") { jsonrpc_dispatch(); exit; }
    xhttp_reply(\"404\", \"Not Found\", \"\", \"\");
}";

/// Checks Kamailio; `tables` is what its database says, as far as it can be read. Returns its configuration, if it
/// runs on this machine.
pub(super) fn check(
    config: &config::Kamailio,
    tables: Option<&Tables>,
    findings: &mut Findings,
) -> Result<Option<KamailioCfg>, Failure> {
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
    runtime.block_on(async {
        let kamailio = client(endpoint.clone(), config.rpc_timeout);
        match kamailio.version().await {
            Ok(version) => {
                let uptime = kamailio.call("core.uptime", &[]).await.unwrap_or_default();
                if let Some(now) = uptime["now"].as_str() {
                    clocks::compare(now, findings);
                }
                let uptime = Duration::from_secs(uptime["uptime"].as_u64().unwrap_or_default());
                let message = format!("{version} answers at {endpoint}, up for {}.", show(uptime));
                findings.ok(Group::Kamailio, "jsonrpc", message);
                let processes = kamailio.call("core.psx", &[]).await.unwrap_or_default();
                let cfg = configuration(&processes, findings);
                let mode = cfg.as_ref().and_then(db_mode);
                workers(&processes, mode, tables, findings);
                memory(&kamailio, tables, findings).await;
                contacts(&kamailio, uptime, tables, findings).await;
                exposure(&endpoint, findings).await;
                Ok(cfg)
            }
            Err(fault) => {
                unanswered(&endpoint, &fault, findings);
                Ok(None)
            }
        }
    })
}

/// The configuration that the running Kamailio was started with, and what it says of writing.
fn configuration(processes: &Value, findings: &mut Findings) -> Option<KamailioCfg> {
    let check = "db_mode";
    let Some((file, defined)) = kamailio_cfg::of_processes(processes) else {
        let message = "Kamailio's processes are not on this machine, or in a container of their own: usrloc's db_mode is not known.";
        findings.note(Group::Kamailio, check, message);
        return None;
    };
    let cfg = match KamailioCfg::read(&file, &defined) {
        Ok(cfg) => cfg,
        Err(error) => {
            let message = format!(
                "{} cannot be read ({error}): usrloc's db_mode is not known. Ask as root.",
                file.display()
            );
            findings.note(Group::Kamailio, check, message);
            return None;
        }
    };
    let place = cfg.usrloc(check).map_or_else(
        || format!("the default, {} sets none", file.display()),
        ToString::to_string,
    );
    let mend = ["modparam(\"usrloc\", \"db_mode\", 2)".to_owned()];
    match db_mode(&cfg) {
        Some(1) => findings.ok(
            Group::Kamailio,
            check,
            format!(
                "usrloc writes each registration through to the database (db_mode 1, {place})."
            ),
        ),
        Some(2) => findings.ok(
            Group::Kamailio,
            check,
            format!("usrloc writes back to the database by a timer (db_mode 2, {place})."),
        ),
        Some(3) => {
            let message = format!(
                "usrloc keeps registrations in the database alone (db_mode 3, {place}). unregister() without an AoR crashes Kamailio 5.6 then, and a flush leaves attributes behind. If you can choose:"
            );
            findings.warn(Group::Kamailio, check, message, mend);
        }
        Some(0) => {
            let message = format!(
                "usrloc writes nothing to the database (db_mode 0, {place}), so that there is nothing to list. In kamailio.cfg:"
            );
            findings.fail(Group::Kamailio, check, message, mend);
        }
        _ => {
            let message = format!("usrloc's db_mode is not understood ({place}).");
            findings.note(Group::Kamailio, check, message);
        }
    }
    Some(cfg)
}

/// usrloc's `db_mode`, whose default is 0; `None` where its value is not understood.
fn db_mode(cfg: &KamailioCfg) -> Option<i64> {
    cfg.usrloc("db_mode").map_or(Some(0), Setting::number)
}

fn client(endpoint: Endpoint, timeout: Duration) -> Kamailio {
    Kamailio::new(Options {
        endpoint,
        timeout,
        connections: 1,
    })
}

fn unanswered(endpoint: &Endpoint, fault: &Fault, findings: &mut Findings) {
    let cause = match fault {
        Fault::Unreachable { source } => format!("{fault} ({source})"),
        _ => fault.to_string(),
    };
    let message = format!(
        "{cause} at {endpoint}. Registrations are still listed; a flush answers 503. Start Kamailio, or let it answer JSON-RPC (modules xhttp and jsonrpcs, tcp_accept_no_cl=yes, and this in kamailio.cfg), or correct [kamailio] jsonrpc:"
    );
    let mend = ["systemctl status kamailio".to_owned(), GUARD.to_owned()];
    findings.fail(Group::Kamailio, "jsonrpc", message, mend);
}

/// Processes that write one file in modes 1 and 3.
fn workers(processes: &Value, mode: Option<i64>, tables: Option<&Tables>, findings: &mut Findings) {
    let (Some(processes), Some(tables)) = (processes.as_array(), tables) else {
        return;
    };
    let is_worker = |it: &&Value| it["DSC"].as_str().is_some_and(|it| it.contains("receiver"));
    let workers = processes.iter().filter(is_worker).count();
    let collide = match mode {
        Some(1 | 3) => workers > 1,
        Some(_) => false,
        None => workers > 1 && !tables.wal,
    };
    if !collide {
        let message = match mode {
            Some(_) => format!("{workers} worker processes do not collide when they write."),
            None => format!(
                "{workers} worker processes; they do not collide in db_mode 2 (in modes 1 and 3 some rows are lost even in WAL mode)."
            ),
        };
        findings.ok(Group::Kamailio, "workers", message);
        return;
    }
    let journal = if tables.wal {
        "even in WAL mode some rows are lost"
    } else {
        "with a rollback journal phones get 500"
    };
    let message = format!(
        "{workers} worker processes collide when each writes for itself, as in usrloc db_mode 1 and 3 (\"database is locked\"): {journal}. Use WAL as above, and write back by a timer:"
    );
    let mend = ["modparam(\"usrloc\", \"db_mode\", 2)".to_owned()];
    findings.warn(Group::Kamailio, "workers", message, mend);
}

/// Whether Kamailio will start again with as many rows.
async fn memory(kamailio: &Kamailio, tables: Option<&Tables>, findings: &mut Findings) {
    let (Ok(stats), Some(tables)) = (kamailio.call("pkg.stats", &[]).await, tables) else {
        return;
    };
    let Some(size) = stats[0]["total_size"].as_u64() else {
        return;
    };
    let have = usize::try_from(size >> 20).unwrap_or(usize::MAX);
    let need = (tables.counts.rows * PRIVATE_BYTES_A_ROW) >> 20;
    if need < have {
        let message = format!(
            "Private memory of {have} MB suffices to load {} rows at the next start.",
            tables.counts.rows
        );
        findings.ok(Group::Kamailio, "private_memory", message);
        return;
    }
    let message = format!(
        "Private memory of {have} MB is too little to load {} rows: Kamailio loses attributes or does not start next time. Give it more (-M) in /etc/default/kamailio:",
        tables.counts.rows
    );
    let mend = [format!("PKG_MEMORY={}", (need * 3 / 2).next_multiple_of(8))];
    findings.fail(Group::Kamailio, "private_memory", message, mend);
}

/// Memory against table.
async fn contacts(
    kamailio: &Kamailio,
    uptime: Duration,
    tables: Option<&Tables>,
    findings: &mut Findings,
) {
    let params = ["usrloc:".into()];
    let (Ok(statistics), Some(tables)) = (kamailio.call("stats.fetchn", &params).await, tables)
    else {
        return;
    };
    let count = |name: &str| statistics[name].as_u64();
    let Some(memory) = count("usrloc.location_contacts") else {
        return;
    };
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    let current = tables.counts.current;
    let apart = memory.abs_diff(current) > SLACK + current / 10;
    if uptime < FRESH && apart {
        let message = format!(
            "Kamailio has {memory} contacts in memory, the table {current} current ones. It has just started; ask again in a minute."
        );
        findings.note(Group::Kamailio, "contacts", message);
    } else if memory == 0 && current > 0 {
        let message = format!(
            "Kamailio has no contact in memory, the table {current}: it runs with usrloc db_mode 3, or has just started. If you can choose:"
        );
        let mend = ["modparam(\"usrloc\", \"db_mode\", 2)".to_owned()];
        findings.warn(Group::Kamailio, "contacts", message, mend);
    } else if apart {
        let message = format!(
            "Kamailio has {memory} contacts in memory, the table {current} current ones. Rows that are not written yet show within the timer; if this stays so, writing fails. Look for \"database is locked\":"
        );
        let mend = ["journalctl -u kamailio --since -1h | grep -iE 'locked|db_sqlite'".to_owned()];
        findings.warn(Group::Kamailio, "contacts", message, mend);
    } else {
        let message = format!("{memory} contacts in memory, {current} current rows in the table.");
        findings.ok(Group::Kamailio, "contacts", message);
    }
}

/// Whether JSON-RPC is answered on another address than loopback.
async fn exposure(endpoint: &Endpoint, findings: &mut Findings) {
    let Endpoint::Http(uri) = endpoint else {
        findings.ok(
            Group::Kamailio,
            "exposure",
            "JSON-RPC is a local socket; its mode says who may use it.",
        );
        return;
    };
    let port = uri.port_u16().unwrap_or(80);
    let path = uri.path();
    let mut open = Vec::new();
    for address in addresses() {
        let Ok(elsewhere) = format!("http://{address}:{port}{path}").parse::<Endpoint>() else {
            continue;
        };
        if client(elsewhere, KNOCK).version().await.is_ok() {
            open.push(address.to_string());
        }
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    if !open.is_empty() {
        let message = format!(
            "JSON-RPC is answered on {}: who reaches that address may remove registrations. Limit it to this machine in kamailio.cfg:",
            open.join(", ")
        );
        findings.fail(Group::Kamailio, "exposure", message, [GUARD.to_owned()]);
    } else if is_loopback {
        findings.ok(
            Group::Kamailio,
            "exposure",
            "JSON-RPC is not answered on this machine's other IPv4 addresses.",
        );
    } else {
        let message = format!(
            "[kamailio] jsonrpc leads to {host}, which is not this machine's loopback: calls go over the network, unencrypted and without a password. Prefer:"
        );
        findings.warn(
            Group::Kamailio,
            "exposure",
            message,
            ["jsonrpc = \"http://127.0.0.1:5060/RPC\"".to_owned()],
        );
    }
}

/// The IPv4 addresses of this machine that are not loopback.
fn addresses() -> BTreeSet<Ipv4Addr> {
    local(&fs::read_to_string("/proc/net/fib_trie").unwrap_or_default())
}

/// The local addresses in the text of `/proc/net/fib_trie`: a line with the address, then `/32 host LOCAL`.
fn local(trie: &str) -> BTreeSet<Ipv4Addr> {
    let pairs = trie.lines().zip(trie.lines().skip(1));
    let local = pairs.filter(|(_, kind)| kind.contains("/32 host LOCAL"));
    let addresses = local.filter_map(|(line, _)| line.split_whitespace().last()?.parse().ok());
    addresses
        .filter(|it: &Ipv4Addr| !it.is_loopback())
        .collect()
}

fn show(uptime: Duration) -> String {
    let minutes = uptime.as_secs() / 60;
    match minutes {
        0 => format!("{} s", uptime.as_secs()),
        1..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine() {
        let trie = "  +-- 10.0.0.0/24 2 0 2\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local(trie), [Ipv4Addr::new(10, 0, 0, 5)].into());
    }
}
