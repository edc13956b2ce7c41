//! `usrlocd webhook`: sends a test to the receiver of a webhook.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};

use super::configuration::{Configuration, ConfigurationFile};
use super::output::{hint, print};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Webhook};
use crate::daemon::Failure;
use crate::document::nearest;
use crate::terminal::printable_lines;
use crate::webhook::{self, Hook, Outcome, Secret};

const EXAMPLES: &str = "\
Examples:
  usrlocd webhook test crm
      send one test event to the receiver of the webhook called crm

Exit status:
  0 the receiver answered 2xx, 1 anything else, 64 usage, 77 permission, 78 configuration";

const TEST: &str = "\
Examples:
  usrlocd webhook test crm
  usrlocd webhook test crm --config new.toml

The event has the type org.usrlocd.test.v1 (with format = \"kazoo\", event_name
\"test\") and is signed like any other. It needs only the configuration, not a running
daemon. The daemon's systemd unit blocks addresses that your shell can reach: see the
operations guide.

Exit status:
  0 the receiver answered 2xx, 1 anything else, 64 usage, 77 permission, 78 configuration";

/// Test webhooks
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct WebhookVerb {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Send one test event to the receiver of a webhook
    #[command(after_long_help = TEST)]
    Test(Test),
}

#[derive(Debug, Args)]
struct Test {
    /// The name of the webhook in the configuration
    name: String,

    #[command(flatten)]
    file: ConfigurationFile,
}

impl WebhookVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Verb::Test(test) = self.verb;
        test.run()
    }
}

impl Test {
    fn run(self) -> Result<(), Failure> {
        let config = Configuration::of(self.file.config).load()?.config;
        let config_of_hook = find(&config, &self.name)?.clone();
        let (secret, warning) =
            Secret::read(&config_of_hook.secret_file).map_err(crate::config::Problems::from)?;
        if let Some(warning) = warning {
            hint(format_args!("warning: {warning}"));
        }
        let hook = Hook {
            config: config_of_hook,
            secret,
        };
        let origin = hook.config.origin();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let started = clock.monotonic();
        let outcome = send(hook, &config, &clock)?;
        let took = clock.monotonic().saturating_sub(started);
        report(&origin, &outcome, took)
    }
}

fn find<'a>(config: &'a Config, name: &str) -> Result<&'a Webhook, Failure> {
    let hooks = &config.webhooks;
    hooks.iter().find(|hook| hook.name == name).ok_or_else(|| {
        let names = || hooks.iter().map(|hook| hook.name.as_str());
        let hint = match nearest(name, names()) {
            Some(close) => format!("did you mean {close}?"),
            None if hooks.is_empty() => "none are configured".to_owned(),
            None => format!("configured: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Failure::Failed(anyhow!("there is no webhook called {name}; {hint}"))
    })
}

fn send(hook: Hook, config: &Config, clock: &Arc<dyn Clock>) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")
        .map_err(Failure::System)?;
    let node = rustix::system::uname();
    let node = node.nodename().to_string_lossy();
    let outcome = runtime.block_on(webhook::test(hook, &node, config.http.wire, clock));
    // A resolver that does not answer is not waited for.
    runtime.shutdown_background();
    outcome
        .context("no random numbers")
        .map_err(Failure::System)
}

fn report(origin: &str, outcome: &Outcome, took: Duration) -> Result<(), Failure> {
    let line = format!("{origin}: {outcome} ({} ms)", took.as_millis());
    match outcome {
        Outcome::Delivered(_) => print(&printable_lines(&format!("{line}\n"))),
        Outcome::Failed(_) | Outcome::Gone | Outcome::Refused { .. } => {
            Err(Failure::Failed(anyhow!(line)))
        }
    }
}
