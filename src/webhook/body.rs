//! Messages: events as receivers get them. Pure.

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::config::{Webhook, WebhookFormat};
use crate::events::json::{LogId, Style, moment, write_event};
use crate::events::{Event, Seen, Type, Viewer, What};
use crate::registration::Registration;
use crate::registration::item::json::write_fields;
use crate::registration::item::{self, Field, Item, Wire};

/// The fields of Kazoo's `register` webhook that an item has, beside `expires`.
const REGISTER: [Field; 16] = [
    Field::Username,
    Field::FromUser,
    Field::ToUser,
    Field::Realm,
    Field::FromHost,
    Field::ToHost,
    Field::AuthorizingId,
    Field::AuthorizingType,
    Field::OwnerId,
    Field::SuppressUnregisterNotify,
    Field::CallId,
    Field::UserAgent,
    Field::Contact,
    Field::NetworkIp,
    Field::NetworkPort,
    Field::EventTimestamp,
];

/// What of those its `deregister` does not have.
const ONLY_REGISTER: [Field; 2] = [Field::AuthorizingType, Field::OwnerId];

/// A request to the receiver, before it is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    /// `webhook-id`: the same at each try.
    pub(super) id: String,
    /// The type of the body.
    pub(super) content_type: &'static str,
    /// One event, or several.
    pub(super) body: Bytes,
    /// The number of the last event in it.
    pub(super) last: u64,
    /// When the first event in it was seen, in milliseconds since the Unix epoch.
    pub(super) since: u64,
}

/// An event that the hook wants, as it gets it.
struct Written {
    seq: u64,
    at: u64,
    json: Vec<u8>,
}

/// An event as `CloudEvents` 1.0 has it.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: &'a str,
    datacontenttype: &'static str,
    data: Box<RawValue>,
}

/// Makes messages for one hook.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    /// What is configured.
    pub(super) hook: &'a Webhook,
    /// The accounts with their descendants; `None` for all there is.
    pub(super) accounts: Option<&'a [String]>,
    /// How items are spelled.
    pub(super) wire: Wire,
    /// The name of this machine.
    pub(super) node: &'a str,
    /// The log that the events are of.
    pub(super) log: LogId,
    /// Now, Unix seconds.
    pub(super) now: i64,
}

impl Writer<'_> {
    /// The messages for these events, in order; what the hook does not want is left out.
    pub(super) fn messages<'e>(&self, events: impl IntoIterator<Item = &'e Event>) -> Vec<Message> {
        let write = |event: &Event| {
            Some(Written {
                seq: event.seq,
                at: event.at,
                json: self.write(event)?,
            })
        };
        let written: Vec<Written> = events.into_iter().filter_map(write).collect();
        written
            .chunks(self.hook.batch)
            .map(|events| self.message(events))
            .collect()
    }

    /// A message that tells that it is a test.
    pub(super) fn test(&self, id: String) -> Message {
        let now = u64::try_from(self.now).unwrap_or_default() * 1000;
        let at = moment(now);
        let json = match self.hook.format {
            WebhookFormat::Standard => {
                let data = json!({"type": "test", "at": at, "node": self.node});
                let data = to_raw_value(&data).unwrap_or_default();
                self.cloud_event(&id, "test", None, &at, data)
            }
            WebhookFormat::Kazoo => self.kazoo_event(Map::new(), &id, "test"),
        };
        let mut message = self.message(&[Written {
            seq: 0,
            at: now,
            json,
        }]);
        message.id = id;
        message
    }

    /// One message with all of these.
    fn message(&self, events: &[Written]) -> Message {
        let seq = |event: Option<&Written>| event.map_or(0, |it| it.seq);
        let (first, last) = (seq(events.first()), seq(events.last()));
        // After a restart the same first event may come with others: that is another message.
        let id = if first == last {
            self.log.id(first)
        } else {
            format!("{}-{last}", self.log.id(first))
        };
        let (content_type, body) = match (self.hook.format, self.hook.batch, events) {
            (WebhookFormat::Kazoo, _, [one]) => ("application/json", one.json.clone()),
            (_, 1, [one]) => ("application/cloudevents+json", one.json.clone()),
            _ => {
                let all: Vec<&[u8]> = events.iter().map(|it| &*it.json).collect();
                let body = [b"[", &*all.join(&b","[..]), b"]"].concat();
                ("application/cloudevents-batch+json", body)
            }
        };
        Message {
            id,
            content_type,
            body: body.into(),
            last,
            since: events.first().map_or(0, |it| it.at),
        }
    }

    /// The event as the hook gets it; `None` where it does not want it.
    fn write(&self, event: &Event) -> Option<Vec<u8>> {
        let viewer = self.accounts.map_or(Viewer::System, Viewer::Accounts);
        let kind = event.type_for(viewer)?;
        let seen = match &event.what {
            What::Registration(happening) => Some(happening.seen_by(viewer)?),
            _ => None,
        };
        let is_chosen = self.hook.events.contains(&kind.as_str())
            || (kind == Type::Gap && self.hook.format == WebhookFormat::Standard);
        if !is_chosen || !seen.is_none_or(|seen| self.is_match(seen)) {
            return None;
        }
        match self.hook.format {
            WebhookFormat::Standard => self.standard(event, viewer, kind, seen),
            WebhookFormat::Kazoo => self.kazoo(event, kind, seen?),
        }
    }

    /// Whether the filters hold for the registration, before or after.
    fn is_match(&self, seen: Seen<'_>) -> bool {
        let holds = |one: &Registration| {
            let item = Item {
                registration: one,
                wire: self.wire,
                now: self.now,
                flap: None,
            };
            let mut filters = self.hook.filters.iter();
            filters.all(|(field, value)| item.has(*field, value))
        };
        holds(seen.registration) || seen.former.is_some_and(|former| holds(former))
    }

    fn standard(
        &self,
        event: &Event,
        viewer: Viewer<'_>,
        kind: Type,
        seen: Option<Seen<'_>>,
    ) -> Option<Vec<u8>> {
        let style = Style {
            wire: self.wire,
            node: self.node,
            log: self.log,
            id: None,
            fields: None,
        };
        let mut data = Vec::new();
        write_event(event, viewer, &style, &mut data)?;
        let data = RawValue::from_string(String::from_utf8(data).ok()?).ok()?;
        let subject = seen.map(|seen| address_of_record(seen.registration));
        let name = match seen {
            Some(_) => format!("registration.{}", kind.as_str()),
            None => kind.as_str().to_owned(),
        };
        let id = self.log.id(event.seq);
        Some(self.cloud_event(&id, &name, subject, &moment(event.at), data))
    }

    /// A `CloudEvents` 1.0 object.
    fn cloud_event(
        &self,
        id: &str,
        name: &str,
        subject: Option<String>,
        time: &str,
        data: Box<RawValue>,
    ) -> Vec<u8> {
        let event = CloudEvent {
            specversion: "1.0",
            id,
            source: format!("/usrlocd/{}", utf8_percent_encode(self.node, IN_PATH)),
            r#type: format!("org.usrlocd.{name}.v1"),
            subject: subject.filter(|it| !it.is_empty()),
            time,
            datacontenttype: "application/json",
            data,
        };
        serde_json::to_vec(&event).expect("writing to memory does not fail")
    }

    /// The fields of Kazoo's webhooks.
    fn kazoo(&self, event: &Event, kind: Type, seen: Seen<'_>) -> Option<Vec<u8>> {
        let one = seen.registration;
        let name = match kind {
            Type::Registered => "register",
            Type::Terminated => "deregister",
            _ => return None,
        };
        let is_wanted = |field: Field| {
            let is_extra = kind == Type::Terminated && ONLY_REGISTER.contains(&field);
            REGISTER.contains(&field) && !is_extra
        };
        let mut item = Vec::new();
        write_fields(one, self.wire, 0, is_wanted, &mut item);
        let mut item: Map<String, Value> = serde_json::from_slice(&item).ok()?;
        if let Some(id) = &one.account_id {
            item.insert("account_id".to_owned(), Value::from(&**id));
        }
        let granted = one.value(Field::GrantedExpires, self.wire, 0);
        if let Some(item::Value::Integer(granted)) = granted {
            item.insert("expires".to_owned(), granted.into());
        }
        Some(self.kazoo_event(item, &self.log.id(event.seq), name))
    }

    /// Those fields with what each of Kazoo's events has.
    fn kazoo_event(&self, mut event: Map<String, Value>, id: &str, name: &str) -> Vec<u8> {
        for (key, value) in [
            ("app_name", "usrlocd"),
            ("app_version", env!("CARGO_PKG_VERSION")),
            ("event_category", "notification"),
            ("event_name", name),
            ("msg_id", id),
            ("node", self.node),
        ] {
            event.insert(key.to_owned(), value.into());
        }
        Value::Object(event).to_string().into_bytes()
    }
}

/// What stands in a part of a URI's path as it is.
const IN_PATH: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `user@realm`, as far as it is known.
fn address_of_record(one: &Registration) -> String {
    let user = one.username.lossy();
    match &one.common.realm {
        None => user.into_owned(),
        Some(realm) if user.is_empty() => realm.to_string(),
        Some(realm) => format!("{user}@{realm}"),
    }
}

#[cfg(test)]
mod tests;
