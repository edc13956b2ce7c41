//! Webhooks: events sent to HTTP receivers, from the log, at least once and in order.
//!
//! Each hook has one task, which reads the log behind the hook's cursor, sends what the hook wants, and moves the cursor
//! once the receiver has it. There is no queue: what is not sent yet is in the log. A receiver that fails is tried again
//! with growing pauses and holds up no other hook; where the log does not keep what a hook has not got, the hook gets a
//! `gap`.

mod address;
mod backoff;
mod body;
mod check;
mod client;
mod cursor;
mod parts;
mod resolver;
mod secret;
mod sender;
mod source;
mod supervisor;

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, Problem, Problems, Webhook};
use crate::events::json::LogId;
use crate::registration::item::Wire;
pub use check::warnings;
pub use client::{Failure, Outcome};
pub use cursor::CursorFile;
pub use parts::Parts;
pub use secret::Secret;
pub use source::Source;
pub use supervisor::run;

use body::Writer;
use client::{Client, Post as _, system_tls};

/// The number of an event, and the log that it is of.
pub type Position = (LogId, u64);

/// A hook: what is configured, and its secret.
#[derive(Clone, PartialEq, Debug)]
pub struct Hook {
    /// What is configured.
    pub config: Webhook,
    /// What signs.
    pub secret: Secret,
}

/// The hooks of a configuration, and sentences about their secrets, each a warning.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The hooks.
    pub hooks: Vec<Hook>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Reads the secrets of all hooks.
///
/// # Errors
/// Every file that cannot be read or has no secret in it.
pub fn load(config: &Config) -> Result<Loaded, Problems> {
    let mut loaded = Loaded::default();
    let mut problems: Vec<Problem> = Vec::new();
    for config in &config.webhooks {
        match Secret::read(&config.secret_file) {
            Ok((secret, warning)) => {
                let config = config.clone();
                loaded.hooks.push(Hook { config, secret });
                loaded.warnings.extend(warning);
            }
            Err(problem) => problems.push(problem),
        }
    }
    match Problems::of(problems) {
        Some(problems) => Err(problems),
        None => Ok(loaded),
    }
}

/// Sends one message that tells that it is a test.
///
/// # Errors
/// Where no random id can be had.
pub async fn test(
    hook: Hook,
    node: &str,
    wire: Wire,
    clock: &Arc<dyn Clock>,
) -> Result<Outcome, getrandom::Error> {
    let now = clock.unix_seconds();
    let writer = Writer {
        hook: &hook.config,
        accounts: None,
        wire,
        node,
        log: LogId(0),
        now,
    };
    let message = writer.test(format!("test-{:016x}", getrandom::u64()?));
    Ok(Client::new(hook.clone(), system_tls())
        .post(&message, now)
        .await)
}

#[cfg(test)]
mod tests;
