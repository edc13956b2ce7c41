//! One test binary; each module is a subject.

mod floors;
mod lab;

#[path = "support/lib.rs"]
#[expect(dead_code, reason = "the demo shares it, and neither needs all of it")]
mod support;
