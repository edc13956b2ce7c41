//! From a row to a binding: what each column of usrloc means, whatever storage class it has.
//!
//! The sources are Kamailio's `usrloc/ucontact.c` and `db_sqlite/dbase.c`; see also the comments there on dates.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::columns::{AttributeColumns, Column, LocationColumns};
use super::unreadable::{Reason, Unread};
use crate::clock::unix_of_julian_day;
use crate::registration::intern::Interner;
use crate::registration::{Attributes, Binding, Expiry, Key, Number, Packer, Ruid, Text};
use crate::sqlite_file::{Row, Value};

/// Real numbers below this are Julian days (the year 22,000 is day 10,000,000), above it Unix seconds.
const LARGEST_JULIAN_DAY: f64 = 1e7;

/// What usrloc stores where the phone sent no User-Agent, or too long a one.
const NO_USER_AGENT: &[u8] = b"n/a";

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

/// The cells of a row, and those of them that cannot be read.
struct Cells<'row, 'a, 'b> {
    row: &'row Row<'a>,
    unread: &'b mut Vec<Unread<'a>>,
}

/// A text as it stands in a row.
type Bytes<'a> = Cow<'a, [u8]>;

impl<'a> Fields<'a> {
    /// What a row of `location` says; `None` where it lacks what no binding is without. Adds the cells that cannot be
    /// read to `unread`: of the others a bad one costs its own value alone.
    pub(super) fn of(
        columns: &LocationColumns,
        row: &Row<'a>,
        unread: &mut Vec<Unread<'a>>,
    ) -> Option<Self> {
        let filled = |column: Column| text(column.of(row)).filter(|text| !text.is_empty());
        let mut cells = Cells { row, unread };
        // Each is looked at, so that all that is wrong with the row is reported.
        let ruid = cells.needed("ruid", columns.ruid, Reason::Null, text);
        let username = cells.needed("username", columns.username, Reason::Null, text);
        let contact = cells.needed("contact", columns.contact, Reason::Null, text);
        let expires = cells.needed("expires", columns.expires, Reason::NotATime, time);
        let modified = cells.known(
            "last_modified",
            columns.last_modified,
            Reason::NotATime,
            time,
        );
        let q = cells.known("q", columns.q, Reason::NotANumber, real);
        let mut number = |name, column| cells.known(name, column, Reason::NotANumber, integer);
        Some(Self {
            cseq: number("cseq", columns.cseq),
            flags: number("flags", columns.flags),
            cflags: number("cflags", columns.cflags),
            methods: number("methods", columns.methods),
            reg_id: number("reg_id", columns.reg_id).filter(|id| id.get() != 0),
            server_id: number("server_id", columns.server_id),
            ruid: ruid?,
            expiry: match expires? {
                0 => Expiry::Permanent,
                end => Expiry::At(end),
            },
            username: username?,
            domain: text(columns.domain.of(row)),
            contact: contact?,
            received: filled(columns.received),
            path: filled(columns.path),
            last_modified: modified.unwrap_or_default(),
            q: q.filter(|q| *q >= 0.0),
            call_id: filled(columns.callid),
            user_agent: filled(columns.user_agent).filter(|agent| **agent != *NO_USER_AGENT),
            socket: filled(columns.socket),
            instance: filled(columns.instance),
        })
    }

    /// The ruid of a row, whatever else can be read of it.
    pub(super) fn ruid(columns: &LocationColumns, row: &Row<'a>) -> Bytes<'a> {
        text(columns.ruid.of(row)).unwrap_or_default()
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

impl<'a> Cells<'_, 'a, '_> {
    /// The value of a column that may be NULL.
    fn known<T>(
        &mut self,
        name: &'static str,
        column: Column,
        reason: Reason,
        read: fn(Value<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = column.of(self.row);
        let read = read(value);
        if read.is_none() && value != Value::Null {
            self.cannot_read(name, reason, value);
        }
        read
    }

    /// The value of a column without which no row is one.
    fn needed<T>(
        &mut self,
        name: &'static str,
        column: Column,
        reason: Reason,
        read: fn(Value<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = column.of(self.row);
        let read = read(value);
        if read.is_none() {
            let is_null = value == Value::Null;
            let reason = if is_null { Reason::Null } else { reason };
            self.cannot_read(name, reason, value);
        }
        read
    }

    fn cannot_read(&mut self, column: &'static str, reason: Reason, value: Value<'a>) {
        self.unread.push(Unread {
            column,
            reason,
            value,
        });
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
            let text = std::str::from_utf8(bytes).ok()?.trim();
            let whole = text.parse().ok();
            return match whole {
                Some(number) => Number::new(number),
                None => integer(Value::Real(text.parse().ok().filter(is_whole)?)),
            };
        }
    };
    Number::new(number)
}

/// Whether a text such as `17.0` is a whole number.
fn is_whole(number: &f64) -> bool {
    number.is_finite() && number.fract() == 0.0
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

/// Unix seconds of a time column: Julian day, Unix seconds (`expires_type=1`), or a text (see [`text_time`]).
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
            text.parse().ok().or_else(|| text_time(text))
        }
    }
}

/// Unix seconds of `2026-11-30 01:02:03`, which is in UTC, or with `T`, a fraction, `Z`, ` UTC` or an offset from UTC;
/// or of a number as other storage classes have it.
fn text_time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return time(Value::Real(number));
    }
    // `… 01:02:03 +02:00` and `… 01:02:03 UTC`: the zone stands apart.
    let zone = text.rfind(' ').map(|at| (&text[..at], &text[at + 1..]));
    let joined = match zone {
        Some((moment, zone)) if zone.starts_with(['+', '-']) => format!("{moment}{zone}"),
        Some((moment, "UTC" | "GMT" | "Z" | "utc" | "gmt" | "z")) => format!("{moment}Z"),
        _ => text.to_owned(),
    };
    if let Ok(timestamp) = joined.parse::<Timestamp>() {
        return Some(timestamp.as_second());
    }
    // What has a zone that is not understood is not in UTC.
    let clock = joined.get("YYYY-MM-DD".len()..).unwrap_or_default();
    let civil = (!clock.contains(['+', '-', '[', 'Z', 'z'])).then_some(&joined)?;
    let utc = TimeZone::UTC.to_timestamp(civil.parse::<DateTime>().ok()?);
    Some(utc.ok()?.as_second())
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
            Value::Text(b""),
            Value::Text(b"\xff"),
            Value::Text(b"inf"),
            Value::Real(f64::INFINITY),
        ] {
            assert_eq!(time(none), None, "{none:?}");
        }
    }

    #[test]
    fn times_as_texts() {
        for text in [
            "2026-11-30 01:02:03",
            "2026-11-30T01:02:03",
            "2026-11-30T01:02:03Z",
            "2026-11-30 01:02:03Z",
            "2026-11-30t01:02:03z",
            "2026-11-30 01:02:03 UTC",
            " 2026-11-30 01:02:03.999 ",
            "2026-11-30T01:02:03.123456Z",
            "2026-11-30T03:02:03+02:00",
            "2026-11-30T03:02:03+0200",
            "2026-11-30 03:02:03+02",
            "2026-11-30 03:02:03 +02:00",
            "2026-11-29T20:02:03.5-05:00",
            "2026-11-29 20:02:03 -0500",
            "20261130T010203Z",
            "1796000523",
            "1796000523.0",
            "2461374.543084491",
        ] {
            assert_eq!(
                time(Value::Text(text.as_bytes())),
                Some(1_796_000_523),
                "{text}"
            );
        }
        for text in [
            "2026-11-30T01:02:03+99:00",
            "2026-11-30T01:02:03 CET",
            "2026-11-30T01:02:03[Europe/Berlin]",
            "2026-13-30T01:02:03Z",
            "30.11.2026 01:02:03",
            "01:02:03",
        ] {
            assert_eq!(time(Value::Text(text.as_bytes())), None, "{text}");
        }
        assert_eq!(time(Value::Text(b"1970-01-01T00:00:00Z")), Some(0));
    }

    #[test]
    fn numbers_in_every_storage_class() {
        assert_eq!(integer(Value::Text(b"17")), Number::new(17));
        assert_eq!(integer(Value::Real(17.0)), Number::new(17));
        assert_eq!(integer(Value::Text(b"17.0")), Number::new(17));
        for none in ["", "17.5", "inf", "many", "0x11"] {
            assert_eq!(integer(Value::Text(none.as_bytes())), None, "{none}");
        }
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
