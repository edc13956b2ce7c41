//! From a row to a binding: what each column of usrloc means.
//!
//! The source is Kamailio's `usrloc/ucontact.c`.

use std::borrow::Cow;
use std::sync::Arc;

use super::cells::{integer, real, text, time};
use super::columns::{AttributeColumns, Column, LocationColumns};
use super::unreadable::{Reason, Unread};
use crate::registration::intern::Interner;
use crate::registration::{
    Attributes, Binding, Expiry, Key, Number, Packer, Ruid, TIME_UNKNOWN, Text,
};
use crate::sqlite_file::{Row, Value};

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
            last_modified: modified.unwrap_or(TIME_UNKNOWN),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    }
}
