//! One test binary; each module is a subject.

mod administered;
mod api;
mod bindings;
mod browser;
mod cli;
mod clock;
mod contract;
mod descriptors;
mod doctor;
mod events;
mod fleet;
mod fleet_answers;
mod fleet_events;
mod floors;
mod flush;
mod found;
mod harmless;
mod history;
mod intents;
mod lab;
mod lifecycle;
mod metrics;
mod mirror;
mod notify;
mod operations;
mod oracle;
mod owners;
mod package;
mod page;
mod reading;
mod ready;
mod reload;
mod restart;
mod rows;
mod servers;
mod service;
mod sessions;
mod stalls;
mod store;
mod tables;
mod unreadable;
mod warm;
mod webhook;

#[path = "support/lib.rs"]
#[expect(dead_code, reason = "the demo shares it, and neither needs all of it")]
mod support;
