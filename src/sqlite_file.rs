//! The passive reader.
