//! The command line: one file for each verb.
//!
//! Results go to standard output, everything else to standard error; each kind of failure has its exit status.

mod account;
mod check_config;
mod complete;
mod completions;
mod configuration;
mod count;
mod doctor;
mod flaps;
mod fleet;
mod flush;
mod history;
mod list;
mod man;
mod moment;
mod nodes;
mod notify;
mod openapi;
mod output;
mod pages;
mod person;
mod progress;
mod redraw;
mod refusals;
mod remote;
mod serve;
mod show_rows;
mod systemd_env;
mod token;
mod ui;
mod watch;
mod webhook;
mod why;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::anyhow;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::daemon::Failure;

/// `EX_USAGE` of `sysexits.h`; clap itself would exit with 2, which here means "partial success".
const USAGE: u8 = 64;

/// The version, and the revision that it was built from, if known.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("USRLOCD_REVISION") {
        Some(revision) if !revision.is_empty() => format!("{version} ({revision})"),
        _ => version.to_owned(),
    }
});

const EXIT_STATUS: &str = "\
Examples:
  usrlocd doctor
      what is wrong, and how to fix it
  usrlocd list acme.example.com
  usrlocd watch
  usrlocd ui
      where the page for browsers is
  usrlocd why alice@acme.example.com
      why its phone was away
  usrlocd flush acme.example.com --user alice

Exit status:
  0 success, 1 failure, 2 partial success; 64 usage, 69 unavailable, 70 internal error,
  71 the system refused (a port in use), 73/74 a file cannot be created or
  written, 77 permission, 78 configuration

Files:
  /etc/usrlocd/usrlocd.toml   configuration; if absent, defaults for Debian's Kamailio
  /etc/usrlocd/tokens.toml    API tokens; changed by `usrlocd token`
  /run/usrlocd/usrlocd.sock   the API without tokens, for root and the socket's group

Environment:
  USRLOCD_SECTION__KEY        overrides a key, for instance USRLOCD_LOG__LEVEL=debug";

/// See and manage SIP registrations beside Kamailio
///
/// usrlocd follows the usrloc tables of a running Kamailio without touching them, and serves Kazoo's Registrations
/// API from memory. Flushes go to Kamailio by JSON-RPC.
#[derive(Debug, Parser)]
#[command(
    name = "usrlocd",
    version = VERSION.as_str(),
    after_long_help = EXIT_STATUS,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs; each is described in its own file.
#[derive(Debug, Subcommand)]
enum Verb {
    List(list::List),
    Show(list::Show),
    Count(count::Count),
    Accounts(count::Accounts),
    Watch(watch::Watch),
    History(history::History),
    Flaps(flaps::Flaps),
    Why(why::Why),
    Flush(flush::Flush),
    Notify(self::notify::Notify),
    Ui(ui::Ui),
    Serve(serve::Serve),
    Nodes(nodes::Nodes),
    CheckConfig(check_config::CheckConfig),
    Doctor(doctor::Doctor),
    Token(token::TokenVerb),
    Webhook(webhook::WebhookVerb),
    Fleet(fleet::FleetVerb),
    Completions(completions::Completions),
    Man(man::Man),
    Openapi(openapi::Openapi),
}

/// Why a command ends without a result.
#[derive(Debug)]
enum Ending {
    /// It cannot be parsed, or asks for help.
    Parser(clap::Error),
    /// It failed.
    Failure(Failure),
}

/// Runs the command line `args`, which begins with the program's name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if complete::answer(&args) {
        return ExitCode::SUCCESS;
    }
    match guarded(|| perform(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ending) => {
            ending.report();
            ExitCode::from(ending.exit_status())
        }
    }
}

fn perform(args: impl IntoIterator<Item = OsString>) -> Result<(), Ending> {
    let cli = Cli::try_parse_from(args).map_err(Ending::Parser)?;
    run(cli).map_err(Ending::Failure)
}

/// Runs `work`; a panic is an internal error with its own exit status, instead of the runtime's 101.
fn guarded(work: impl FnOnce() -> Result<(), Ending>) -> Result<(), Ending> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Ending::Failure(Failure::Software(anyhow!(
            "internal error; please report it with the lines above"
        ))))
    })
}

impl Ending {
    fn report(&self) {
        match self {
            // A reader that has gone away is not a failure.
            Self::Parser(error) => drop(error.print()),
            Self::Failure(failure) => output::complain(failure),
        }
    }

    fn exit_status(&self) -> u8 {
        match self {
            Self::Parser(error) => match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => USAGE,
            },
            Self::Failure(failure) => failure.exit_status(),
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.verb {
        Verb::List(list) => list.run(),
        Verb::Show(show) => show.run(),
        Verb::Count(count) => count.run(),
        Verb::Accounts(accounts) => accounts.run(),
        Verb::Watch(watch) => watch.run(),
        Verb::History(history) => history.run(),
        Verb::Flaps(flaps) => flaps.run(),
        Verb::Why(why) => why.run(),
        Verb::Flush(flush) => flush.run(),
        Verb::Notify(notify) => notify.run(),
        Verb::Ui(ui) => ui.run(),
        Verb::Serve(serve) => serve.run(),
        Verb::Nodes(nodes) => nodes.run(),
        Verb::CheckConfig(check) => check.run(),
        Verb::Doctor(doctor) => doctor.run(),
        Verb::Token(token) => token.run(),
        Verb::Webhook(webhook) => webhook.run(),
        Verb::Fleet(fleet) => fleet.run(),
        Verb::Completions(completions) => completions.run(),
        Verb::Man(man) => man.run(),
        Verb::Openapi(openapi) => openapi.run(),
    }
}

#[cfg(test)]
mod tests;
