//! Flushing against a fake of Kamailio: every answer that a real one cannot be made to give at the right moment.

mod also;
mod ambiguous;
mod belief;
mod confirm;
mod fake;
mod leftover;
mod noted;
mod owners;
mod recheck;
mod refused;
mod singly;
mod site;
mod withdrawn;
