//! Flushing against a fake of Kamailio: every answer that a real one cannot be made to give at the right moment.

mod ambiguous;
mod confirm;
mod credibility;
mod extra_calls;
mod fake;
mod intent;
mod leftover;
mod owners;
mod recheck;
mod refused;
mod singly;
mod site;
mod unanswered;
mod withdrawn;
