//! usrloc's parameters in the running Kamailio's configuration: Kamailio does not report them by
//! JSON-RPC. Reads preprocessor lines and `modparam`, and nothing else of the language.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Kamailio's default configuration file.
const DEFAULT: &str = "/etc/kamailio/kamailio.cfg";

/// Files that include each other end here.
const DEEPEST: usize = 16;

/// How `db_sqlite` is spoken to in a `db_url`; the file's path follows.
const SQLITE: &str = "sqlite://";

/// Where usrloc keeps its rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Keeps {
    /// In this SQLite file.
    File(PathBuf),
    /// In a database of another kind, by the scheme of its URL: the rest may hold a password.
    Elsewhere(String),
}

/// The configuration of a Kamailio.
#[derive(Debug, Default)]
pub(super) struct KamailioCfg {
    /// The file that it begins with.
    file: PathBuf,
    /// Words that are defined, with what stands for them.
    defined: HashMap<String, String>,
    /// Words of `#!substdef`, which are replaced inside of texts as well.
    substituted: Vec<(String, String)>,
    /// usrloc's parameters; the last one holds.
    usrloc: HashMap<String, Setting>,
    /// `db_set_busy_timeout` of `db_sqlite`, which may be set for several databases.
    busy_timeouts: Vec<Setting>,
}

/// How long `db_sqlite` waits for a lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum BusyTimeout<'a> {
    /// Not at all.
    Unset,
    /// So many milliseconds.
    Set(u64, &'a Setting),
    /// It is set, but for a database that usrloc does not write to, so that it has no effect.
    ForAnother(&'a Setting),
}

/// A parameter, and where it is set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Setting {
    value: String,
    file: PathBuf,
    line: usize,
}

impl Setting {
    /// Its value, where that is a number.
    pub(super) fn number(&self) -> Option<i64> {
        self.value.parse().ok()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file.display(), self.line)
    }
}

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

impl KamailioCfg {
    /// Reads `file` and what it includes; `defined` are words of the command line, as `NAME` or `NAME=VALUE`.
    pub(super) fn read(file: &Path, defined: &[String]) -> io::Result<Self> {
        let mut cfg = Self {
            file: file.to_owned(),
            ..Self::default()
        };
        for word in defined {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            cfg.defined.insert(name.to_owned(), value.to_owned());
        }
        cfg.take_in(file, 0)?;
        Ok(cfg)
    }

    /// The file that it begins with.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// What is set of usrloc's parameter `name`.
    pub(super) fn usrloc(&self, name: &str) -> Option<&Setting> {
        self.usrloc.get(name)
    }

    /// Where usrloc's parameter `name` is set, or that it is not.
    pub(super) fn place(&self, name: &str) -> String {
        self.usrloc(name).map_or_else(
            || format!("the default, {} sets none", self.file.display()),
            ToString::to_string,
        )
    }

    /// Where usrloc keeps its rows, unless its `db_mode` is 0.
    pub(super) fn keeps(&self) -> Keeps {
        // usrloc's own default, `DEFAULT_DB_URL`.
        let url = self.usrloc("db_url").map_or("mysql://", |it| &*it.value);
        match url.strip_prefix(SQLITE) {
            Some(path) => Keeps::File(format!("/{}", path.trim_start_matches('/')).into()),
            None => Keeps::Elsewhere(url.split(':').next().unwrap_or_default().to_owned()),
        }
    }

    /// What `db_sqlite` calls usrloc's database: what follows `sqlite:///` in its `db_url`. Its own parameters have
    /// no effect under another spelling, such as the same path with a slash more or less.
    pub(super) fn sqlite_name(&self) -> Option<&str> {
        let url = &self.usrloc("db_url")?.value;
        url.strip_prefix(SQLITE)?.strip_prefix('/')
    }

    /// How long usrloc waits for a lock on its database.
    pub(super) fn busy_timeout(&self) -> BusyTimeout<'_> {
        let parsed = self.busy_timeouts.iter().filter_map(|setting| {
            let (name, time) = setting.value.split_once('=')?;
            Some((setting, name, time.trim_end_matches(';').parse().ok()?))
        });
        let (ours, others): (Vec<_>, Vec<_>) =
            parsed.partition(|(_, name, _)| self.sqlite_name() == Some(name));
        match (ours.last(), others.last()) {
            (Some((setting, _, time)), _) if *time > 0 => BusyTimeout::Set(*time, setting),
            (None, Some((setting, ..))) => BusyTimeout::ForAnother(setting),
            _ => BusyTimeout::Unset,
        }
    }

    fn take_in(&mut self, file: &Path, depth: usize) -> io::Result<()> {
        let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
        // Whether each of the open conditions holds.
        let mut conditions: Vec<bool> = Vec::new();
        let mut in_comment = false;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match word {
                "#!ifdef" => conditions.push(self.defined.contains_key(rest.trim())),
                "#!ifndef" => conditions.push(!self.defined.contains_key(rest.trim())),
                // An expression over versions and words, from 5.6 on: mostly of a Kamailio as new as this one.
                "#!ifexp" => conditions.push(true),
                "#!else" => {
                    if let Some(last) = conditions.last_mut() {
                        *last = !*last;
                    }
                }
                "#!endif" => drop(conditions.pop()),
                _ if conditions.contains(&false) => {}
                "#!define" | "#!trydef" | "#!redef" | "#!redefine" => self.define(word, rest),
                "#!substdef" | "#!substdefs" => self.substitute(rest),
                "include_file" | "import_file" | "#!include_file" | "#!import_file" => {
                    let named = rest.trim().trim_matches('"');
                    let folder = file.parent().unwrap_or(Path::new("/"));
                    // What cannot be read is Kamailio's to complain about.
                    if depth < DEEPEST {
                        let _ = self.take_in(&folder.join(named), depth + 1);
                    }
                }
                _ if word.starts_with('#') || word.starts_with("//") => {}
                _ => {
                    in_comment = (in_comment || line.starts_with("/*")) && !line.contains("*/");
                    if !in_comment && line.starts_with("modparam") {
                        self.set(line, file, index + 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn define(&mut self, how: &str, rest: &str) {
        let rest = rest.trim();
        let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if how != "#!trydef" || !self.defined.contains_key(name) {
            let value = value.trim().trim_matches('"').to_owned();
            self.defined.insert(name.to_owned(), value);
        }
    }

    /// `#!substdef "!NAME!value!g"`, with any character for the exclamation mark.
    fn substitute(&mut self, rest: &str) {
        let text = rest.trim().trim_matches('"');
        let Some(mark) = text.chars().next() else {
            return;
        };
        let mut parts = text[mark.len_utf8()..].split(mark);
        if let (Some(name), Some(value)) = (parts.next(), parts.next())
            && !name.is_empty()
        {
            self.defined.insert(name.to_owned(), value.to_owned());
            self.substituted.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The value that stands for `value`.
    fn resolve(&self, value: &str) -> String {
        let mut value = self
            .defined
            .get(value)
            .map_or(value, String::as_str)
            .to_owned();
        for (name, stands_for) in &self.substituted {
            value = value.replace(name, stands_for);
        }
        value
    }

    /// `modparam("usrloc", "db_mode", 2)`; the modules may be several, as in `"usrloc|registrar"`.
    fn set(&mut self, line: &str, file: &Path, number: usize) {
        let Some((_, rest)) = line.split_once('(') else {
            return;
        };
        let mut parts = rest.splitn(3, ',').map(str::trim);
        let (Some(modules), Some(name), Some(value)) = (parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let modules: HashSet<&str> = modules.trim_matches('"').split('|').collect();
        let name = name.trim_matches('"');
        let is_timeout = modules.contains("db_sqlite") && name == "db_set_busy_timeout";
        if !modules.contains("usrloc") && !is_timeout {
            return;
        }
        let end = value.rfind(')').unwrap_or(value.len());
        let value = self.resolve(value[..end].trim().trim_matches('"'));
        let setting = Setting {
            value,
            file: file.to_owned(),
            line: number,
        };
        if is_timeout {
            self.busy_timeouts.push(setting);
        } else {
            self.usrloc.insert(name.to_owned(), setting);
        }
    }
}

#[cfg(test)]
mod tests;
