//! The layers of the configuration: file, environment, flags, each laid over the one before.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use super::{Config, Problems, check, defaults, history, sections};
use crate::document::{self, Findings, Item, Place, nearest, shown_path};

/// The prefix of usrlocd's variables.
const PREFIX: &str = "USRLOCD_";

/// Parts section and key in a variable's name.
const SEPARATOR: &str = "__";

/// A value from outside the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// The dotted key, for instance `http.listen`.
    pub key: String,
    /// The value: TOML, or a string without quotes.
    pub value: String,
    /// Its name in messages, for instance `--listen`.
    pub source: String,
}

/// A file that has been read.
#[derive(Clone, Debug)]
pub(super) struct FileText {
    /// Its name in messages.
    pub(super) name: String,
    /// Its value.
    pub(super) text: String,
}

/// The process's environment, without values that are not UTF-8, which usrlocd's variables never need.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads the file at `path`; one that is absent is a mistake only when it was `named`.
pub(super) fn read(path: &Path, named: bool) -> Result<Option<FileText>, Problems> {
    let name = shown_path(path).into_owned();
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(FileText { name, text })),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..good]);
                let line = 1 + before.matches('\n').count();
                let message = format!("line {line} is not UTF-8; save the file as UTF-8");
                Err(Problems::one(&name, message))
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound && !named => Ok(None),
        Err(error) => Err(Problems::unreadable(&name, &error)),
    }
}

/// The configuration of these layers, and where each key was set.
pub(super) fn lay(
    file: Option<&FileText>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: &[Override],
) -> Result<(Config, BTreeMap<String, Place>), Problems> {
    let mut config = Config::default();
    let mut findings = Findings {
        vocabulary: defaults::vocabulary(),
        ..Findings::default()
    };
    if let Some(file) = file {
        let (item, problems) = document::parse(&file.text, &file.name);
        findings.problems.extend(problems);
        findings.read(&item, |root| sections::apply(&mut config, root));
    }
    for layer in variables(env, &mut findings).iter().chain(flags) {
        let item = item(layer);
        findings.read(&item, |root| sections::apply(&mut config, root));
    }
    if !findings.places.contains_key("history.path") {
        config.history.path = history::beside(&config.store.path);
    }
    config.kamailio.database_given = ["kamailio.database", "kamailio.database_file"]
        .iter()
        .any(|key| findings.places.contains_key(*key));
    check::check(&config, &mut findings);
    match Problems::of(findings.problems) {
        Some(problems) => Err(problems),
        None => Ok((config, findings.places)),
    }
}

/// The variables that set a key, by name.
fn variables(
    env: impl IntoIterator<Item = (String, String)>,
    findings: &mut Findings,
) -> Vec<Override> {
    let mut variables: Vec<Override> = Vec::new();
    for (name, value) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if rest.contains(SEPARATOR) {
            variables.push(Override {
                key: rest.to_lowercase().replace(SEPARATOR, "."),
                value,
                source: name,
            });
        } else if let Some(meant) = single_underscore(rest, &findings.vocabulary) {
            findings.report(
                Place::of(&name),
                format!(
                    "section and key are separated by two underscores; did you mean `{meant}`?"
                ),
            );
        }
    }
    variables.sort_by(|a, b| a.source.cmp(&b.source));
    variables
}

/// The variable that was meant by one that parts section and key with a single underscore.
fn single_underscore(rest: &str, vocabulary: &[&str]) -> Option<String> {
    let flat = |dotted: &str| dotted.replace('.', "_");
    let rest = rest.to_lowercase();
    let names: Vec<String> = vocabulary.iter().map(|dotted| flat(dotted)).collect();
    let close = nearest(&rest, names.iter().map(String::as_str)).filter(|close| {
        let section = close.split('_').next().unwrap_or_default();
        rest.starts_with(section)
    })?;
    let dotted = vocabulary.iter().find(|dotted| flat(dotted) == close)?;
    Some(format!(
        "{PREFIX}{}",
        dotted.to_uppercase().replace('.', SEPARATOR)
    ))
}

/// A document that sets one key.
fn item(layer: &Override) -> Item {
    let place = Place::of(&layer.source);
    let value = Item::bare(&layer.value, &place);
    layer.key.rsplit('.').fold(value, Item::under)
}
