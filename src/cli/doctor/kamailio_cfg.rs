//! usrloc's parameters in the running Kamailio's configuration: Kamailio does not report them by
//! JSON-RPC. Reads preprocessor directives and `modparam`, and nothing else of the language.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cfg_lexer::{Kind, Lexer, Token};

/// Kamailio's default configuration file.
const DEFAULT: &str = "/etc/kamailio/kamailio.cfg";

/// Files that include each other end here.
const DEEPEST: usize = 16;

/// What sets a module's parameter.
const MODPARAM: &str = "modparam";

/// How many tokens of one are more than Kamailio takes.
const LONGEST: usize = 16;

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
        let mut statement = Statement::default();
        let mut lexer = Lexer::new(&text);
        loop {
            let holds = !conditions.contains(&false);
            let next = if holds {
                lexer.next()
            } else {
                lexer.next_condition()
            };
            let Some(token) = next else {
                return Ok(());
            };
            match token.kind {
                Kind::Directive(name, what) => self.direct(name, &what, &mut conditions),
                Kind::Include(name) => {
                    let folder = file.parent().unwrap_or(Path::new("/"));
                    let name = self.substituted(name);
                    // What cannot be read is Kamailio's to complain about.
                    if depth < DEEPEST {
                        let _ = self.take_in(&folder.join(name), depth + 1);
                    }
                }
                _ => self.read_token(token, &mut statement, file, 0),
            }
        }
    }

    fn direct(&mut self, name: &str, what: &str, conditions: &mut Vec<bool>) {
        let end = what.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (word, rest) = what.split_at(end.unwrap_or(what.len()));
        match name {
            "ifdef" => conditions.push(self.defined.contains_key(word)),
            "ifndef" => conditions.push(!self.defined.contains_key(word)),
            // An expression over versions and words, from 5.6 on: mostly of a Kamailio as new as this one.
            "ifexp" => conditions.push(true),
            "else" => {
                if let Some(last) = conditions.last_mut() {
                    *last = !*last;
                }
            }
            "endif" => drop(conditions.pop()),
            "substdef" | "substdefs" => self.substitute(what, name == "substdefs"),
            "trydef" | "trydefine" if self.defined.contains_key(word) => {}
            "def" | "define" | "trydef" | "trydefine" | "redef" | "redefine" => {
                self.defined.insert(word.to_owned(), rest.trim().to_owned());
            }
            _ => {}
        }
    }

    /// `#!substdef "!NAME!value!g"`, with any character for the exclamation mark.
    fn substitute(&mut self, text: &str, is_text: bool) {
        let Some(mark) = text.chars().next() else {
            return;
        };
        let mut parts = text[mark.len_utf8()..].split(mark);
        if let (Some(name), Some(value)) = (parts.next(), parts.next())
            && !name.is_empty()
        {
            let word = if is_text {
                format!("\"{value}\"")
            } else {
                value.to_owned()
            };
            self.defined.insert(name.to_owned(), word);
            self.substituted.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The content of a string as Kamailio reads it.
    fn substituted(&self, text: String) -> String {
        let words = self.substituted.iter();
        words.fold(text, |text, (name, value)| text.replace(name, value))
    }

    /// Takes the next token of statements; what stands for a defined word is in its place.
    fn read_token(&mut self, token: Token, statement: &mut Statement, file: &Path, depth: usize) {
        if let Kind::Word(word) = &token.kind
            && word != MODPARAM
            && let Some(value) = self.defined.get(word)
            && depth < DEEPEST
        {
            let tokens: Vec<Token> = Lexer::new(value).collect();
            for Token { kind, .. } in tokens {
                let line = token.line;
                self.read_token(Token { line, kind }, statement, file, depth + 1);
            }
            return;
        }
        let kind = match token.kind {
            Kind::Text(text) => Kind::Text(self.substituted(text)),
            other => other,
        };
        if let Some(Parameter {
            modules,
            name,
            value,
            line,
        }) = statement.add(token.line, kind)
        {
            let setting = Setting {
                value,
                file: file.to_owned(),
                line,
            };
            if matches(&modules, "db_sqlite") && name == "db_set_busy_timeout" {
                self.busy_timeouts.push(setting);
            } else if matches(&modules, "usrloc") {
                self.usrloc.insert(name, setting);
            }
        }
    }
}

/// A `modparam`, as far as it has been read.
#[derive(Debug, Default)]
struct Statement {
    /// The line that it begins on, once it has begun.
    line: Option<usize>,
    /// What follows `modparam`.
    tokens: Vec<Kind>,
}

/// `modparam("usrloc", "db_mode", 2)`
#[derive(Debug)]
struct Parameter {
    /// A pattern.
    modules: String,
    name: String,
    value: String,
    line: usize,
}

impl Statement {
    /// Goes on with a token; returns the parameter if the statement ends with it.
    fn add(&mut self, line: usize, kind: Kind) -> Option<Parameter> {
        if kind == Kind::Word(MODPARAM.to_owned()) {
            self.line = Some(line);
            self.tokens.clear();
            return None;
        }
        let begun = self.line?;
        if kind != Kind::Mark(')') {
            self.tokens.push(kind);
            if self.tokens.len() > LONGEST {
                self.line = None;
            }
            return None;
        }
        self.line = None;
        let tokens = std::mem::take(&mut self.tokens);
        let comma = Kind::Mark(',');
        let (modules, name, value) = match &tokens[..] {
            [
                Kind::Mark('('),
                Kind::Text(modules),
                one,
                Kind::Text(name),
                two,
                value @ ..,
            ] if *one == comma && *two == comma => (modules, name, value),
            _ => return None,
        };
        let value = match value {
            [Kind::Text(text)] => text.clone(),
            [Kind::Word(word)] => number(word).unwrap_or_else(|| word.clone()),
            [Kind::Mark('-'), Kind::Word(word)] => format!("-{}", number(word)?),
            _ => return None,
        };
        Some(Parameter {
            modules: modules.clone(),
            name: name.clone(),
            value,
            line: begun,
        })
    }
}

/// A number in decimal, as Kamailio writes them: `0x2`, `010` and `10b` are numbers too, and so is `yes`.
fn number(word: &str) -> Option<String> {
    let of = |digits, radix| i64::from_str_radix(digits, radix).ok();
    let number = match word {
        "yes" | "true" | "on" | "enable" => Some(1),
        "no" | "false" | "off" | "disable" => Some(0),
        _ if word.starts_with("0x") => of(&word[2..], 16),
        _ if word.len() > 1 && word.starts_with('0') && of(word, 8).is_some() => of(word, 8),
        _ if word.ends_with('b') => of(&word[..word.len() - 1], 2),
        _ => of(word, 10),
    };
    number.map(|number| number.to_string())
}

/// Whether a pattern of `modparam` is of this module: the whole name, in any case of letters.
fn matches(pattern: &str, module: &str) -> bool {
    let pattern = regex_lite::Regex::new(&format!("(?i)^({pattern})$"));
    pattern.is_ok_and(|pattern| pattern.is_match(module))
}

#[cfg(test)]
mod tests;
