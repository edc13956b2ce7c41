//! `usrlocd check-config`: every mistake in configuration and tokens, before the daemon finds them.

use std::fs;

use clap::Args;

use super::configuration::Configuration;
use super::output::{hint, print};
use crate::config::{JwtKey, Loaded, Problems};
use crate::daemon::Failure;
use crate::tokens;

const EXAMPLES: &str = "\
Examples:
  usrlocd check-config
      checks /etc/usrlocd/usrlocd.toml and what it names
  usrlocd check-config --config new.toml && systemctl reload usrlocd
  usrlocd check-config --print
      shows each value in force, and where it was set

Exit status:
  0 all well, 78 mistakes; one a line, as FILE:LINE:COLUMN: message";

/// Check the configuration, the tokens file and the keys, and report every mistake
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
        let tokens = check_tokens(&loaded);
        let keys = check_keys(&loaded.config.auth.jwt.keys);
        match Problems::of(tokens.into_iter().chain(keys).collect()) {
            Some(problems) => Err(problems.into()),
            None => Ok(()),
        }
    }
}

fn check_tokens(loaded: &Loaded) -> Vec<crate::config::Problem> {
    let Some(file) = &loaded.config.auth.tokens_file else {
        return Vec::new();
    };
    match tokens::load(file) {
        Ok(loaded) => {
            for warning in loaded.warnings {
                hint(format_args!("warning: {warning}"));
            }
            Vec::new()
        }
        Err(problems) => problems.iter().cloned().collect(),
    }
}

pub(super) fn check_keys(keys: &[JwtKey]) -> Vec<crate::config::Problem> {
    let problem = |key: &JwtKey| {
        let message = match fs::read_to_string(&key.pem_file) {
            Ok(text) if text.contains("PRIVATE KEY-----") => {
                "this is a private key; take the public one, and keep this off the machine"
                    .to_owned()
            }
            Ok(text) if text.contains("-----BEGIN ") => return None,
            Ok(_) => "this is no PEM file; it starts with -----BEGIN PUBLIC KEY-----".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        Some(Problems::one(&key.pem_file.to_string_lossy(), message))
    };
    let problems = keys.iter().filter_map(problem);
    problems
        .flat_map(|one| one.iter().cloned().collect::<Vec<_>>())
        .collect()
}
