//! Reading every registration at once, past SQLite: on all cores, from the pages of the file.
//!
//! A row that comes through SQLite's thread costs ten times as much as its page. Whatever is strange here is an
//! error, and the caller then asks SQLite, which decides what is wrong.

use std::path::Path;
use std::sync::Arc;

use super::Stored;
use super::read::Names;
use crate::parallel;
use crate::progress::Progress;
use crate::registration::intern::Interner;
use crate::registration::{Attributes, Binding, Expiry, Key, Number, Packer, Ruid, Text};
use crate::sqlite_file::{AtRest, Held, Leaf, Reason, Value};

/// Fewer leaves than this are not worth a thread.
const WORTH_A_THREAD: usize = 256;

/// Registrations that are counted together.
const AT_ONCE: usize = 1024;

type Result<T> = std::result::Result<T, Reason>;

/// An attribute and the id of the registration that has it.
type Attribute = (i64, Text, Text);

/// What the rows that one thread reads have in common.
#[derive(Default)]
struct Common {
    tables: Interner<Arc<str>>,
    texts: Interner<Text>,
    own: Packer,
}

/// The values of a row.
struct Columns<'a>(&'a [Value<'a>]);

/// Every registration of the store at `path`, whose file is `held`. Nobody may write to it. `progress` counts those that
/// have been read.
pub(super) fn registrations(
    held: &Held,
    path: &Path,
    accounts: &Names,
    progress: &Progress,
) -> Result<Vec<Stored>> {
    let file = AtRest::of(held, path)?;
    let attributes = attributes(&file)?;
    in_portions(&file, "registration", |leaves| {
        let mut common = Common::default();
        let mut rest: Option<&[Attribute]> = None;
        let mut rows = Vec::new();
        file.read(leaves, |id, values| {
            let after = rest.unwrap_or(&attributes);
            // Far for the first row of the portion, near for all others.
            let before = match rest {
                None => after.partition_point(|(of, ..)| *of < id),
                Some(_) => after.iter().take_while(|(of, ..)| *of < id).count(),
            };
            let after = &after[before..];
            let (own, after) =
                after.split_at(after.iter().take_while(|(of, ..)| *of == id).count());
            rest = Some(after);
            rows.push(stored(&Columns(values), own, accounts, &mut common)?);
            if rows.len().is_multiple_of(AT_ONCE) {
                progress.advance(AT_ONCE);
            }
            Ok(())
        })?;
        progress.advance(rows.len() % AT_ONCE);
        Ok(rows)
    })
}

/// Attributes in the order of their registrations' ids.
fn attributes(file: &AtRest<'_>) -> Result<Vec<Attribute>> {
    in_portions(file, "attribute", |leaves| {
        let mut names = Interner::<Text>::default();
        let mut attributes = Vec::new();
        file.read(leaves, |_, values| {
            let columns = Columns(values);
            let name = names.get(columns.bytes(1)?);
            attributes.push((columns.integer(0)?, name, columns.bytes(2)?.into()));
            Ok(())
        })?;
        Ok(attributes)
    })
}

/// What `read` makes of the leaves of `table`, on all cores.
fn in_portions<T: Send>(
    file: &AtRest<'_>,
    table: &str,
    read: impl Fn(&[Leaf]) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let leaves = file.leaves(table)?;
    let portions = parallel::portions(leaves, WORTH_A_THREAD, |leaves| read(&leaves));
    let portions = portions.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(parallel::joined(portions))
}

/// The registration in a row: the columns of `registration` in the order of the schema.
fn stored(
    columns: &Columns<'_>,
    attributes: &[Attribute],
    accounts: &Names,
    common: &mut Common,
) -> Result<Stored> {
    let Common { tables, texts, own } = common;
    let mut add = |bytes: &[u8]| own.add(bytes);
    let (ruid, username) = (add(columns.bytes(2)?), add(columns.bytes(5)?));
    let contact = add(columns.bytes(7)?);
    let received = columns.optional_bytes(8)?.map(&mut add);
    let path = columns.optional_bytes(9)?.map(&mut add);
    let call_id = columns.optional_bytes(13)?.map(&mut add);
    let instance = columns.optional_bytes(20)?.map(&mut add);
    let pack = own.pack();
    let of = |piece| pack.text(piece);
    let mut shared = |bytes: &[u8]| texts.get(bytes);
    let number = |value: Option<i64>| value.and_then(Number::new);
    let binding = Binding {
        key: Key {
            table: tables.get(columns.text(1)?),
            ruid: Ruid(of(ruid)),
        },
        username: of(username),
        domain: columns.optional_bytes(6)?.map(&mut shared),
        contact: of(contact),
        received: received.map(of),
        path: path.map(of),
        expiry: columns
            .optional_integer(10)?
            .map_or(Expiry::Permanent, Expiry::At),
        last_modified: columns.integer(11)?,
        q: columns.optional_real(12)?,
        call_id: call_id.map(of),
        cseq: number(columns.optional_integer(14)?),
        flags: number(columns.optional_integer(15)?),
        cflags: number(columns.optional_integer(16)?),
        user_agent: columns.optional_bytes(17)?.map(&mut shared),
        socket: columns.optional_bytes(18)?.map(&mut shared),
        methods: number(columns.optional_integer(19)?),
        instance: instance.map(of),
        reg_id: number(columns.optional_integer(21)?),
        server_id: number(columns.optional_integer(22)?),
        attributes: attributes
            .iter()
            .map(|(_, name, value)| (name.clone(), value.clone()))
            .collect::<Attributes>(),
    };
    let account = columns.optional_integer(3)?;
    Ok(Stored {
        binding: Arc::new(binding),
        first_registration: columns.integer(4)?,
        account: account.and_then(|id| accounts.get(&id).cloned()),
    })
}

impl<'a> Columns<'a> {
    fn get(&self, index: usize) -> Value<'a> {
        self.0.get(index).copied().unwrap_or(Value::Null)
    }

    fn optional_bytes(&self, index: usize) -> Result<Option<&'a [u8]>> {
        match self.get(index) {
            Value::Null => Ok(None),
            Value::Blob(bytes) | Value::Text(bytes) => Ok(Some(bytes)),
            Value::Integer(_) | Value::Real(_) => Err(UNEXPECTED),
        }
    }

    fn bytes(&self, index: usize) -> Result<&'a [u8]> {
        self.optional_bytes(index)?.ok_or(UNEXPECTED)
    }

    fn text(&self, index: usize) -> Result<&'a str> {
        std::str::from_utf8(self.bytes(index)?).or(Err(UNEXPECTED))
    }

    fn optional_integer(&self, index: usize) -> Result<Option<i64>> {
        match self.get(index) {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(number)),
            _ => Err(UNEXPECTED),
        }
    }

    fn integer(&self, index: usize) -> Result<i64> {
        self.optional_integer(index)?.ok_or(UNEXPECTED)
    }

    fn optional_real(&self, index: usize) -> Result<Option<f64>> {
        match self.get(index) {
            Value::Real(number) => Ok(Some(number)),
            #[expect(
                clippy::cast_precision_loss,
                reason = "SQLite stores a real number as an integer only where nothing is lost"
            )]
            _ => Ok(self.optional_integer(index)?.map(|number| number as f64)),
        }
    }
}

const UNEXPECTED: Reason = Reason::Malformed("a value of another type than the schema says");
