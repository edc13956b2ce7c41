//! `usrlocd ui`: where the page for browsers is, and how to reach it from another machine.

use std::env;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;

use super::configuration::ConfigurationFile;
use super::output::print;
use crate::config::{self, Loaded, environment};
use crate::daemon::Failure;

const EXAMPLES: &str = "\
Examples:
  usrlocd ui
      the address, and the ssh command that brings the page to another machine

The page asks for a token (`usrlocd token new --name NAME`), except over the Unix
socket: there the user who runs ssh must be root or in the socket's group.

Exit status:
  0 success, 1 there is no page, 64 usage, 77 permission, 78 configuration";

/// The local port that an ssh command forwards.
const PORT: u16 = 8000;

/// Print where the page for browsers is
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Ui {
    #[command(flatten)]
    file: ConfigurationFile,
}

/// This machine, as others reach it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Machine {
    /// Its name.
    node: String,
    /// What ssh is to be given.
    login: String,
}

impl Ui {
    pub(super) fn run(self) -> Result<(), Failure> {
        let loaded = Loaded::load(self.file.config.as_deref(), environment(), &[])?;
        let told = told(&loaded.config.http, &Machine::this());
        let told = told.ok_or_else(|| {
            Failure::Failed(anyhow!(
                "there is no page: [http] ui is false in {}",
                loaded.file.display()
            ))
        })?;
        print(&told)
    }
}

impl Machine {
    fn this() -> Self {
        let system = rustix::system::uname();
        let node = system.nodename().to_string_lossy().into_owned();
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        // Client, its port, server, its port: this is the address by which ssh came in.
        let connection = variable("SSH_CONNECTION");
        let server = connection
            .as_deref()
            .and_then(|it| it.split(' ').nth(2))
            .unwrap_or(&node);
        let user = variable("SUDO_USER").or_else(|| variable("USER"));
        let login = match user {
            Some(user) => format!("{user}@{server}"),
            None => server.to_owned(),
        };
        Self { node, login }
    }
}

/// Where the page is; `None` where there is none.
fn told(http: &config::Http, machine: &Machine) -> Option<String> {
    if !http.ui {
        return None;
    }
    if let Some(url) = &http.public_url {
        return Some(format!("{}/ui/\n", url.trim_end_matches('/')));
    }
    let addresses = http.listen.iter().filter(|address| address.port() != 0);
    let mut told = String::new();
    let mut is_near = true;
    for address in addresses.clone() {
        is_near &= address.ip().to_canonical().is_loopback();
        told.push_str(&url(*address, machine));
    }
    if is_near {
        let first = addresses.clone().next().copied();
        told.push_str(&forward(http.socket.as_deref(), first, machine));
    }
    Some(told)
}

fn url(address: SocketAddr, machine: &Machine) -> String {
    if address.ip().is_unspecified() {
        format!("http://{}:{}/ui/\n", machine.node, address.port())
    } else {
        format!("http://{address}/ui/\n")
    }
}

/// How the page comes to another machine: over the socket, which needs no token, or over TCP.
fn forward(socket: Option<&Path>, address: Option<SocketAddr>, machine: &Machine) -> String {
    let login = &machine.login;
    let (to, token) = match (socket, address) {
        (Some(socket), _) => (socket.display().to_string(), "no token is needed"),
        (None, Some(address)) => (address.to_string(), "log in with a token"),
        (None, None) => return String::new(),
    };
    format!(
        "From another machine ({token}):\n  ssh -L {PORT}:{to} {login}\n  http://localhost:{PORT}/ui/\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(change: impl FnOnce(&mut config::Http)) -> Option<String> {
        let mut http = config::Http::default();
        change(&mut http);
        let machine = Machine {
            node: "sip1".to_owned(),
            login: "ann@192.0.2.1".to_owned(),
        };
        told(&http, &machine)
    }

    #[test]
    fn on_loopback_the_ssh_command_stands_beside_the_address() {
        let told = of(|_| {}).unwrap();
        let expected = "http://127.0.0.1:8000/ui/\nFrom another machine (no token is needed):\n  \
            ssh -L 8000:/run/usrlocd/usrlocd.sock ann@192.0.2.1\n  http://localhost:8000/ui/\n";
        assert_eq!(told, expected);
        let told = of(|http| http.socket = None).unwrap();
        assert!(
            told.contains("(log in with a token):\n  ssh -L 8000:127.0.0.1:8000 ann@192.0.2.1\n")
        );
        let told = of(|http| http.listen.clear()).unwrap();
        assert!(told.starts_with("From another machine"), "{told}");
        let told = of(|http| http.listen = vec!["127.0.0.1:0".parse().unwrap()]).unwrap();
        assert!(told.starts_with("From another machine"), "{told}");
    }

    #[test]
    fn an_address_that_others_reach_is_enough() {
        let told = of(|http| http.public_url = Some("https://sip.example.com/".to_owned()));
        assert_eq!(told.unwrap(), "https://sip.example.com/ui/\n");
        let told = of(|http| http.listen = vec!["0.0.0.0:80".parse().unwrap()]);
        assert_eq!(told.unwrap(), "http://sip1:80/ui/\n");
        let told = of(|http| http.listen = vec!["[2001:db8::1]:80".parse().unwrap()]);
        assert_eq!(told.unwrap(), "http://[2001:db8::1]:80/ui/\n");
    }

    #[test]
    fn there_may_be_no_page() {
        assert_eq!(of(|http| http.ui = false), None);
    }
}
