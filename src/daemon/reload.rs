//! What can be replaced while the daemon runs: tokens, directory, keys, limits and the level of the log.
//!
//! SIGHUP takes over all or nothing. A file that changed by itself is read and taken over alone, so that a revoked
//! token is refused although somebody is half way through the directory. One line says what changed. The directory
//! may be large: it is read in a thread of its own, and nothing waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use notify::RecommendedWatcher;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::Failure;
use super::changes::{self, Pending};
use super::files::{self, Pems};
use super::watched::{self, Touched};
use crate::accounts::directory::Directory;
use crate::clock::Clock;
use crate::config::{Applies, Config, Loaded, Problems};
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
    touched: Arc<Touched>,
    /// Threads that read the directory.
    readers: JoinSet<Read>,
    /// The number of the latest of them.
    latest: u64,
}

/// Something to take over.
pub(super) enum Update {
    /// Files may have changed.
    Touched,
    /// The directory has been read.
    Directory(Box<Result<Read, JoinError>>),
}

/// A directory that has been read: its reader's number, and the directory if it is another one.
type Read = (u64, Result<Option<Directory>, Problems>);

/// What is read by itself, by its name in messages.
type Part = &'static str;

const CONFIG: Part = "the configuration";
const TOKENS: Part = "the tokens file";
const DIRECTORY: Part = "the directory";
const KEYS: Part = "the key of JWTs";

/// What was read: whatever is bad, or has not been looked at, is not there.
#[derive(Default)]
struct Reading {
    config: Option<Config>,
    tokens: Option<tokens::Loaded>,
    directory: Option<Directory>,
    keys: Option<(Keys, Pems)>,
    /// What was looked at.
    parts: BTreeSet<Part>,
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
            directory: watch::Sender::new(Arc::new(files::load_directory(
                config.directory.file.as_deref(),
            )?)),
            keys: watch::Sender::new(Arc::new(keys)),
            limits: watch::Sender::new(Arc::new(Limits::new(&config.limits, clock))),
            warnings: Vec::new(),
            bad: BTreeMap::new(),
            watcher: None,
            touched: Arc::default(),
            readers: JoinSet::new(),
            latest: 0,
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

    /// Reads all files again, and takes over what changed if all are good; `config` is what the configuration says
    /// now.
    pub(super) async fn hangup(&mut self, config: Result<Config, Problems>) {
        // What is being read already is older.
        self.start_reader(
            config
                .as_ref()
                .unwrap_or(&self.config)
                .directory
                .file
                .clone(),
        );
        let read = loop {
            match self.readers.join_next().await {
                Some(Ok((number, read))) if number == self.latest => break read,
                Some(Ok(_)) => {}
                Some(Err(error)) => return tracing::error!(%error, "cannot read the directory"),
                None => return,
            }
        };
        let mut reading = Reading::default();
        let config = reading.note(CONFIG, config);
        let of = config.as_ref().unwrap_or(&self.config);
        reading.tokens = reading.note(TOKENS, files::load_tokens(of));
        reading.keys = reading.note(KEYS, files::load_keys(of));
        reading.directory = reading.note(DIRECTORY, read).flatten();
        reading.config = config;
        if reading.bad.is_empty() {
            self.take_over(reading, Asked::Hangup);
        } else {
            let bad: Vec<&str> = reading.bad.values().map(String::as_str).collect();
            tracing::error!("reloaded nothing, all stays as it was: {}", bad.join("; "));
            self.bad = reading.bad;
        }
    }

    /// Waits for something to take over.
    pub(super) async fn news(&mut self) -> Update {
        tokio::select! {
            () = self.touched.wait() => Update::Touched,
            Some(read) = self.readers.join_next() => Update::Directory(Box::new(read)),
        }
    }

    /// Reads the files that may have changed, and takes over those that are good; `config` tells what the
    /// configuration says now.
    pub(super) fn look_again(&mut self, config: impl Fn() -> Result<Config, Problems>) {
        let touched = self.touched.take();
        let mut reading = Reading::default();
        let all = touched.contains(&self.config_file);
        let config = all.then(|| reading.note(CONFIG, config())).flatten();
        let of = config.as_ref().unwrap_or(&self.config);
        let is_touched = |file: &PathBuf| all || touched.contains(file);
        if all || of.auth.tokens_file.as_ref().is_some_and(is_touched) {
            reading.tokens = reading.note(TOKENS, files::load_tokens(of));
        }
        if all || of.auth.jwt.keys.iter().any(|key| is_touched(&key.pem_file)) {
            reading.keys = reading.note(KEYS, files::load_keys(of));
        }
        let directory = of.directory.file.clone();
        reading.config = config;
        self.take_over(reading, Asked::Watch);
        if all || directory.as_ref().is_some_and(is_touched) {
            self.start_reader(directory);
        }
    }

    /// Takes over the directory that a thread has read.
    pub(super) fn directory_read(&mut self, read: Result<Read, JoinError>) {
        match read {
            // Somebody has begun to read it anew since.
            Ok((number, _)) if number != self.latest => {}
            Ok((_, read)) => {
                let mut reading = Reading::default();
                reading.directory = reading.note(DIRECTORY, read).flatten();
                self.take_over(reading, Asked::Watch);
            }
            Err(error) => tracing::error!(%error, "cannot read the directory"),
        }
    }

    fn start_reader(&mut self, file: Option<PathBuf>) {
        self.latest += 1;
        let (number, current) = (self.latest, Arc::clone(&self.directory.borrow()));
        self.readers.spawn_blocking(move || {
            let read = files::load_directory(file.as_deref());
            (number, read.map(|new| (new != *current).then_some(new)))
        });
    }

    fn take_over(&mut self, reading: Reading, asked: Asked) {
        for (part, mistakes) in &reading.bad {
            if self.bad.get(part) != Some(mistakes) {
                tracing::error!("{part} cannot be reloaded, the old one stays: {mistakes}");
            }
        }
        let mut said = Vec::new();
        for part in &reading.parts {
            let was_bad = self.bad.remove(part).is_some();
            if was_bad && !reading.bad.contains_key(part) {
                said.push(format!("{part} is good again"));
            }
        }
        self.bad.extend(reading.bad.clone());
        self.adopt(reading, asked, &mut said);
    }

    fn adopt(&mut self, reading: Reading, asked: Asked, said: &mut Vec<String>) {
        if let Some(loaded) = reading.tokens {
            said.extend(changes::tokens(&self.tokens.borrow(), &loaded.tokens));
            replace(&self.tokens, loaded.tokens);
            self.warn(loaded.warnings);
        }
        if let Some(directory) = reading.directory {
            said.push(changes::directory(&self.directory.borrow(), &directory));
            self.directory.send_replace(Arc::new(directory));
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
        self.watcher = watched::watch(files, &self.touched);
    }
}

impl Reading {
    /// What was read of `part`, if it is good.
    fn note<T>(&mut self, part: Part, read: Result<T, Problems>) -> Option<T> {
        self.parts.insert(part);
        let mistakes = |problems: Problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            self.bad.insert(part, lines.join("; "));
        };
        read.map_err(mistakes).ok()
    }
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
