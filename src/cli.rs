//! The command line: one file a verb.
//!
//! Results go to standard output, everything else to standard error; each kind of failure has its exit status.

mod account;
mod check_config;
mod complete;
mod completions;
mod configuration;
mod count;
mod doctor;
mod flush;
mod list;
mod man;
mod openapi;
mod output;
mod pages;
mod progress;
mod redraw;
mod remote;
mod serve;
mod show_rows;
mod systemd_env;
mod token;
mod watch;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::anyhow;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::daemon::Failure;

/// `EX_USAGE` of `sysexits.h`; clap itself would exit with 2, which here means "partly done".
const USAGE: u8 = 64;

/// The version, and the revision that it was built from where the build says so.
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
      what is missing, and how to mend it
  usrlocd list acme.example.com
  usrlocd watch
  usrlocd flush acme.example.com --user alice

Exit status:
  0 done, 1 failed, 2 partly done; 64 usage, 69 unavailable, 70 a defect of ours,
  71 the system refused (a port that is taken), 73/74 a file cannot be created or
  written, 77 permission, 78 configuration

Files:
  /etc/usrlocd/usrlocd.toml   configuration; absent, defaults for Debian's Kamailio
  /etc/usrlocd/tokens.toml    tokens of the API; `usrlocd token` changes it
  /run/usrlocd/usrlocd.sock   the API without tokens, for root and the socket's group

Environment:
  USRLOCD_SECTION__KEY        overrides a key, for instance USRLOCD_LOG__LEVEL=debug";

/// See and manage SIP registrations beside Kamailio
///
/// usrlocd mirrors the usrloc tables of a running Kamailio without touching them, and serves Kazoo's Registrations
/// API from the mirror. A flush goes to Kamailio by JSON-RPC.
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

/// What can be done; each verb's own file describes it.
#[derive(Debug, Subcommand)]
enum Verb {
    List(list::List),
    Show(list::Show),
    Count(count::Count),
    Accounts(count::Accounts),
    Watch(watch::Watch),
    Flush(flush::Flush),
    Serve(serve::Serve),
    CheckConfig(check_config::CheckConfig),
    Doctor(doctor::Doctor),
    Token(token::TokenVerb),
    Completions(completions::Completions),
    Man(man::Man),
    Openapi(openapi::Openapi),
}

/// Why the command line ends with something else than its result.
#[derive(Debug)]
enum Ending {
    /// It cannot be read, or asks for help.
    Parser(clap::Error),
    /// It failed.
    Failure(Failure),
}

/// Runs the command line `args`, whose first is the program's name.
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

/// Does it; a panic is a defect of ours, with its own status, where the runtime would end with 101.
fn guarded(work: impl FnOnce() -> Result<(), Ending>) -> Result<(), Ending> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Ending::Failure(Failure::Software(anyhow!(
            "this is a defect; report it with the lines above"
        ))))
    })
}

impl Ending {
    fn report(&self) {
        match self {
            // A reader that has gone away is no reason to fail, and there is nobody else to tell.
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
        Verb::Flush(flush) => flush.run(),
        Verb::Serve(serve) => serve.run(),
        Verb::CheckConfig(check) => check.run(),
        Verb::Doctor(doctor) => doctor.run(),
        Verb::Token(token) => token.run(),
        Verb::Completions(completions) => completions.run(),
        Verb::Man(man) => man.run(),
        Verb::Openapi(openapi) => openapi.run(),
    }
}

#[cfg(test)]
mod tests;
