//! The log of events: append-only, numbered, on disk and for a while in memory. The stream, the history and webhooks read
//! it.

mod file;

pub use file::{Error, History, Of, Options, Query, ReadError};
