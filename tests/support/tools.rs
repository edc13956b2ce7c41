//! The programs that the tests need, and how to get them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a machine needs beside cargo; `make deps` installs it (a test compares the two).
pub(crate) const INSTALL: &str = "apt-get install -y --no-install-recommends kamailio kamailio-sqlite-modules kamailio-json-modules kamailio-postgres-modules kamailio-mysql-modules kamailio-tls-modules postgresql mariadb-server sqlite3 strace zsh fish groff-base systemd chromium ca-certificates curl gcc libc6-dev";

/// Names the root directory of another Debian whose Kamailio is tested instead of this machine's; `tests/debian/run` sets it.
const ROOT: &str = "USRLOCD_TEST_ROOT";

/// The version of that Kamailio.
const VERSION: &str = "USRLOCD_TEST_VERSION";

/// Where Debian's Kamailio keeps the schema of its tables.
const SCHEMA: &str = "/usr/share/kamailio/db_sqlite";

/// The path of a program.
///
/// # Panics
///
/// When it is not installed, with the line that installs it.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; as root: {INSTALL}"))
}

/// The file of Kamailio's stock schema with this name.
///
/// # Panics
///
/// When it is not installed, with the line that installs it.
pub(crate) fn schema(name: &str) -> PathBuf {
    let file = of_kamailio(SCHEMA).join(name);
    assert!(
        file.is_file(),
        "{} is not installed; as root: {INSTALL}",
        file.display()
    );
    file
}

/// Where a file of the tested Kamailio's Debian is, by its path there.
pub(crate) fn of_kamailio(path: &str) -> PathBuf {
    let root = env::var_os(ROOT).unwrap_or_else(|| "/".into());
    Path::new(&root).join(path.trim_start_matches('/'))
}

/// The version of the tested Kamailio, as its package says: `5.6.3`.
///
/// # Panics
///
/// When no such package is installed, with the line that installs it.
pub(crate) fn kamailio_version() -> String {
    if let Ok(version) = env::var(VERSION) {
        return version;
    }
    let query = ["--show", "--showformat=${Version}", "kamailio"];
    let output = Command::new("dpkg-query").args(query).output();
    let version = output.expect("this is a Debian").stdout;
    let version = String::from_utf8(version).expect("a version is text");
    let upstream = version.split(['-', '+']).next().unwrap_or_default();
    assert!(
        !upstream.is_empty(),
        "kamailio is not installed; as root: {INSTALL}"
    );
    upstream.to_owned()
}

/// Whether the tested Kamailio is of this version or a later one.
pub(crate) fn kamailio_is_at_least(major: u32, minor: u32, patch: u32) -> bool {
    let version = kamailio_version();
    let numbers: Vec<u32> = version
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok())
        .collect();
    assert!(numbers.len() >= 3, "{version} is not a version");
    numbers >= vec![major, minor, patch]
}

/// The usrlocd that belongs to this build: cargo names it to tests, and puts it beside the examples' folder.
///
/// # Panics
///
/// When it has not been built.
pub(crate) fn usrlocd() -> PathBuf {
    if let Some(named) = option_env!("CARGO_BIN_EXE_usrlocd") {
        return named.into();
    }
    let own = env::current_exe().expect("a running program has a path");
    let built = own.ancestors().nth(2).map(|folder| folder.join("usrlocd"));
    match built {
        Some(built) if built.is_file() => built,
        _ => panic!("usrlocd is not built; run: cargo build --bin usrlocd"),
    }
}
