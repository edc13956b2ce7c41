//! The files that may change while the daemon runs: tokens, directory and keys, with the limits beside them.
//!
//! Each is read whole; a bad one is reported and the old one stays in force.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};

use super::Failure;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::directory::Directory;
use crate::http::{Keys, Limits};
use crate::tokens::{self, TokenSet};

/// What the files say now, for everyone who needs it.
pub(super) struct Files {
    clock: Arc<dyn Clock>,
    tokens: watch::Sender<Arc<TokenSet>>,
    directory: watch::Sender<Arc<Directory>>,
    keys: watch::Sender<Arc<Keys>>,
    limits: watch::Sender<Arc<Limits>>,
    /// Told when one of them may have changed.
    pub(super) changed: Arc<Notify>,
}

impl Files {
    /// Reads them all; at the start a bad file is an error.
    pub(super) fn load(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, Failure> {
        let tokens = load_tokens(config)?;
        warn(&tokens.warnings);
        Ok(Self {
            clock: Arc::clone(clock),
            tokens: watch::Sender::new(Arc::new(tokens.tokens)),
            directory: watch::Sender::new(Arc::new(load_directory(config)?)),
            keys: watch::Sender::new(Arc::new(load_keys(&config.auth.jwt)?)),
            limits: watch::Sender::new(Arc::new(Limits::new(&config.limits, clock))),
            changed: Arc::new(Notify::new()),
        })
    }

    pub(super) fn tokens(&self) -> watch::Receiver<Arc<TokenSet>> {
        self.tokens.subscribe()
    }

    pub(super) fn directory(&self) -> watch::Receiver<Arc<Directory>> {
        self.directory.subscribe()
    }

    pub(super) fn keys(&self) -> watch::Receiver<Arc<Keys>> {
        self.keys.subscribe()
    }

    pub(super) fn limits(&self) -> watch::Receiver<Arc<Limits>> {
        self.limits.subscribe()
    }

    /// Reads them again; one line says what changed, and each bad file has a line of its own.
    pub(super) fn reload(&mut self, former: &Config, config: &Config) {
        let mut changed: Vec<&str> = Vec::new();
        if let Some(loaded) = good("the tokens", load_tokens(config))
            && replace(&self.tokens, loaded.tokens)
        {
            warn(&loaded.warnings);
            changed.push("tokens");
        }
        if let Some(directory) = good("the directory", load_directory(config))
            && replace(&self.directory, directory)
        {
            changed.push("directory");
        }
        if let Some(keys) = good("the keys of JWTs", load_keys(&config.auth.jwt)) {
            self.keys.send_replace(Arc::new(keys));
        }
        if former.limits != config.limits {
            self.limits
                .send_replace(Arc::new(Limits::new(&config.limits, &self.clock)));
            changed.push("limits");
        }
        if former.log.level != config.log.level {
            changed.push("log level");
        }
        if changed.is_empty() {
            tracing::debug!("read the files again; nothing changed");
        } else {
            tracing::info!(changed = changed.join(", "), "reloaded");
        }
    }

    /// Watches the directories of the files (an editor replaces a file) for as long as the watcher lives.
    pub(super) fn watch(&self, config: &Config) -> Option<RecommendedWatcher> {
        let files = watched(config);
        let changed = Arc::clone(&self.changed);
        let names = files.clone();
        let told = move |event: notify::Result<notify::Event>| {
            let matters = |event: &notify::Event| {
                !event.kind.is_access() && event.paths.iter().any(|path| names.contains(path))
            };
            if event.as_ref().map_or(true, matters) {
                changed.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(told)
            .inspect_err(|error| tracing::warn!(%error, "cannot watch files; SIGHUP still reloads"))
            .ok()?;
        let directories: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        for directory in directories
            .into_iter()
            .filter(|directory| directory.is_dir())
        {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, "cannot watch {}; SIGHUP still reloads", directory.display());
            }
        }
        Some(watcher)
    }
}

/// The files that are watched.
fn watched(config: &Config) -> BTreeSet<PathBuf> {
    config
        .auth
        .tokens_file
        .iter()
        .chain(&config.directory.file)
        .cloned()
        .collect()
}

fn load_tokens(config: &Config) -> Result<tokens::Loaded, Failure> {
    let Some(file) = &config.auth.tokens_file else {
        return Ok(tokens::Loaded::default());
    };
    Ok(tokens::load(file)?)
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

fn load_directory(config: &Config) -> Result<Directory, Failure> {
    let Some(file) = &config.directory.file else {
        return Ok(Directory::default());
    };
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        let denied = error.kind() == ErrorKind::PermissionDenied;
        let error = anyhow::Error::new(error).context(format!("cannot read the directory {shown}"));
        if denied {
            Failure::Permission(error)
        } else {
            Failure::Io(error)
        }
    })?;
    Directory::parse(&text).map_err(|error| Failure::Failed(anyhow::anyhow!("{shown}:{error}")))
}

fn load_keys(jwt: &config::Jwt) -> Result<Keys, Failure> {
    let mut pems = Vec::with_capacity(jwt.keys.len());
    for key in &jwt.keys {
        let text = fs::read(&key.pem_file)
            .with_context(|| format!("cannot read the key {}", key.pem_file.display()))
            .map_err(Failure::Io)?;
        pems.push((key.kid.as_str(), text));
    }
    let keys = pems.iter().map(|(kid, pem)| (*kid, pem.as_slice()));
    Keys::new(&jwt.issuer, keys)
        .context("[auth.jwt] keys")
        .map_err(Failure::Failed)
}

/// What was read, or a line that says why the old one stays.
fn good<T>(what: &str, read: Result<T, Failure>) -> Option<T> {
    read.inspect_err(|error| tracing::error!("{what} stay as they were: {error}"))
        .ok()
}

fn replace<T: PartialEq>(sender: &watch::Sender<Arc<T>>, new: T) -> bool {
    sender.send_if_modified(|old| {
        let changed = **old != new;
        if changed {
            *old = Arc::new(new);
        }
        changed
    })
}
