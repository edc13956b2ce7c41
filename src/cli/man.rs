//! `usrlocd man`: the manual pages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};

use super::{Cli, output};
use crate::daemon::Failure;

/// The manual's section for administrators' commands.
const SECTION: &str = "8";

/// Print the manual
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd man | man -l -
  usrlocd man --directory /usr/local/share/man/man8")]
pub(super) struct Man {
    /// Write a page for the program and each verb into this directory instead
    #[arg(short, long, visible_alias = "dir", value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        match &self.directory {
            None => {
                let page = page(command)
                    .context("make the manual")
                    .map_err(Failure::Software)?;
                output::print(&String::from_utf8_lossy(&page))
            }
            Some(directory) => write_pages(directory, command)
                .with_context(|| format!("write the manual into {}", directory.display()))
                .map_err(Failure::CannotCreate),
        }
    }
}

/// Writes the page of `command` and those of its verbs.
fn write_pages(directory: &Path, command: Command) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_pages(directory, verb.clone())?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    let file = directory.join(format!("{name}.{SECTION}"));
    fs::write(file, page(command)?)
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command)
        .section(SECTION)
        .manual("usrlocd");
    man.render(&mut page)?;
    Ok(page)
}
