//! One test binary; each module is a subject.

mod administered;
mod api;
mod cli;
mod clock;
mod doctor;
mod floors;
mod flush;
mod harmless;
mod lab;
mod lifecycle;
mod metrics;
mod mirror;
mod operations;
mod oracle;
mod owners;
mod package;
mod reload;
mod restart;
mod service;
mod stalls;
mod tables;

#[path = "support/lib.rs"]
#[expect(dead_code, reason = "the demo shares it, and neither needs all of it")]
mod support;
