//! The database server: whether it can be read, and what would make reading it quicker.

use super::findings::{Findings, Group};
use super::many;
use crate::clock::{Clock, SystemClock};
use crate::config::Kamailio;
use crate::daemon;
use crate::kamailio;
use crate::source::sql::{self, Inspected, Inspection};

const GROUP: Group = Group::Database;

/// So many rows are compared quickly enough without an index.
const FEW: u64 = 20_000;

/// By how many seconds Kamailio's clock may be ahead.
const AHEAD: i64 = 120;

/// Checks the server that holds Kamailio's tables.
pub(super) fn check(kamailio: &Kamailio, findings: &mut Findings) {
    let check = "server";
    let server = match daemon::server(kamailio) {
        Ok(Some(server)) => server,
        Ok(None) => return,
        Err(problems) => {
            let remedy = ["usrlocd check-config".to_owned()];
            findings.fail(GROUP, check, problems.to_string(), remedy);
            return;
        }
    };
    if let Some(found) = &kamailio.found_server {
        let message = format!(
            "Found {server}: {}. usrlocd logs in as Kamailio does, and only reads.",
            found.why
        );
        findings.ok(GROUP, "database_found", message);
    }
    let options = sql::Options {
        url: server.url().to_owned(),
        tables: kamailio.tables.clone(),
        zone: kamailio.zone(),
        servers: kamailio.server_ids.clone(),
        load: kamailio.max_load,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let inspected = runtime.map(|runtime| runtime.block_on(sql::inspect(&options)));
    match inspected {
        Ok(Ok(inspection)) => tell(&server.to_string(), kamailio, &inspection, findings),
        Ok(Err(error)) => {
            let message = format!("{server}: {error}.");
            let is_denied = error == sql::Error::Permission;
            let grants = kamailio.tables.iter().filter(|_| is_denied).map(|table| {
                format!("-- on the server, as its administrator\nGRANT SELECT ON {table}, {table}_attrs TO usrlocd;")
            });
            findings.fail(GROUP, check, message, grants);
        }
        Err(error) => {
            let message = format!("Not checked: {error}.");
            findings.note(GROUP, check, message);
        }
    }
}

/// Asks each Kamailio that shares the tables whether it answers.
pub(super) fn check_owners(kamailio: &Kamailio, findings: &mut Findings) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    for (id, address) in &kamailio.jsonrpc_by_id {
        let Ok(endpoint) = address.parse() else {
            continue;
        };
        let client = kamailio::Kamailio::new(kamailio::Options {
            endpoint,
            timeout: kamailio.rpc_timeout,
            connections: 1,
        });
        match runtime.block_on(client.uptime()) {
            Ok(_) => {
                let message = format!("The Kamailio with server_id {id} answers at {address}.");
                findings.ok(Group::Kamailio, "jsonrpc_owner", message);
            }
            Err(fault) => {
                let message = format!(
                    "The Kamailio with server_id {id} does not answer at {address} ({fault}): its registrations are listed but cannot be flushed."
                );
                findings.fail(
                    Group::Kamailio,
                    "jsonrpc_owner",
                    message,
                    Vec::<String>::new(),
                );
            }
        }
    }
}

/// Tells what was found on the server.
fn tell(server: &str, kamailio: &Kamailio, inspection: &Inspection, findings: &mut Findings) {
    let message = format!("{server} can be read ({}).", inspection.version);
    findings.ok(GROUP, "server", message);
    let now = SystemClock::new().unix_seconds();
    for table in &inspection.tables {
        let Inspected { name, rows, .. } = table;
        let message = format!(
            "Table {name} has {}.",
            many(usize::try_from(*rows).unwrap_or(usize::MAX), "row")
        );
        findings.ok(GROUP, "server_table", message);
        if !table.indexed && *rows > FEW {
            let message = format!(
                "{name} has {rows} rows and no index on last_modified, so a refresh shows only after all of them have been compared. With an index it shows within a second:"
            );
            let remedy = [format!(
                "CREATE INDEX {name}_last_modified_idx ON {name} (last_modified);"
            )];
            findings.warn(GROUP, "server_index", message, remedy);
        }
        if let Some(ahead) = table.latest.map(|at| at - now).filter(|by| *by > AHEAD) {
            let message = format!(
                "The newest registration in {name} is {} min in the future. Kamailio writes local time; [kamailio] timezone is {:?}, which is not its time zone, or its clock is wrong:",
                ahead / 60,
                kamailio.timezone
            );
            let remedy = [
                "[kamailio]\ntimezone = \"Europe/Berlin\"  # that of the Kamailio process"
                    .to_owned(),
            ];
            findings.fail(GROUP, "server_timezone", message, remedy);
        }
    }
}
