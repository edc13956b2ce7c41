//! Judges Kamailio itself by its answers and its configuration.

use std::time::Duration;

use super::answers::Asked;
use super::capacity;
use super::clocks;
use super::exposure::{self, GUARD, datagram};
use super::findings::{Findings, Group};
use super::identity::Identity;
use super::lost_tcp;
use super::remedies::{EXAMPLE, Site};
use super::tables::Tables;
use super::version::{self, Version};
use crate::config::kamailio_cfg::{KamailioCfg, Keeps, Setting};
use crate::kamailio::{Endpoint, Fault};

const GROUP: Group = Group::Kamailio;

/// Judges what Kamailio answered; `tables` is what its database says, as far as it can be read.
pub(super) fn judge(
    asked: &Asked,
    site: &Site,
    identity: &Identity,
    tables: Option<&Tables>,
    findings: &mut Findings,
) {
    let mode = match &asked.cfg {
        Ok(cfg) => {
            let mode = db_mode(cfg);
            self::mode(site, cfg, mode, asked.version(), findings);
            if mode != Some(0) {
                url(site, cfg, findings);
            }
            lost_tcp::check(cfg, mode, asked.version(), findings);
            mode
        }
        Err(why) => {
            let message = format!(
                "Not checked, since {why}: usrloc's db_mode, db_url, handle_lost_tcp, expires_type, use_domain, db_update_as_insert and matching_mode."
            );
            findings.note(GROUP, "db_mode", message);
            None
        }
    };
    let answers = match &asked.answers {
        Ok(answers) => answers,
        Err(fault) => {
            unanswered(site, &asked.endpoint, fault, findings);
            exposure::check(&asked.endpoint, &[], identity, findings);
            let message = "Not checked, since Kamailio does not answer: its clock and version, workers, private memory, contacts in memory.";
            findings.note(GROUP, "workers", message);
            return;
        }
    };
    if let Some(now) = &answers.now {
        clocks::compare(now, findings);
    }
    let message = format!(
        "{} answers at {}, up for {}.",
        answers.version,
        asked.endpoint,
        show(answers.uptime)
    );
    findings.ok(GROUP, "jsonrpc", message);
    version::check(&answers.version, findings);
    notify(answers.tm, &asked.endpoint, findings);
    let running = capacity::Running {
        answers,
        version: asked.version(),
        cfg: asked.cfg(),
        mode,
    };
    capacity::check(site, running, tables, findings);
    exposure::check(&asked.endpoint, &answers.open, identity, findings);
}

/// Whether, and when, usrloc writes.
fn mode(
    site: &Site,
    cfg: &KamailioCfg,
    mode: Option<i64>,
    version: Option<Version>,
    findings: &mut Findings,
) {
    let check = "db_mode";
    let place = cfg.place(check);
    let remedy = || ["modparam(\"usrloc\", \"db_mode\", 2)".to_owned()];
    match mode {
        Some(1) => findings.ok(
            GROUP,
            check,
            format!(
                "usrloc writes each registration through to the database (db_mode 1, {place})."
            ),
        ),
        Some(2) => findings.ok(
            GROUP,
            check,
            format!("usrloc writes back to the database by a timer (db_mode 2, {place})."),
        ),
        Some(3) => {
            let attributes = match version {
                Some(version) if version.leaves_attributes() => {
                    ", and a flush leaves attributes in the table"
                }
                Some(_) => "",
                None => ", and up to 5.7.4 a flush leaves attributes in the table",
            };
            let message = format!(
                "usrloc keeps registrations only in the database (db_mode 3, {place}). In this mode unregister() without an AoR crashes Kamailio{attributes}. If you can choose:"
            );
            findings.warn(GROUP, check, message, remedy());
        }
        Some(0) => {
            let message = format!(
                "usrloc does not write to a database (db_mode 0, {place}), so there is nothing to list. This is the default of Debian's kamailio.cfg. {EXAMPLE} has the lines that make it write to SQLite; the most important ones:"
            );
            findings.fail(GROUP, check, message, [sqlite(site)]);
        }
        _ => {
            let message = format!("usrloc's db_mode is not understood ({place}).");
            findings.note(GROUP, check, message);
        }
    }
}

/// Whether usrloc writes to the file that usrlocd reads.
fn url(site: &Site, cfg: &KamailioCfg, findings: &mut Findings) {
    let check = "db_url";
    let place = cfg.place(check);
    match cfg.keeps() {
        Keeps::Elsewhere(scheme) if site.on_server => {
            findings.ok(
                GROUP,
                check,
                format!("usrloc writes to a {scheme} database ({place})."),
            );
        }
        Keeps::Elsewhere(scheme) if matches!(&*scheme, "postgres" | "mysql") => {
            let message = format!(
                "usrloc writes to a {scheme} database ({place}), but usrlocd reads {}. Name the server in {}, with a user that has SELECT on the usrloc tables:",
                site.database.display(),
                site.config.display()
            );
            let server = cfg.server().unwrap_or("HOST/kamailio");
            let url = format!("{scheme}://usrlocd:PASSWORD@{server}");
            let lines = format!("[kamailio]\ndatabase = \"{url}\"");
            findings.fail(GROUP, check, message, [site.configure(&lines)]);
        }
        Keeps::File(file) if site.on_server => {
            let message = format!(
                "usrloc writes to {} ({place}), but usrlocd reads a database server. Set the file in {}:",
                file.display(),
                site.config.display()
            );
            let lines = format!("[kamailio]\ndatabase = \"{}\"", file.display());
            findings.fail(GROUP, check, message, [site.configure(&lines)]);
        }
        Keeps::Elsewhere(scheme) => {
            let message = format!(
                "usrloc writes to a {scheme} database ({place}), which usrlocd cannot read. {EXAMPLE} has the lines that change it; the most important ones:"
            );
            findings.fail(GROUP, check, message, [sqlite(site)]);
        }
        Keeps::File(file) => {
            let canonical = |path| std::fs::canonicalize(path).ok();
            let (theirs, ours) = (canonical(&*file), canonical(&*site.database));
            if theirs.is_some() && ours.is_some() && theirs != ours {
                let message = format!(
                    "usrloc writes to {} ({place}), but usrlocd reads {}. Set the same file in {}:",
                    file.display(),
                    site.database.display(),
                    site.config.display()
                );
                let lines = format!("[kamailio]\ndatabase = \"{}\"", file.display());
                findings.fail(GROUP, check, message, [site.configure(&lines)]);
            }
        }
    }
}

/// Whether Kamailio can ask phones to act.
fn notify(tm: Option<bool>, endpoint: &Endpoint, findings: &mut Findings) {
    let check = "notify";
    let message = match (tm, endpoint) {
        (None, _) => return,
        (Some(false), _) => {
            "Kamailio cannot ask phones to act (`usrlocd notify`), since it does not load the module tm. If you want that, add loadmodule \"tm.so\" to kamailio.cfg and restart Kamailio."
        }
        (Some(true), Endpoint::Unixgram(_)) => {
            "Kamailio can ask phones to act, one at a time: over a datagram socket, flushes wait while a phone does not answer, up to tm's fr_timer. Over HTTP nothing waits."
        }
        (Some(true), Endpoint::Http(_)) => {
            let message = "Kamailio can ask phones to act (module tm).".to_owned();
            return findings.ok(GROUP, check, message);
        }
    };
    findings.note(GROUP, check, message.to_owned());
}

/// What makes usrloc write to our database.
fn sqlite(site: &Site) -> String {
    format!(
        "loadmodule \"db_sqlite.so\"
modparam(\"usrloc\", \"db_url\", \"sqlite://{}\")
modparam(\"usrloc\", \"db_mode\", 2)",
        site.database.display()
    )
}

/// usrloc's `db_mode`, whose default is 0; `None` where its value is not understood.
fn db_mode(cfg: &KamailioCfg) -> Option<i64> {
    cfg.usrloc("db_mode").map_or(Some(0), Setting::number)
}

fn unanswered(site: &Site, endpoint: &Endpoint, fault: &Fault, findings: &mut Findings) {
    let cause = match fault {
        Fault::Unreachable { source } => format!("{fault} ({source})"),
        _ => fault.to_string(),
    };
    if let (Fault::Timeout, Endpoint::Http(_)) = (fault, endpoint) {
        let message = format!(
            "{cause} at {endpoint}. Registrations are still listed; flushes answer 504. Something listens there: Kamailio's workers are busy or stuck, or [kamailio] rpc_timeout is too short. Check its log:"
        );
        let remedy = [format!("journalctl -u {} -n 50", site.service)];
        findings.fail(GROUP, "jsonrpc", message, remedy);
        return;
    }
    if let Fault::Http { .. } = fault {
        let message = format!(
            "{cause} ({endpoint}). Registrations are still listed, and flushes fail. Let Kamailio answer JSON-RPC to this machine, or correct [kamailio] jsonrpc in {}:",
            site.config.display()
        );
        findings.fail(
            GROUP,
            "jsonrpc",
            message,
            [format!("# kamailio.cfg\n{GUARD}")],
        );
        return;
    }
    let message = format!(
        "{cause} at {endpoint}. Registrations are still listed, but flushes fail. Start Kamailio, or have it answer JSON-RPC, or correct [kamailio] jsonrpc in {}:",
        site.config.display()
    );
    let lines = match endpoint {
        Endpoint::Http(_) => GUARD.to_owned(),
        Endpoint::Unixgram(socket) => datagram(socket),
    };
    let remedy = [
        format!("systemctl status {}", site.service),
        format!("# kamailio.cfg\n{lines}"),
    ];
    findings.fail(GROUP, "jsonrpc", message, remedy);
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
