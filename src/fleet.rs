//! The fleet: many nodes, each beside its Kamailio, with one `PostgreSQL` between them where each publishes what its lists
//! show.
//!
//! What is visible of a registration is a row of the database, as the bytes of a [`record`]. What a mere refresh moves
//! is in [`block`]s of many registrations, which cost a few bytes for each refresh. A [`Publisher`] follows the
//! registry's feed and writes both; it never keeps more than the latest of each row, and nothing waits for it. Its node
//! has an [`identity`] and an epoch, which each of its transactions checks: an older process of the node, or a copy of
//! its machine, writes nothing.
//!
//! The [`Fleet`] [reads](read) it all for whoever asks about every node, and tells by the states of the [`nodes`] what
//! that is worth. What only a node can do is [asked](ask) of it by an [`intent`](intent::Work), which its [`Claims`] takes up.

pub mod ask;
pub mod block;
mod claims;
mod connection;
pub mod cursor;
mod error;
pub mod event_record;
pub mod flapping;
mod following;
pub mod history;
pub mod identity;
mod inspect;
pub mod intent;
mod ledger;
mod left;
pub mod log;
mod node;
pub mod nodes;
mod outbox;
mod publish;
pub mod read;
mod reader;
pub mod record;
mod scan;
pub mod schema;
mod slots;
mod status;
mod superseded;
mod sync;
pub mod tail;
mod whose;
mod write;

pub use claims::Claims;
pub use connection::connect;
pub use error::Error;
pub use inspect::{Inspection, inspect};
pub use publish::{Options, Publisher};
pub use reader::{Fleet, Forgotten};
pub use status::{CLOCKS_APART_MS, Status};
