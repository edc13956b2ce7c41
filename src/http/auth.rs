//! Who calls, and what they may do.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod authorization;
pub(crate) mod cross_site;
pub(crate) mod host;
pub(crate) mod jwt;
pub(crate) mod peer;
pub(crate) mod peer_group;
