//! `usrlocd check-config`: every mistake in the configuration, tokens, directory and keys, before the daemon finds them.

use clap::Args;

use super::configuration::Configuration;
use super::output::{hint, print};
use crate::config::Problems;
pub(super) use crate::daemon::check_keys;
use crate::daemon::{self, Failure};

const EXAMPLES: &str = "\
Examples:
  usrlocd check-config
      checks /etc/usrlocd/usrlocd.toml and what it names
  usrlocd check-config --config new.toml && systemctl reload usrlocd
  usrlocd check-config --print
      shows each value in force, and where it was set

Exit status:
  0 all well; 78 mistakes, one a line, as FILE:LINE:COLUMN: message;
  77 a file that may not be read";

/// Check the configuration and the files that it names, and report every mistake
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct CheckConfig {
    /// Show each value in force; those that are not defaults with the place where they were set
    #[arg(short, long)]
    print: bool,

    #[command(flatten)]
    configuration: Configuration,
}

impl CheckConfig {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let loaded = self.configuration.load()?;
        if self.print {
            print(&loaded.to_string())?;
        } else {
            let file = loaded.file.display();
            let absent = if loaded.found {
                ""
            } else {
                " (not there; defaults hold)"
            };
            print(&format!("{file}: ok{absent}\n"))?;
        }
        let report = daemon::check_files(&loaded.config);
        for warning in report.warnings {
            hint(format_args!("warning: {warning}"));
        }
        match Problems::of(report.problems) {
            Some(problems) => Err(problems.into()),
            None => Ok(()),
        }
    }
}
