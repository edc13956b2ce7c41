//! Shows a configuration as the TOML that would make it.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::duration::show_duration;
use super::history::show_size;
use super::webhook;
use crate::document::without_secrets;

use super::{AlsoCall, Bucket, Config, JwtKey, Kamailio, Loaded, LogFormat, Param, Server, Wire};

impl Config {
    /// Every key by its dotted name, with its value, in the order of the example file.
    pub(super) fn entries(&self) -> Vec<(&'static str, Value)> {
        let (kamailio, http, limits) = (&self.kamailio, &self.http, &self.limits);
        let (flap, burst) = (&self.history.flap, &self.history.burst);
        let listen = http.listen.iter().map(|address| text(&address.to_string()));
        let mut entries = kamailio_entries(kamailio);
        entries.extend([
            ("store.path", path(&self.store.path)),
            ("history.enabled", Value::Boolean(self.history.enabled)),
            ("history.path", path(&self.history.path)),
            ("history.keep", duration(self.history.keep)),
            ("history.size", text(&show_size(self.history.size))),
            ("history.flap.half_life", duration(flap.half_life)),
            ("history.flap.loss", whole(flap.loss)),
            ("history.flap.moved", whole(flap.moved)),
            ("history.flap.replaced", whole(flap.replaced)),
            ("history.flap.ceiling", whole(flap.ceiling)),
            ("history.flap.on", whole(flap.on)),
            ("history.flap.off", whole(flap.off)),
            ("history.flap.back_within", duration(flap.back_within)),
            ("history.flap.unstable", whole(flap.unstable)),
            ("history.burst.losses", whole(burst.losses)),
            ("history.burst.share", rate(burst.share)),
            ("history.burst.within", duration(burst.within)),
            ("http.listen", Value::Array(listen.collect())),
            ("http.socket", optional_path(http.socket.as_ref())),
            ("http.hosts", texts(&http.hosts)),
            ("http.public_url", optional(http.public_url.as_ref())),
            ("http.ui", Value::Boolean(http.ui)),
            ("http.wire", text(wire(http.wire))),
            ("http.max_lag", text(&show_duration(http.max_lag))),
            ("http.cors_origins", texts(&http.cors_origins)),
            (
                "auth.tokens_file",
                optional_path(self.auth.tokens_file.as_ref()),
            ),
            (
                "auth.jwt.keys",
                Value::Array(self.auth.jwt.keys.iter().map(key).collect()),
            ),
            ("auth.jwt.issuer", text(&self.auth.jwt.issuer)),
            (
                "directory.file",
                optional_path(self.directory.file.as_ref()),
            ),
            (
                "flush.also",
                Value::Array(self.flush.also.iter().map(also).collect()),
            ),
            ("flush.concurrency", number(self.flush.concurrency)),
            ("notify.events", texts(&self.notify.events)),
            ("notify.timeout", duration(self.notify.timeout)),
            (
                "fleet.url",
                text(self.fleet.url.as_ref().map_or("", Server::url)),
            ),
            (
                "fleet.url_file",
                optional_path(self.fleet.url_file.as_ref()),
            ),
            ("fleet.node", optional(self.fleet.node.as_ref())),
            ("fleet.publish", Value::Boolean(self.fleet.publish)),
            ("fleet.history", duration(self.fleet.history)),
            ("limits.requests", bucket(limits.requests)),
            ("limits.deletes", bucket(limits.deletes)),
            ("limits.failures", bucket(limits.failures)),
            ("limits.connections", number(limits.connections)),
            ("limits.body_bytes", number(limits.body_bytes)),
            (
                "limits.header_timeout",
                text(&show_duration(limits.header_timeout)),
            ),
            ("limits.streams", number(limits.streams)),
            ("limits.streams_per_token", number(limits.streams_per_token)),
            ("metrics.accounts", number(self.metrics.accounts)),
            ("log.level", text(&self.log.level)),
            ("log.format", text(format(self.log.format))),
            (
                "webhook",
                Value::Array(self.webhooks.iter().map(webhook::show).collect()),
            ),
        ]);
        entries
    }
}

/// One address, or a table of several.
fn jsonrpc(kamailio: &Kamailio) -> Value {
    if kamailio.jsonrpc_by_id.is_empty() {
        return text(&kamailio.jsonrpc);
    }
    let several = kamailio.jsonrpc_by_id.iter();
    let several = several.map(|(id, address)| (id.to_string(), text(address)));
    Value::Table(several.collect())
}

/// Those of `[kamailio]`.
fn kamailio_entries(kamailio: &Kamailio) -> Vec<(&'static str, Value)> {
    let advertise = kamailio.advertise.iter();
    let advertise = advertise.map(|(from, to)| (from.clone(), text(to)));
    vec![
        ("kamailio.database", database(kamailio)),
        (
            "kamailio.database_file",
            optional_path(kamailio.database_file.as_ref()),
        ),
        ("kamailio.table", tables(&kamailio.tables)),
        ("kamailio.jsonrpc", jsonrpc(kamailio)),
        (
            "kamailio.rpc_timeout",
            text(&show_duration(kamailio.rpc_timeout)),
        ),
        (
            "kamailio.default_realm",
            optional(kamailio.default_realm.as_ref()),
        ),
        ("kamailio.advertise", Value::Table(advertise.collect())),
        ("kamailio.timezone", text(&kamailio.timezone)),
        (
            "kamailio.server_id",
            Value::Array(
                kamailio
                    .server_ids
                    .iter()
                    .copied()
                    .map(Value::Integer)
                    .collect(),
            ),
        ),
        ("kamailio.max_load", rate(kamailio.max_load)),
        (
            "kamailio.proxy_path",
            optional(kamailio.proxy_path.as_ref()),
        ),
    ]
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_document(f, self, |_| None)
    }
}

/// As [`Config`], with the place of each value that is not a default.
impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_document(f, &self.config, |key| {
            let below = format!("{key}.");
            let found = self.places.get(key).or_else(|| {
                let mut places = self.places.iter();
                places
                    .find(|(name, _)| name.starts_with(&below))
                    .map(|(_, place)| place)
            });
            found.map(ToString::to_string)
        })
    }
}

fn write_document(
    f: &mut fmt::Formatter<'_>,
    config: &Config,
    origin: impl Fn(&str) -> Option<String>,
) -> fmt::Result {
    let mut open = "";
    for (dotted, value) in config.entries() {
        let Some((section, key)) = dotted.rsplit_once('.') else {
            write_stanzas(f, dotted, &value)?;
            continue;
        };
        if section != open {
            let blank = if open.is_empty() { "" } else { "\n" };
            writeln!(f, "{blank}[{section}]")?;
            open = section;
        }
        write!(f, "{key} = {}", told(&value))?;
        match origin(dotted) {
            Some(origin) => writeln!(f, "  # {origin}")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}

/// Writes each table of the array as a stanza of its own.
fn write_stanzas(f: &mut fmt::Formatter<'_>, name: &str, value: &Value) -> fmt::Result {
    for stanza in value.as_array().into_iter().flatten() {
        writeln!(f, "\n[[{name}]]")?;
        for (key, value) in told(stanza).as_table().into_iter().flatten() {
            writeln!(f, "{key} = {value}")?;
        }
    }
    Ok(())
}

/// The value as people may see it: a URL without user, password and query.
pub(super) fn told(value: &Value) -> Value {
    match value {
        // The path of a webhook's URL may hold a key.
        Value::Table(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| match value {
                    Value::String(url) if key == "url" => (key.clone(), text(&without_path(url))),
                    value => (key.clone(), told(value)),
                })
                .collect(),
        ),
        Value::String(url) if url.contains("://") => text(&without_secrets(url)),
        Value::Array(all) => Value::Array(all.iter().map(told).collect()),
        other => other.clone(),
    }
}

/// The URL with `…` for its path and query.
fn without_path(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url[start..].find(['/', '?', '#']) {
        Some(end) if start + end + 1 < url.len() => format!("{}/…", &url[..start + end]),
        _ => url.to_owned(),
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn texts(list: &[String]) -> Value {
    Value::Array(list.iter().map(|one| text(one)).collect())
}

/// The file, or the URL of the server; the latter is shown without its secrets, and compared with them.
fn database(kamailio: &Kamailio) -> Value {
    match &kamailio.server {
        Some(server) => text(server.url()),
        None => path(&kamailio.database),
    }
}

fn tables(tables: &[String]) -> Value {
    match tables {
        [table] => text(table),
        tables => texts(tables),
    }
}

fn optional(value: Option<&String>) -> Value {
    text(value.map(String::as_str).unwrap_or_default())
}

fn path(path: &Path) -> Value {
    text(&path.to_string_lossy())
}

fn optional_path(value: Option<&PathBuf>) -> Value {
    value.map_or_else(|| text(""), |value| path(value))
}

fn whole(number: u32) -> Value {
    Value::Integer(number.into())
}

fn duration(duration: std::time::Duration) -> Value {
    text(&show_duration(duration))
}

fn number(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn bucket(bucket: Bucket) -> Value {
    let mut table = Table::new();
    table.insert("burst".to_owned(), Value::Integer(bucket.burst.into()));
    table.insert("per_second".to_owned(), rate(bucket.per_second));
    Value::Table(table)
}

/// The rate as people write it: whole where it is whole.
fn rate(per_second: f64) -> Value {
    format!("{per_second}")
        .parse()
        .map_or(Value::Float(per_second), Value::Integer)
}

fn key(key: &JwtKey) -> Value {
    let mut table = Table::new();
    table.insert("kid".to_owned(), text(&key.kid));
    table.insert("pem_file".to_owned(), path(&key.pem_file));
    Value::Table(table)
}

fn also(call: &AlsoCall) -> Value {
    let params = call.params.iter().map(|param| match param {
        Param::Text(param) => text(param),
        Param::Integer(number) => Value::Integer(*number),
    });
    let mut table = Table::new();
    table.insert("method".to_owned(), text(&call.method));
    table.insert("params".to_owned(), Value::Array(params.collect()));
    Value::Table(table)
}

fn wire(wire: Wire) -> &'static str {
    match wire {
        Wire::Document => "document",
        Wire::Kazoo43 => "kazoo-4.3",
    }
}

fn format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Auto => "auto",
        LogFormat::Text => "text",
        LogFormat::Json => "json",
        LogFormat::Journald => "journald",
    }
}
