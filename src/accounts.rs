//! Accounts: who owns a binding. The directory names accounts and devices; resolving makes a binding a registration.

pub mod directory;
mod resolve;

pub use directory::Directory;
pub use resolve::{Naming, Resolved, Resolver};
pub(crate) use resolve::{contact_address, source_address};
