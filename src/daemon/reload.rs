//! What can be replaced while the daemon runs: tokens, directory, keys, limits and the level of the log.
//!
//! SIGHUP takes over all or nothing. A file that changed by itself is taken over alone, so that a revoked token is
//! refused although somebody is half way through the directory. One line says what changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use notify::RecommendedWatcher;
use tokio::sync::{Notify, watch};

use super::Failure;
use super::changes::{self, Pending};
use super::files::{self, Pems};
use super::watched;
use crate::clock::Clock;
use crate::config::{Applies, Config, Loaded, Problems};
use crate::directory::Directory;
use crate::http::{Keys, Limits};
use crate::logging;
use crate::tokens::{self, TokenSet};

/// Why the files are read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// Somebody sent SIGHUP, and wants to know what came of it.
    Hangup,
    /// One of them may have changed.
    Watch,
}

/// What the files say now, for everyone who needs it.
pub(super) struct Live {
    clock: Arc<dyn Clock>,
    log: logging::Handle,
    config_file: PathBuf,
    /// What the keys that need a restart are compared with.
    started: Config,
    config: Config,
    pending: Pending,
    pems: Pems,
    tokens: watch::Sender<Arc<TokenSet>>,
    directory: watch::Sender<Arc<Directory>>,
    keys: watch::Sender<Arc<Keys>>,
    limits: watch::Sender<Arc<Limits>>,
    warnings: Vec<String>,
    /// What was last reported of each part that is bad.
    bad: BTreeMap<Part, String>,
    watcher: Option<RecommendedWatcher>,
    /// Told when one of the files may have changed.
    pub(super) changed: Arc<Notify>,
}

/// What is read by itself, by its name in messages.
type Part = &'static str;

/// What was read: whatever is bad is not there.
struct Reading {
    config: Option<Config>,
    tokens: Option<tokens::Loaded>,
    directory: Option<Directory>,
    keys: Option<(Keys, Pems)>,
    bad: BTreeMap<Part, String>,
}

impl Live {
    /// Reads all files for the first time: a bad one is an error.
    pub(super) fn load(
        loaded: Loaded,
        log: logging::Handle,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let config = loaded.config;
        let tokens = files::load_tokens(&config)?;
        let (keys, pems) = files::load_keys(&config)?;
        let mut live = Self {
            clock: Arc::clone(clock),
            log,
            // Events of the watcher name files from the root.
            config_file: std::path::absolute(&loaded.file).unwrap_or(loaded.file),
            started: config.clone(),
            pending: Pending::default(),
            pems,
            tokens: watch::Sender::new(Arc::new(tokens.tokens)),
            directory: watch::Sender::new(Arc::new(files::load_directory(&config)?)),
            keys: watch::Sender::new(Arc::new(keys)),
            limits: watch::Sender::new(Arc::new(Limits::new(&config.limits, clock))),
            warnings: Vec::new(),
            bad: BTreeMap::new(),
            watcher: None,
            changed: Arc::new(Notify::new()),
            config,
        };
        live.warn(tokens.warnings);
        live.watch();
        Ok(live)
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

    /// Reads all files again and takes over what changed; `config` is what the configuration says now.
    pub(super) fn reload(&mut self, config: Result<Config, Problems>, asked: Asked) {
        let reading = self.read(config);
        if asked == Asked::Hangup && !reading.bad.is_empty() {
            let bad: Vec<&str> = reading.bad.values().map(String::as_str).collect();
            tracing::error!("reloaded nothing, all stays as it was: {}", bad.join("; "));
            self.bad = reading.bad;
            return;
        }
        for (part, mistakes) in &reading.bad {
            if self.bad.get(part) != Some(mistakes) {
                tracing::error!("{part} cannot be reloaded, the old one stays: {mistakes}");
            }
        }
        let mended = self
            .bad
            .keys()
            .filter(|part| !reading.bad.contains_key(*part));
        let mut said: Vec<String> = mended.map(|part| format!("{part} is good again")).collect();
        self.bad.clone_from(&reading.bad);
        self.adopt(reading, asked, &mut said);
    }

    fn read(&self, config: Result<Config, Problems>) -> Reading {
        let mut bad = BTreeMap::new();
        let config = good("the configuration", config, &mut bad);
        let of = config.as_ref().unwrap_or(&self.config);
        Reading {
            tokens: good("the tokens file", files::load_tokens(of), &mut bad),
            directory: good("the directory", files::load_directory(of), &mut bad),
            keys: good("the key of JWTs", files::load_keys(of), &mut bad),
            config,
            bad,
        }
    }

    fn adopt(&mut self, reading: Reading, asked: Asked, said: &mut Vec<String>) {
        if let Some(loaded) = reading.tokens {
            said.extend(changes::tokens(&self.tokens.borrow(), &loaded.tokens));
            replace(&self.tokens, loaded.tokens);
            self.warn(loaded.warnings);
        }
        if let Some(directory) = reading.directory {
            said.extend(changes::directory(&self.directory.borrow(), &directory));
            replace(&self.directory, directory);
        }
        if let Some((keys, pems)) = reading.keys {
            said.extend(changes::keys(&self.pems, &pems));
            self.pems = pems;
            self.keys.send_replace(Arc::new(keys));
        }
        let level = reading
            .config
            .and_then(|config| self.adopt_config(config, asked, said));
        let say = || match said.as_slice() {
            [] if asked == Asked::Hangup => tracing::info!("reloaded; nothing changed"),
            [] => tracing::debug!("read the files again; nothing changed"),
            said => tracing::info!("reloaded: {}", said.join("; ")),
        };
        // The line is to be seen, whether it makes the log quieter or louder.
        let before = tracing::enabled!(tracing::Level::INFO);
        if before {
            say();
        }
        if let Some(level) = level
            && let Err(error) = self.log.set_level(&level)
        {
            tracing::error!(%error, "the log level stays as it is");
        }
        if !before {
            say();
        }
    }

    /// Takes over limits and files; the level of the log, if it is another.
    fn adopt_config(
        &mut self,
        config: Config,
        asked: Asked,
        said: &mut Vec<String>,
    ) -> Option<String> {
        let now = self.config.changes(&config).into_iter();
        let now = now.filter(|change| change.applies == Applies::Now);
        said.extend(now.map(|change| change.to_string()));
        let pending = Pending::of(&self.started, &config);
        if asked == Asked::Hangup || pending != self.pending {
            said.extend(pending.to_say());
        }
        self.pending = pending;
        if self.config.limits != config.limits {
            let limits = Limits::new(&config.limits, &self.clock);
            self.limits.send_replace(Arc::new(limits));
        }
        let level = (self.config.log.level != config.log.level).then(|| config.log.level.clone());
        let others = files::named(&self.config) != files::named(&config);
        self.config = config;
        if others {
            self.watch();
        }
        level
    }

    /// Says what is new about the tokens file.
    fn warn(&mut self, warnings: Vec<String>) {
        for warning in warnings.iter().filter(|new| !self.warnings.contains(new)) {
            tracing::warn!("{warning}");
        }
        self.warnings = warnings;
    }

    fn watch(&mut self) {
        let mut files = files::named(&self.config);
        files.insert(self.config_file.clone());
        self.watcher = watched::watch(files, &self.changed);
    }
}

fn good<T>(part: Part, read: Result<T, Problems>, bad: &mut BTreeMap<Part, String>) -> Option<T> {
    let mistakes = |problems: Problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bad.insert(part, lines.join("; "));
    };
    read.map_err(mistakes).ok()
}

fn replace<T: PartialEq>(sender: &watch::Sender<Arc<T>>, new: T) {
    sender.send_if_modified(|old| {
        let changed = **old != new;
        if changed {
            *old = Arc::new(new);
        }
        changed
    });
}
