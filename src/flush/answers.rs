//! What Kamailio answers about an address of record, and whether that is credible.

pub(super) mod breaker;
pub(super) mod credibility;
pub(super) mod lookup;
pub(super) mod memory;
