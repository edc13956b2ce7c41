//! What is ours: configuration, tokens, keys, directory, store.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{examine, finding, root, says};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::{eventually, holds, tools};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn mistaken_configuration_is_an_error() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).sections("[logg]\n").prepare();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    says(&report, "configuration", "fail", "logg");
}

#[test]
fn tokens_are_judged() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let file = daemon.tokens_file();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
    says(
        &examine(&daemon, &[]).0,
        "tokens_mode",
        "warn",
        "Everyone on this machine",
    );
    let text = fs::read_to_string(&file).expect("it is ours");
    let expired = text.replace("rights", "expires = 2020-01-01T00:00:00Z\nrights");
    fs::write(&file, expired).expect("it is ours");
    says(
        &examine(&daemon, &[]).0,
        "tokens",
        "warn",
        "1 of 1 token expired: lab",
    );
    fs::write(&file, "").expect("it is ours");
    says(
        &examine(&daemon, &[]).0,
        "tokens",
        "warn",
        "contains no token",
    );
    fs::remove_file(&file).expect("it is ours");
    says(&examine(&daemon, &[]).0, "tokens", "warn", "does not exist");
}

#[test]
fn keys_are_read_and_tried() {
    let kamailio = Kamailio::builder().start();
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let file = folder.path().join("key.pem");
    let section = format!(
        "[auth.jwt]\nkeys = [{{ kid = \"k\", pem_file = {:?} }}]\n",
        file.display().to_string()
    );
    let daemon = Daemon::builder(&kamailio).sections(&section).prepare();
    let key = |mark, words| says(&examine(&daemon, &[]).0, "jwt_keys", mark, words);
    key("fail", "cannot be read");
    fs::write(&file, "-----BEGIN PRIVATE KEY-----\n").expect("it is ours");
    key("fail", "this is a private key");
    fs::write(&file, "ssh-rsa AAAA\n").expect("it is ours");
    key("fail", "not a PEM file");
    let broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    fs::write(&file, broken).expect("it is ours");
    key("fail", "is not an RSA public key");
    fs::write(&file, include_str!("../../src/http/tests/keys/public.pem")).expect("it is ours");
    key("ok", "The key k in");
    if root() {
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("it is ours");
        let (report, _) = examine(&daemon, &["--user", "nobody"]);
        says(&report, "jwt_keys", "fail", "cannot read the key");
    }
}

#[test]
fn directory_file_is_read() {
    let kamailio = Kamailio::builder().start();
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let file = folder.path().join("directory.json");
    let section = format!("[directory]\nfile = {:?}\n", file.display().to_string());
    let daemon = Daemon::builder(&kamailio).sections(&section).prepare();
    let directory = |mark, words| says(&examine(&daemon, &[]).0, "directory_file", mark, words);
    directory("fail", "cannot be used: No such file");
    fs::write(&file, "{\"accounts\": 1}").expect("it is ours");
    directory("fail", "cannot be used: ");
    let good = "{\"accounts\": [{\"id\": \"a\", \"realm\": \"r\"}], \"devices\": []}";
    fs::write(&file, good).expect("it is ours");
    directory("ok", "1 account and 0 devices");
}

#[test]
fn little_space_for_the_store_is_told() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let folder = daemon.store().parent().expect("it is in one").to_owned();
    fs::create_dir_all(&folder).expect("it is ours");
    let doctor = daemon.command("doctor");
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$1\" && shift && exec \"$@\"";
    let output = Command::new(tools::program("unshare"))
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            mount,
            "sh",
        ])
        .arg(&folder)
        .arg(doctor.get_program())
        .args(doctor.get_args())
        .args(["-o", "json"])
        .output()
        .expect("unshare can be run");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    says(&report, "store", "warn", "Only 1 MB are free");
}

#[test]
fn tokens_that_the_daemon_cannot_read_are_an_error() {
    if !root() {
        // Nobody else can be judged for.
        return;
    }
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let (report, _) = examine(&daemon, &["--user", "nobody"]);
    says(&report, "tokens_mode", "fail", "the daemon does not start");
}

#[test]
fn a_daemon_without_a_socket_is_asked_over_tcp() {
    let kamailio = Kamailio::builder().start();
    let mut daemon = Daemon::builder(&kamailio).prepare();
    let config = fs::read_to_string(daemon.config_file()).expect("it is ours");
    let own = format!("socket = {:?}", daemon.socket().display().to_string());
    assert!(config.contains(&own), "{config}");
    fs::write(daemon.config_file(), config.replace(&own, "socket = \"\"")).expect("it is ours");
    daemon.start();
    let words = format!("answers at {}", daemon.address());
    says(&examine(&daemon, &[]).0, "daemon", "ok", &words);
    daemon.stop();
    says(
        &examine(&daemon, &[]).0,
        "daemon",
        "fail",
        "does not answer at",
    );
}

#[test]
fn the_daemons_own_reason_is_told_and_who_may_use_its_socket() {
    let kamailio = Kamailio::builder().start();
    let mut daemon = Daemon::builder(&kamailio)
        .database(std::path::Path::new("/nonexistent/k"))
        .prepare();
    daemon.start_unready();
    let report = eventually("the daemon has looked", SOON, || {
        let (report, _) = examine(&daemon, &[]);
        let (_, message) = finding(&report, "daemon");
        let is_told = message.contains("the database file does not exist");
        holds(is_told, || message).map(|()| report)
    });
    says(&report, "daemon", "fail", "cannot be read");
    says(&report, "socket", "ok", "0660");
    let socket = daemon.socket();
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("it is ours");
    says(
        &examine(&daemon, &[]).0,
        "socket",
        "warn",
        "Everyone on this machine",
    );
}
