//! When a removal may start: one at a time on an address of record, in its turn, while nobody writes.

pub(super) mod aor_lock;
pub(super) mod pace;
pub(super) mod queue;
pub(super) mod quiet;
pub(super) mod write_mode;
