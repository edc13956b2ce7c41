//! The flush.
