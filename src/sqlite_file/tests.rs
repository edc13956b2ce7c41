//! Tests against real SQLite, which runs in a process of its own: locks of one process do not meet.

mod concurrent;
mod deaths;
mod differential;
mod faults;
mod figures;
mod garbage;
mod locked;
mod replaced;
mod rules;
mod support;
