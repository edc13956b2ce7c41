//! The Unix socket: whom it trusts, asked by real processes of other users. As root only; anybody else has no other
//! users to be.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::site::Site;
use crate::http::{Listeners, serve};

/// Debian's users `daemon` and `bin`, each with a group of the same number; and `nobody`'s group.
const DAEMON: u32 = 1;
const BIN: u32 = 2;
const NOGROUP: u32 = 65_534;

/// The status that a process of this user and these groups gets for a count without a token.
async fn status(socket: &Path, uid: u32, gid: u32, groups: &str) -> String {
    let groups = if groups.is_empty() {
        "--clear-groups".to_owned()
    } else {
        format!("--groups={groups}")
    };
    let output = Command::new("setpriv")
        .args([format!("--reuid={uid}"), format!("--regid={gid}"), groups])
        .args(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["--max-time", "20", "--unix-socket"])
        .arg(socket)
        .arg("http://localhost/v2/registrations/count")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn root_and_the_sockets_group_are_trusted_and_nobody_else() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let site = Site::furnished();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let allow = |group, mode| {
        chown(&path, None, Some(group)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    allow(DAEMON, 0o660);
    let listeners = Listeners {
        tcp: Vec::new(),
        unix: Some(unix),
    };
    let shutdown = CancellationToken::new();
    let app = Arc::clone(&site.app);
    let grace = Duration::from_secs(1);
    let _served = TaskTracker::new().spawn(serve(listeners, app, shutdown, grace));

    assert_eq!(status(&path, 0, 0, "").await, "200", "root");
    assert_eq!(status(&path, BIN, DAEMON, "").await, "200", "by its group");
    // The kernel lets this one in, but the system's database says that the user is not a member.
    assert_eq!(status(&path, BIN, BIN, "1").await, "401");
    assert_eq!(status(&path, BIN, BIN, "").await, "000", "kept out");

    // A socket that is open to all trusts nobody more, from one moment to the next.
    allow(DAEMON, 0o666);
    assert_eq!(status(&path, BIN, BIN, "").await, "401", "a stranger");
    // Its own group is not that of the process, and the database has it.
    assert_eq!(status(&path, DAEMON, NOGROUP, "").await, "200", "a member");
    assert_eq!(status(&path, BIN, DAEMON, "").await, "200");
    // And another group's members are trusted once it is theirs.
    allow(BIN, 0o666);
    assert_eq!(status(&path, DAEMON, NOGROUP, "").await, "401");
    assert_eq!(status(&path, BIN, NOGROUP, "").await, "200");
}
