//! `usrlocd completions`: what a shell needs to complete our command line.

use anyhow::{Context, anyhow};
use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

use super::{complete, output};
use crate::daemon::Failure;

const NAME: &str = "usrlocd";

/// zsh loads the file as a function at the first question, which is to be answered too.
const ZSH: &str = "[[ $funcstack[1] = _usrlocd ]] && _clap_dynamic_completer_usrlocd \"$@\"\n";

/// Print the completions for a shell
///
/// The shell then asks usrlocd, which offers verbs, options and keys, and the accounts and users of a running daemon. If
/// no daemon is running, it silently offers none of those.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd completions bash > /etc/bash_completion.d/usrlocd
  usrlocd completions zsh > /usr/local/share/zsh/site-functions/_usrlocd
  usrlocd completions fish > ~/.config/fish/completions/usrlocd.fish

Exit status:
  0 success, 64 usage")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let shells = Shells::builtins();
        let mut text = Vec::new();
        let shell = self.shell.to_string();
        shells
            .completer(&shell)
            .with_context(|| format!("no completions for {shell}"))
            .and_then(|shell| {
                shell
                    .write_registration(complete::VARIABLE, NAME, NAME, NAME, &mut text)
                    .map_err(|error| anyhow!(error))
            })
            .map_err(Failure::Software)?;
        if self.shell == Shell::Zsh {
            text.extend_from_slice(ZSH.as_bytes());
        }
        output::print(&String::from_utf8_lossy(&text))
    }
}
