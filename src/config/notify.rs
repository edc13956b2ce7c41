//! `[notify]`: what phones may be asked to do, and how long they are waited for.

use std::time::Duration;

use super::values::{self, unique};
use crate::document::{Item, Reader, quoted};

/// The event of phones that are to fetch their configuration anew: no standard, yet most phones know it.
pub const CHECK_SYNC: &str = "check-sync";

/// Longer than Kamailio's own timer runs by default nobody need wait.
const LONGEST: Duration = Duration::from_secs(30);

/// How phones are asked to act.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notify {
    /// Events that callers may choose beside `check-sync`, as the header `Event` has them.
    pub events: Vec<String>,
    /// How long a phone's answer is waited for; more than zero.
    pub timeout: Duration,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            timeout: Duration::from_secs(5),
        }
    }
}

impl Notify {
    /// All events that callers may choose, `check-sync` first.
    #[must_use]
    pub fn choice(&self) -> Vec<String> {
        let others = self.events.iter().filter(|event| *event != CHECK_SYNC);
        let always = CHECK_SYNC.to_owned();
        std::iter::once(always).chain(others.cloned()).collect()
    }
}

pub(super) fn apply(into: &mut Notify, table: &mut Reader<'_>) {
    if let Some(events) = table.list("events", unique(event)) {
        into.events = events;
    }
    table.set("timeout", &mut into.timeout, timeout);
}

/// The value of a header `Event` (RFC 6665, 8.2.1): a token, and parameters behind it.
fn event(item: &Item) -> Result<String, String> {
    let text = values::word(item)?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    let is_param = |c: char| is_token(c) || "=:/".contains(c);
    let mut parts = text.split(';');
    let package = parts.next().unwrap_or_default();
    let good = |part: &str, is: &dyn Fn(char) -> bool| !part.is_empty() && part.chars().all(is);
    if good(package, &is_token) && parts.all(|part| good(part, &is_param)) {
        Ok(text)
    } else {
        let quoted = quoted(&text);
        Err(format!(
            "{quoted} is not an event; write for instance \"resync\" or \"reboot\""
        ))
    }
}

fn timeout(item: &Item) -> Result<Duration, String> {
    let timeout = super::duration::duration(item)?;
    if timeout > LONGEST {
        return Err("Kamailio itself waits 30 s for a phone; use at most \"30s\"".to_owned());
    }
    Ok(timeout)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn events_are_values_of_the_header() {
        let text = "[notify]\nevents = [\"resync\", \"check-sync\", \"x;reboot=true\"]\ntimeout = \"2s\"\n";
        let config = Config::parse(text, "f").unwrap();
        assert_eq!(
            config.notify.choice(),
            ["check-sync", "resync", "x;reboot=true"]
        );
        let text = "[notify]\nevents = [\"a b\", \"a\\r\\nX: 1\", \"a<b\", \"a;\", \"\", \"a\", \"a\"]\ntimeout = \"31s\"\n";
        insta::assert_snapshot!(Config::parse(text, "f").unwrap_err(), @r#"
        f:2:11: "a b" is empty or contains a space; write one word
        f:2:18: "…" is empty or contains a space; write one word
        f:2:31: "a<b" is not an event; write for instance "resync" or "reboot"
        f:2:38: "a;" is not an event; write for instance "resync" or "reboot"
        f:2:44: "" is empty or contains a space; write one word
        f:2:53: "a" is listed twice; remove one
        f:3:11: Kamailio itself waits 30 s for a phone; use at most "30s"
        "#);
    }
}
