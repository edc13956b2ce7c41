//! `usrlocd check-config`: reports every mistake in the configuration, tokens, directory and keys before the daemon does.

use std::path::Path;

use clap::Args;

use super::configuration::Configuration;
use super::output::{hint, print};
use super::systemd_env::{self, Unit};
use crate::config::{Problem, Problems};
pub(super) use crate::daemon::check_keys;
use crate::daemon::{self, Failure};
use crate::terminal::printable_lines;

const EXAMPLES: &str = "\
Examples:
  usrlocd check-config
      check /etc/usrlocd/usrlocd.toml and the files that it names
  usrlocd check-config --config new.toml
      check another file before it replaces that one
  usrlocd check-config --print
      show each effective value, and where it was set
  usrlocd check-config --quiet
      print nothing if all is well, as the unit does before each reload

Exit status:
  0 all well; 78 mistakes, one per line, as FILE:LINE:COLUMN: message;
  77 a file cannot be read for lack of permission";

/// Where systemd passes credentials to the daemon only.
const CREDENTIALS: &str = "/run/credentials/";

/// Check the configuration and the files that it names, and report every mistake
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CheckConfig {
    /// Show each effective value, and where it was set unless it is the default
    #[arg(short, long)]
    print: bool,

    /// Print nothing if all is well
    #[arg(short, long, conflicts_with = "print")]
    quiet: bool,

    #[command(flatten)]
    configuration: Configuration,
}

impl CheckConfig {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let loaded = self.configuration.load()?;
        let report = daemon::check_files(&loaded.config);
        if self.print {
            print(&printable_lines(&loaded.to_string()))?;
        }
        for warning in report.warnings {
            hint(format_args!("warning: {warning}"));
        }
        if let Some(warning) = systemd_env::warning(&Unit::read(Path::new("/")).unseen()) {
            hint(format_args!(
                "warning: {warning}; to check with it, prefix the command with `env NAME=VALUE`"
            ));
        }
        let problems = report.problems.into_iter();
        let problems = problems.filter(|it| !is_handed_over(it)).collect();
        if let Some(problems) = Problems::of(problems) {
            return Err(problems.into());
        }
        if !self.print && !self.quiet {
            let file = loaded.file.display();
            let absent = if loaded.found {
                ""
            } else {
                " (absent; using defaults)"
            };
            print(&format!("{file}: ok{absent}\n"))?;
        }
        Ok(())
    }
}

/// Whether the problem is only that a credential is for the daemon: the unit's check before a reload cannot read
/// what the daemon can.
fn is_handed_over(problem: &Problem) -> bool {
    problem.denied && problem.place.to_string().starts_with(CREDENTIALS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_credential_is_the_daemons_to_read() {
        let of = |file: &str, kind: ErrorKind| Problem::unreadable(file, &Error::from(kind));
        let credential = "/run/credentials/usrlocd.service/tokens.toml";
        assert!(is_handed_over(&of(credential, ErrorKind::PermissionDenied)));
        assert!(!is_handed_over(&of(credential, ErrorKind::NotFound)));
        let own = "/etc/usrlocd/tokens.toml";
        assert!(!is_handed_over(&of(own, ErrorKind::PermissionDenied)));
    }
}
