//! Consumers: who follows what the registry shows.

mod pending;
pub mod store;
pub mod write_behind;
