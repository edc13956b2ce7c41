//! `usrlocd completions`: what a shell needs to complete our command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};
use crate::daemon::Failure;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd completions bash > /etc/bash_completion.d/usrlocd
  usrlocd completions zsh > ~/.zfunc/_usrlocd")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "usrlocd", &mut text);
        output::print(&String::from_utf8_lossy(&text))
    }
}
