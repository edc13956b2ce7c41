//! How answers are written.

pub(crate) mod body;
pub(crate) mod cache;
pub(crate) mod envelope;
