//! Sorted lists of rows: their order, what is found in them by name, and which of several rows of a contact they show.

pub(super) mod identity;
pub(super) mod index;
pub(super) mod listing;
pub(super) mod named;
pub(super) mod order;
