//! What `check-config` tells about hooks: those that nothing will be sent to, and those whose events others can read.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use super::address::{bare, is_private_host, is_public};
use crate::config::Webhook;

/// How long names are looked up; nobody wants to wait for a resolver that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sentences about the hooks, each a warning. Looks their names up.
#[must_use]
pub fn warnings(hooks: &[Webhook]) -> Vec<String> {
    hooks.iter().flat_map(|hook| about(hook, look_up)).collect()
}

/// Sentences about one hook.
fn about(hook: &Webhook, look_up: fn(&str) -> Vec<SocketAddr>) -> Vec<String> {
    let (name, host) = (&hook.name, hook.url.host().unwrap_or_default());
    let mut warnings = Vec::new();
    let nothing = |reason: String| {
        format!(
            "webhook {name}: nothing will be sent, because {reason}; set allow_private = true if that is intended"
        )
    };
    let is_address = bare(host).parse::<std::net::IpAddr>().is_ok();
    if !hook.allow_private && is_private_host(host) {
        warnings.push(nothing(format!("{host} is not a public address")));
    } else if !hook.allow_private && !is_address {
        let found = look_up(host);
        if let [first, ..] = found.as_slice()
            && found.iter().all(|it| !is_public(it.ip()))
        {
            let address = first.ip();
            warnings.push(nothing(format!("{host} is {address}, which is not public")));
        }
    }
    if hook.url.scheme_str() == Some("http") && !is_private_host(host) {
        warnings.push(format!(
            "webhook {name}: events go over plain HTTP, where anyone in between can read them; use https"
        ));
    }
    warnings
}

/// The addresses of a name; none where it has none, or is not found in time.
fn look_up(host: &str) -> Vec<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    // Ends with the process if the resolver never answers.
    std::thread::spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        // Nobody listens any more where it took too long.
        let _ = sender.send(found.map(Iterator::collect).unwrap_or_default());
    });
    receiver.recv_timeout(PATIENCE).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn told(url: &str, allow_private: bool) -> Vec<String> {
        let text = format!(
            "[[webhook]]\nname = \"crm\"\nurl = \"{url}\"\nsecret_file = \"/s\"\nallow_private = {allow_private}"
        );
        let config = Config::parse(&text, "f").unwrap();
        about(&config.webhooks[0], |host| match host {
            "inside.test" => vec!["10.0.0.5:0".parse().unwrap()],
            "both.test" => vec!["10.0.0.5:0".parse().unwrap(), "1.1.1.1:0".parse().unwrap()],
            _ => Vec::new(),
        })
    }

    #[test]
    fn a_hook_that_nothing_will_be_sent_to_is_reported() {
        for url in [
            "https://127.0.0.1/x",
            "https://[::1]:8443/x",
            "https://localhost/x",
            "https://192.168.1.1/x",
            "https://inside.test/x",
        ] {
            let warnings = told(url, false);
            assert!(
                matches!(&warnings[..], [one] if one.contains("nothing will be sent")),
                "{url}: {warnings:?}"
            );
            assert_eq!(told(url, true), [""; 0], "{url}");
        }
        let told_inside = told("https://inside.test/x", false);
        assert!(
            told_inside[0].contains("inside.test is 10.0.0.5"),
            "{told_inside:?}"
        );
        for url in [
            "https://1.1.1.1/x",
            "https://both.test/x",
            "https://unknown.test/x",
        ] {
            assert_eq!(told(url, false), [""; 0], "{url}");
        }
    }

    #[test]
    fn plain_http_to_a_public_address_is_reported() {
        let warnings = told("http://1.1.1.1/x", false);
        assert!(warnings[0].contains("plain HTTP"), "{warnings:?}");
        assert_eq!(told("http://127.0.0.1/x", true), [""; 0]);
    }
}
