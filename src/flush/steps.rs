//! The steps of the protocol in [`flush_one`](super::flush_one).

pub(super) mod extra_calls;
pub(super) mod intent;
pub(super) mod judge;
pub(super) mod look;
pub(super) mod removal;
pub(super) mod run;
pub(super) mod singly;
