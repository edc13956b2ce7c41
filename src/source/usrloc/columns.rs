//! Where the columns stand: by name, so that added or reordered columns do not matter.

use crate::sqlite_file::{Row, Table, Value};

macro_rules! columns {
    ($(#[$doc:meta])* $name:ident { $($column:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub(super) struct $name {
            $(pub(super) $column: Column,)*
        }

        impl $name {
            pub(super) fn of(table: &Table) -> Self {
                Self { $($column: Column(table.column(stringify!($column))),)* }
            }
        }
    };
}

/// The place of a column in its table; nowhere where the table has none of that name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Column(Option<usize>);

columns! {
    /// Columns of `location` (version 9).
    LocationColumns {
        ruid, username, domain, contact, received, path, expires, q, callid, cseq, last_modified, flags, cflags,
        user_agent, socket, methods, instance, reg_id, server_id,
    }
}

columns! {
    /// Columns of `location_attrs` (version 1).
    AttributeColumns { ruid, aname, avalue }
}

/// The columns of `location` without which a row is none.
pub(super) const REQUIRED: &[&str] = &["ruid", "username", "contact", "expires"];

/// The other columns of `location` that are read.
pub(super) const USED: &[&str] = &[
    "domain",
    "received",
    "path",
    "q",
    "callid",
    "cseq",
    "last_modified",
    "flags",
    "cflags",
    "user_agent",
    "socket",
    "methods",
    "instance",
    "reg_id",
    "server_id",
];

/// The columns of `location_attrs` without which a row says nothing.
pub(super) const REQUIRED_OF_ATTRIBUTES: &[&str] = &["ruid", "aname", "avalue"];

impl Column {
    /// The value of this column in `row`; NULL where the table has no such column.
    pub(super) fn of<'a>(self, row: &Row<'a>) -> Value<'a> {
        self.0.map_or(Value::Null, |index| row.get(index))
    }
}
