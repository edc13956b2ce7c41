//! The fleet's database: whether this node can publish there.

use super::findings::{Findings, Group};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::daemon;
use crate::fleet::{self, Error, Inspection, identity};

const GROUP: Group = Group::Usrlocd;

/// So far apart clocks may be, in milliseconds: times of registrations are compared across nodes.
const APART: i64 = 2000;

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
    tell(&server.to_string(), &name, inspected, findings);
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
        Ok(found) if found.clock_offset_ms.abs() > APART => {
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
        let missing = told(Err(Error::NoSchema));
        assert!(
            missing.starts_with("1 0 ") && missing.contains("usrlocd fleet migrate"),
            "{missing}"
        );
    }
}
