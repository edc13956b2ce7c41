//! Who calls, what they may do, and how often.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod admission;
pub(crate) mod authorization;
pub(crate) mod credential;
pub(crate) mod cross_site;
pub(crate) mod grant;
pub(crate) mod host;
pub(crate) mod jwt;
pub(crate) mod limits;
pub(crate) mod peer;
pub(crate) mod peer_group;
