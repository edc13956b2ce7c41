//! What the Debian package holds beside the program: the manual of the configuration, and the examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use usrlocd::accounts::directory::Directory;

use crate::support::tools;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

/// What a command that must succeed prints.
fn printed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

/// Text as troff has it.
fn troff(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('"', "\\(dq")
}

#[test]
fn the_manual_of_the_configuration_has_every_key_with_its_default() {
    let example = deploy("usrlocd.toml");
    let page = printed(Command::new(deploy("man/configuration")).arg(&example));
    let example = fs::read_to_string(example).unwrap();
    let mut rest = page.as_str();
    let mut keys = 0;
    // A test of the configuration keeps the example complete.
    for line in example.lines() {
        let heading = match line.strip_prefix('#').and_then(|key| key.split_once(" = ")) {
            Some((key, value)) if key.starts_with(|first: char| first.is_ascii_lowercase()) => {
                keys += 1;
                format!("\n.BR {} \" = {}\"\n", troff(key), troff(value))
            }
            _ if line.starts_with('[') => format!("\n.SS {}\n", troff(line)),
            _ => continue,
        };
        let at = rest
            .find(&heading)
            .unwrap_or_else(|| panic!("usrlocd.toml(5) has no {heading:?} after the key before"));
        rest = &rest[at + heading.len() - 1..];
    }
    assert!(keys > 20, "the example has only {keys} keys");
}

/// A machine that has what `make deps` installs has what a missing program's message names, and the other way round.
#[test]
fn the_lists_of_what_tests_need_agree() {
    let deps = fs::read_to_string(deploy("../tests/deps")).expect("it is there");
    let line = deps
        .lines()
        .find_map(|line| line.strip_prefix("packages=\""));
    let line = line.expect("it has a list").trim_end_matches(" $*\"");
    let (_, install) = tools::INSTALL
        .split_once("--no-install-recommends ")
        .expect("it has a list");
    let packages =
        |list: &str| -> BTreeSet<String> { list.split_whitespace().map(str::to_owned).collect() };
    assert!(packages(line).len() > 8, "{line}: has the test gone blind?");
    assert_eq!(packages(line), packages(install));
}

#[test]
fn the_examples_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("usrlocd.toml");
    let tokens = deploy("examples/tokens.toml");
    fs::write(&config, format!("[auth]\ntokens_file = {tokens:?}\n")).unwrap();
    printed(
        Command::new(tools::usrlocd())
            .args(["check-config", "--config"])
            .arg(config),
    );
    let directory = fs::read_to_string(deploy("examples/directory.json")).unwrap();
    assert_eq!(Directory::parse(&directory).unwrap().size(), (2, 1));
}
