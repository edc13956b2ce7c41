//! `usrlocd token`: creates, lists and revokes API tokens.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use super::configuration::{Configuration, absolute};
use super::output::{hint, print};
use super::show_rows::aligned;
use super::systemd_env::{self, Unit};
use crate::clock::{Clock, SystemClock};
use crate::daemon::Failure;
use crate::tokens::{self, Stanza, TokenFileError};

/// The variables that decide which file is meant.
const NAMES_THE_FILE: [&str; 2] = ["USRLOCD_CONFIG", "USRLOCD_AUTH__TOKENS_FILE"];

const EXAMPLES: &str = "\
Examples:
  usrlocd token new --name ops
      a token for everything; it is printed once, and only its hash is stored
  usrlocd token new --name dashboard --accounts acme.example.com --rights read --expires 90d
  usrlocd token list
  usrlocd token revoke dashboard

Exit status:
  0 success, 1 the name exists already, or does not exist, 64 usage, 73 the file cannot
  be created, 74 it cannot be read or written, 77 permission, 78 it has mistakes

A running daemon applies the change at once.";

const NEW: &str = "\
Examples:
  usrlocd token new --name ops >/root/ops.token
      a token for everything
  usrlocd token new --name acme --accounts acme.example.com --rights read --expires 90d

Exit status:
  0 success, 1 the name exists already, 64 usage, 73 the file cannot be created, 74 it cannot
  be read or written, 77 permission, 78 it has mistakes";

const LIST: &str = "\
Examples:
  usrlocd token list

Exit status:
  0 success, 64 usage, 74 the file cannot be read, 77 permission, 78 it has mistakes";

const REVOKE: &str = "\
Examples:
  usrlocd token revoke dashboard
      revoked at once, without a restart

Exit status:
  0 success, 1 there is no such token, 64 usage, 74 the file cannot be read or written,
  77 permission, 78 it has mistakes";

/// Create, list and revoke API tokens
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct TokenVerb {
    #[command(subcommand)]
    verb: Verb,

    /// The tokens file [default: the configuration's]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<String>,

    /// The configuration file that names the tokens file
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "USRLOCD_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a token, add it to the file, and print it once
    #[command(after_long_help = NEW)]
    New(New),
    /// List the tokens, without their secrets
    #[command(after_long_help = LIST)]
    List,
    /// Remove a token from the file
    #[command(after_long_help = REVOKE)]
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
struct New {
    /// The name in logs and in the audit
    #[arg(long)]
    name: String,

    /// Account ids, each including its descendants; * for all accounts
    #[arg(
        long,
        value_name = "ACCOUNTS",
        value_delimiter = ',',
        default_value = "*"
    )]
    accounts: Vec<String>,

    /// What the token permits
    #[arg(
        long,
        value_name = "RIGHTS",
        value_delimiter = ',',
        default_value = "read,flush"
    )]
    rights: Vec<String>,

    /// When it expires: 2027-01-01, 2027-01-01T12:00:00Z, or 12h or 90d from now [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

impl TokenVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        let file = self.file()?;
        readable(&file)?;
        let now = SystemClock::new().unix_seconds();
        match self.verb {
            Verb::New(new) => new.run(&file, now),
            Verb::List => list(&file, now),
            Verb::Revoke { name } => {
                tokens::revoke(&file, &name).map_err(|error| failure(error, false))?;
                hint(format_args!("{}: revoked `{name}`", file.display()));
                Ok(())
            }
        }
    }

    /// The tokens file: the given one, or else the configuration's.
    fn file(&self) -> Result<PathBuf, Failure> {
        if let Some(file) = &self.file {
            return Ok(PathBuf::from(absolute(file)));
        }
        let unit = Unit::read(Path::new("/"));
        let mut unseen = unit.unseen();
        unseen.retain(|it| NAMES_THE_FILE.contains(&&*it.name));
        if let Some(warning) = systemd_env::warning(&unseen) {
            hint(format_args!(
                "warning: {warning}; give the daemon's tokens file with --file"
            ));
        }
        let loaded = Configuration::of(self.config.clone()).load()?;
        loaded.config.auth.tokens_file.ok_or_else(|| {
            Failure::Usage(anyhow!(
                "[auth] tokens_file is empty; give the file with --file"
            ))
        })
    }
}

impl New {
    fn run(self, file: &Path, now: i64) -> Result<(), Failure> {
        let expires = self.expires.as_deref().map(|text| expiry(text, now));
        let stanza = Stanza::new(self.name, self.accounts, self.rights, expires.transpose()?)
            .map_err(|message| Failure::Usage(anyhow!(message)))?;
        let token = tokens::new_token()
            .context("create a token")
            .map_err(Failure::System)?;
        let absent = !file.exists();
        tokens::add(file, &stanza, &token).map_err(|error| failure(error, absent))?;
        print(&format!("{token}\n"))?;
        hint(format_args!(
            "{}: added `{}`: accounts {}, rights {}. The token is shown only this once; keep it safe.",
            file.display(),
            stanza.name(),
            stanza.accounts().join(","),
            stanza.rights().join(","),
        ));
        if absent {
            hint(format_args!(
                "The file is new, and only its owner can read it; if the daemon runs as another user: chown usrlocd {}",
                file.display()
            ));
        }
        Ok(())
    }
}

fn list(file: &Path, now: i64) -> Result<(), Failure> {
    let loaded = tokens::load(file)?;
    for warning in loaded.warnings {
        hint(format_args!("warning: {warning}"));
    }
    let mut rows = vec![["NAME", "ACCOUNTS", "RIGHTS", "EXPIRES"].map(str::to_owned)];
    for token in loaded.tokens.iter() {
        let expires = match token.expires {
            None => "never".to_owned(),
            Some(end) if end <= now => format!("{} (expired)", tokens::show_expiry(end)),
            Some(end) => tokens::show_expiry(end),
        };
        rows.push([
            token.name.clone(),
            token.accounts.to_string(),
            token.rights.to_string(),
            expires,
        ]);
    }
    print(&aligned(rows, None))
}

/// The Unix second that `--expires` means.
fn expiry(text: &str, now: i64) -> Result<i64, Failure> {
    let end = tokens::expiry(text, now).map_err(|message| Failure::Usage(anyhow!(message)))?;
    if end <= now {
        return Err(Failure::Usage(anyhow!(
            "--expires {text} is in the past; choose a later time"
        )));
    }
    Ok(end)
}

/// Whether the file, if it is there, can be read at all.
fn readable(file: &Path) -> Result<(), Failure> {
    match fs::read(file) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(Failure::Permission(unreadable(file, error)))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::Io(unreadable(file, error)))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn unreadable(file: &Path, error: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot read {}", file.display()))
}

/// The exit status that fits what went wrong with the tokens file, which may have been `absent` before.
fn failure(error: TokenFileError, absent: bool) -> Failure {
    match error {
        TokenFileError::Problems(problems) => Failure::Config(problems),
        error @ (TokenFileError::Taken { .. }
        | TokenFileError::Missing { .. }
        | TokenFileError::Unusual { .. }
        | TokenFileError::Busy { .. }) => Failure::Failed(error.into()),
        TokenFileError::Io { ref source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            Failure::Permission(error.into())
        }
        error @ TokenFileError::Io { .. } if absent => Failure::CannotCreate(error.into()),
        error @ TokenFileError::Io { .. } => Failure::Io(error.into()),
    }
}
