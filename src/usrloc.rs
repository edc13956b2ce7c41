//! The usrloc tables.
