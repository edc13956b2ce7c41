//! `usrlocd nodes`: the nodes of the fleet.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::output::{hint, lines, print, print_csv, print_json};
use super::refusals::{refused, stranger};
use super::remote::{self, Remote};
use super::show_rows::{Format, Output, cell};
use crate::daemon::Failure;
use crate::document::shown;
use crate::spreadsheet::write_record;

/// The keys of a node.
const KEYS: &[&str] = &[
    "name",
    "state",
    "source_state",
    "as_of",
    "lag_ms",
    "rows",
    "version",
    "clock_offset_ms",
];

/// The columns of the table.
const TABLE: &[&str] = &["name", "state", "source_state", "lag_ms", "rows", "version"];

/// List the nodes of the fleet, or forget one
///
/// Asks a running usrlocd with `[fleet] url`, or `usrlocd fleet`. A node is live while it publishes; stale after 6 s without a
/// sign of life, lost after a minute; restarting until it has compared what it published before; stopped after a clean stop.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  usrlocd nodes
  usrlocd nodes -o json
  usrlocd nodes forget k3
      k3 will not come back: drop it and its registrations from the fleet

Exit status:
  0 success, 1 no such node, 64 usage, 69 no daemon or no database, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR turns colours off"
)]
pub(super) struct Nodes {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

/// What else can be done with nodes.
#[derive(Debug, Subcommand)]
enum Action {
    Forget(Forget),
}

/// Forget a node that will not come back, and its registrations
///
/// Only over the daemon's socket, and only a node that was stopped or has been silent for a minute.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd nodes forget k3

Exit status:
  0 success, 1 no such node, 64 the node runs, 69 no daemon or no database, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file")]
struct Forget {
    /// The node's name
    #[arg(value_name = "NODE")]
    name: String,
    #[command(flatten)]
    remote: Remote,
}

impl Nodes {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(Action::Forget(forget)) = self.action {
            return forget.run();
        }
        let format = self.output.format()?;
        self.output.check(KEYS)?;
        let columns = match format {
            Format::Wide => KEYS,
            _ => TABLE,
        };
        let client = self.remote.client()?;
        remote::run(async {
            let answer = remote::ask(&client, Method::GET, "/v2/nodes").await?;
            let mut envelope = remote::envelope(&client, answer).await?;
            let Value::Array(rows) = envelope["data"].take() else {
                return Err(stranger(&client));
            };
            if rows.is_empty() {
                hint("no node has published anything yet");
            }
            if envelope["source"]["suspect"] == true {
                hint(
                    "warning: many nodes stopped publishing within seconds; suspect the fleet's database or the network",
                );
            }
            match format {
                Format::Table | Format::Wide => print(&self.output.table(rows, columns, format)),
                Format::Json => print_json(&format!("{:#}\n", Value::Array(rows))),
                Format::Ndjson => print_json(&lines(&rows)),
                Format::Csv => print_csv(&csv(&rows)),
            }
        })
    }
}

impl Forget {
    fn run(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let name = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        let path = format!("/v2/nodes/{name}");
        remote::run(async {
            let answer = remote::send(&client, Method::DELETE, &path).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Err(Failure::Failed(anyhow!(
                    "no node `{}`; `usrlocd nodes` lists them",
                    shown(&self.name)
                )));
            }
            if !answer.status.is_success() {
                return Err(refused(&client, answer).await);
            }
            hint(format_args!("forgot {}", shown(&self.name)));
            Ok(())
        })
    }
}

fn csv(rows: &[Value]) -> String {
    let mut out = Vec::new();
    write_record(KEYS.iter().copied(), &mut out);
    for row in rows {
        let text = |key: &&str| match &row[*key] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => cell(other),
        };
        let cells: Vec<String> = KEYS.iter().map(text).collect();
        write_record(cells.iter().map(String::as_str), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}
