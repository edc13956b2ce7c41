//! Events as JSON objects.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::diff::changed_fields;
use super::flap::Flapping;
use super::{Burst, Event, Gap, Happening, Replaces, Seen, Stats, Type, Viewer, What};
use crate::registration::Registration;
use crate::registration::item::json::{write_fields, write_string, write_value};
use crate::registration::item::{Field, Wire};
use crate::registry::FlushedBy;

/// How events are written.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// How items are spelled.
    pub wire: Wire,
    /// The name of this machine.
    pub node: &'a str,
    /// The log that numbers the events.
    pub log: LogId,
    /// The id of the event, where it is not its number in the log.
    pub id: Option<&'a str>,
    /// The fields of `registration` that are wanted; `None` for all.
    pub fields: Option<&'a [Field]>,
}

impl Style<'_> {
    /// The id of the event with this number; none of one that is told and not kept.
    #[must_use]
    pub fn id_of(&self, seq: u64) -> Option<Cow<'_, str>> {
        match self.id {
            Some(id) => Some(Cow::Borrowed(id)),
            None => (seq != 0).then(|| Cow::Owned(self.log.id(seq))),
        }
    }
}

/// What tells one log from another: drawn when it is made anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LogId(pub u64);

impl std::fmt::Display for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl LogId {
    /// The id of its event number `seq`.
    #[must_use]
    pub fn id(self, seq: u64) -> String {
        format!("{self}-{seq}")
    }

    /// The log and the number that an id names.
    #[must_use]
    pub fn parse(id: &str) -> Option<(Self, u64)> {
        let (log, seq) = id.split_once('-')?;
        let is_plain = |text: &str, is_digit: fn(u8) -> bool| text.bytes().all(is_digit);
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if log.len() != 16 || !is_plain(log, is_hex) || !is_plain(seq, |it| it.is_ascii_digit()) {
            return None;
        }
        Some((Self(u64::from_str_radix(log, 16).ok()?), seq.parse().ok()?))
    }
}

/// Appends the event as `viewer` sees it, as one JSON object. Returns its type; `None`, and nothing is written, where it
/// is not for him.
pub fn write_event(
    event: &Event,
    viewer: Viewer<'_>,
    style: &Style<'_>,
    out: &mut Vec<u8>,
) -> Option<Type> {
    let kind = event.type_for(viewer)?;
    let mut object = Object::begin(out);
    if let Some(id) = style.id_of(event.seq) {
        object.text("id", &id);
    }
    object.text("type", kind.as_str());
    object.text("at", &moment(event.at));
    match &event.what {
        What::Registration(happening) => {
            let seen = happening.seen_by(viewer)?;
            object.registration(happening, seen, event.at, style);
        }
        What::Source(state) => {
            object.text("node", style.node);
            object.raw("source");
            let mut source = Object::begin(object.out);
            source.text("state", state.as_str());
            source.end();
        }
        What::Directory => object.text("node", style.node),
        What::Burst(burst) => object.burst(burst, style),
        What::Gap(gap) => object.gap(*gap, event.seq, style),
    }
    if event.commit != 0 {
        object.number("commit", event.commit);
    }
    object.end();
    Some(kind)
}

/// Appends a registration that is listed as one JSON object of the type `present`.
pub fn write_present(one: &Arc<Registration>, style: &Style<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.text("type", "present");
    object.item(one, style);
    object.end();
}

/// A phone that flaps.
#[must_use]
pub fn flapping(one: &Flapping) -> Value {
    let phone = &one.phone;
    let mut shown = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            shown.insert(key.to_owned(), value);
        }
    };
    set("account_id", json!(phone.account_id));
    set("username", json!(phone.username));
    set("realm", json!(phone.realm));
    set("instance", json!(phone.instance));
    set("score", json!(one.flap.score));
    set("losses_24h", json!(one.flap.losses_24h));
    set("since", json!(moment(one.since)));
    set("addresses", json!(phone.addresses));
    set("user_agents", json!(phone.user_agents));
    set("proxies", json!(phone.proxies));
    Value::Object(shown)
}

/// A moment, in milliseconds since the Unix epoch, as RFC 3339 has it.
#[must_use]
pub fn moment(milliseconds: u64) -> String {
    let timestamp = i64::try_from(milliseconds)
        .ok()
        .and_then(|it| jiff::Timestamp::from_millisecond(it).ok())
        .unwrap_or_default();
    format!("{timestamp:.3}")
}

/// A JSON object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            separator: b'{',
        }
    }

    fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    /// The key of what follows.
    fn raw(&mut self, key: &str) {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.raw(key);
        write_string(value, self.out);
    }

    fn number(&mut self, key: &str, value: impl itoa::Integer) {
        self.raw(key);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
    }

    fn registration(&mut self, happening: &Happening, seen: Seen<'_>, at: u64, style: &Style<'_>) {
        let one = seen.registration;
        if let Some(at) = happening.happened_at {
            self.number("happened_at", at);
        }
        self.item(one, style);
        if let Some(former) = seen.former {
            self.previous(former, one, style.wire);
        }
        let mut stats = happening.stats;
        if let super::Kind::Terminated(reason) = seen.kind {
            self.text("reason", reason.as_str());
            stats = stats.or_else(|| Some(Stats::of(one, at)));
        }
        if let Some(Replaces { ruid, after }) = &happening.replaces {
            self.raw("replaces");
            let mut replaces = Object::begin(self.out);
            replaces.text("ruid", &ruid.lossy());
            replaces.raw("after");
            let mut seconds = String::new();
            // Writing to a string does not fail.
            let _ = write!(seconds, "{}.{:03}", after / 1000, after % 1000);
            replaces.out.extend_from_slice(seconds.as_bytes());
            replaces.end();
        }
        if let Some(flush) = &happening.flush {
            self.flush(flush);
        }
        if let Some(stats) = &stats {
            self.stats(stats);
        }
    }

    /// Whose it is, and the item.
    fn item(&mut self, one: &Registration, style: &Style<'_>) {
        if let Some(id) = &one.account_id {
            self.text("account_id", id);
        }
        if let Some(name) = &one.common.account_name {
            self.text("account_name", name);
        }
        if let Some(realm) = &one.common.realm {
            self.text("realm", realm);
        }
        self.text("username", &one.username.lossy());
        self.text("ruid", &one.binding.key.ruid.0.lossy());
        self.text("node", style.node);
        self.raw("registration");
        let is_wanted = |field: Field| {
            let wanted = style.fields.unwrap_or(Field::USUAL);
            field != Field::Expires && wanted.contains(&field)
        };
        write_fields(one, style.wire, 0, is_wanted, self.out);
    }

    /// The former values of what differs.
    fn previous(&mut self, former: &Registration, one: &Registration, wire: Wire) {
        let fields: Vec<Field> = changed_fields(former, one, wire).collect();
        let is_new_owner = former.account_id != one.account_id;
        if fields.is_empty() && !is_new_owner {
            return;
        }
        self.raw("previous");
        let mut previous = Object::begin(self.out);
        if is_new_owner {
            previous.raw("account_id");
            match &former.account_id {
                Some(id) => write_string(id, previous.out),
                None => previous.out.extend_from_slice(b"null"),
            }
        }
        for field in fields {
            previous.raw(field.name());
            match former.value(field, wire, 0) {
                Some(value) => write_value(&value, previous.out),
                None => previous.out.extend_from_slice(b"null"),
            }
        }
        previous.end();
    }

    fn flush(&mut self, by: &FlushedBy) {
        self.raw("flush");
        let mut flush = Object::begin(self.out);
        flush.text("request_id", &by.request_id);
        flush.text("actor", &by.actor);
        flush.end();
    }

    fn stats(&mut self, stats: &Stats) {
        self.raw("stats");
        let mut object = Object::begin(self.out);
        object.number("registered_at", stats.registered_at);
        if let Some(at) = stats.last_refresh_at {
            object.number("last_refresh_at", at);
        }
        object.number("lasted", stats.lasted);
        object.number("refreshes", stats.refreshes);
        if let Some(granted) = stats.granted_expires {
            object.number("granted_expires", granted);
        }
        object.end();
    }

    fn burst(&mut self, burst: &Burst, style: &Style<'_>) {
        if let Some(account) = &burst.account {
            self.text("account_id", account);
        }
        self.text("node", style.node);
        self.text("group", burst.group.as_str());
        self.text("value", &burst.value);
        self.number("lost", burst.lost);
        self.number("of", burst.of);
        self.text("from", &moment(burst.from));
        self.text("to", &moment(burst.to));
    }

    fn gap(&mut self, gap: Gap, seq: u64, style: &Style<'_>) {
        self.text("node", style.node);
        self.text("from", &style.log.id(gap.from));
        self.text("to", &style.log.id(seq));
        self.text("cause", gap.cause.as_str());
    }
}
