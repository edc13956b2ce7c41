//! What is ours: the store, the files of the configuration, the daemon.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::statvfs;

use super::super::check_config::check_keys;
use super::acl::Want;
use super::findings::{Findings, Group};
use super::identity::{Identity, group_name, user_name};
use super::many;
use super::remedies::shell;
use crate::accounts::directory::Directory;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, JwtKey};
use crate::tokens;

const GROUP: Group = Group::Usrlocd;

/// Below this the store may soon be unable to write.
const LITTLE_SPACE: u64 = 100 << 20;

/// The timeout of the daemon's status.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn check(config: &Config, identity: &Identity, findings: &mut Findings) {
    store(&config.store.path, identity, findings);
    if let Some(file) = &config.auth.tokens_file {
        check_tokens(file, !config.http.listen.is_empty(), identity, findings);
    }
    for key in &config.auth.jwt.keys {
        jwt_key(key, identity, findings);
    }
    if let Some(file) = &config.directory.file {
        directory(file, identity, findings);
    }
    daemon(&config.http, findings);
}

/// Whether the store can be written, judged without trying.
fn store(path: &Path, identity: &Identity, findings: &mut Findings) {
    let Some(folder) = path.parent() else { return };
    let shown = path.display();
    let existing = folder
        .ancestors()
        .find(|it| it.is_dir())
        .unwrap_or(Path::new("/"));
    let writable =
        identity.may(existing, Want::Write) && (!path.exists() || identity.may(path, Want::Write));
    if !writable {
        let message = format!(
            "The user {identity} cannot write the store {shown}. Under systemd StateDirectory=usrlocd takes care of this; otherwise:"
        );
        let remedy = [format!(
            "install -d -o {identity} -m 750 {0} && chown -R {identity} {0}",
            folder.display()
        )];
        findings.fail(GROUP, "store", message, remedy);
        return;
    }
    let free = statvfs(existing).map_or(u64::MAX, |it| it.f_bavail.saturating_mul(it.f_frsize));
    if free < LITTLE_SPACE {
        let message = format!(
            "Only {} MB are free on the disk of the store {shown}. When it is full, changes are kept in memory and lost at a restart. What takes the space?",
            free >> 20
        );
        findings.warn(
            GROUP,
            "store",
            message,
            [format!(
                "du -xh --max-depth=1 {} | sort -h",
                existing.display()
            )],
        );
        return;
    }
    findings.ok(
        GROUP,
        "store",
        format!(
            "The user {identity} can write the store {shown}; {} MB are free.",
            free >> 20
        ),
    );
}

fn check_tokens(file: &Path, listens: bool, identity: &Identity, findings: &mut Findings) {
    let shown = file.display();
    let make = || {
        [format!(
            "usrlocd token new --name ops --rights read,flush --file {shown}"
        )]
    };
    let loaded = match tokens::load(file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let remedy = ["usrlocd check-config".to_owned()];
            return findings.fail(GROUP, "tokens", problems.to_string(), remedy);
        }
    };
    let Ok(status) = fs::metadata(file) else {
        if listens {
            findings.warn(GROUP, "tokens", format!("{shown} does not exist: every request over TCP is refused, and only the Unix socket works. Create a token:"), make());
        }
        return;
    };
    tokens_mode(file, status.mode(), identity, findings);
    let now = SystemClock::new().unix_seconds();
    let all = loaded.tokens.len();
    let expired: Vec<&str> = loaded
        .tokens
        .iter()
        .filter(|token| token.expires.is_some_and(|at| at <= now))
        .map(|token| &*token.name)
        .collect();
    if all == 0 && listens {
        let message =
            format!("{shown} contains no token: every request over TCP is refused. Create one:");
        findings.warn(GROUP, "tokens", message, make());
    } else if expired.is_empty() {
        let message = format!("{} in {shown}.", many(all, "token"));
        findings.ok(GROUP, "tokens", message);
    } else {
        let message = format!(
            "{} of {} expired: {}. Create new ones and revoke these:",
            expired.len(),
            many(all, "token"),
            expired.join(", ")
        );
        let remedy = expired
            .iter()
            .map(|name| format!("usrlocd token revoke {name} --file {shown}"));
        findings.warn(GROUP, "tokens", message, remedy);
    }
}

/// Checks who can read the tokens file.
fn tokens_mode(file: &Path, mode: u32, identity: &Identity, findings: &mut Findings) {
    let shown = file.display();
    if mode & 0o004 != 0 {
        let message = format!("Everyone on this machine can read {shown}.");
        findings.warn(
            GROUP,
            "tokens_mode",
            message,
            [format!("chmod o-rwx {shown}")],
        );
    }
    if !identity.may(file, Want::Read) {
        let message =
            format!("The user {identity} cannot read {shown}; the daemon does not start.");
        findings.fail(
            GROUP,
            "tokens_mode",
            message,
            [format!("chgrp {identity} {shown} && chmod 640 {shown}")],
        );
    }
}

/// Whether the daemon can use a key of Kazoo's.
fn jwt_key(key: &JwtKey, identity: &Identity, findings: &mut Findings) {
    let check = "jwt_keys";
    let shown = key.pem_file.display();
    if let Some(problem) = check_keys(std::slice::from_ref(key)).first() {
        let remedy = [format!("head -1 {shown}   # -----BEGIN PUBLIC KEY-----")];
        findings.fail(GROUP, check, problem.to_string(), remedy);
        return;
    }
    if let Some(obstacle) = identity.obstacle(&key.pem_file, Want::Read) {
        let message = format!(
            "The user {identity} cannot read the key {shown}: no access to {}; the daemon does not start.",
            obstacle.display()
        );
        let remedy = [format!("chgrp {identity} {shown} && chmod 640 {shown}")];
        findings.fail(GROUP, check, message, remedy);
        return;
    }
    let pem = fs::read(&key.pem_file).unwrap_or_default();
    match crate::http::Keys::new("", [(&*key.kid, &*pem)]) {
        Ok(_) => {
            let message = format!("The key {} in {shown} can be used.", key.kid);
            findings.ok(GROUP, check, message);
        }
        Err(error) => {
            let error = anyhow::Error::new(error);
            let message = format!("{shown} cannot be used: {error:#}.");
            let remedy = [format!("openssl rsa -pubin -in {shown} -noout -text")];
            findings.fail(GROUP, check, message, remedy);
        }
    }
}

fn directory(file: &Path, identity: &Identity, findings: &mut Findings) {
    let shown = file.display();
    let text = match fs::read_to_string(file) {
        Ok(_) if !identity.may(file, Want::Read) => Err(format!("{identity} cannot read it")),
        Ok(text) => Ok(text),
        Err(error) => Err(error.to_string()),
    };
    let parsed = text.and_then(|text| Directory::parse(&text).map_err(|error| error.to_string()));
    match parsed {
        Ok(directory) => {
            let (accounts, devices) = directory.size();
            let message = format!(
                "{shown} has {} and {}.",
                many(accounts, "account"),
                many(devices, "device")
            );
            findings.ok(GROUP, "directory_file", message);
        }
        Err(error) => {
            let message = format!(
                "The directory {shown} cannot be used: {error}. The daemon keeps the previous one, or does not start."
            );
            let remedy = [format!(
                "python3 -m json.tool {shown} >/dev/null; ls -l {shown}"
            )];
            findings.fail(GROUP, "directory_file", message, remedy);
        }
    }
}

/// Asks the daemon how it is: over its socket, or over TCP where it has none.
fn daemon(http: &config::Http, findings: &mut Findings) {
    let Some((shown, answer)) = request(http, "/readyz") else {
        return;
    };
    if let Some(socket) = &http.socket {
        socket_file(socket, findings);
    }
    let answer = answer.and_then(|(status, body)| {
        let body = serde_json::from_str(&body).map_err(|_| malformed())?;
        Ok((status, body))
    });
    match answer {
        Ok((status, body)) => health(&shown, status, &body, findings),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let socket = http.socket.as_deref().unwrap_or(Path::new("/"));
            let message = format!(
                "You cannot use the socket {shown}. Run as root, or join its group and log in again:"
            );
            let remedy = [format!("usermod -aG {} \"$USER\"", socket_group(socket))];
            findings.warn(GROUP, "daemon", message, remedy);
        }
        Err(error) => {
            let message = format!("The daemon does not answer at {shown}: {error}. Start it:");
            findings.fail(
                GROUP,
                "daemon",
                message,
                ["systemctl enable --now usrlocd; journalctl -u usrlocd -n 20".to_owned()],
            );
        }
    }
}

/// The group whose members may use the socket; never that of root, which may do much more.
fn socket_group(socket: &Path) -> String {
    match fs::metadata(socket).map(|it| it.gid()) {
        Ok(0) | Err(_) => "usrlocd".to_owned(),
        Ok(gid) => group_name(gid),
    }
}

/// Where a listener on all addresses can be asked.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Who may use the socket without a token.
fn socket_file(socket: &Path, findings: &mut Findings) {
    let check = "socket";
    let Ok(status) = fs::metadata(socket) else {
        return;
    };
    let shown = socket.display();
    let mode = status.mode() & 0o777;
    let (user, group) = (user_name(status.uid()), group_name(status.gid()));
    let owners = format!("{user}:{group}, {mode:04o}");
    if mode & 0o002 != 0 {
        let message = format!(
            "Everyone on this machine can connect to {shown} ({owners}). Revoke that permission:"
        );
        let remedy = [format!("chmod o-rwx {}", shell(&shown))];
        findings.warn(GROUP, check, message, remedy);
    } else {
        let message = format!(
            "{shown} is open to {user} and members of the group {group} ({owners}); they and root need no token."
        );
        findings.ok(GROUP, check, message);
    }
}

/// Reports the daemon's status.
fn health(shown: &str, status: u16, body: &serde_json::Value, findings: &mut Findings) {
    let state = body["source"]["state"]
        .as_str()
        .unwrap_or("unknown")
        .replace('_', " ");
    let lag = body["source"]["lag_ms"]
        .as_u64()
        .map_or_else(String::new, |lag| format!(", {lag} ms behind"));
    if status == 200 {
        findings.ok(
            GROUP,
            "daemon",
            format!("The daemon answers at {shown}: {state}{lag}."),
        );
    } else {
        let reason = body["reason"].as_str().unwrap_or("It gives no reason.");
        // This is the doctor.
        let reason = reason.replace(" Run `usrlocd doctor` to see why.", "");
        let message = format!(
            "The daemon is running, but its answers are not current ({state}{lag}): {reason} See its log:"
        );
        findings.fail(
            GROUP,
            "daemon",
            message,
            ["journalctl -u usrlocd -n 20".to_owned()],
        );
    }
}

/// Asks the daemon, over its socket, or over TCP where it has none: where that is, and status and body of the answer.
pub(super) fn request(
    http: &config::Http,
    path: &str,
) -> Option<(String, io::Result<(u16, String)>)> {
    Some(match (&http.socket, http.listen.first()) {
        (Some(socket), _) => {
            let answer = UnixStream::connect(socket).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                ask(stream, path)
            });
            (socket.display().to_string(), answer)
        }
        (None, Some(address)) => {
            let address = reachable(*address);
            let answer = TcpStream::connect_timeout(&address, PATIENCE).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                ask(stream, path)
            });
            (address.to_string(), answer)
        }
        (None, None) => return None,
    })
}

/// Status and body of a path.
fn ask(mut stream: impl Read + Write, path: &str) -> io::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    Ok((status.ok_or_else(malformed)?, body.to_owned()))
}

fn malformed() -> io::Error {
    io::Error::other("the answer is not from usrlocd")
}
