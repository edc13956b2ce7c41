//! The log of events: append-only, numbered, on disk and for a while in memory. The stream, the history and webhooks read
//! it.
