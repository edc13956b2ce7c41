//! Binds the sockets before anything else starts, so that a port in use is an error at once.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use super::Failure;
use super::activation::Inherited;
use crate::config;
use crate::http::Listeners;

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Who may connect to the Unix socket: its user and its group.
const SOCKET_MODE: u32 = 0o660;

/// The file of the Unix socket, removed on drop: a clean exit leaves nothing behind.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: a later daemon's socket at the same path is left alone.
    id: (u64, u64),
}

impl SocketFile {
    /// The one that has just been made for this configuration.
    pub(super) fn of(http: &config::Http) -> Option<Self> {
        let path = http.socket.clone()?;
        let id = identity(&path)?;
        Some(Self { path, id })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path) == Some(self.id)
            && let Err(error) = fs::remove_file(&self.path)
        {
            let socket = self.path.display();
            tracing::debug!(%error, %socket, "cannot remove the socket; the next start removes it");
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// All sockets of the configuration, listening, and the file of the Unix socket unless systemd made it.
pub(super) fn listeners(
    http: &config::Http,
    mut inherited: Inherited,
) -> Result<(Listeners, Option<SocketFile>), Failure> {
    let mut tcps = Vec::with_capacity(http.listen.len());
    for address in &http.listen {
        tcps.push(match inherited.tcp(*address) {
            Some(listener) => {
                tracing::debug!(%address, "systemd listens");
                TcpListener::from_std(listener).map_err(unusable)?
            }
            None => tcp(*address)?,
        });
    }
    let path = http.socket.as_deref();
    let given = path.and_then(|path| inherited.unix(path));
    inherited.finish()?;
    let (unix, file) = match given {
        Some(listener) => {
            let listener = UnixListener::from_std(listener).map_err(unusable)?;
            (Some(listener), None)
        }
        None => (path.map(unix).transpose()?, SocketFile::of(http)),
    };
    Ok((Listeners { tcp: tcps, unix }, file))
}

fn unusable(error: std::io::Error) -> Failure {
    Failure::System(anyhow::Error::new(error).context("cannot use a socket passed by systemd"))
}

fn tcp(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bind = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let bound = listener.local_addr()?;
        Ok::<_, std::io::Error>((listener, bound))
    };
    match bind() {
        Ok((listener, address)) => {
            tracing::debug!(%address, "listening");
            Ok(listener)
        }
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::AddrInUse => {
                    "it is in use by another program; stop that program, or change [http] listen"
                }
                ErrorKind::AddrNotAvailable => {
                    "no interface has this address; change [http] listen"
                }
                ErrorKind::PermissionDenied => {
                    "ports below 1024 need a privilege; change [http] listen"
                }
                _ => "change [http] listen",
            };
            let error =
                anyhow::Error::new(error).context(format!("cannot listen on {address} ({remedy})"));
            Err(Failure::System(error))
        }
    }
}

fn unix(path: &Path) -> Result<UnixListener, Failure> {
    let shown = path.display();
    if let Some(directory) = path.parent() {
        let context = || {
            format!(
                "cannot create the directory of {shown}; create it for usrlocd's user, or change [http] socket"
            )
        };
        fs::create_dir_all(directory)
            .with_context(context)
            .map_err(Failure::System)?;
    }
    clear(path)?;
    let bind = || {
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
        Ok::<_, std::io::Error>(listener)
    };
    let context = || {
        format!(
            "cannot listen on {shown}; make its directory writable for usrlocd's user, or change [http] socket"
        )
    };
    let listener = bind().with_context(context).map_err(Failure::System)?;
    tracing::debug!(socket = %shown, "listening");
    Ok(listener)
}

/// Removes a socket that a killed daemon left behind; anything else there is in use or foreign.
fn clear(path: &Path) -> Result<(), Failure> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let shown = path.display();
    if !found.file_type().is_socket() {
        return Err(Failure::System(anyhow!(
            "{shown} exists and is not a socket; remove it, or change [http] socket"
        )));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(Failure::System(anyhow!(
            "another program listens on {shown}; stop that program, or change [http] socket"
        )));
    }
    fs::remove_file(path)
        .with_context(|| format!("cannot remove the stale socket {shown}"))
        .map_err(Failure::System)
}
