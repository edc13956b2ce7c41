//! The state of a registration as bytes: what of it differs from another state, but for times and `CSeq`.
//!
//! Which account it belongs to, what it has in common with others and its user agent stand elsewhere. Attributes are not
//! kept.

use std::borrow::Cow;

use super::pack::{self, number, write_number};
use crate::accounts::{contact_address, source_address};
use crate::registration::{
    Address, Binding, Bytes, Cell, Column, Details, SourceAddress, Text, write_text,
};
use crate::sip::SourceFrom;

/// The columns in a state; what differs most often comes first. Part of the file's format.
const COLUMNS: [Column; 13] = [
    Column::Username,
    Column::Ruid,
    Column::CallId,
    Column::Contact,
    Column::Received,
    Column::Path,
    Column::Instance,
    Column::Q,
    Column::Flags,
    Column::Cflags,
    Column::Methods,
    Column::RegId,
    Column::ServerId,
];

/// Where the other fields follow.
const NAME: usize = 13;
const AUTHORIZING_ID: usize = 14;
const OWNER_ID: usize = 15;
const PRESENCE_ID: usize = 16;
const CONTACT_ADDRESS: usize = 17;
const SOURCE: usize = 18;
const COUNT: usize = 19;

/// A field whose value follows from others.
const DERIVED: Cell<'static> = Cell::Integer(0);

/// How the value of a field is written; texts have their length in it.
const ABSENT: usize = 0;
const INTEGER: usize = 1;
const REAL: usize = 2;
const TEXT: usize = 3;

/// Texts that are to be found in many fields: from these, as from the former value and the user, pieces are copied. Part
/// of the file's format.
const WORDS: &[u8] =
    b"<sip:;lr;received=sip:<urn:uuid:;transport=udp;alias=;transport=tcp;transport=tls;ob>uloc-";

/// The fields of a state.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct State<'a>([Cell<'a>; COUNT]);

impl<'a> State<'a> {
    /// That of a registration.
    pub(super) fn of(one: &'a Details) -> Self {
        let mut fields: [Cell<'a>; COUNT] = Default::default();
        for (field, column) in fields.iter_mut().zip(COLUMNS) {
            *field = one.binding.cell(column);
        }
        if one.username.as_bytes() != &*one.binding.user() {
            fields[NAME] = text(Some(&one.username));
        }
        fields[AUTHORIZING_ID] = text(one.authorizing_id.as_ref());
        fields[OWNER_ID] = text(one.owner_id.as_ref());
        fields[PRESENCE_ID] = match &one.presence_id {
            Some(id) if *id == presence_id(&one.username, one.common.realm.as_deref()) => DERIVED,
            other => text(other.as_ref()),
        };
        fields[CONTACT_ADDRESS] = if one.contact_address == contact_address(&one.binding.contact) {
            DERIVED
        } else {
            let address = one.contact_address.as_ref();
            address.map_or(Cell::Absent, |address| Cell::Text(encoded(address).into()))
        };
        fields[SOURCE] = if one.source == source_address(&one.binding) {
            DERIVED
        } else {
            one.source.as_ref().map_or(Cell::Absent, |source| {
                let mut bytes = encoded(&source.address);
                bytes.push(source.from as u8);
                Cell::Text(bytes.into())
            })
        };
        Self(fields)
    }

    /// What a column says; nothing where it is not in a state.
    pub(super) fn column(&self, column: Column) -> &Cell<'a> {
        let place = COLUMNS.iter().position(|one| *one == column);
        place.map_or(&Cell::Absent, |place| &self.0[place])
    }

    /// The columns and what they say.
    pub(super) fn columns(&self) -> impl Iterator<Item = (Column, &Cell<'a>)> {
        COLUMNS.into_iter().zip(&self.0)
    }

    /// The fields that are not columns, of the registration that `binding` is; `None` where they make no sense.
    pub(super) fn complete(&self, binding: &Binding, realm: Option<&str>) -> Option<Rest> {
        let username = optional(&self.0[NAME]).unwrap_or_else(|| (&*binding.user()).into());
        let contact_address = match &self.0[CONTACT_ADDRESS] {
            Cell::Text(bytes) => Some(decoded(&mut Bytes(bytes))?),
            Cell::Absent => None,
            Cell::Integer(_) | Cell::Real(_) => contact_address(&binding.contact),
        };
        let source = match &self.0[SOURCE] {
            Cell::Text(bytes) => {
                let mut bytes = Bytes(bytes);
                let address = decoded(&mut bytes)?;
                let [from] = bytes.array()?;
                let from = FROM.into_iter().find(|one| *one as u8 == from)?;
                Some(SourceAddress { address, from })
            }
            Cell::Absent => None,
            Cell::Integer(_) | Cell::Real(_) => source_address(binding),
        };
        let presence_id = match &self.0[PRESENCE_ID] {
            Cell::Integer(_) => Some(presence_id(&username, realm)),
            other => optional(other),
        };
        Some(Rest {
            username,
            authorizing_id: optional(&self.0[AUTHORIZING_ID]),
            owner_id: optional(&self.0[OWNER_ID]),
            presence_id,
            contact_address,
            source,
        })
    }

    /// What most states have, from which those of phones are told by their difference. Part of the file's format.
    pub(super) fn usual() -> Self {
        let mut fields: [Cell<'a>; COUNT] = Default::default();
        let zero = [Column::Flags, Column::Cflags, Column::ServerId];
        for (field, column) in fields.iter_mut().zip(COLUMNS) {
            if zero.contains(&column) {
                *field = Cell::Integer(0);
            }
        }
        for field in [PRESENCE_ID, CONTACT_ADDRESS, SOURCE] {
            fields[field] = DERIVED;
        }
        Self(fields)
    }

    /// The same, with texts of its own.
    pub(super) fn to_owned(&self) -> State<'static> {
        State(self.0.each_ref().map(owned))
    }

    /// What of it differs from `base`, as bytes. Equal states have equal bytes.
    pub(super) fn difference(&self, base: &State<'_>) -> Vec<u8> {
        let pairs = || self.0.iter().zip(&base.0);
        let differing = pairs().enumerate().filter(|(_, (own, base))| own != base);
        let bits: u64 = differing.map(|(field, _)| 1 << field).sum();
        let mut out = Vec::with_capacity(64);
        write_number(bits, &mut out);
        let mut window = Vec::new();
        let mut username = &Cell::Absent;
        for (own, base) in pairs() {
            if own != base {
                look_out(base, username, &mut window);
                write_field(own, &window, &mut out);
            }
            username = &self.0[0];
        }
        out
    }

    /// The state that differs from `base` so; `None` where no state does.
    pub(super) fn from_difference(bytes: &[u8], base: &State<'_>) -> Option<State<'static>> {
        let mut rest = Bytes(bytes);
        let bits: u64 = number(&mut rest)?;
        let mut fields: [Cell<'static>; COUNT] = Default::default();
        let mut window = Vec::new();
        for (field, base) in base.0.iter().enumerate() {
            fields[field] = if bits & 1 << field == 0 {
                owned(base)
            } else {
                look_out(base, &fields[0], &mut window);
                read_field(&mut rest, &window)?
            };
        }
        (rest.0.is_empty() && bits >> COUNT == 0).then_some(State(fields))
    }
}

/// What a state has beside columns.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) username: Text,
    pub(super) authorizing_id: Option<Text>,
    pub(super) owner_id: Option<Text>,
    pub(super) presence_id: Option<Text>,
    pub(super) contact_address: Option<Address>,
    pub(super) source: Option<SourceAddress>,
}

const FROM: [SourceFrom; 3] = [SourceFrom::Path, SourceFrom::Received, SourceFrom::Alias];

/// Fills the window that a field is copied from.
fn look_out(base: &Cell<'_>, username: &Cell<'_>, window: &mut Vec<u8>) {
    window.clear();
    for cell in [base, username] {
        if let Cell::Text(text) = cell {
            window.extend_from_slice(text);
        }
    }
    window.extend_from_slice(WORDS);
}

fn write_field(own: &Cell<'_>, window: &[u8], out: &mut Vec<u8>) {
    match own {
        Cell::Absent => write_number(ABSENT, out),
        Cell::Integer(number) => {
            write_number(INTEGER, out);
            write_number(*number, out);
        }
        Cell::Real(number) => {
            write_number(REAL, out);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Cell::Text(text) => {
            write_number(TEXT + text.len(), out);
            pack::write(text, window, out);
        }
    }
}

fn read_field(from: &mut Bytes<'_>, window: &[u8]) -> Option<Cell<'static>> {
    Some(match number::<usize>(from)? {
        ABSENT => Cell::Absent,
        INTEGER => Cell::Integer(number(from)?),
        REAL => Cell::Real(f64::from_le_bytes(from.array()?)),
        length => Cell::Text(pack::read(from, length - TEXT, window)?.into()),
    })
}

fn owned(cell: &Cell<'_>) -> Cell<'static> {
    match cell {
        Cell::Absent => Cell::Absent,
        Cell::Text(text) => Cell::Text(Cow::Owned(text.to_vec())),
        Cell::Integer(number) => Cell::Integer(*number),
        Cell::Real(number) => Cell::Real(*number),
    }
}

fn text(text: Option<&Text>) -> Cell<'_> {
    text.map_or(Cell::Absent, |text| Cell::Text(text.as_bytes().into()))
}

fn optional(cell: &Cell<'_>) -> Option<Text> {
    match cell {
        Cell::Text(text) => Some((&**text).into()),
        Cell::Absent | Cell::Integer(_) | Cell::Real(_) => None,
    }
}

/// The presence id that Kazoo gives a device by default.
fn presence_id(username: &Text, realm: Option<&str>) -> Text {
    [
        username.as_bytes(),
        b"@",
        realm.unwrap_or_default().as_bytes(),
    ]
    .concat()
    .into()
}

fn encoded(address: &Address) -> Vec<u8> {
    let mut out = Vec::new();
    write_text(address.host.as_bytes(), &mut out);
    write_number(address.port.map_or(0, |port| u32::from(port) + 1), &mut out);
    out
}

fn decoded(from: &mut Bytes<'_>) -> Option<Address> {
    let host = from.text()?.into();
    let port = number::<u32>(from)?.checked_sub(1);
    let port = port.map(u16::try_from).transpose().ok()?;
    Some(Address { host, port })
}
