//! The columns of `location` (version 9), each written down once: what a binding has, how a source reads it, what the
//! fingerprint covers, what the store keeps and what `doctor` looks for all follow from the table below.

use super::cell::{Cell, Field};
use super::{Attributes, Expiry, Key, Number, Text};

/// How the values of a column are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A text that every binding has.
    Name,
    /// A text, which may be empty.
    Domain,
    /// A text; absent when empty.
    Text,
    /// A text; absent when empty or when it is what usrloc writes without a User-Agent.
    Agent,
    /// When the binding ends, which every binding has; 0: never.
    Expiry,
    /// A moment.
    Moment,
    /// A whole number.
    Number,
    /// A whole number; absent when 0.
    FlowId,
    /// A number from 0 to 1; absent when negative.
    Preference,
}

macro_rules! columns {
    (
        $key_number:literal $key:ident = $key_kind:ident $key_name:literal $key_declaration:literal;
        $(
            $(#[doc = $doc:literal])*
            $number:literal $column:ident $field:ident: $type:ty = $kind:ident $name:literal $declaration:literal;
        )*
    ) => {
        /// A column of `location`. The store knows it by its number, which is never used for another one.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Column {
            /// The key's `ruid`.
            $key = $key_number,
            $($(#[doc = $doc])* $column = $number,)*
        }

        impl Column {
            /// Every column, by number.
            pub const ALL: &[Self] = &[Self::$key, $(Self::$column,)*];

            /// The column with this number.
            pub(super) const fn with_number(number: u8) -> Option<Self> {
                match number {
                    $key_number => Some(Self::$key),
                    $($number => Some(Self::$column),)*
                    _ => None,
                }
            }

            /// Its name in usrloc.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::$key => $key_name,
                    $(Self::$column => $name,)*
                }
            }

            /// How its values are to be read.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self {
                    Self::$key => Kind::$key_kind,
                    $(Self::$column => Kind::$kind,)*
                }
            }

            /// How Kamailio's schema declares it (`usrloc-create.sql`).
            #[must_use]
            pub const fn declaration(self) -> &'static str {
                match self {
                    Self::$key => $key_declaration,
                    $(Self::$column => $declaration,)*
                }
            }
        }

        /// One row of `location` with its attributes.
        #[derive(Clone, PartialEq, Debug)]
        pub struct Binding {
            /// The table and ruid.
            pub key: Key,
            $($(#[doc = $doc])* pub $field: $type,)*
            /// The row's attributes (`<table>_attrs`): name to value; with equal names the last row wins.
            pub attributes: Attributes,
        }

        impl Binding {
            /// What `column` says.
            #[must_use]
            pub fn cell(&self, column: Column) -> Cell<'_> {
                match column {
                    Column::$key => self.key.ruid.0.cell(),
                    $(Column::$column => self.$field.cell(),)*
                }
            }

            /// Whether each column says what `cell` tells of it.
            pub(super) fn has_cells<'c, 'a: 'c>(&self, cell: impl Fn(Column) -> &'c Cell<'a>) -> bool {
                self.key.ruid.0.is(cell(Column::$key)) $(&& self.$field.is(cell(Column::$column)))*
            }

            /// The binding with this key and these attributes whose columns say what `cell` tells; `text` makes the
            /// text of a column.
            pub(super) fn of_cells<'c, 'a: 'c>(
                key: Key,
                attributes: Attributes,
                cell: impl Fn(Column) -> &'c Cell<'a>,
                mut text: impl FnMut(Column) -> Text,
            ) -> Self {
                Self {
                    key,
                    $($field: <$type as Field>::of(cell(Column::$column), || text(Column::$column)),)*
                    attributes,
                }
            }
        }
    };
}

columns! {
    1 Ruid = Name "ruid" "VARCHAR(64) DEFAULT '' NOT NULL";
    /// `username`: the AoR up to its first `@`, unescaped, lower-cased unless Kamailio is case-sensitive. People mean
    /// what [`name`](Self::name) says.
    2 Username username: Text = Name "username" "VARCHAR(64) DEFAULT '' NOT NULL";
    /// `domain`: the AoR from its first `@`; `None` with `use_domain=0`.
    3 Domain domain: Option<Text> = Domain "domain" "VARCHAR(64) DEFAULT NULL";
    /// `contact`: the bare contact URI.
    4 Contact contact: Text = Name "contact" "VARCHAR(512) DEFAULT '' NOT NULL";
    /// `received`: the URI of the packet's source.
    5 Received received: Option<Text> = Text "received" "VARCHAR(128) DEFAULT NULL";
    /// `path`: the whole Path header value.
    6 Path path: Option<Text> = Text "path" "VARCHAR(512) DEFAULT NULL";
    /// `expires`.
    7 Expires expiry: Expiry = Expiry "expires"
        "TIMESTAMP WITHOUT TIME ZONE DEFAULT '2030-05-28 21:32:15' NOT NULL";
    /// `last_modified`, Unix seconds: when Kamailio handled the last REGISTER; 0 of a contact that came by RPC,
    /// [`TIME_UNKNOWN`](super::TIME_UNKNOWN) where it cannot be read.
    8 LastModified last_modified: i64 = Moment "last_modified"
        "TIMESTAMP WITHOUT TIME ZONE DEFAULT '2000-01-01 00:00:01' NOT NULL";
    /// `q`, where the phone sent one.
    9 Q q: Option<f64> = Preference "q" "REAL DEFAULT 1.0 NOT NULL";
    /// `callid`.
    10 CallId call_id: Option<Text> = Text "callid" "VARCHAR(255) DEFAULT 'Default-Call-ID' NOT NULL";
    /// `cseq`.
    11 Cseq cseq: Option<Number> = Number "cseq" "INTEGER DEFAULT 1 NOT NULL";
    /// `flags`.
    12 Flags flags: Option<Number> = Number "flags" "INTEGER DEFAULT 0 NOT NULL";
    /// `cflags`.
    13 Cflags cflags: Option<Number> = Number "cflags" "INTEGER DEFAULT 0 NOT NULL";
    /// `user_agent`; absent when empty or Kamailio's `n/a`.
    14 UserAgent user_agent: Option<Text> = Agent "user_agent" "VARCHAR(255) DEFAULT '' NOT NULL";
    /// `socket`: `proto:address:port` of the socket that received the REGISTER.
    15 Socket socket: Option<Text> = Text "socket" "VARCHAR(64) DEFAULT NULL";
    /// `methods`: bit mask.
    16 Methods methods: Option<Number> = Number "methods" "INTEGER DEFAULT NULL";
    /// `instance`: `+sip.instance` with its angle brackets (RFC 5626).
    17 Instance instance: Option<Text> = Text "instance" "VARCHAR(255) DEFAULT NULL";
    /// `reg_id` (RFC 5626); absent when 0.
    18 RegId reg_id: Option<Number> = FlowId "reg_id" "INTEGER DEFAULT 0 NOT NULL";
    /// `server_id`.
    19 ServerId server_id: Option<Number> = Number "server_id" "INTEGER DEFAULT 0 NOT NULL";
}

impl Column {
    /// Whether a row without a value in this column cannot be a binding.
    #[must_use]
    pub const fn is_needed(self) -> bool {
        matches!(self.kind(), Kind::Name | Kind::Expiry)
    }

    /// Whether many rows say the same: domains, phone models, sockets.
    pub(super) fn is_shared(self) -> bool {
        matches!(self, Self::Domain | Self::UserAgent | Self::Socket)
    }
}
