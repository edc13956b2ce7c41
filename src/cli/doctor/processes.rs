//! The configuration that a Kamailio on this machine was started with, by its command line.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::kamailio_cfg::{KamailioCfg, Keeps};

/// Kamailio's default configuration file.
const DEFAULT: &str = "/etc/kamailio/kamailio.cfg";

/// The file that a Kamailio with these processes (`core.psx`) was started with, and the words that its command line
/// defines; the default where it names none. `None` where the processes are not on this machine.
pub(super) fn of_processes(processes: &Value) -> Option<(PathBuf, Vec<String>)> {
    let all = processes.as_array()?;
    let ids = all.iter().filter_map(|process| process["PID"].as_u64());
    ids.into_iter()
        .find_map(|id| of_process(&PathBuf::from(format!("/proc/{id}"))))
}

/// The configuration of the Kamailio that runs on this machine, does not answer, and keeps its rows in `database`.
pub(super) fn of_database(database: &Path) -> Option<KamailioCfg> {
    let database = fs::canonicalize(database).ok()?;
    let processes = fs::read_dir("/proc").ok()?;
    let folders = processes.filter_map(|it| Some(it.ok()?.path()));
    let commands: HashSet<(PathBuf, Vec<String>)> =
        folders.filter_map(|folder| of_process(&folder)).collect();
    let read = |(file, defined): (PathBuf, Vec<String>)| KamailioCfg::read(&file, &defined).ok();
    commands.into_iter().filter_map(read).find(|cfg| {
        matches!(cfg.keeps(), Keeps::File(file) if fs::canonicalize(&file).is_ok_and(|it| it == database))
    })
}

/// The command line of the process in `/proc`, if it is a Kamailio.
fn of_process(folder: &Path) -> Option<(PathBuf, Vec<String>)> {
    let line = fs::read(folder.join("cmdline")).ok()?;
    let words: Vec<String> = line
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let program = Path::new(words.first()?).file_name()?.to_string_lossy();
    if !program.contains("kamailio") {
        return None;
    }
    let (file, defined) = of_command_line(&words);
    let file = file.unwrap_or_else(|| DEFAULT.to_owned());
    let folder = fs::read_link(folder.join("cwd")).unwrap_or_else(|_| "/".into());
    Some((folder.join(file), defined))
}

/// The values of `-f` and `-A`.
fn of_command_line(words: &[String]) -> (Option<String>, Vec<String>) {
    let (mut file, mut defined) = (None, Vec::new());
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        let mut value = |short: &str| match word.strip_prefix(short) {
            Some("") => words.next().cloned(),
            Some(rest) => Some(rest.to_owned()),
            None => None,
        };
        if let Some(named) = value("-f") {
            file = Some(named);
        } else {
            defined.extend(value("-A"));
        }
    }
    (file, defined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_the_file() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        let line = "/usr/sbin/kamailio -P /run/k.pid -f /etc/k.cfg -A WITH_NAT -AX=1 -m 64";
        let (file, defined) = of_command_line(&words(line));
        assert_eq!(file.as_deref(), Some("/etc/k.cfg"));
        assert_eq!(defined, ["WITH_NAT", "X=1"]);
        assert_eq!(of_command_line(&words("kamailio -DD")), (None, Vec::new()));
    }
}
