//! Starts, replaces and stops hooks as the configuration has them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Post, system_tls};
use super::cursor::{CursorFile, Cursors};
use super::parts::Parts;
use super::sender::{Sender, cursor_name, is_of_hook, off_name};
use super::{Hook, Source};

/// Sends what the hooks want until `stop`; `hooks` are those that are configured now.
///
/// # Errors
/// Where a hook ends by a defect.
pub async fn run<S: Source>(
    parts: Parts<S>,
    cursors: impl CursorFile,
    hooks: watch::Receiver<Arc<Vec<Hook>>>,
    stop: CancellationToken,
) -> io::Result<()> {
    // Read again for each hook that is new, so that a reload brings new certificate authorities.
    let post = |hook: &Hook| Client::new(hook.clone(), system_tls());
    run_with(parts, cursors, post, hooks, stop).await
}

/// As [`run`], with what `post` makes for each hook.
pub(super) async fn run_with<S: Source, P: Post>(
    parts: Parts<S>,
    cursors: impl CursorFile,
    post: impl Fn(&Hook) -> P,
    mut hooks: watch::Receiver<Arc<Vec<Hook>>>,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut running = Running {
        parts: Arc::new(parts),
        cursors: Arc::new(Cursors::new(cursors)),
        post,
        hooks: BTreeMap::new(),
        tasks: JoinSet::new(),
        stop: stop.clone(),
    };
    let configured = Arc::clone(&hooks.borrow());
    running.forget_others(&configured).await;
    let names = configured.iter().map(|it| cursor_name(&it.config.name));
    running.cursors.replace_lost(names).await;
    loop {
        let wanted = Arc::clone(&hooks.borrow_and_update());
        running.replace(&wanted).await?;
        let has_changed = tokio::select! {
            // Tasks end when they are stopped, which is no defect.
            biased;
            () = stop.cancelled() => false,
            changed = hooks.changed() => changed.is_ok(),
            Some(ended) = running.tasks.join_next() => {
                return Err(defect(ended));
            }
        };
        if !has_changed {
            break;
        }
    }
    stop.cancelled().await;
    while let Some(ended) = running.tasks.join_next().await {
        ended.map_err(io::Error::other)?;
    }
    Ok(())
}

/// The hooks that run.
struct Running<S, F, M> {
    parts: Arc<Parts<S>>,
    cursors: Arc<Cursors<F>>,
    post: M,
    hooks: BTreeMap<String, (Hook, CancellationToken)>,
    /// Each returns the name of its hook, once it is stopped.
    tasks: JoinSet<String>,
    stop: CancellationToken,
}

impl<S: Source, F: CursorFile, P: Post, M: Fn(&Hook) -> P> Running<S, F, M> {
    /// Forgets the hooks that the configuration had when usrlocd ran before.
    async fn forget_others(&self, configured: &[Hook]) {
        let kept: Vec<String> = configured
            .iter()
            .map(|hook| &hook.config.name)
            .flat_map(|name| [cursor_name(name), off_name(name)])
            .collect();
        for name in self.cursors.names().await {
            if is_of_hook(&name) && !kept.contains(&name) {
                self.cursors.delete(&name).await;
            }
        }
    }

    /// Makes these the hooks that run.
    async fn replace(&mut self, wanted: &[Hook]) -> io::Result<()> {
        let running: Vec<String> = self.hooks.keys().cloned().collect();
        for name in running {
            let is = self.hooks.get(&name).map(|(hook, _)| hook);
            let new = wanted.iter().find(|hook| hook.config.name == name);
            if is != new {
                self.end(&name).await?;
            }
            if new.is_none() {
                self.parts.metrics.webhooks.ended(&name);
                self.cursors.delete(&cursor_name(&name)).await;
                self.cursors.delete(&off_name(&name)).await;
            }
        }
        for hook in wanted {
            if !self.hooks.contains_key(&hook.config.name) {
                self.start(hook);
            }
        }
        Ok(())
    }

    fn start(&mut self, hook: &Hook) {
        let name = hook.config.name.clone();
        let stop = self.stop.child_token();
        let (parts, cursors) = (Arc::clone(&self.parts), Arc::clone(&self.cursors));
        let sender = Sender::new(hook.clone(), parts, cursors, (self.post)(hook));
        self.hooks
            .insert(name.clone(), (hook.clone(), stop.clone()));
        self.tasks.spawn(async move {
            sender.run(stop).await;
            name
        });
    }

    /// Stops a hook and waits until it has kept its cursor.
    async fn end(&mut self, name: &str) -> io::Result<()> {
        if let Some((_, stop)) = self.hooks.remove(name) {
            stop.cancel();
        }
        match self.tasks.join_next().await {
            Some(Ok(ended)) if ended == name || self.stop.is_cancelled() => Ok(()),
            Some(ended) => Err(defect(ended)),
            None => Ok(()),
        }
    }
}

/// A task that ended without being told to.
fn defect(ended: Result<String, JoinError>) -> io::Error {
    match ended {
        Ok(name) => io::Error::other(format!("the task of webhook {name} has ended")),
        Err(error) => io::Error::other(error),
    }
}
