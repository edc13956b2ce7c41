//! What a reload changed, in words. Pure.

use std::collections::BTreeMap;

use super::super::files::Pems;
use crate::accounts::directory::Directory;
use crate::config::{Applies, Config};
use crate::tokens::{Token, TokenSet};
use crate::webhook::Hook;

/// Changed keys that wait for a restart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Pending(Vec<String>);

impl Pending {
    pub(super) fn of(started: &Config, now: &Config) -> Self {
        let changes = started.changes(now).into_iter();
        let waiting = changes.filter(|change| change.applies == Applies::AfterRestart);
        Self(waiting.map(|change| change.to_string()).collect())
    }

    pub(super) fn to_report(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// The names of tokens that were added, removed or changed.
pub(super) fn tokens(old: &TokenSet, new: &TokenSet) -> Option<String> {
    let by_name = |tokens: &TokenSet| -> BTreeMap<String, Token> {
        let named = |token: &std::sync::Arc<Token>| (token.name.clone(), Token::clone(token));
        tokens.iter().map(named).collect()
    };
    named("tokens", &by_name(old), &by_name(new))
}

/// The names of webhooks that were added, removed or changed; also by their secrets.
pub(super) fn hooks(old: &[Hook], new: &[Hook]) -> Option<String> {
    let by_name = |hooks: &[Hook]| -> BTreeMap<String, Hook> {
        let named = |hook: &Hook| (hook.config.name.clone(), hook.clone());
        hooks.iter().map(named).collect()
    };
    named("webhooks", &by_name(old), &by_name(new))
}

/// The ids of keys that were added, removed or changed.
pub(super) fn keys(old: &Pems, new: &Pems) -> Option<String> {
    named("keys of JWTs", old, new)
}

/// The sizes of the previous and the new directory.
pub(super) fn directory(old: &Directory, new: &Directory) -> String {
    let ((accounts, devices), (accounts_now, devices_now)) = (old.size(), new.size());
    format!("directory accounts {accounts} -> {accounts_now}, devices {devices} -> {devices_now}")
}

fn named<T: PartialEq>(
    what: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) -> Option<String> {
    let added = new.keys().filter(|name| !old.contains_key(*name));
    let removed = old.keys().filter(|name| !new.contains_key(*name));
    let differs = |(name, value): &(&String, &T)| new.get(*name).is_some_and(|now| now != *value);
    let changed = old.iter().filter(differs).map(|(name, _)| name);
    let lists = [
        list("added", added),
        list("removed", removed),
        list("changed", changed),
    ];
    let lists: Vec<String> = lists.into_iter().flatten().collect();
    (!lists.is_empty()).then(|| format!("{what} {}", lists.join(", ")))
}

/// The verb and the names, if there are any.
fn list<'a>(verb: &str, names: impl Iterator<Item = &'a String>) -> Option<String> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pems(list: &[(&str, &str)]) -> Pems {
        let owned = |(kid, pem): &(&str, &str)| ((*kid).to_owned(), pem.as_bytes().to_vec());
        list.iter().map(owned).collect()
    }

    #[test]
    fn names_what_came_went_and_changed() {
        let old = pems(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let new = pems(&[("b", "2"), ("c", "1"), ("d", "1"), ("e", "1")]);
        let expected = "keys of JWTs added d, e, removed a, changed b";
        assert_eq!(keys(&old, &new).as_deref(), Some(expected));
        assert_eq!(keys(&old, &old), None);
    }

    #[test]
    fn a_directory_is_told_by_its_size() {
        let old = Directory::default();
        let new = Directory::parse(r#"{"accounts": [{"id": "a"}]}"#).unwrap();
        let expected = "directory accounts 0 -> 1, devices 0 -> 0";
        assert_eq!(directory(&old, &new), expected);
    }

    #[test]
    fn keys_that_need_a_restart_wait_for_it() {
        let started = Config::default();
        let mut now = started.clone();
        now.http.listen.clear();
        now.limits.requests.burst = 1;
        let waiting = Pending::of(&started, &now).to_report();
        assert_eq!(
            waiting,
            ["http.listen [\"127.0.0.1:8000\"] -> [] (needs a restart)"]
        );
        assert_eq!(Pending::of(&started, &started), Pending::default());
    }
}
