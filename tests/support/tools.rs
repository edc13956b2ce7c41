//! The programs that the tests need, and how to get them.

use std::env;
use std::path::{Path, PathBuf};

/// What a machine needs beside cargo; `make deps` installs it (a test compares the two).
pub(crate) const INSTALL: &str = "apt-get install -y --no-install-recommends kamailio kamailio-sqlite-modules kamailio-json-modules sqlite3 strace zsh fish groff-base systemd chromium ca-certificates curl gcc libc6-dev";

/// Where Debian's Kamailio keeps its modules and the schema of its tables.
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
    let file = Path::new(SCHEMA).join(name);
    assert!(
        file.is_file(),
        "{} is not installed; as root: {INSTALL}",
        file.display()
    );
    file
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
