//! The operations page is true: its configurations parse, its commands (and README's) exist, its paths are those of unit
//! and package, and every warning and error is in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use usrlocd::accounts::directory::Directory;
use usrlocd::config::Config;

use crate::support::tools;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page() -> String {
    read(&root().join("deploy/OPERATIONS.md"))
}

/// The fenced blocks of the page in this language, without their indentation.
fn blocks(language: &str) -> Vec<String> {
    blocks_of(&page(), language)
}

fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push(block.join("\n"));
        } else if line.starts_with("```") {
            lines.by_ref().take_while(|line| *line != "```").count();
        }
    }
    assert!(
        !found.is_empty(),
        "no block in {language}: has the test gone blind?"
    );
    found
}

#[test]
fn configurations_parse() {
    for block in blocks("toml") {
        if let Err(problems) = Config::parse(&block, "OPERATIONS.md") {
            panic!("{problems}in\n{block}");
        }
    }
    for block in blocks("json") {
        if let Err(problem) = Directory::parse(&block) {
            panic!("{problem} in\n{block}");
        }
    }
}

/// Whether the program reads this command line: with `--help` behind it nothing is done.
fn is_understood(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(tools::usrlocd())
        .args(arguments)
        .arg("--help")
        .output()
        .expect("the program runs");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    // What stands before --help is not looked at by clap; each flag must be in that help.
    for flag in arguments.iter().filter(|word| word.starts_with("--")) {
        let known = help
            .split(|c: char| c.is_whitespace() || c == ',' || c == '=')
            .any(|word| word == *flag);
        if !known {
            return Err(format!("no {flag} in\n{help}"));
        }
    }
    let verb = arguments.iter().find(|word| !word.starts_with('-'));
    let usage = help.lines().find(|line| line.contains("Usage:"));
    match (verb, usage) {
        (Some(verb), Some(usage)) if usage.contains(verb) => Ok(()),
        _ => Err(format!("{verb:?} is not in {usage:?}")),
    }
}

#[test]
fn commands_exist() {
    assert!(is_understood(&["serve", "--nonsense"]).is_err());
    assert!(is_understood(&["nonsense"]).is_err());
    let mut seen = 0;
    let readme = read(&root().join("README.md"));
    let shell = [blocks("sh"), blocks_of(&readme, "sh")].concat();
    for line in shell.iter().flat_map(|block| block.lines()) {
        let Some(command) = line.strip_prefix("usrlocd ") else {
            continue;
        };
        let command = command.split(" #").next().unwrap_or(command);
        let arguments: Vec<&str> = command.split_whitespace().collect();
        seen += 1;
        if let Err(complaint) = is_understood(&arguments) {
            panic!("{line}: {complaint}");
        }
    }
    assert!(seen > 15, "only {seen} commands: has the test gone blind?");
}

/// README speaks of `make` targets; each is one.
#[test]
fn make_targets_exist() {
    let readme = read(&root().join("README.md"));
    let makefile = read(&root().join("Makefile"));
    let mut seen = 0;
    for (at, _) in readme.match_indices("make ") {
        let is_command = at == 0 || readme[..at].ends_with(['`', '\n']);
        let name = |c: &char| c.is_ascii_lowercase() || *c == '-';
        let target: String = readme[at + 5..].chars().take_while(name).collect();
        if !is_command || target.is_empty() {
            continue;
        }
        seen += 1;
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    assert!(seen > 5, "only {seen} targets: has the test gone blind?");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the sources can be listed") {
        let path = entry.expect("the sources can be listed").path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            sources(&path, found);
        } else if !is_test {
            found.push(path);
        }
    }
}

/// The messages of `warn!` and `error!`: the last text in the macro, and without continued lines.
fn messages() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let text = read(&file);
        for start in ["warn!(", "error!("] {
            for (at, _) in text.match_indices(start) {
                let call = &text[at..];
                let call = &call[..call.find(");").unwrap_or(call.len())];
                let call = call.split("\"))").next().unwrap_or(call);
                let texts = call.split('"').skip(1).step_by(2);
                let message = texts.last();
                let message =
                    message.unwrap_or_else(|| panic!("{}: no message: {call}", file.display()));
                let joined = message.replace("\\\n", "").replace("\\n", "");
                found.insert(joined.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    found
}

#[test]
fn every_warning_and_error_is_explained() {
    let page = page();
    let messages = messages();
    assert!(
        messages.len() > 15,
        "{messages:?}: has the test gone blind?"
    );
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    for message in messages {
        // What is filled in is another each time; the fixed parts stand in one line of the table.
        let fixed: Vec<&str> = message
            .split(['{', '}'])
            .step_by(2)
            .map(|part| part.trim().trim_end_matches(';'))
            .filter(|part| !part.is_empty())
            .collect();
        if fixed.is_empty() {
            // A line about the tokens file, which says all itself.
            continue;
        }
        let is_explained = rows
            .iter()
            .any(|row| fixed.iter().all(|part| row.contains(part)));
        assert!(is_explained, "not in the table of log messages: {message}");
    }
}

/// README's table of what may be seen speaks of messages that exist.
#[test]
fn what_readme_says_may_be_seen_exists() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let code: String = files.iter().map(|file| read(file)).collect();
    // A text that goes on in the next line is one text.
    let code = code.replace("\\\n", "");
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = read(&root().join("README.md"));
    let (_, section) = readme
        .split_once("\n## When something is wrong\n")
        .expect("it has the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let seen = rows.filter_map(|row| row.split(" | ").next());
    let messages: Vec<&str> = seen
        .flat_map(|seen| seen.split('`').skip(1).step_by(2))
        .filter(|quoted| quoted.contains(' '))
        .collect();
    assert!(messages.len() > 3, "{messages:?}: has the test gone blind?");
    for message in messages {
        assert!(code.contains(message), "nothing says {message:?}");
    }
}

/// What belongs on every machine, and to nobody's home.
#[test]
fn no_path_of_a_private_machine() {
    let mut files = Vec::new();
    sources(&root().join("deploy"), &mut files);
    // Pictures are no text.
    files.retain(|file| file.extension().is_none_or(|it| it != "png"));
    assert!(files.len() > 20, "{files:?}: has the test gone blind?");
    files.push(root().join("README.md"));
    for file in files {
        let text = read(&file);
        for home in ["/root/", "/home/", "/work/"] {
            assert!(!text.contains(home), "{}: {home}", file.display());
        }
    }
}

/// The unit's comment and the page show the same drop-in.
#[test]
fn the_unit_and_the_page_hand_over_the_same_credential() {
    let unit = read(&root().join("deploy/systemd/usrlocd.service"));
    let page = blocks("ini").concat();
    let mut seen = 0;
    for line in unit.lines().filter_map(|line| line.strip_prefix("#   ")) {
        seen += 1;
        assert!(page.contains(line), "not on the page: {line}");
    }
    assert_eq!(seen, 3, "has the test gone blind?");
}

/// What the page says of owners and modes is what unit, sysusers and tmpfiles make.
#[test]
fn paths_are_those_of_unit_and_package() {
    let page = page();
    let unit = read(&root().join("deploy/systemd/usrlocd.service"));
    let tmpfiles = read(&root().join("deploy/systemd/usrlocd.tmpfiles"));
    let socket = read(&root().join("deploy/systemd/usrlocd.socket"));
    for setting in [
        "User=usrlocd",
        "SupplementaryGroups=kamailio",
        "StateDirectory=usrlocd",
        "RuntimeDirectory=usrlocd",
        "ExecStart=/usr/bin/usrlocd serve",
    ] {
        assert!(unit.lines().any(|line| line == setting), "{setting}");
    }
    assert!(tmpfiles.contains("d /var/lib/usrlocd 0750 usrlocd usrlocd -"));
    assert!(page.contains("| `/var/lib/usrlocd` | `usrlocd:usrlocd` | 0750 |"));
    let defaults = Config::default();
    let addresses = defaults.http.listen.iter().map(ToString::to_string);
    let own = defaults
        .http
        .socket
        .expect("there is one")
        .display()
        .to_string();
    assert!(page.contains(&own), "{own}");
    // usrlocd.socket stands for the defaults of [http].
    for address in addresses.chain([own]) {
        assert!(
            socket.contains(&format!("ListenStream={address}\n")),
            "{address}"
        );
    }
    for path in [
        defaults.store.path,
        defaults.auth.tokens_file.expect("there is one"),
        usrlocd::config::DEFAULT_FILE.into(),
    ] {
        assert!(
            page.contains(&path.display().to_string()),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_api_error_and_exit_status_is_explained() {
    let page = page();
    let source = read(&root().join("src/http/error.rs"));
    let (_, messages) = source
        .split_once("fn message(&self)")
        .expect("messages have a function");
    let (messages, _) = messages
        .split_once("pub(crate) fn")
        .expect("another one follows");
    let mut seen = 0;
    for message in messages.split('"').skip(1).step_by(2) {
        seen += 1;
        assert!(
            page.contains(&format!("| `{message}` |")),
            "{message} is not explained"
        );
    }
    assert!(seen > 12, "only {seen} messages: has the test gone blind?");
    let source = read(&root().join("src/daemon/failure.rs"));
    let statuses = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("(_) => "))
        .filter_map(|(_, status)| status.strip_suffix(',')?.parse::<u8>().ok());
    let mut seen = 0;
    for status in statuses {
        seen += 1;
        assert!(
            page.contains(&format!("\n| {status} | ")),
            "{status} is not explained"
        );
    }
    assert!(seen > 8, "only {seen} statuses: has the test gone blind?");
}
