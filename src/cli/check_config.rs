//! `usrlocd check-config`: every mistake in the configuration, tokens, directory and keys, before the daemon finds them.

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
      checks /etc/usrlocd/usrlocd.toml and what it names
  usrlocd check-config --config new.toml
      checks another file before it takes the place of that one
  usrlocd check-config --print
      shows each value in force, and where it was set
  usrlocd check-config --quiet
      says nothing where all is well, as before each reload of the unit

Exit status:
  0 all well; 78 mistakes, one a line, as FILE:LINE:COLUMN: message;
  77 a file that may not be read";

/// Where systemd hands credentials over, to the daemon alone.
const CREDENTIALS: &str = "/run/credentials/";

/// Check the configuration and the files that it names, and report every mistake
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CheckConfig {
    /// Show each value in force; those that are not defaults with the place where they were set
    #[arg(short, long)]
    print: bool,

    /// Say nothing where all is well
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
                "warning: {warning}; put `env NAME=VALUE` in front to check with it"
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
                " (not there; defaults hold)"
            };
            print(&format!("{file}: ok{absent}\n"))?;
        }
        Ok(())
    }
}

/// Whether the problem is that a credential is for the daemon alone: the unit's check before a reload may not read
/// what the daemon itself can.
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
