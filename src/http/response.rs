//! How answers are written.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod cache;
pub(crate) mod envelope;
pub(crate) mod fleet;
pub(crate) mod indent;
pub(crate) mod page;
pub(crate) mod revision;
pub(crate) mod view;
