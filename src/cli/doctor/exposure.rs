//! Who can use Kamailio's JSON-RPC, and so do anything to Kamailio.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use super::acl::Want;
use super::findings::{Findings, Group};
use super::identity::{Identity, user_name};
use super::remedies::{group_of, shell};
use crate::kamailio::{Endpoint, Kamailio, Options};

const GROUP: Group = Group::Kamailio;
const CHECK: &str = "exposure";

/// How long an address of this machine may take to answer where it should not.
const KNOCK: Duration = Duration::from_millis(500);

/// What keeps strangers from JSON-RPC over HTTP, with the modules that it needs.
pub(super) const GUARD: &str = "tcp_accept_no_cl=yes
loadmodule \"xhttp.so\"
loadmodule \"jsonrpcs.so\"
modparam(\"jsonrpcs\", \"transport\", 1)
event_route[xhttp:request] {
    if ($si != \"127.0.0.1\" && $si != \"::1\") { xhttp_reply(\"403\", \"Forbidden\", \"text/plain\", \"\"); exit; }
    if ($hu =~ \"^/RPC\") { jsonrpc_dispatch(); exit; }
    xhttp_reply(\"404\", \"Not Found\", \"text/plain\", \"\");
}";

/// What makes the socket, for its owner and group alone.
pub(super) fn datagram(socket: &Path) -> String {
    format!(
        "loadmodule \"jsonrpcs.so\"
modparam(\"jsonrpcs\", \"transport\", 4)
modparam(\"jsonrpcs\", \"dgram_socket\", \"{}\")
modparam(\"jsonrpcs\", \"dgram_mode\", 0660)",
        socket.display()
    )
}

/// The other addresses of this machine on which JSON-RPC is answered.
pub(super) async fn knock(endpoint: &Endpoint) -> Vec<IpAddr> {
    let Endpoint::Http(uri) = endpoint else {
        return Vec::new();
    };
    let port = uri.port_u16().unwrap_or(80);
    let path = uri.path();
    let mut open = Vec::new();
    for address in addresses() {
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let Ok(endpoint) = format!("http://{host}:{port}{path}").parse() else {
            continue;
        };
        let elsewhere = Kamailio::new(Options {
            endpoint,
            timeout: KNOCK,
            connections: 1,
        });
        if elsewhere.version().await.is_ok() {
            open.push(address);
        }
    }
    open
}

/// Judges who may reach JSON-RPC; `open` are the addresses that [`knock`] found.
pub(super) fn check(
    endpoint: &Endpoint,
    open: &[IpAddr],
    identity: &Identity,
    findings: &mut Findings,
) {
    match endpoint {
        Endpoint::Http(uri) => over_http(uri.host().unwrap_or_default(), open, findings),
        Endpoint::Unixgram(socket) => over_socket(socket, identity, findings),
    }
}

fn over_http(host: &str, open: &[IpAddr], findings: &mut Findings) {
    let host = host.trim_matches(['[', ']']);
    let is_loopback =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    if !open.is_empty() {
        let open: Vec<String> = open.iter().map(ToString::to_string).collect();
        let message = format!(
            "JSON-RPC is open on {}: anyone who reaches that address can remove registrations. Restrict it to this machine in kamailio.cfg:",
            open.join(", ")
        );
        findings.fail(GROUP, CHECK, message, [GUARD.to_owned()]);
    } else if is_loopback {
        findings.ok(
            GROUP,
            CHECK,
            "JSON-RPC is not open on this machine's other addresses.",
        );
    } else {
        let message = format!(
            "[kamailio] jsonrpc points to {host}, which is not this machine's loopback: calls cross the network unencrypted and without a password, and the unit's IPAddressDeny= forbids them. Better:"
        );
        findings.warn(
            GROUP,
            CHECK,
            message,
            ["jsonrpc = \"http://127.0.0.1:5060/RPC\"".to_owned()],
        );
    }
}

fn over_socket(socket: &Path, identity: &Identity, findings: &mut Findings) {
    let shown = socket.display();
    let Ok(status) = fs::symlink_metadata(socket).and_then(|_| fs::metadata(socket)) else {
        return;
    };
    let mode = status.mode() & 0o777;
    let owners = format!(
        "{}:{}, {mode:04o}",
        user_name(status.uid()),
        group_of(socket)
    );
    if !status.file_type().is_socket() {
        let message = format!("{shown} is not a socket. Have Kamailio create it, in kamailio.cfg:");
        findings.fail(GROUP, CHECK, message, [datagram(socket)]);
    } else if mode & 0o002 != 0 && Identity::stranger().may(socket, Want::Write) {
        let message = format!(
            "Everyone on this machine can send to the JSON-RPC socket {shown} ({owners}), and so remove registrations. In kamailio.cfg:"
        );
        findings.fail(GROUP, CHECK, message, [datagram(socket)]);
    } else if let Some(obstacle) = identity.obstacle(socket, Want::Write) {
        let message = format!(
            "The user {identity} cannot send to the JSON-RPC socket {shown} ({owners}): no access to {}. Add the user to the group, and grant the group access (dgram_mode 0660 in kamailio.cfg):",
            obstacle.display()
        );
        let remedy = format!(
            "usermod -aG kamailio {identity} && chgrp kamailio {0} && chmod g+w {0} && systemctl restart usrlocd",
            shell(&shown)
        );
        findings.fail(GROUP, CHECK, message, [remedy]);
    } else {
        let message =
            format!("JSON-RPC uses a local socket ({owners}), which the user {identity} can use.");
        findings.ok(GROUP, CHECK, message);
    }
}

/// The addresses of this machine that others can reach.
fn addresses() -> BTreeSet<IpAddr> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let four = local(&read("/proc/net/fib_trie"))
        .into_iter()
        .map(IpAddr::V4);
    let six = local6(&read("/proc/net/if_inet6"))
        .into_iter()
        .map(IpAddr::V6);
    four.chain(six).collect()
}

/// The local addresses in the text of `/proc/net/fib_trie`: a line with the address, then `/32 host LOCAL`.
fn local(trie: &str) -> BTreeSet<Ipv4Addr> {
    let pairs = trie.lines().zip(trie.lines().skip(1));
    let local = pairs.filter(|(_, kind)| kind.contains("/32 host LOCAL"));
    let addresses = local.filter_map(|(line, _)| line.split_whitespace().last()?.parse().ok());
    addresses
        .filter(|it: &Ipv4Addr| !it.is_loopback())
        .collect()
}

/// The addresses in the text of `/proc/net/if_inet6`, whose lines begin with 32 digits. Those of a link alone need
/// an interface to be reached, and say nothing that the others do not.
fn local6(table: &str) -> BTreeSet<Ipv6Addr> {
    let address = |line: &str| {
        let bits = u128::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
        Some(Ipv6Addr::from_bits(bits))
    };
    table
        .lines()
        .filter_map(address)
        .filter(|it| !it.is_loopback() && !it.is_unicast_link_local())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn addresses_of_this_machine() {
        let trie = "  +-- 10.0.0.0/24 2 0 2\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local(trie), [Ipv4Addr::new(10, 0, 0, 5)].into());
        let table = "20010db8000000000000000000000007 02 40 00 80     eth0\nfe800000000000000000000000000001 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(local6(table), ["2001:db8::7".parse().unwrap()].into());
    }

    #[test]
    fn a_datagram_socket_is_for_its_group_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let socket = folder.path().join("rpc.sock");
        let _kept = UnixDatagram::bind(&socket).unwrap();
        let status = fs::metadata(&socket).unwrap();
        let said = |mode, identity: &Identity| {
            fs::set_permissions(&socket, fs::Permissions::from_mode(mode)).unwrap();
            let mut findings = Findings::default();
            let endpoint = Endpoint::Unixgram(socket.clone());
            check(&endpoint, &[], identity, &mut findings);
            findings.json("x")
        };
        let member = Identity::testing(4711, &[status.gid()]);
        let stranger = Identity::testing(4711, &[]);
        assert!(said(0o660, &member).contains("can use"));
        assert!(said(0o660, &stranger).contains("cannot send"));
        assert!(said(0o666, &member).contains("Everyone on this machine"));
    }
}
