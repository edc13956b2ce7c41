//! Parsers of single values; each error is a sentence for the operator that says how to correct the value.

mod network;
mod paths;

use std::collections::BTreeSet;

use super::{LogFormat, Param, WebhookFormat, Wire};
use crate::document::{Item, Value, nearest, quoted, shown};

pub(super) use network::{addresses, host, host_name, jsonrpcs, origin, public_url, realm};
pub use paths::is_file_name;
pub(super) use paths::{database, optional_path, path, socket};

/// The levels of the log.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// What may be filled into `[kamailio] proxy_path`.
const PROXY_PATH_NAMES: [&str; 3] = ["ip", "port", "proto"];

/// What may be filled into the parameters of `[flush] also`.
const ALSO_NAMES: [&str; 3] = ["aor", "username", "realm"];

/// The name of a usrloc table.
pub(super) fn table(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !text.is_empty() && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{quoted} is not a table name; letters, digits and _ make one, for instance \"location\""
        ))
    }
}

/// The template of `proxy_path`, or the empty string for none.
pub(super) fn proxy_path(item: &Item) -> Result<Option<String>, String> {
    let text = item.text()?;
    placeholders(text, &PROXY_PATH_NAMES)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Checks that each `{name}` in `text` is one of `names`.
fn placeholders(text: &str, names: &[&str]) -> Result<(), String> {
    let known = || format!("{{{}}}", names.join("}, {"));
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let close = rest[at..].find('}').map(|length| at + length);
        let name = match close {
            Some(close) if close > at => &rest[at + 1..close],
            _ => {
                return Err(format!("unmatched brace; placeholders are {}", known()));
            }
        };
        if !names.contains(&name) {
            let name = if shown(text) == text { name } else { "…" };
            return Err(format!(
                "nothing fills {{{name}}}; placeholders are {}",
                known()
            ));
        }
        rest = &rest[close.unwrap_or(at) + 1..];
    }
    Ok(())
}

/// The dialect of the items.
pub(super) fn wire(item: &Item) -> Result<Wire, String> {
    let choices = [("document", Wire::Document), ("kazoo-4.3", Wire::Kazoo43)];
    choice(item.text()?, &choices)
}

/// How log lines are written.
pub(super) fn log_format(item: &Item) -> Result<LogFormat, String> {
    let choices = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
        ("journald", LogFormat::Journald),
    ];
    choice(item.text()?, &choices)
}

/// How a webhook's events are written.
pub(super) fn webhook_format(item: &Item) -> Result<WebhookFormat, String> {
    let choices = [
        ("standard", WebhookFormat::Standard),
        ("kazoo", WebhookFormat::Kazoo),
    ];
    choice(item.text()?, &choices)
}

/// `true` or `false`.
pub(super) fn flag(item: &Item) -> Result<bool, String> {
    match (&item.value, item.text()) {
        (Value::Boolean(flag), _) => Ok(*flag),
        // As environment variables have it.
        (_, Ok("true")) => Ok(true),
        (_, Ok("false")) => Ok(false),
        _ => Err(item.expected("true or false")),
    }
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let quoted = quoted(text);
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        format!("{quoted} is not one of {}", names.join(", "))
    })
}

/// A text that is not empty and has no space.
pub(super) fn word(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    if text.is_empty() || text.contains(char::is_whitespace) {
        Err(format!(
            "{quoted} is empty or contains a space; write one word"
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// A method of Kamailio's RPC.
pub(super) fn method(item: &Item) -> Result<String, String> {
    let text = word(item)?;
    let quoted = quoted(&text);
    if text == "ul.flush" {
        Err(
            "ul.flush writes Kamailio's memory to its database and removes nothing; leave it out"
                .to_owned(),
        )
    } else if text.contains('.') {
        Ok(text)
    } else {
        Err(format!(
            "{quoted} is not a method; write for instance \"htable.delete\""
        ))
    }
}

/// A parameter of a method of Kamailio's RPC.
pub(super) fn param(item: &Item) -> Result<Param, String> {
    match &item.value {
        Value::String(text) => {
            placeholders(text, &ALSO_NAMES)?;
            Ok(Param::Text(text.clone()))
        }
        Value::Integer(number) => Ok(Param::Integer(*number)),
        _ => Err(item.expected("a string or an integer")),
    }
}

/// A whole number from 1 to `most`.
pub(super) fn count(item: &Item, most: usize) -> Result<usize, String> {
    match item.value {
        Value::Integer(number) => usize::try_from(number)
            .ok()
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| format!("{number} is out of range; use 1 to {most}")),
        _ => Err(item.expected("a whole number")),
    }
}

/// How many accounts `/metrics` may name; each is a series in the monitoring's database.
pub(super) fn metrics_accounts(item: &Item) -> Result<usize, String> {
    match item.value {
        Value::Integer(0) => Ok(0),
        _ => count(item, 1000).map_err(|_| "use a whole number from 0 to 1000".to_owned()),
    }
}

/// The burst of a bucket.
pub(super) fn burst(item: &Item) -> Result<u32, String> {
    match item.value {
        Value::Integer(number) => u32::try_from(number)
            .map_err(|_| format!("{number} is out of range; use 0 to {}", u32::MAX)),
        _ => Err(item.expected("a whole number")),
    }
}

/// The rate of a bucket.
pub(super) fn per_second(item: &Item) -> Result<f64, String> {
    let number = match item.value {
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        Value::Integer(number) => number as f64,
        Value::Float(number) => number,
        _ => return Err(item.expected("a number")),
    };
    if (0.0..=1e9).contains(&number) {
        Ok(number)
    } else {
        Err(format!(
            "{number} is out of range; use 0 (no limit) to 1000000000"
        ))
    }
}

/// A share: more than 0, at most 1.
pub(super) fn share(item: &Item) -> Result<f64, String> {
    let share = per_second(item)?;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err(format!(
            "{share} is not a share; use more than 0 and at most 1, for instance 0.2"
        ))
    }
}

/// A part of `text` in quotes; the whole where that holds what may be a secret, of which this may be the very part.
fn part_of(part: &str, text: &str) -> String {
    quoted(if shown(text) == text { part } else { text })
}

/// Levels of the log: one, or several with targets.
pub(super) fn level(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    for part in text.split(',') {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, part),
        };
        if target.is_some_and(|target| target.is_empty() || target.contains(char::is_whitespace)) {
            let part = part_of(part, text);
            return Err(format!(
                "{part} has a bad target; write for instance \"usrlocd::http=debug\""
            ));
        }
        if !LEVELS.contains(&level) {
            let meant = nearest(&level.to_lowercase(), LEVELS.into_iter());
            let hint = match meant {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("use one of {}", LEVELS.join(", ")),
            };
            let level = part_of(level, text);
            return Err(format!("{level} is not a log level; {hint}"));
        }
    }
    Ok(text.to_owned())
}

/// A parser that refuses what it has seen before.
pub(super) fn unique(
    parse: impl Fn(&Item) -> Result<String, String>,
) -> impl FnMut(&Item) -> Result<String, String> {
    let mut seen = BTreeSet::new();
    move |item| {
        let value = parse(item)?;
        if seen.insert(value.clone()) {
            Ok(value)
        } else {
            let value = quoted(&value);
            Err(format!("{value} is listed twice; remove one"))
        }
    }
}
