//! Reads and changes the tokens file.
//!
//! A change replaces the file as a whole (write beside it, sync, rename), so that a reader sees the old or the new
//! text, never a part; owner and mode stay. Text that is not part of the change stays as it is.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Problems, TokenSet, parse, sha256_hex, show_expiry};
use crate::document::{self, Value, shown};

/// The mode of a tokens file that we create.
const MODE: u32 = 0o600;

/// The mode bits that let strangers read.
const WORLD_READABLE: u32 = 0o004;

/// How often a change is retried because another process was faster.
const ATTEMPTS: usize = 5;

/// The tokens, and what the operator should know about their file.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The tokens.
    pub tokens: TokenSet,
    /// Sentences for the log, each a warning.
    pub warnings: Vec<String>,
}

/// What is written down of a new token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stanza {
    name: String,
    accounts: Vec<String>,
    rights: Vec<String>,
    expires: Option<i64>,
}

/// Why the tokens file could not be changed.
#[derive(Debug, Error)]
pub enum TokenFileError {
    /// It is not right as it is, or would not be after the change.
    #[error("{0}")]
    Problems(Problems),
    /// The name is taken.
    #[error("{file}: the token `{name}` exists already; choose another name, or revoke it first")]
    Taken {
        /// The tokens file.
        file: String,
        /// The name.
        name: String,
    },
    /// There is no such token.
    #[error("{file}: no token `{name}`; `usrlocd token list` lists all")]
    Missing {
        /// The tokens file.
        file: String,
        /// The name.
        name: String,
    },
    /// The stanza is written in a way that we do not change.
    #[error(
        "{file}: the token `{name}` is not a separate [[token]] stanza; remove it with an editor"
    )]
    Unusual {
        /// The tokens file.
        file: String,
        /// The name.
        name: String,
    },
    /// Others keep changing the file.
    #[error("{file}: the file is being changed by another process; try again")]
    Busy {
        /// The tokens file.
        file: String,
    },
    /// A file operation failed.
    #[error("{file}: cannot {operation}")]
    Io {
        /// The tokens file.
        file: String,
        /// What was tried.
        operation: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// Reads the tokens file at `path`; one that is absent holds no tokens.
///
/// # Errors
/// Every mistake in it, or why it cannot be read.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let mut warnings = Vec::new();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            warnings.push(format!(
                "{name} does not exist, so every request over TCP is refused; create a token with: usrlocd token new --name NAME"
            ));
            return Ok(Loaded {
                warnings,
                ..Loaded::default()
            });
        }
        Err(error) => return Err(Problems::unreadable(&name, &error)),
    };
    let tokens = parse(&text, &name)?;
    if tokens.is_empty() {
        warnings.push(format!(
            "{name} contains no token, so every request over TCP is refused; create one with: usrlocd token new --name NAME"
        ));
    }
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.mode());
    if mode & WORLD_READABLE != 0 {
        warnings.push(format!(
            "everyone on this machine can read {name}; fix it with: chmod o-rwx {name}"
        ));
    }
    Ok(Loaded { tokens, warnings })
}

/// Adds the stanza of `token` to the file at `path`, which is created where it is absent.
///
/// # Errors
/// When the name is taken, the file has mistakes, or it cannot be written.
pub fn add(path: &Path, stanza: &Stanza, token: &str) -> Result<(), TokenFileError> {
    change(path, |text, file| {
        let before = parse(text, file).map_err(TokenFileError::Problems)?;
        if before.iter().any(|token| token.name == stanza.name) {
            return Err(TokenFileError::Taken {
                file: file.to_owned(),
                name: shown(&stanza.name).into_owned(),
            });
        }
        let gap = match text {
            "" => "",
            text if text.ends_with("\n\n") => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        let after = format!("{text}{gap}{}", stanza.to_toml(token));
        parse(&after, file).map_err(TokenFileError::Problems)?;
        Ok(after)
    })
}

/// Removes the stanza of the token `name` from the file at `path`, and nothing else.
///
/// # Errors
/// When there is no such token, the file has mistakes, or it cannot be written.
pub fn revoke(path: &Path, name: &str) -> Result<(), TokenFileError> {
    change(path, |text, file| {
        let before = parse(text, file).map_err(TokenFileError::Problems)?;
        if !before.iter().any(|token| token.name == name) {
            return Err(TokenFileError::Missing {
                file: file.to_owned(),
                name: shown(name).into_owned(),
            });
        }
        let after = without(text, name).unwrap_or_default();
        let left = parse(&after, file).ok();
        let rest = before.iter().filter(|token| token.name != name);
        if left.is_some_and(|left| left.iter().eq(rest)) {
            Ok(after)
        } else {
            Err(TokenFileError::Unusual {
                file: file.to_owned(),
                name: shown(name).into_owned(),
            })
        }
    })
}

impl Stanza {
    /// A token that is called `name`, sees `accounts` (ids, or `*` alone), has `rights` (`read`, `flush`), and is
    /// refused from the Unix second `expires` on.
    ///
    /// # Errors
    /// When one of them is not right, in words for the operator.
    pub fn new(
        name: String,
        accounts: Vec<String>,
        rights: Vec<String>,
        expires: Option<i64>,
    ) -> Result<Self, String> {
        super::parse::name(&name)?;
        super::parse::accounts(&accounts)?;
        super::parse::rights(&rights)?;
        Ok(Self {
            name,
            accounts,
            rights,
            expires,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The accounts that it sees.
    #[must_use]
    pub fn accounts(&self) -> &[String] {
        &self.accounts
    }

    /// What it may do.
    #[must_use]
    pub fn rights(&self) -> &[String] {
        &self.rights
    }

    fn to_toml(&self, token: &str) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let list = |texts: &[String]| {
            let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", texts.join(", "))
        };
        let expires = self
            .expires
            .map(|unix| format!("expires  = {}\n", show_expiry(unix)));
        format!(
            "[[token]]\nname     = {}\nsha256   = \"{}\"\naccounts = {}\nrights   = {}\n{}",
            quoted(&self.name),
            sha256_hex(token),
            list(&self.accounts),
            list(&self.rights),
            expires.unwrap_or_default()
        )
    }
}

/// `text` without the lines of the token's stanza: from its header to its last key.
fn without(text: &str, name: &str) -> Option<String> {
    let (document, _) = document::parse(text, "");
    let Value::Table(root) = document.value else {
        return None;
    };
    let (_, token) = root.iter().find(|(key, _)| key.text == "token")?;
    let Value::Array(stanzas) = &token.value else {
        return None;
    };
    let stanza = stanzas.iter().find(|stanza| match &stanza.value {
        Value::Table(entries) => entries
            .iter()
            .any(|(key, item)| key.text == "name" && item.text().is_ok_and(|text| text == name)),
        _ => false,
    })?;
    let (first, last) = stanza.lines()?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let before = lines.get(..first - 1)?;
    let mut after = lines.get(last..)?;
    let blank = |line: Option<&&str>| line.is_none_or(|line| line.trim().is_empty());
    while blank(before.last()) && !after.is_empty() && blank(after.first()) {
        after = &after[1..];
    }
    Some(before.concat() + &after.concat())
}

/// Replaces the text of the file by what `edit` makes of it, retrying if another process was faster.
fn change(
    path: &Path,
    edit: impl Fn(&str, &str) -> Result<String, TokenFileError>,
) -> Result<(), TokenFileError> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let file = path.display().to_string();
    for _ in 0..ATTEMPTS {
        let before = read(path).map_err(|source| failed(&file, "read it", source))?;
        let after = edit(before.as_deref().unwrap_or_default(), &file)?;
        let draft =
            Draft::write(path, &after).map_err(|source| failed(&file, "write it", source))?;
        if read(path).ok().as_ref() == Some(&before) {
            return draft
                .publish(path)
                .map_err(|source| failed(&file, "replace it", source));
        }
    }
    Err(TokenFileError::Busy { file })
}

fn failed(file: &str, operation: &'static str, source: io::Error) -> TokenFileError {
    TokenFileError::Io {
        file: file.to_owned(),
        operation,
        source,
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The new text in a file of its own, which goes away unless it is published.
struct Draft {
    path: Option<PathBuf>,
}

impl Draft {
    /// Writes `text` beside `target`, with its owner and mode.
    fn write(target: &Path, text: &str) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", hex::encode(random)));
        let path = target.with_file_name(name);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&path)?;
        let draft = Self { path: Some(path) };
        if let Ok(metadata) = fs::metadata(target) {
            let ours = file.metadata()?;
            if (ours.uid(), ours.gid()) != (metadata.uid(), metadata.gid()) {
                fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }

    /// Puts it in the place of `target`.
    fn publish(mut self, target: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, target)?;
        }
        self.path = None;
        match target.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Nothing is to be done about a draft that cannot be removed: it holds no token.
            fs::remove_file(path).ok();
        }
    }
}
