//! Consumers: each follows the registry's feed at its own pace, and nothing waits for it.

mod pending;
pub mod store;
pub mod write_behind;
