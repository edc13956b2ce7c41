//! The fleet's database: whether this node can publish there.

use jiff::Timestamp;
use serde_json::Value;

use super::findings::{Findings, Group};
use super::remedies::shell;
use super::usrlocd;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::daemon;
use crate::fleet::{self, CLOCKS_APART_MS, Error, Inspection, identity};

const GROUP: Group = Group::Usrlocd;

/// Checks the database that the configuration names, if it names one.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    let server = match daemon::fleet_server(&config.fleet) {
        Ok(Some(server)) => server,
        Ok(None) => return,
        Err(problems) => {
            let remedy = ["usrlocd check-config".to_owned()];
            findings.fail(GROUP, "fleet", problems.to_string(), remedy);
            return;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    let name = daemon::node_name(config);
    let id = identity::load(&config.store.path);
    let clock = SystemClock::new();
    let inspecting = fleet::inspect(server.url(), &name, id.as_deref(), &clock);
    let inspected = runtime.block_on(inspecting);
    // A resolver that does not answer is not waited for.
    runtime.shutdown_background();
    let can_be_used = inspected.is_ok();
    tell(&server.to_string(), &name, inspected, findings);
    if can_be_used {
        publishing(config, findings);
    }
}

/// How the running daemon fares with what it publishes.
fn publishing(config: &Config, findings: &mut Findings) {
    let asked = usrlocd::request(&config.http, "/readyz?verbose");
    // A daemon that does not answer is told of elsewhere.
    let Some((_, Ok((_, body)))) = asked else {
        return;
    };
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let identity = identity::file(&config.store.path);
    tell_publishing(&body["fleet"], &identity.to_string_lossy(), findings);
}

fn tell_publishing(fleet: &Value, identity: &str, findings: &mut Findings) {
    let check = "fleet_publishing";
    let reason = fleet["reason"].as_str().unwrap_or_default();
    match fleet["state"].as_str() {
        Some("failing") => {
            let since = fleet["since"].as_i64();
            let since = since.and_then(|since| Timestamp::from_second(since).ok());
            let since = since.map_or_else(String::new, |since| format!(" (since {since})"));
            let message = format!("This node is {reason}{since}.");
            let remedy = match fleet["kind"].as_str() {
                Some("fenced") => vec![format!(
                    "systemctl stop usrlocd && rm {} && systemctl start usrlocd",
                    shell(identity)
                )],
                _ => Vec::new(),
            };
            findings.fail(GROUP, check, message, remedy);
        }
        Some("publishing") => {
            findings.ok(GROUP, check, "This node publishes to the fleet.");
        }
        // It has just started.
        _ => {}
    }
}

fn tell(server: &str, name: &str, inspected: Result<Inspection, Error>, findings: &mut Findings) {
    let check = "fleet";
    match inspected {
        Err(error) => {
            let remedy = match error {
                Error::NoSchema | Error::Older { .. } => Some("usrlocd fleet migrate".to_owned()),
                _ => None,
            };
            let message = format!("The fleet's database {server}: {error}.");
            findings.fail(GROUP, check, message, remedy);
        }
        Ok(found) if found.is_name_taken => {
            let message = format!(
                "Another node of the fleet is called {name}. Give this one a name of its own:"
            );
            let remedy = ["[fleet]\nnode = \"NAME\"".to_owned()];
            findings.fail(GROUP, check, message, remedy);
        }
        Ok(found) if found.clock_offset_ms.abs() > CLOCKS_APART_MS => {
            let message = format!(
                "This node's clock and that of the fleet's database {server} are {} ms apart; synchronize both.",
                found.clock_offset_ms.abs()
            );
            findings.warn(GROUP, check, message, Vec::<String>::new());
        }
        Ok(_) => {
            let message = format!("The fleet's database {server} can be used.");
            findings.ok(GROUP, check, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(inspected: Result<Inspection, Error>) -> String {
        let mut findings = Findings::default();
        tell("postgres://h/d", "k1", inspected, &mut findings);
        let (errors, warnings) = findings.counts();
        format!("{errors} {warnings} {}", findings.text("x"))
    }

    #[test]
    fn what_is_wrong_has_a_remedy() {
        let found = |clock_offset_ms, is_name_taken| Inspection {
            clock_offset_ms,
            is_name_taken,
        };
        assert!(told(Ok(found(-2000, false))).starts_with("0 0 "));
        assert!(told(Ok(found(-2001, false))).starts_with("0 1 "));
        let taken = told(Ok(found(0, true)));
        assert!(
            taken.starts_with("1 0 ") && taken.contains("node = "),
            "{taken}"
        );
        let mut findings = Findings::default();
        let fenced = json!({"state": "failing", "kind": "fenced", "since": 0, "reason": "not publishing: x"});
        tell_publishing(&fenced, "/var/lib/usrlocd/fleet-id", &mut findings);
        assert_eq!(findings.counts(), (1, 0));
        let text = findings.text("x");
        assert!(text.contains("rm /var/lib/usrlocd/fleet-id"), "{text}");
        assert!(
            text.contains("not publishing: x (since 1970-01-01T00:00:00Z)."),
            "{text}"
        );
        let missing = told(Err(Error::NoSchema));
        assert!(
            missing.starts_with("1 0 ") && missing.contains("usrlocd fleet migrate"),
            "{missing}"
        );
    }
}
