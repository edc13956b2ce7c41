//! What readers get: registrations of one moment, in order.

use std::sync::Arc;

use super::order::Position;
use crate::registration::Registration;

/// Registrations in the order of lists, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The registrations.
    pub registrations: Vec<Arc<Registration>>,
    /// Sum of their digests: it changes whenever the set or the content changes.
    pub revision: u64,
}

/// A part of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The registrations, each with its place.
    pub registrations: Vec<(Position, Arc<Registration>)>,
    /// Whether more follow.
    pub more: bool,
    /// The revision of the whole listing.
    pub revision: u64,
}
