//! The files that the configuration names: tokens, directory, keys and secrets. Each is read whole, and each mistake has its
//! place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::accounts::directory::Directory;
use crate::config::{Config, Fleet, JwtKey, Kamailio, Problem, Problems, Server};
use crate::document::Place;
use crate::http::Keys;
use crate::source::sql;
use crate::tokens;
use crate::webhook;

/// What a PEM file with a public key starts with; keys of Kazoo's are RSA.
const PEM_EXAMPLE: &str = "-----BEGIN PUBLIC KEY-----";

/// The text of each key's file, by its id.
pub(super) type Pems = BTreeMap<String, Vec<u8>>;

/// What is wrong in the files that a configuration names, and what else the operator should know about them.
#[derive(Debug, Default)]
pub struct Report {
    /// Every mistake.
    pub problems: Vec<Problem>,
    /// Sentences, each a warning.
    pub warnings: Vec<String>,
}

/// Reads every file that `config` names, as the daemon does.
#[must_use]
pub fn check_files(config: &Config) -> Report {
    let mut report = Report::default();
    let mut add = |problems: Problems| report.problems.extend(problems.iter().cloned());
    let mut warnings = Vec::new();
    match load_tokens(config) {
        Ok(loaded) => warnings.extend(loaded.warnings),
        Err(problems) => add(problems),
    }
    let directory = config.directory.file.as_deref();
    load_directory(directory).map_err(&mut add).ok();
    load_keys(config).map_err(&mut add).ok();
    server(&config.kamailio).map_err(&mut add).ok();
    fleet_server(&config.fleet).map_err(&mut add).ok();
    match webhook::load(config) {
        Ok(loaded) => warnings.extend(loaded.warnings),
        Err(problems) => add(problems),
    }
    warnings.extend(webhook::warnings(&config.webhooks));
    report.warnings = warnings;
    report
}

/// The server where Kamailio keeps its tables, if it does: the URL is in the configuration, in a file, or in Kamailio's own
/// configuration.
///
/// # Errors
/// When there is no such URL.
pub fn server(kamailio: &Kamailio) -> Result<Option<Server>, Problems> {
    let Some(file) = &kamailio.database_file else {
        let found = kamailio.found_server.as_ref().map(|found| &found.server);
        return match kamailio.server.as_ref().or(found) {
            Some(server) => checked("[kamailio] database", server.clone()).map(Some),
            None => Ok(None),
        };
    };
    let name = file.to_string_lossy();
    let url = fs::read_to_string(file).map_err(|error| Problem::unreadable(&name, &error))?;
    let server = Server::parse(&url).map_err(|message| Problems::one(&name, message))?;
    checked(&name, server).map(Some)
}

/// The database of the fleet, if there is one: its URL is in the configuration or in a file.
///
/// # Errors
/// When there is no such URL.
pub fn fleet_server(fleet: &Fleet) -> Result<Option<Server>, Problems> {
    let Some(file) = &fleet.url_file else {
        return match &fleet.url {
            Some(server) => checked("[fleet] url", server.clone()).map(Some),
            None => Ok(None),
        };
    };
    let name = file.to_string_lossy();
    let url = fs::read_to_string(file).map_err(|error| Problem::unreadable(&name, &error))?;
    let server = Fleet::parse_url(&url).map_err(|message| Problems::one(&name, message))?;
    checked(&name, server).map(Some)
}

/// The server, where the driver understands its URL.
fn checked(place: &str, server: Server) -> Result<Server, Problems> {
    match sql::check(server.url()) {
        Ok(()) => Ok(server),
        Err(error) => Err(Problems::one(place, error.to_string())),
    }
}

/// Every mistake in the files of `keys`.
#[must_use]
pub fn check_keys(keys: &[JwtKey]) -> Vec<Problem> {
    keys.iter().filter_map(|key| read_key(key).err()).collect()
}

/// All of them.
pub(super) fn named(config: &Config) -> BTreeSet<PathBuf> {
    let keys = config.auth.jwt.keys.iter().map(|key| &key.pem_file);
    let secrets = config.webhooks.iter().map(|hook| &hook.secret_file);
    let files = config.auth.tokens_file.iter();
    files
        .chain(secrets)
        .chain(&config.directory.file)
        .chain(keys)
        .cloned()
        .collect()
}

pub(super) fn load_tokens(config: &Config) -> Result<tokens::Loaded, Problems> {
    match &config.auth.tokens_file {
        Some(file) => tokens::load(file),
        None => Ok(tokens::Loaded::default()),
    }
}

/// The directory; an empty one where no file is named. Takes a while where the file is large.
pub(super) fn load_directory(file: Option<&Path>) -> Result<Directory, Problems> {
    match file {
        Some(file) => read_directory(file).map_err(Problems::from),
        None => Ok(Directory::default()),
    }
}

pub(super) fn load_keys(config: &Config) -> Result<(Keys, Pems), Problems> {
    let jwt = &config.auth.jwt;
    if let Some(problems) = Problems::of(check_keys(&jwt.keys)) {
        return Err(problems);
    }
    let mut pems = Pems::new();
    for key in &jwt.keys {
        pems.insert(key.kid.clone(), read_key(key)?);
    }
    let keys = Keys::new(
        &jwt.issuer,
        pems.iter().map(|(kid, pem)| (kid.as_str(), pem.as_slice())),
    );
    let bad = |error: crate::http::BadKey| Problems::one("[auth.jwt] keys", error.to_string());
    Ok((keys.map_err(bad)?, pems))
}

fn read_directory(file: &Path) -> Result<Directory, Problem> {
    let name = file.to_string_lossy();
    let text = fs::read_to_string(file).map_err(|error| Problem::unreadable(&name, &error))?;
    Directory::parse(&text).map_err(|error| {
        let place = Place::at(&name, error.line, error.column);
        Problem::new(place, error.message)
    })
}

/// The key's file, which holds a public RSA key.
fn read_key(key: &JwtKey) -> Result<Vec<u8>, Problem> {
    let name = key.pem_file.to_string_lossy();
    let bytes = fs::read(&key.pem_file).map_err(|error| Problem::unreadable(&name, &error))?;
    let text = String::from_utf8_lossy(&bytes);
    let begin = text
        .lines()
        .position(|line| line.starts_with("-----BEGIN "));
    let at = |line: usize| Place::at(&name, line + 1, 1);
    let Some(begin) = begin else {
        let message = format!("not a PEM file, which starts with {PEM_EXAMPLE}");
        return Err(Problem::new(at(0), message));
    };
    if text.lines().any(|line| line.contains("PRIVATE KEY-----")) {
        let message = "this is a private key; use the public one, and remove the private key from this machine";
        return Err(Problem::new(at(begin), message));
    }
    match Keys::new("", [(key.kid.as_str(), bytes.as_slice())]) {
        Ok(_) => Ok(bytes),
        Err(error) => {
            let message = format!("{error}; such a file starts with {PEM_EXAMPLE}");
            Err(Problem::new(at(begin), message))
        }
    }
}
