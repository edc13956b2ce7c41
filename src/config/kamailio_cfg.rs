//! usrloc's parameters in a Kamailio's configuration: Kamailio does not report them by JSON-RPC. Reads preprocessor directives and `modparam`, and nothing else of the language.

mod modparam;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use self::modparam::{MODPARAM, Parameter, Statement};
use crate::cfg_lexer::{Kind, Lexer, Token};

/// Files that include each other end here.
const DEEPEST: usize = 16;

/// How `db_sqlite` is spoken to in a `db_url`; the file's path follows.
const SQLITE: &str = "sqlite://";

/// Where usrloc keeps its rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Keeps {
    /// In this SQLite file.
    File(PathBuf),
    /// In a database of another kind, by the scheme of its URL: the rest may hold a password.
    Elsewhere(String),
}

/// The configuration of a Kamailio.
#[derive(Debug, Default)]
pub(crate) struct KamailioCfg {
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
pub(crate) enum BusyTimeout<'a> {
    /// Not at all.
    Unset,
    /// So many milliseconds.
    Set(u64, &'a Setting),
    /// It is set, but for a database that usrloc does not write to, so that it has no effect.
    ForAnother(&'a Setting),
}

/// A parameter, and where it is set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Setting {
    value: String,
    file: PathBuf,
    line: usize,
}

impl Setting {
    /// Its value, where that is a number.
    pub(crate) fn number(&self) -> Option<i64> {
        self.value.parse().ok()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file.display(), self.line)
    }
}

impl KamailioCfg {
    /// Reads `file` and what it includes; `defined` are words of the command line, as `NAME` or `NAME=VALUE`.
    ///
    /// # Errors
    /// When `file` cannot be read.
    pub(crate) fn read(file: &Path, defined: &[String]) -> io::Result<Self> {
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
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// What is set of usrloc's parameter `name`.
    pub(crate) fn usrloc(&self, name: &str) -> Option<&Setting> {
        self.usrloc.get(name)
    }

    /// Where usrloc's parameter `name` is set, or that it is not.
    pub(crate) fn place(&self, name: &str) -> String {
        self.usrloc(name).map_or_else(
            || format!("the default, {} sets none", self.file.display()),
            ToString::to_string,
        )
    }

    /// Where usrloc keeps its rows, unless its `db_mode` is 0.
    pub(crate) fn keeps(&self) -> Keeps {
        // usrloc's own default, `DEFAULT_DB_URL`.
        let url = self.usrloc("db_url").map_or("mysql://", |it| &*it.value);
        match url.strip_prefix(SQLITE) {
            Some(path) => Keeps::File(format!("/{}", path.trim_start_matches('/')).into()),
            None => Keeps::Elsewhere(url.split(':').next().unwrap_or_default().to_owned()),
        }
    }

    /// Host, port and database of the server where usrloc keeps its rows, without user and password.
    pub(crate) fn server(&self) -> Option<&str> {
        let (_, rest) = self.usrloc("db_url")?.value.split_once("://")?;
        let server = rest.rsplit_once('@').map_or(rest, |it| it.1);
        (!server.starts_with('/') && server.contains('/')).then_some(server)
    }

    /// The URL of the server where usrloc keeps its rows, with user and password as a URL writes them, and where it is set;
    /// `None` where that is not a `PostgreSQL`, `MySQL` or `MariaDB` with a login, or usrloc's `db_mode` is 0.
    pub(crate) fn login(&self) -> Option<(String, &Setting)> {
        let mode = self.usrloc("db_mode").and_then(Setting::number)?;
        let setting = self.usrloc("db_url")?;
        let (scheme, rest) = setting.value.split_once("://")?;
        // Kamailio takes a password as it is, whatever is in it.
        let (login, place) = rest.rsplit_once('@')?;
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, database) = place.split_once('/')?;
        let is_server = matches!(scheme, "postgres" | "mysql") && !host.is_empty();
        if mode == 0 || !is_server || host.starts_with("unix:") || database.is_empty() {
            return None;
        }
        let [user, password] = [user, password].map(|it| utf8_percent_encode(it, NON_ALPHANUMERIC));
        Some((format!("{scheme}://{user}:{password}@{place}"), setting))
    }

    /// What `db_sqlite` calls usrloc's database: what follows `sqlite:///` in its `db_url`. Its own parameters have
    /// no effect under another spelling, such as the same path with a slash more or less.
    pub(crate) fn sqlite_name(&self) -> Option<&str> {
        let url = &self.usrloc("db_url")?.value;
        url.strip_prefix(SQLITE)?.strip_prefix('/')
    }

    /// How long usrloc waits for a lock on its database.
    pub(crate) fn busy_timeout(&self) -> BusyTimeout<'_> {
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
        if let Some(parameter) = statement.add(token.line, kind) {
            self.set(parameter, file);
        }
    }

    fn set(&mut self, parameter: Parameter, file: &Path) {
        let is_busy_timeout =
            parameter.is_of("db_sqlite") && parameter.name == "db_set_busy_timeout";
        let is_of_usrloc = parameter.is_of("usrloc");
        let setting = Setting {
            value: parameter.value,
            file: file.to_owned(),
            line: parameter.line,
        };
        if is_busy_timeout {
            self.busy_timeouts.push(setting);
        } else if is_of_usrloc {
            self.usrloc.insert(parameter.name, setting);
        }
    }
}

#[cfg(test)]
mod tests;
