//! Our own store.
