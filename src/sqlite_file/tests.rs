//! Tests against real SQLite, which runs in a process of its own: locks of one process do not meet.

mod active;
mod alone;
mod audit;
mod concurrent;
mod deaths;
mod differential;
mod faults;
mod figures;
mod garbage;
mod locked;
mod mass_removal;
mod news;
mod replaced;
mod roots;
mod rules;
mod support;
