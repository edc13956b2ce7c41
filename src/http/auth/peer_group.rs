//! Who has full access over the Unix socket: root, the daemon's own user, and the members of the socket's group.
//!
//! Looked up for each connection, because the socket's owner, group and mode may change while it is served. Its mode does
//! not matter here: it decides who can connect, and a socket that is open to everybody gives nobody more rights.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid, User, getgrouplist};
use tokio::net::UnixListener;
use tokio::net::unix::UCred;

use crate::http::auth::peer::Peer;

/// Who is trusted on a socket.
#[derive(Clone, Debug)]
pub(crate) struct PeerGroup {
    /// The socket's file; without one there is no group.
    path: Option<PathBuf>,
    /// The daemon's user.
    own: u32,
}

/// A process that has connected.
#[derive(Clone, Copy, Debug)]
struct Visitor {
    uid: u32,
    gid: u32,
}

impl PeerGroup {
    /// That of this socket.
    pub(crate) fn of(listener: &UnixListener) -> Self {
        let address = listener.local_addr().ok();
        let path = address.and_then(|address| Some(address.as_pathname()?.to_owned()));
        Self {
            path,
            own: rustix::process::geteuid().as_raw(),
        }
    }

    /// Who has connected. May wait for the system's database of users and groups.
    pub(crate) async fn peer(self, credentials: io::Result<UCred>) -> Peer {
        let Ok(credentials) = credentials else {
            return Peer::UNKNOWN;
        };
        let (uid, gid) = (credentials.uid(), credentials.gid());
        let trusted = self.trusts(Visitor { uid, gid }).await;
        Peer::Process { uid, trusted }
    }

    async fn trusts(self, visitor: Visitor) -> bool {
        if visitor.uid == 0 || visitor.uid == self.own {
            return true;
        }
        let Some(group) = self.path.and_then(|path| std::fs::metadata(path).ok()) else {
            return false;
        };
        let group = group.gid();
        if visitor.gid == group {
            return true;
        }
        let looked_up = tokio::task::spawn_blocking(move || is_member(visitor.uid, group));
        looked_up.await.unwrap_or(false)
    }
}

/// Whether the user belongs to the group, by the system's database.
fn is_member(uid: u32, group: u32) -> bool {
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else {
        return false;
    };
    let Ok(name) = CString::new(user.name) else {
        return false;
    };
    let groups = getgrouplist(&name, user.gid);
    groups.is_ok_and(|groups| groups.contains(&Gid::from_raw(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Debian's `daemon`, and its group; another user's group; a user that there is not.
    const DAEMON: u32 = 1;
    const BIN: u32 = 2;
    const NOBODY_AT_ALL: u32 = 3_999_999_999;

    #[test]
    fn the_database_knows_the_members() {
        assert!(is_member(DAEMON, DAEMON));
        assert!(!is_member(DAEMON, BIN));
        assert!(!is_member(NOBODY_AT_ALL, DAEMON));
    }

    #[tokio::test]
    async fn without_a_file_root_and_the_own_user_alone_are_trusted() {
        let peer_group = |path: Option<&str>| PeerGroup {
            path: path.map(PathBuf::from),
            own: 7,
        };
        for path in [None, Some("/nonexistent/socket")] {
            for (uid, trusted) in [(0, true), (7, true), (DAEMON, false)] {
                let visitor = Visitor { uid, gid: 0 };
                assert_eq!(peer_group(path).trusts(visitor).await, trusted, "{uid}");
            }
        }
    }
}
