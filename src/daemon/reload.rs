//! What can be replaced while the daemon runs: tokens, directory, keys, limits, webhooks and the log level.
//!
//! Files are read and then applied. SIGHUP applies all or nothing. A file that changed is applied alone, so that a
//! revoked token is refused even while the directory is being edited. One line logs what changed. The directory may be
//! large: it is read in a separate thread, and nothing waits for it.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use notify::RecommendedWatcher;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::Failure;
use super::file_watch::{self, Touched};
use super::files::{self, Pems};
use crate::accounts::directory::Directory;
use crate::clock::Clock;
use crate::config::{Applies, Config, Loaded, Problems};
use crate::http::{Keys, Limits};
use crate::logging;
use crate::tokens::{self, TokenSet};
use crate::webhook::{self, Hook};
use report::Pending;

/// Why the files are read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trigger {
    /// SIGHUP: somebody wants to see the result.
    Signal,
    /// One of them may have changed.
    FileChange,
}

/// The current contents of the files, for everything that needs them.
pub(super) struct Live {
    clock: Arc<dyn Clock>,
    log: logging::Handle,
    config_file: PathBuf,
    /// The configuration at the start, to compare keys with that need a restart.
    started: Config,
    config: Config,
    pending: Pending,
    pems: Pems,
    tokens: watch::Sender<Arc<TokenSet>>,
    directory: watch::Sender<Arc<Directory>>,
    keys: watch::Sender<Arc<Keys>>,
    limits: watch::Sender<Arc<Limits>>,
    hooks: watch::Sender<Arc<Vec<Hook>>>,
    warnings: BTreeMap<Part, Vec<String>>,
    /// What was last logged about each part that is invalid.
    bad: BTreeMap<Part, String>,
    watcher: Option<RecommendedWatcher>,
    touched: Arc<Touched>,
    /// Threads that read the directory.
    readers: JoinSet<Read>,
    /// The number of the latest of these threads.
    latest: u64,
}

/// Something to apply.
pub(super) enum Arrived {
    /// Files may have changed.
    Touched,
    /// The directory has been read.
    Directory(Box<Result<Read, JoinError>>),
}

/// A directory that has been read: its reader's number, and the directory if it differs.
type Read = (u64, Result<Option<Directory>, Problems>);

/// What is read separately, by its name in messages.
type Part = &'static str;

const CONFIG: Part = "the configuration";
const TOKENS: Part = "the tokens file";
const DIRECTORY: Part = "the directory";
const KEYS: Part = "the key of JWTs";
const SECRETS: Part = "the secrets of webhooks";

/// What was read. What is invalid, or was not read, is missing.
#[derive(Default)]
struct FilesRead {
    config: Option<Config>,
    tokens: Option<tokens::Loaded>,
    directory: Option<Directory>,
    keys: Option<(Keys, Pems)>,
    hooks: Option<webhook::Loaded>,
    /// What was tried.
    parts: BTreeSet<Part>,
    bad: BTreeMap<Part, String>,
}

impl Live {
    /// Reads all files for the first time: an invalid one is an error.
    pub(super) fn load(
        loaded: Loaded,
        log: logging::Handle,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let config = loaded.config;
        let tokens = files::load_tokens(&config)?;
        let (keys, pems) = files::load_keys(&config)?;
        let hooks = webhook::load(&config)?;
        let mut live = Self {
            clock: Arc::clone(clock),
            log,
            // The watcher's events have absolute paths.
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
            hooks: watch::Sender::new(Arc::new(hooks.hooks)),
            warnings: BTreeMap::new(),
            bad: BTreeMap::new(),
            watcher: None,
            touched: Arc::default(),
            readers: JoinSet::new(),
            latest: 0,
            config,
        };
        live.warn(TOKENS, tokens.warnings);
        live.warn(SECRETS, hooks.warnings);
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

    pub(super) fn hooks(&self) -> watch::Receiver<Arc<Vec<Hook>>> {
        self.hooks.subscribe()
    }

    /// Reads all files again, and applies what changed if all are valid; `config` is the configuration as it is now.
    pub(super) async fn reload_all(&mut self, config: Result<Config, Problems>) {
        // What is already being read is older.
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
        let mut reading = FilesRead::default();
        let config = reading.note(CONFIG, config);
        let of = config.as_ref().unwrap_or(&self.config);
        reading.tokens = reading.note(TOKENS, files::load_tokens(of));
        reading.keys = reading.note(KEYS, files::load_keys(of));
        reading.hooks = reading.note(SECRETS, webhook::load(of));
        reading.directory = reading.note(DIRECTORY, read).flatten();
        reading.config = config;
        if reading.bad.is_empty() {
            self.apply(reading, Trigger::Signal);
        } else {
            let bad: Vec<&str> = reading.bad.values().map(String::as_str).collect();
            tracing::error!(
                "reload failed; keeping the current configuration: {}",
                bad.join("; ")
            );
            self.bad = reading.bad;
        }
    }

    /// Waits for something to apply.
    pub(super) async fn next_update(&mut self) -> Arrived {
        tokio::select! {
            () = self.touched.wait() => Arrived::Touched,
            Some(read) = self.readers.join_next() => Arrived::Directory(Box::new(read)),
        }
    }

    /// Reads the files that may have changed, and applies those that are valid; `config` reads the configuration.
    pub(super) fn reload_touched(&mut self, config: impl Fn() -> Result<Config, Problems>) {
        let touched = self.touched.take();
        let mut reading = FilesRead::default();
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
        let mut secrets = of.webhooks.iter().map(|hook| &hook.secret_file);
        if all || secrets.any(is_touched) {
            reading.hooks = reading.note(SECRETS, webhook::load(of));
        }
        let directory = of.directory.file.clone();
        reading.config = config;
        self.apply(reading, Trigger::FileChange);
        if all || directory.as_ref().is_some_and(is_touched) {
            self.start_reader(directory);
        }
    }

    /// Applies the directory that a thread has read.
    pub(super) fn apply_directory(&mut self, read: Result<Read, JoinError>) {
        match read {
            // It has been read again since.
            Ok((number, _)) if number != self.latest => {}
            Ok((_, read)) => {
                let mut reading = FilesRead::default();
                reading.directory = reading.note(DIRECTORY, read).flatten();
                self.apply(reading, Trigger::FileChange);
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

    /// Applies what is valid of `reading`, and logs what changed and what is invalid.
    fn apply(&mut self, reading: FilesRead, trigger: Trigger) {
        let mut changes = self.report_validity(&reading);
        if let Some(loaded) = reading.tokens {
            changes.extend(report::tokens(&self.tokens.borrow(), &loaded.tokens));
            replace(&self.tokens, loaded.tokens);
            self.warn(TOKENS, loaded.warnings);
        }
        if let Some(loaded) = reading.hooks {
            changes.extend(report::hooks(&self.hooks.borrow(), &loaded.hooks));
            replace(&self.hooks, loaded.hooks);
            self.warn(SECRETS, loaded.warnings);
        }
        if let Some(directory) = reading.directory {
            changes.push(report::directory(&self.directory.borrow(), &directory));
            self.directory.send_replace(Arc::new(directory));
        }
        if let Some((keys, pems)) = reading.keys {
            changes.extend(report::keys(&self.pems, &pems));
            self.pems = pems;
            self.keys.send_replace(Arc::new(keys));
        }
        let level = reading
            .config
            .and_then(|config| self.apply_config(config, trigger, &mut changes));
        // The line must be visible, whether the new level is quieter or louder.
        let visible = tracing::enabled!(tracing::Level::INFO);
        if visible {
            log_changes(&changes, trigger);
        }
        if let Some(level) = level
            && let Err(error) = self.log.set_level(&level)
        {
            tracing::error!(%error, "cannot change the log level; keeping the previous one");
        }
        if !visible {
            log_changes(&changes, trigger);
        }
    }

    /// Logs parts that have become invalid; returns the news of those that are valid again.
    fn report_validity(&mut self, reading: &FilesRead) -> Vec<String> {
        for (part, mistakes) in &reading.bad {
            if self.bad.get(part) != Some(mistakes) {
                tracing::error!("cannot reload {part}; keeping the previous one: {mistakes}");
            }
        }
        let mut changes = Vec::new();
        for part in &reading.parts {
            let was_bad = self.bad.remove(part).is_some();
            if was_bad && !reading.bad.contains_key(part) {
                changes.push(format!("{part} is valid again"));
            }
        }
        self.bad.extend(reading.bad.clone());
        changes
    }

    /// Applies limits and files; returns the log level if it changed.
    fn apply_config(
        &mut self,
        config: Config,
        trigger: Trigger,
        changes: &mut Vec<String>,
    ) -> Option<String> {
        let now = self.config.changes(&config).into_iter();
        // Webhooks are reported with their secrets, by name.
        let is_reported = |key: &str| key == "webhook";
        let now = now.filter(|it| it.applies == Applies::Now && !is_reported(it.key));
        changes.extend(now.map(|change| change.to_string()));
        let pending = Pending::of(&self.started, &config);
        if trigger == Trigger::Signal || pending != self.pending {
            changes.extend(pending.to_report());
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

    /// Logs new warnings about the files of this part.
    fn warn(&mut self, part: Part, warnings: Vec<String>) {
        let known = self.warnings.entry(part).or_default();
        for warning in warnings.iter().filter(|new| !known.contains(new)) {
            tracing::warn!("{warning}");
        }
        *known = warnings;
    }

    fn watch(&mut self) {
        let mut files = files::named(&self.config);
        files.insert(self.config_file.clone());
        self.watcher = file_watch::watch(files, &self.touched);
    }
}

impl FilesRead {
    /// What was read of `part`, if it is valid.
    fn note<T>(&mut self, part: Part, read: Result<T, Problems>) -> Option<T> {
        self.parts.insert(part);
        let mistakes = |problems: Problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            self.bad.insert(part, lines.join("; "));
        };
        read.map_err(mistakes).ok()
    }
}

fn log_changes(changes: &[String], trigger: Trigger) {
    match changes {
        [] if trigger == Trigger::Signal => tracing::info!("reloaded; nothing changed"),
        [] => tracing::debug!("read the files again; nothing changed"),
        changes => tracing::info!("reloaded: {}", changes.join("; ")),
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
