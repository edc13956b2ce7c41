//! `usrlocd man`: the manual pages, made from `--help`.

mod sections;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};

use super::{Cli, output};
use crate::daemon::Failure;

/// The manual's section for administrators' commands.
const SECTION: &str = "8";

/// Print the manual page
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd man | man -l -
  usrlocd man --directory /usr/local/share/man/man8

Exit status:
  0 success, 64 usage, 73 a page cannot be written")]
pub(super) struct Man {
    /// Instead, write a page for the program and each verb into this directory
    #[arg(short, long, visible_alias = "dir", value_name = "DIRECTORY", value_hint = clap::ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        match &self.directory {
            None => {
                let page = page(&command, &[])
                    .context("make the manual")
                    .map_err(Failure::Software)?;
                output::print(&String::from_utf8_lossy(&page))
            }
            Some(directory) => write_pages(directory, &command, &[])
                .with_context(|| format!("write the manual into {}", directory.display()))
                .map_err(Failure::CannotCreate),
        }
    }
}

/// Writes the page of `command` and those of its verbs; `above` are the commands that it belongs to.
fn write_pages(directory: &Path, command: &Command, above: &[&Command]) -> io::Result<()> {
    let below: Vec<&Command> = above.iter().copied().chain([command]).collect();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_pages(directory, verb, &below)?;
    }
    let file = directory.join(format!("{}.{SECTION}", name(command)));
    fs::write(file, page(command, above)?)
}

/// The name of the page of `command`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command, above: &[&Command]) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone())
        .section(SECTION)
        .manual("usrlocd");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|option| !option.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    sections::of(command, above).to_writer(&mut page)?;
    Ok(page)
}
