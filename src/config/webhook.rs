//! `[[webhook]]`: receivers of events.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use http::Uri;
use toml::{Table, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::values;
use crate::document::{Item, Name, Place, Reader, nearest, quoted, shown};
use crate::registration::item::Field;

/// What can be chosen with `events`: what the log keeps. A `gap` is always sent.
pub const EVENTS: [&str; 7] = [
    "registered",
    "moved",
    "changed",
    "terminated",
    "source",
    "burst",
    "directory",
];

/// What Kazoo has webhooks for, by our names.
const KAZOO_EVENTS: [&str; 2] = ["registered", "terminated"];

/// The longest name.
const NAME: usize = 64;

/// The most events in one request.
const BATCH: usize = 500;

/// A receiver of events.
#[derive(Clone, PartialEq)]
pub struct Webhook {
    /// Its name in logs and metrics; unique.
    pub name: String,
    /// Where events are sent to: `http` or `https`, with a host, without a user name.
    pub url: Uri,
    /// The file with the secret that signs them; absolute.
    pub secret_file: PathBuf,
    /// The accounts whose events are sent, each with its descendants; `None` for all there is.
    pub accounts: Option<Vec<String>>,
    /// The types that are sent, some of [`EVENTS`].
    pub events: Vec<&'static str>,
    /// The values that the fields of a registration must have, before or after the event.
    pub filters: Vec<(Field, String)>,
    /// How events are written.
    pub format: WebhookFormat,
    /// The most events in one request; at least 1.
    pub batch: usize,
    /// Whether the receiver may have an address that is not public.
    pub allow_private: bool,
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WebhookFormat {
    /// `CloudEvents` 1.0.
    Standard,
    /// As Kazoo's `register` and `deregister`.
    Kazoo,
}

impl Webhook {
    /// Scheme, host and port of the URL: what of it may be shown, since its path may hold a key.
    #[must_use]
    pub fn origin(&self) -> String {
        let authority = self.url.authority().map_or("", |it| it.as_str());
        format!("{}://{authority}", self.url.scheme_str().unwrap_or("http"))
    }

    /// What tells this configuration from others.
    #[must_use]
    pub fn digest(&self) -> u64 {
        xxh3_64(show(self).to_string().as_bytes())
    }
}

/// Without the path of the URL, which may hold a key.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("url", &self.origin())
            .finish_non_exhaustive()
    }
}

/// A parser of the stanzas; the names are unique.
pub(super) fn stanza() -> impl FnMut(&mut Reader<'_>) -> Option<Webhook> {
    let mut names = BTreeSet::new();
    move |table| {
        let name = table.required("name", |item| {
            let name = name(item)?;
            if names.insert(name.clone()) {
                Ok(name)
            } else {
                Err(format!("there are two webhooks called {}", quoted(&name)))
            }
        });
        let url = table.required("url", url);
        let secret_file = table.required("secret_file", values::path);
        let accounts = table.list("accounts", values::word);
        let accounts = accounts.and_then(|accounts| these_accounts(accounts, table));
        let mut format = WebhookFormat::Standard;
        table.set("format", &mut format, values::webhook_format);
        let possible = possible(format);
        let events = table.list("events", |item| event(item, possible));
        if events.as_ref().is_some_and(Vec::is_empty) {
            table.report("`events` is empty; remove it to send all types");
        }
        let filters = table.pairs("filters", filter);
        let mut batch = 1;
        table.set("batch", &mut batch, |item| values::count(item, BATCH));
        if format == WebhookFormat::Kazoo && batch > 1 {
            table.report(
                "Kazoo sends each event by itself; remove `batch`, or set format = \"standard\"",
            );
        }
        let mut allow_private = false;
        table.set("allow_private", &mut allow_private, values::flag);
        Some(Webhook {
            name: name?,
            url: url?,
            secret_file: secret_file?,
            accounts,
            events: events.unwrap_or_else(|| possible.to_vec()),
            filters: filters.unwrap_or_default(),
            format,
            batch,
            allow_private,
        })
    }
}

/// The types that can be sent in this format.
fn possible(format: WebhookFormat) -> &'static [&'static str] {
    match format {
        WebhookFormat::Standard => &EVENTS,
        WebhookFormat::Kazoo => &KAZOO_EVENTS,
    }
}

fn name(item: &Item) -> Result<String, String> {
    let text = item.text()?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.len() <= NAME && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{} is not a name; use up to {NAME} letters, digits, - _ and .",
            quoted(text)
        ))
    }
}

/// Says nothing of the URL but that it is wrong: it may hold a key.
fn url(item: &Item) -> Result<Uri, String> {
    let hint = "write for instance \"https://crm.example.com/registrations\"";
    let uri: Uri = item
        .text()?
        .parse()
        .map_err(|_| format!("not a URL; {hint}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("not an http or https URL; {hint}"));
    }
    let authority = uri.authority().map_or("", |it| it.as_str());
    if authority.contains('@') {
        return Err("a user name in the URL is not supported; remove it".to_owned());
    }
    let host = uri.host().unwrap_or_default();
    let has_good_port = authority == host || uri.port_u16().is_some_and(|port| port != 0);
    if host.is_empty() {
        Err(format!("the URL has no host; {hint}"))
    } else if has_good_port {
        Ok(uri)
    } else {
        Err(format!("the URL has a bad port; {hint}"))
    }
}

/// The accounts that are named; `None` where they are all.
fn these_accounts(accounts: Vec<String>, table: &mut Reader<'_>) -> Option<Vec<String>> {
    match accounts.as_slice() {
        [] => table.report("`accounts` is empty; name at least one, or remove it for all"),
        [all] if all == "*" => return None,
        several if several.iter().any(|one| one == "*") => {
            table.report("\"*\" stands for all accounts; remove it or the others");
        }
        _ => {}
    }
    Some(accounts)
}

fn event(item: &Item, possible: &[&'static str]) -> Result<&'static str, String> {
    let text = item.text()?;
    if let Some(known) = possible.iter().find(|known| **known == text) {
        return Ok(known);
    }
    Err(match text {
        "gap" => "gap events are always sent; remove \"gap\"".to_owned(),
        "refreshed" => "refreshes are not recorded, so webhooks cannot send them; \
                        remove \"refreshed\", or read the stream"
            .to_owned(),
        known if EVENTS.contains(&known) => format!(
            "Kazoo has no webhook for {}; choose from {}",
            quoted(known),
            possible.join(", ")
        ),
        _ => match nearest(text, possible.iter().copied()) {
            Some(close) => format!("unknown event type; did you mean \"{close}\"?"),
            None => format!("unknown event type; choose from {}", possible.join(", ")),
        },
    })
}

/// One of `filters`: the key of a registration and the value that it must have.
fn filter(name: &Name, item: &Item) -> Result<(Field, String), (Place, String)> {
    let field = Field::from_name(&name.text).filter(|field| !field.is_of_fleet());
    let field = field.ok_or_else(|| {
        let known = Field::of_node().map(Field::name);
        let hint = nearest(&name.text, known).map_or_else(
            || "use a key of the API's registrations".to_owned(),
            |close| format!("did you mean `{close}`?"),
        );
        let message = format!("unknown key `{}`; {hint}", shown(&name.text));
        (name.place.clone(), message)
    })?;
    if matches!(field, Field::Expires | Field::Flap) {
        let message = format!("events do not have `{}`; remove it", field.name());
        return Err((name.place.clone(), message));
    }
    let value = match &item.value {
        crate::document::Value::Integer(number) => Ok(number.to_string()),
        crate::document::Value::Boolean(flag) => Ok(flag.to_string()),
        _ => item.text().map(str::to_owned),
    };
    let value = value.map_err(|message| (item.place.clone(), message))?;
    Ok((field, value))
}

/// The stanza that would make it.
pub(super) fn show(hook: &Webhook) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let texts = |texts: &mut dyn Iterator<Item = &str>| Value::Array(texts.map(text).collect());
    let accounts = hook.accounts.as_ref();
    let filters = hook.filters.iter();
    let filters = filters.map(|(field, value)| (field.name().to_owned(), text(value)));
    let format = match hook.format {
        WebhookFormat::Standard => "standard",
        WebhookFormat::Kazoo => "kazoo",
    };
    let entries = [
        ("name", text(&hook.name)),
        ("url", text(&hook.url.to_string())),
        ("secret_file", text(&hook.secret_file.to_string_lossy())),
        (
            "accounts",
            accounts.map_or_else(
                || Value::Array(vec![text("*")]),
                |ids| texts(&mut ids.iter().map(String::as_str)),
            ),
        ),
        ("events", texts(&mut hook.events.iter().copied())),
        ("filters", Value::Table(filters.collect())),
        ("format", text(format)),
        (
            "batch",
            Value::Integer(i64::try_from(hook.batch).unwrap_or(i64::MAX)),
        ),
        ("allow_private", Value::Boolean(hook.allow_private)),
    ];
    let entries = entries.map(|(key, value)| (key.to_owned(), value));
    Value::Table(Table::from_iter(entries))
}
