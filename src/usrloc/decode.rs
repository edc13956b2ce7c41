//! From a row to a binding: what each column of usrloc means, whatever storage class it has.
//!
//! The sources are Kamailio's `usrloc/ucontact.c` and `db_sqlite/dbase.c`; see also the comments there on dates.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;

use super::columns::{AttributeColumns, LocationColumns};
use crate::clock::unix_of_julian_day;
use crate::registration::intern::Interner;
use crate::registration::{Attributes, Binding, Expiry, Key, Number, Packer, Ruid, Text};
use crate::sqlite_file::{Row, Value};

/// Real numbers below this are Julian days (the year 22,000 is day 10,000,000), above it Unix seconds.
const LARGEST_JULIAN_DAY: f64 = 1e7;

/// What usrloc stores where the phone sent no User-Agent, or too long a one.
const NO_USER_AGENT: &[u8] = b"n/a";

/// Why a row is not a binding.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Error {
    #[error("it has no ruid")]
    NoRuid,
    #[error("its expires is no time")]
    NoExpiry,
}

/// Where the texts of rows are put.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// Domains, sockets and phone models, which many rows have in common.
    common: Interner<Text>,
    /// All others of a row, side by side.
    own: Packer,
}

/// A row of `location`: each column as a [`Binding`] has it, the texts where they stand in the row.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub(super) ruid: Bytes<'a>,
    username: Bytes<'a>,
    domain: Option<Bytes<'a>>,
    contact: Bytes<'a>,
    received: Option<Bytes<'a>>,
    path: Option<Bytes<'a>>,
    expiry: Expiry,
    last_modified: i64,
    q: Option<f64>,
    call_id: Option<Bytes<'a>>,
    cseq: Option<Number>,
    flags: Option<Number>,
    cflags: Option<Number>,
    user_agent: Option<Bytes<'a>>,
    socket: Option<Bytes<'a>>,
    methods: Option<Number>,
    instance: Option<Bytes<'a>>,
    reg_id: Option<Number>,
    server_id: Option<Number>,
}

/// A row of `location_attrs`.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub(super) ruid: Bytes<'a>,
    pub(super) name: Bytes<'a>,
    pub(super) value: Bytes<'a>,
}

/// A text as it stands in a row.
type Bytes<'a> = Cow<'a, [u8]>;

impl<'a> Fields<'a> {
    /// What a row of `location` says.
    pub(super) fn of(columns: &LocationColumns, row: &Row<'a>) -> Result<Self, Error> {
        let filled = |value| text(value).filter(|text| !text.is_empty());
        Ok(Self {
            ruid: text(columns.ruid.of(row)).ok_or(Error::NoRuid)?,
            expiry: match time(columns.expires.of(row)).ok_or(Error::NoExpiry)? {
                0 => Expiry::Permanent,
                end => Expiry::At(end),
            },
            username: text(columns.username.of(row)).unwrap_or_default(),
            domain: text(columns.domain.of(row)),
            contact: text(columns.contact.of(row)).unwrap_or_default(),
            received: filled(columns.received.of(row)),
            path: filled(columns.path.of(row)),
            last_modified: time(columns.last_modified.of(row)).unwrap_or_default(),
            q: real(columns.q.of(row)).filter(|q| *q >= 0.0),
            call_id: filled(columns.callid.of(row)),
            cseq: integer(columns.cseq.of(row)),
            flags: integer(columns.flags.of(row)),
            cflags: integer(columns.cflags.of(row)),
            user_agent: filled(columns.user_agent.of(row))
                .filter(|agent| **agent != *NO_USER_AGENT),
            socket: filled(columns.socket.of(row)),
            methods: integer(columns.methods.of(row)),
            instance: filled(columns.instance.of(row)),
            reg_id: integer(columns.reg_id.of(row)).filter(|id| id.get() != 0),
            server_id: integer(columns.server_id.of(row)),
        })
    }

    /// The binding of this row of `table`, without attributes.
    pub(super) fn binding(&self, table: &Arc<str>, texts: &mut Texts) -> Binding {
        let Texts { common, own } = texts;
        let ruid = own.add(&self.ruid);
        let mut add = |text: &Bytes<'_>| own.add(text);
        let (username, contact) = (add(&self.username), add(&self.contact));
        let received = self.received.as_ref().map(&mut add);
        let path = self.path.as_ref().map(&mut add);
        let call_id = self.call_id.as_ref().map(&mut add);
        let instance = self.instance.as_ref().map(&mut add);
        let pack = own.pack();
        let of = |piece| pack.text(piece);
        let mut common = |text: &Bytes<'_>| common.get(text);
        Binding {
            key: Key {
                table: Arc::clone(table),
                ruid: Ruid(of(ruid)),
            },
            username: of(username),
            domain: self.domain.as_ref().map(&mut common),
            contact: of(contact),
            received: received.map(of),
            path: path.map(of),
            expiry: self.expiry,
            last_modified: self.last_modified,
            q: self.q,
            call_id: call_id.map(of),
            cseq: self.cseq,
            flags: self.flags,
            cflags: self.cflags,
            user_agent: self.user_agent.as_ref().map(&mut common),
            socket: self.socket.as_ref().map(&mut common),
            methods: self.methods,
            instance: instance.map(of),
            reg_id: self.reg_id,
            server_id: self.server_id,
            attributes: Attributes::default(),
        }
    }

    /// Whether `binding`, of the same key, has this content; attributes do not count. At a start nearly all rows
    /// are what they were, and finding that out costs a fraction of making a binding.
    pub(super) fn are_of(&self, binding: &Binding) -> bool {
        let Self {
            ruid: _,
            username,
            domain,
            contact,
            received,
            path,
            expiry,
            last_modified,
            q,
            call_id,
            cseq,
            flags,
            cflags,
            user_agent,
            socket,
            methods,
            instance,
            reg_id,
            server_id,
        } = self;
        let same = |one: &Option<Bytes<'_>>, other: &Option<Text>| {
            one.as_deref() == other.as_ref().map(Text::as_bytes)
        };
        *last_modified == binding.last_modified
            && *expiry == binding.expiry
            && *cseq == binding.cseq
            && *q == binding.q
            && *flags == binding.flags
            && *cflags == binding.cflags
            && *methods == binding.methods
            && *reg_id == binding.reg_id
            && *server_id == binding.server_id
            && **username == *binding.username.as_bytes()
            && **contact == *binding.contact.as_bytes()
            && same(call_id, &binding.call_id)
            && same(received, &binding.received)
            && same(path, &binding.path)
            && same(instance, &binding.instance)
            && same(domain, &binding.domain)
            && same(user_agent, &binding.user_agent)
            && same(socket, &binding.socket)
    }
}

impl<'a> Attribute<'a> {
    /// What a row of `location_attrs` says.
    pub(super) fn of(columns: &AttributeColumns, row: &Row<'a>) -> Self {
        let text = |value| text(value).unwrap_or_default();
        Self {
            ruid: text(columns.ruid.of(row)),
            name: text(columns.aname.of(row)),
            value: text(columns.avalue.of(row)),
        }
    }
}

fn text(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Null => None,
        Value::Text(bytes) | Value::Blob(bytes) => Some(bytes.into()),
        Value::Integer(number) => Some(number.to_string().into_bytes().into()),
        Value::Real(number) => Some(number.to_string().into_bytes().into()),
    }
}

fn integer(value: Value<'_>) -> Option<Number> {
    let number = match value {
        Value::Null => return None,
        Value::Integer(number) => number,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates; no real row has such a number"
        )]
        Value::Real(number) => number as i64,
        Value::Text(bytes) | Value::Blob(bytes) => {
            std::str::from_utf8(bytes).ok()?.trim().parse().ok()?
        }
    };
    Number::new(number)
}

fn real(value: Value<'_>) -> Option<f64> {
    let number = match value {
        Value::Null => return None,
        #[expect(
            clippy::cast_precision_loss,
            reason = "q is 0 or 1 where it is stored as an integer"
        )]
        Value::Integer(number) => number as f64,
        Value::Real(number) => number,
        Value::Text(bytes) | Value::Blob(bytes) => {
            std::str::from_utf8(bytes).ok()?.trim().parse().ok()?
        }
    };
    number.is_finite().then_some(number)
}

/// Unix seconds of a time column: Julian day, Unix seconds (`expires_type=1`), or `YYYY-MM-DD HH:MM:SS` in UTC.
#[must_use]
pub fn time(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Null => None,
        Value::Integer(unix) => Some(unix),
        Value::Real(day) if day.abs() < LARGEST_JULIAN_DAY => Some(unix_of_julian_day(day)),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, which is what an absurd date deserves"
        )]
        Value::Real(unix) => unix.is_finite().then_some(unix as i64),
        Value::Text(bytes) | Value::Blob(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?.trim();
            let utc = || {
                TimeZone::UTC
                    .to_timestamp(text.parse::<DateTime>().ok()?)
                    .ok()
            };
            text.parse().ok().or_else(|| Some(utc()?.as_second()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_in_every_storage_class() {
        assert_eq!(
            time(Value::Real(2_460_263.432_864_583_6)),
            Some(1_700_000_600)
        );
        assert_eq!(time(Value::Real(2_440_587.499_994_212)), Some(0));
        assert_eq!(time(Value::Integer(1_700_000_600)), Some(1_700_000_600));
        assert_eq!(time(Value::Real(1_700_000_600.0)), Some(1_700_000_600));
        assert_eq!(
            time(Value::Text(b"2023-11-14 22:23:20")),
            Some(1_700_000_600)
        );
        assert_eq!(time(Value::Text(b"1700000600")), Some(1_700_000_600));
        for none in [
            Value::Null,
            Value::Text(b"soon"),
            Value::Text(b"\xff"),
            Value::Real(f64::INFINITY),
        ] {
            assert_eq!(time(none), None, "{none:?}");
        }
    }

    #[test]
    fn numbers_in_every_storage_class() {
        assert_eq!(integer(Value::Text(b"17")), Number::new(17));
        assert_eq!(integer(Value::Real(17.0)), Number::new(17));
        assert_eq!(real(Value::Integer(-1)), Some(-1.0));
        assert_eq!(real(Value::Text(b"0.5")), Some(0.5));
        assert_eq!(real(Value::Text(b"NaN")), None);
        assert_eq!(text(Value::Integer(1001)).as_deref(), Some(&b"1001"[..]));
    }

    /// Fields of which each has one of three values.
    fn fields(choices: &[usize; 18]) -> Fields<'static> {
        let text = |at: usize| [None, Some(&b"a"[..]), Some(b"b")][choices[at]].map(Cow::Borrowed);
        let number = |at: usize| [None, Some(0), Some(1)][choices[at]];
        Fields {
            ruid: Cow::Borrowed(b"uloc-1"),
            username: text(0).unwrap_or_default(),
            domain: text(1),
            contact: text(2).unwrap_or_default(),
            received: text(3),
            path: text(4),
            expiry: number(5).map_or(Expiry::Permanent, Expiry::At),
            last_modified: number(6).unwrap_or(7),
            q: [None, Some(0.0), Some(0.5)][choices[7]],
            call_id: text(8),
            cseq: number(9).and_then(Number::new),
            flags: number(10).and_then(Number::new),
            cflags: number(11).and_then(Number::new),
            user_agent: text(12),
            socket: text(13),
            methods: number(14).and_then(Number::new),
            instance: text(15),
            reg_id: number(16).and_then(Number::new),
            server_id: number(17).and_then(Number::new),
        }
    }

    proptest! {
        #[test]
        fn fields_are_of_the_binding_that_they_make_and_of_no_other(
            choices in prop::array::uniform18(0..3_usize), at in 0..18_usize, other in 0..3_usize,
        ) {
            let mut texts = Texts::default();
            let mut binding = |choices| fields(choices).binding(&"location".into(), &mut texts);
            let (one, mut changed) = (binding(&choices), choices);
            changed[at] = other;
            let attributes = [("token".into(), "d@a".into())].into_iter().collect();
            let another = Binding { attributes, ..binding(&changed) };
            prop_assert_eq!(fields(&choices).are_of(&another), choices == changed);
            prop_assert!(fields(&choices).are_of(&one));
        }

        #[test]
        fn no_text_makes_a_number_or_a_time_panic(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = (time(Value::Text(&bytes)), integer(Value::Text(&bytes)), real(Value::Text(&bytes)));
        }

        #[test]
        fn no_real_makes_a_time_panic(bits in any::<u64>()) {
            let _ = (time(Value::Real(f64::from_bits(bits))), integer(Value::Real(f64::from_bits(bits))));
        }
    }
}
