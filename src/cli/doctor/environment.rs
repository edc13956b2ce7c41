//! What systemd's unit adds to the configuration, and what it forbids.

use std::net::IpAddr;
use std::path::Path;

use super::super::systemd_env::{Unit, warning};
use super::findings::{Findings, Group};
use super::remedies::shell;
use crate::config::Config;
use crate::kamailio::Endpoint;

const GROUP: Group = Group::Configuration;

/// Checks them on the machine whose root directory is `root`.
pub(super) fn check(root: &Path, config: &Config, findings: &mut Findings) {
    let unit = Unit::read(root);
    if !unit.is_there {
        return;
    }
    let unseen = unit.unseen();
    if let Some(warning) = warning(&unseen) {
        let message = format!(
            "Note that {warning}: the findings below are for a different configuration than the daemon's. Run with these variables:"
        );
        let variables: Vec<String> = unseen
            .iter()
            .map(|it| format!("{}={}", it.name, shell(&it.value)))
            .collect();
        let remedy = [format!("env {} usrlocd doctor", variables.join(" "))];
        findings.warn(GROUP, "environment", message, remedy);
    }
    let far = far(config);
    if !far.is_empty() && !unit.opens_addresses {
        let message = format!(
            "{} beyond this machine's loopback, which is all that the unit allows (IPAddressDeny=any): other packets are silently dropped. Name the allowed addresses (systemctl edit usrlocd), then restart:",
            far.join(" and ")
        );
        let remedy = ["[Service]\nIPAddressAllow=192.0.2.0/24".to_owned()];
        findings.warn(GROUP, "addresses", message, remedy);
    }
}

/// What of the configuration needs more than loopback, in words.
fn far(config: &Config) -> Vec<String> {
    let addresses = config.http.listen.iter();
    let listen: Vec<String> = addresses
        .filter(|address| !address.ip().to_canonical().is_loopback())
        .map(ToString::to_string)
        .collect();
    let mut far = Vec::new();
    if !listen.is_empty() {
        far.push(format!("[http] listen has {}", listen.join(", ")));
    }
    for (_, address) in config.kamailio.endpoints() {
        if let Ok(Endpoint::Http(uri)) = address.parse()
            && let Some(host) = far_host(&uri)
        {
            far.push(format!("[kamailio] jsonrpc points to {host}"));
        }
    }
    for hook in &config.webhooks {
        if let Some(host) = far_host(&hook.url) {
            far.push(format!("webhook {} sends to {host}", hook.name));
        }
    }
    far
}

/// The host, unless it is this machine's loopback.
fn far_host(uri: &http::Uri) -> Option<&str> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = |it: IpAddr| it.to_canonical().is_loopback();
    let is_near = host == "localhost" || host.parse().is_ok_and(is_loopback);
    (!is_near).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn said(root: &Path, toml: &str) -> String {
        let config = Config::parse(toml, "x").unwrap();
        let mut findings = Findings::default();
        check(root, &config, &mut findings);
        findings.text("x")
    }

    #[test]
    fn addresses_that_the_unit_forbids_are_told() {
        let root = tempfile::TempDir::new().unwrap();
        let far = "[http]\nlisten = [\"127.0.0.1:1\", \"0.0.0.0:8000\"]\n[kamailio]\njsonrpc = \"http://192.0.2.7:5060/RPC\"\n[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com/x\"\nsecret_file = \"/s\"\n";
        assert!(!said(root.path(), far).contains("warn"), "there is no unit");
        let units = root.path().join("etc/systemd/system");
        let drop_ins = units.join("usrlocd.service.d");
        fs::create_dir_all(&drop_ins).unwrap();
        fs::write(units.join("usrlocd.service"), "").unwrap();
        let text = said(root.path(), far);
        for words in [
            "0.0.0.0:8000",
            "192.0.2.7",
            "webhook crm sends to crm.example.com",
            "IPAddressAllow=192.0.2.0/24",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("127.0.0.1"), "{text}");
        assert!(!said(root.path(), "").contains("warn"));
        fs::write(drop_ins.join("a.conf"), "[Service]\nIPAddressAllow=any\n").unwrap();
        assert!(!said(root.path(), far).contains("warn"));
    }

    #[test]
    fn variables_of_the_unit_are_told() {
        let root = tempfile::TempDir::new().unwrap();
        for folder in ["etc/default", "etc/systemd/system"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("etc/systemd/system/usrlocd.service"), "").unwrap();
        let file = root.path().join("etc/default/usrlocd");
        fs::write(file, "USRLOCD_HTTP__MAX_LAG=\"9s\"\n").unwrap();
        let text = said(root.path(), "");
        assert!(
            text.contains("env USRLOCD_HTTP__MAX_LAG=9s usrlocd doctor"),
            "{text}"
        );
    }
}
