//! What many phones have in common, as bytes: accounts; user agents; and the table, the domain, the socket and [`Common`].

use std::sync::Arc;

use super::pack::{number, write_number};
use crate::registration::intern::Interner;
use crate::registration::{Bytes, Common, Details, Text, write_text};
use crate::sip::Transport;

/// What the bytes of each kind begin with, which share a dictionary.
const COMMON: u8 = 1;
const AGENT: u8 = 2;
const ACCOUNT: u8 = 3;

/// What a phone has in common with others.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) table: Arc<str>,
    pub(super) domain: Option<Text>,
    pub(super) socket: Option<Text>,
    pub(super) common: Arc<Common>,
}

/// What the bytes of a registration's common part are.
pub(super) fn common_of(one: &Details) -> Vec<u8> {
    let (binding, common) = (&one.binding, &one.common);
    let mut out = vec![COMMON];
    write_text(binding.key.table.as_bytes(), &mut out);
    for text in [&binding.domain, &binding.socket] {
        write_optional(text.as_ref().map(Text::as_bytes), &mut out);
    }
    let texts = [
        &common.realm,
        &common.account_name,
        &common.account_realm,
        &common.authorizing_type,
        &common.proxy_path,
    ];
    for text in texts {
        write_optional(text.as_ref().map(|text| text.as_bytes()), &mut out);
    }
    out.push(
        u8::from(common.suppress_unregister_notify)
            | u8::from(common.register_overwrite_notify) << 1,
    );
    let protocol = common.proxy_protocol.map_or("", Transport::as_str);
    write_text(protocol.as_bytes(), &mut out);
    let address = common.proxy_address.as_ref();
    write_optional(address.map(|(host, _)| host.as_bytes()), &mut out);
    let port = address.and_then(|(_, port)| *port);
    write_number(port.map_or(0, |port| u32::from(port) + 1), &mut out);
    out
}

/// The bytes of an account.
pub(super) fn account_of(id: &str) -> Vec<u8> {
    [&[ACCOUNT], id.as_bytes()].concat()
}

/// The bytes of a user agent.
pub(super) fn agent_of(one: &Details) -> Option<Vec<u8>> {
    let agent = one.binding.user_agent.as_ref()?;
    Some([&[AGENT], agent.as_bytes()].concat())
}

/// Makes of the bytes what they were; equal texts share memory.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    texts: Interner<Arc<str>>,
    commons: Interner<Arc<Common>>,
}

impl Decoder {
    /// What [`common_of`] wrote.
    pub(super) fn shared(&mut self, bytes: &[u8]) -> Option<Shared> {
        let mut rest = Bytes(bytes.strip_prefix(&[COMMON])?);
        let table = self.text(rest.text()?)?;
        let domain = optional(&mut rest)?.map(Text::from);
        let socket = optional(&mut rest)?.map(Text::from);
        let mut texts: [Option<Arc<str>>; 5] = Default::default();
        for text in &mut texts {
            *text = match optional(&mut rest)? {
                Some(bytes) => Some(self.text(bytes)?),
                None => None,
            };
        }
        let [
            realm,
            account_name,
            account_realm,
            authorizing_type,
            proxy_path,
        ] = texts;
        let [flags] = rest.array()?;
        let protocol = std::str::from_utf8(rest.text()?).ok()?;
        let host = match optional(&mut rest)? {
            Some(bytes) => Some(self.text(bytes)?),
            None => None,
        };
        let port = number::<u32>(&mut rest)?.checked_sub(1);
        let port = port.map(u16::try_from).transpose().ok()?;
        let common = Common {
            realm,
            account_name,
            account_realm,
            authorizing_type,
            suppress_unregister_notify: flags & 1 != 0,
            register_overwrite_notify: flags & 2 != 0,
            proxy_address: host.map(|host| (host, port)),
            proxy_protocol: Transport::from_name(protocol),
            proxy_path,
            node: None,
        };
        Some(Shared {
            table,
            domain,
            socket,
            common: self.commons.get(&common),
        })
    }

    /// What [`account_of`] wrote.
    pub(super) fn account(&mut self, bytes: &[u8]) -> Option<Arc<str>> {
        self.text(bytes.strip_prefix(&[ACCOUNT])?)
    }

    /// What [`agent_of`] wrote.
    pub(super) fn agent(bytes: &[u8]) -> Option<Text> {
        bytes.strip_prefix(&[AGENT]).map(Text::from)
    }

    /// The one copy of a text.
    pub(super) fn text(&mut self, bytes: &[u8]) -> Option<Arc<str>> {
        Some(self.texts.get(std::str::from_utf8(bytes).ok()?))
    }
}

/// Appends a text that may be absent.
pub(super) fn write_optional(text: Option<&[u8]>, out: &mut Vec<u8>) {
    match text {
        None => out.push(0),
        Some(text) => {
            write_number(text.len() + 1, out);
            out.extend_from_slice(text);
        }
    }
}

/// The text that is next, which may be absent.
#[expect(
    clippy::option_option,
    reason = "none there, and nothing that makes sense"
)]
pub(super) fn optional<'a>(from: &mut Bytes<'a>) -> Option<Option<&'a [u8]>> {
    match number::<usize>(from)?.checked_sub(1) {
        None => Some(None),
        Some(length) => from.take(length).map(Some),
    }
}
