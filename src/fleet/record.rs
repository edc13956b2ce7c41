//! A registration as the bytes of its row in the fleet's database: exactly what its node shows, so that whoever reads it
//! lists, filters and sorts as the node does.
//!
//! A version, then entries with their number and length, then the binding as [`Binding::encode`] writes it. Entries and
//! columns of a later version are passed over, so that older readers and newer nodes go together.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::block::Refresh;
use crate::registration::intern::Interner;
use crate::registration::{
    Address, Binding, Bytes, Common, Decoded, Details, Expiry, Registration, SourceAddress, Text,
    Texts, write_text,
};
use crate::sip::{SourceFrom, Transport};

/// The version that is written. Another one is needed only for what older readers must not pass over.
const VERSION: u8 = 1;

/// Numbers of entries; none is ever used for another one. 0 ends them.
pub(super) const END: u8 = 0;
const TABLE: u8 = 1;
const FIRST_REGISTRATION: u8 = 2;
const REFRESHES: u8 = 3;
const ACCOUNT_ID: u8 = 4;
const USERNAME: u8 = 5;
const AUTHORIZING_ID: u8 = 6;
const OWNER_ID: u8 = 7;
const PRESENCE_ID: u8 = 8;
const CONTACT_HOST: u8 = 9;
const CONTACT_PORT: u8 = 10;
const SOURCE_HOST: u8 = 11;
const SOURCE_PORT: u8 = 12;
const SOURCE_FROM: u8 = 13;
const REALM: u8 = 14;
const ACCOUNT_NAME: u8 = 15;
const ACCOUNT_REALM: u8 = 16;
const AUTHORIZING_TYPE: u8 = 17;
const SUPPRESS_UNREGISTER_NOTIFY: u8 = 18;
const REGISTER_OVERWRITE_NOTIFY: u8 = 19;
const PROXY_HOST: u8 = 20;
const PROXY_PORT: u8 = 21;
const PROXY_PROTOCOL: u8 = 22;
const PROXY_PATH: u8 = 23;

/// The bytes are not a record, or one of a version that is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the record of a registration, or one of a newer version")]
pub struct Malformed;

/// Makes registrations of records. What they have in common it makes once.
#[derive(Debug, Default)]
pub struct Decoder {
    names: Interner<Arc<str>>,
    commons: Interner<Arc<Common>>,
    texts: Texts,
}

/// The record of a registration.
#[must_use]
pub fn encode(row: &Details) -> Vec<u8> {
    encode_with(row, &row.binding, row.refreshes)
}

/// A hash of all that a record has but what mere refreshes move: where it stays as it was, the row does too.
#[must_use]
pub fn visible(row: &Details) -> u64 {
    let binding = Binding {
        last_modified: 0,
        expiry: Expiry::Permanent,
        cseq: None,
        ..(*row.binding).clone()
    };
    xxh3_64(&encode_with(row, &binding, 0))
}

/// The registration of these details once they are refreshed so.
#[must_use]
pub fn refreshed(mut row: Details, refresh: Refresh) -> Registration {
    if Refresh::of(&row.binding) != refresh {
        let binding = Arc::make_mut(&mut row.binding);
        binding.last_modified = refresh.last_modified;
        binding.expiry = refresh.expiry;
        binding.cseq = refresh.cseq;
    }
    Registration::new(row)
}

fn encode_with(row: &Details, binding: &Binding, refreshes: u32) -> Vec<u8> {
    let mut out = vec![VERSION];
    let mut put = |number: u8, value: &[u8]| {
        out.push(number);
        write_text(value, &mut out);
    };
    put(TABLE, binding.key.table.as_bytes());
    put(FIRST_REGISTRATION, &row.first_registration.to_be_bytes());
    if refreshes > 0 {
        put(REFRESHES, &refreshes.to_be_bytes());
    }
    if row.username != binding.username {
        put(USERNAME, row.username.as_bytes());
    }
    let account = row.account_id.as_deref().map(str::as_bytes);
    let texts = [
        (ACCOUNT_ID, account),
        (
            AUTHORIZING_ID,
            row.authorizing_id.as_ref().map(Text::as_bytes),
        ),
        (OWNER_ID, row.owner_id.as_ref().map(Text::as_bytes)),
        (PRESENCE_ID, row.presence_id.as_ref().map(Text::as_bytes)),
    ];
    for (number, text) in texts {
        if let Some(text) = text {
            put(number, text);
        }
    }
    if let Some(address) = &row.contact_address {
        put_address((CONTACT_HOST, CONTACT_PORT), address, &mut put);
    }
    if let Some(source) = &row.source {
        put_address((SOURCE_HOST, SOURCE_PORT), &source.address, &mut put);
        put(SOURCE_FROM, source.from.as_str().as_bytes());
    }
    put_common(&row.common, &mut put);
    out.push(END);
    binding.encode(&mut out);
    out
}

fn put_address((host, port): (u8, u8), address: &Address, put: &mut impl FnMut(u8, &[u8])) {
    put(host, address.host.as_bytes());
    if let Some(number) = address.port {
        put(port, &number.to_be_bytes());
    }
}

fn put_common(common: &Common, put: &mut impl FnMut(u8, &[u8])) {
    let texts = [
        (REALM, common.realm.as_deref()),
        (ACCOUNT_NAME, common.account_name.as_deref()),
        (ACCOUNT_REALM, common.account_realm.as_deref()),
        (AUTHORIZING_TYPE, common.authorizing_type.as_deref()),
        (PROXY_PROTOCOL, common.proxy_protocol.map(Transport::as_str)),
        (PROXY_PATH, common.proxy_path.as_deref()),
    ];
    for (number, text) in texts {
        if let Some(text) = text {
            put(number, text.as_bytes());
        }
    }
    for (number, is_set) in [
        (
            SUPPRESS_UNREGISTER_NOTIFY,
            common.suppress_unregister_notify,
        ),
        (REGISTER_OVERWRITE_NOTIFY, common.register_overwrite_notify),
    ] {
        if is_set {
            put(number, b"");
        }
    }
    if let Some((host, port)) = &common.proxy_address {
        put(PROXY_HOST, host.as_bytes());
        if let Some(port) = port {
            put(PROXY_PORT, &port.to_be_bytes());
        }
    }
}

/// What a record has beside its binding.
#[derive(Default)]
pub(super) struct Entries<'a>(BTreeMap<u8, &'a [u8]>);

impl<'a> Entries<'a> {
    /// The entries at the front of `rest`.
    pub(super) fn take(rest: &mut Bytes<'a>) -> Option<Self> {
        let mut entries = BTreeMap::new();
        loop {
            match rest.array()? {
                [END] => return Some(Self(entries)),
                [number] => entries.insert(number, rest.text()?),
            };
        }
    }

    fn has(&self, number: u8) -> bool {
        self.0.contains_key(&number)
    }

    pub(super) fn bytes(&self, number: u8) -> Option<&'a [u8]> {
        self.0.get(&number).copied()
    }

    pub(super) fn text(&self, number: u8) -> Option<Text> {
        self.bytes(number).map(Text::from)
    }

    pub(super) fn str(&self, number: u8) -> Result<Option<&'a str>, Malformed> {
        let bytes = self.0.get(&number);
        let text = bytes.map(|bytes| std::str::from_utf8(bytes));
        text.transpose().map_err(|_| Malformed)
    }

    fn number<const N: usize>(&self, number: u8) -> Result<Option<[u8; N]>, Malformed> {
        let bytes = self.0.get(&number).map(|bytes| (*bytes).try_into());
        bytes.transpose().map_err(|_| Malformed)
    }

    fn port(&self, number: u8) -> Result<Option<u16>, Malformed> {
        Ok(self.number(number)?.map(u16::from_be_bytes))
    }

    fn address(&self, (host, port): (u8, u8)) -> Result<Option<Address>, Malformed> {
        let port = self.port(port)?;
        Ok(self.text(host).map(|host| Address { host, port }))
    }

    fn source(&self) -> Result<Option<SourceAddress>, Malformed> {
        let Some(address) = self.address((SOURCE_HOST, SOURCE_PORT))? else {
            return Ok(None);
        };
        let name = self.str(SOURCE_FROM)?;
        let known = [SourceFrom::Path, SourceFrom::Received, SourceFrom::Alias];
        // Only a later version has others.
        let from = known.into_iter().find(|from| Some(from.as_str()) == name);
        Ok(from.map(|from| SourceAddress { address, from }))
    }
}

impl Decoder {
    /// The details of a registration whose record this is.
    ///
    /// # Errors
    /// Where it is not a record, or one of a newer version.
    pub fn decode(&mut self, record: &[u8]) -> Result<Details, Malformed> {
        let mut rest = Bytes(record);
        if rest.array() != Some([VERSION]) {
            return Err(Malformed);
        }
        let entries = Entries::take(&mut rest).ok_or(Malformed)?;
        let decoded = Decoded::of(rest.0).ok_or(Malformed)?;
        let table = entries.str(TABLE)?.ok_or(Malformed)?;
        let table = self.texts.table(table);
        let attributes = self.texts.attributes(decoded.attributes);
        let binding = decoded.cells.binding(&table, attributes, &mut self.texts);
        let username = entries.text(USERNAME);
        let first = entries.number(FIRST_REGISTRATION)?.ok_or(Malformed)?;
        let refreshes = entries.number(REFRESHES)?;
        Ok(Details {
            username: username.unwrap_or_else(|| binding.username.clone()),
            binding: Arc::new(binding),
            first_registration: i64::from_be_bytes(first),
            refreshes: refreshes.map_or(0, u32::from_be_bytes),
            account_id: self.name(&entries, ACCOUNT_ID)?,
            authorizing_id: entries.text(AUTHORIZING_ID),
            owner_id: entries.text(OWNER_ID),
            presence_id: entries.text(PRESENCE_ID),
            contact_address: entries.address((CONTACT_HOST, CONTACT_PORT))?,
            source: entries.source()?,
            common: self.common(&entries)?,
        })
    }

    /// What registrations have in common, made once.
    pub(super) fn common_of(&mut self, common: &Common) -> Arc<Common> {
        self.commons.get(common)
    }

    fn common(&mut self, entries: &Entries<'_>) -> Result<Arc<Common>, Malformed> {
        let proxy_port = entries.port(PROXY_PORT)?;
        let common = Common {
            realm: self.name(entries, REALM)?,
            account_name: self.name(entries, ACCOUNT_NAME)?,
            account_realm: self.name(entries, ACCOUNT_REALM)?,
            authorizing_type: self.name(entries, AUTHORIZING_TYPE)?,
            suppress_unregister_notify: entries.has(SUPPRESS_UNREGISTER_NOTIFY),
            register_overwrite_notify: entries.has(REGISTER_OVERWRITE_NOTIFY),
            proxy_address: self
                .name(entries, PROXY_HOST)?
                .map(|host| (host, proxy_port)),
            proxy_protocol: entries.str(PROXY_PROTOCOL)?.and_then(Transport::from_name),
            proxy_path: self.name(entries, PROXY_PATH)?,
            node: None,
        };
        Ok(self.commons.get(&common))
    }

    fn name(&mut self, entries: &Entries<'_>, number: u8) -> Result<Option<Arc<str>>, Malformed> {
        let name = entries.str(number)?;
        Ok(name.map(|name| self.names.get(name)))
    }
}

#[cfg(test)]
mod tests;
