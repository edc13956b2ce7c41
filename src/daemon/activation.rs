//! Socket activation: the sockets that systemd passes to the daemon (`usrlocd.socket`), each for an address in `[http]`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, anyhow};
use listenfd::ListenFd;

use super::Failure;

/// The sockets that have not been taken yet.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<UnixListener>,
}

impl Inherited {
    /// The sockets passed to this process. It removes environment variables, so it comes before any thread.
    pub(super) fn of_process() -> Result<Self, Failure> {
        Self::take(ListenFd::from_env())
            .context("a socket passed by systemd is not a listening TCP or Unix socket; check usrlocd.socket")
            .map_err(Failure::System)
    }

    fn take(mut passed: ListenFd) -> io::Result<Self> {
        let mut inherited = Self::default();
        for index in 0..passed.len() {
            if let Ok(Some(unix)) = passed.take_unix_listener(index) {
                unix.set_nonblocking(true)?;
                inherited.unix.push(unix);
            } else if let Some(tcp) = passed.take_tcp_listener(index)? {
                tcp.set_nonblocking(true)?;
                inherited.tcp.push((tcp.local_addr()?, tcp));
            }
        }
        Ok(inherited)
    }

    /// The socket at this address.
    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.tcp.iter().position(|(found, _)| *found == address)?;
        Some(self.tcp.swap_remove(at).1)
    }

    /// The socket at this path.
    pub(super) fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        let is_it = |listener: &UnixListener| {
            let address = listener.local_addr();
            address.is_ok_and(|address| address.as_pathname() == Some(path))
        };
        let at = self.unix.iter().position(is_it)?;
        Some(self.unix.swap_remove(at))
    }

    /// A socket that no key names would accept connections that nobody answers: that is an error.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let tcp = self.tcp.iter().map(|(address, _)| address.to_string());
        let unix = self.unix.iter().map(|listener| {
            let address = listener.local_addr().ok();
            let path = address.as_ref().and_then(|address| address.as_pathname());
            path.map_or_else(
                || "an unnamed Unix socket".to_owned(),
                |path| path.display().to_string(),
            )
        });
        let left: Vec<String> = tcp.chain(unix).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Failure::System(anyhow!(
            "systemd listens on {}, which [http] does not name; make usrlocd.socket and [http] agree",
            left.join(", ")
        )))
    }
}
