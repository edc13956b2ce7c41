//! What a shell offers while a command line is typed: accounts, users and keys.
//!
//! Accounts and users come from the running daemon that the line names. If anything goes wrong, nothing is offered and
//! nothing is printed: somebody is typing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use serde_json::Value;
use tokio::time::timeout;

use super::Cli;
use super::account;
use super::count::ACCOUNT_KEYS;
use super::pages::Reach;
use super::remote::{self, Filters, Remote};
use crate::client::Client;
use crate::daemon::Failure;
use crate::registration::item::Field;
use crate::terminal::printable;

/// The environment variable by which the shell's function asks for candidates.
pub(super) const VARIABLE: &str = "_USRLOCD_COMPLETE";

/// The longest wait after a key was pressed.
const PATIENCE: Duration = Duration::from_millis(700);

/// Nobody reads more on a screen.
const MOST: usize = 1000;

/// Answers the shell's function; `false` if this is an ordinary call.
pub(super) fn answer(args: &[OsString]) -> bool {
    let directory = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(|| with_completers(Cli::command()))
        .var(VARIABLE)
        .try_complete(args.iter().cloned(), directory.as_deref());
    // An unknown shell gets nothing.
    answered.unwrap_or(true)
}

/// Adds to the arguments of all verbs what completes their values.
fn with_completers(command: Command) -> Command {
    command
        .mut_args(|arg| match completer(&arg) {
            Some(completer) => arg.add(completer),
            None => arg,
        })
        .mut_subcommands(with_completers)
}

fn completer(arg: &Arg) -> Option<ArgValueCompleter> {
    Some(match arg.get_id().as_str() {
        "account" => accounts(),
        "user" => users(),
        "columns" | "sort" => keys(),
        "filters" => filters(),
        "search" => prefixes(),
        _ => return None,
    })
}

/// Ids of accounts; and, once something is typed, realms and names that only one account has.
fn accounts() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let mut found = Vec::new();
        let typed = Typed::now();
        typed.ask(async |client| {
            found = account::seen(&client).await?.0;
            Ok(())
        });
        let text = |account: &Value, key: &str| account[key].as_str().map(str::to_owned);
        let pairs = found.iter().filter_map(|account| {
            let about = text(account, "name").or_else(|| text(account, "realm"));
            Some((text(account, "id")?, about))
        });
        let pairs: Vec<_> = if current.is_empty() {
            pairs.collect()
        } else {
            pairs.chain(account_words(&found)).collect()
        };
        candidates(pairs.into_iter(), current)
    })
}

/// Realms and names that identify one account, each with its id. Those that a shell would have to quote are left out.
fn account_words(accounts: &[Value]) -> BTreeMap<String, Option<String>> {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for account in accounts {
        let id = account["id"].as_str().unwrap_or_default();
        for word in ["realm", "name"]
            .iter()
            .filter_map(|key| account[key].as_str())
        {
            let ids = found.entry(word.to_owned()).or_default();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    let is_id = |word: &str| accounts.iter().any(|account| account["id"] == word);
    let is_plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
    found
        .into_iter()
        .filter(|(word, ids)| ids.len() == 1 && word.chars().all(is_plain) && !is_id(word))
        .map(|(word, ids)| (word, ids.first().map(|id| (*id).to_owned())))
        .collect()
}

/// Names of SIP users of the account that the line names.
fn users() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some(prefix) = current.to_str() else {
            return Vec::new();
        };
        let typed = Typed::now();
        let mut found = BTreeMap::new();
        typed.ask(async |client| {
            let reach = account::reach(&client, typed.account().as_deref()).await?;
            for path in &reach.paths {
                walk(&reach.only(path), prefix, &mut found).await?;
            }
            Ok(())
        });
        candidates(found.into_iter(), current)
    })
}

/// Keys of registrations or accounts.
fn keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let reversed = current.to_str().is_some_and(|it| it.starts_with('-'));
        let sign = if reversed { "-" } else { "" };
        let of_accounts = Typed::now().words.iter().any(|word| word == "accounts");
        let names: Vec<&str> = if of_accounts {
            ACCOUNT_KEYS.to_vec()
        } else {
            Field::USUAL.iter().map(|field| field.name()).collect()
        };
        let pairs = names.iter().map(|name| (format!("{sign}{name}"), None));
        candidates(pairs, current)
    })
}

/// Keys of filters, each with its `=`.
fn filters() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let pairs = Field::of_node().map(|field| (format!("{}=", field.name()), None));
        candidates(pairs, current)
    })
}

/// What may stand before a value in a search.
fn prefixes() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let pairs = [
            ("user:", "SIP user; NAME* for any rest"),
            ("realm:", "realm"),
            ("account:", "id or name of the account"),
            ("ua:", "part of the User-Agent"),
            ("ip:", "address or network"),
            ("transport:", "udp, tcp, tls, sctp, ws, wss"),
            ("expires:<", "seconds that remain"),
            ("flapping:yes", "phones that flap"),
            ("node:", "machine"),
        ];
        let pairs = pairs.map(|(prefix, about)| (prefix.to_owned(), Some(about.to_owned())));
        candidates(pairs.into_iter(), current)
    })
}

/// The users whose names begin with `prefix`, with their realms. The list is sorted by name in lower case.
async fn walk(
    reach: &Reach<'_>,
    prefix: &str,
    found: &mut BTreeMap<String, Option<String>>,
) -> Result<(), Failure> {
    let filters = Filters::default();
    let mut pages = reach.pages(&filters);
    let prefix = prefix.to_ascii_lowercase();
    while let Some(items) = pages.next_items::<Value>().await? {
        for item in &items {
            let name = item["username"].as_str().unwrap_or_default();
            let lower = name.to_ascii_lowercase();
            if lower.starts_with(&prefix) && !name.is_empty() {
                let realm = item["realm"].as_str().map(str::to_owned);
                found.insert(name.to_owned(), realm);
            } else if lower > prefix {
                return Ok(());
            }
        }
        if found.len() >= MOST {
            break;
        }
    }
    Ok(())
}

fn candidates(
    pairs: impl Iterator<Item = (String, Option<String>)>,
    current: &OsStr,
) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy().into_owned();
    pairs
        // Values chosen by phones must not control the shell.
        .filter(|(value, _)| value.starts_with(&current) && printable(value) == *value)
        .map(|(value, about)| {
            let about = about.map(|about| printable(&about).into_owned());
            CompletionCandidate::new(value).help(about.map(Into::into))
        })
        .collect()
}

/// The words typed so far.
#[derive(Debug)]
struct Typed {
    words: Vec<String>,
}

impl Typed {
    /// The shell's function passes them after `--`.
    fn now() -> Self {
        let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
        Self {
            words: words
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
        }
    }

    /// The account: the option's value, or the first word after the verb.
    fn account(&self) -> Option<String> {
        let is_positional = self.words.get(1).is_some_and(|verb| verb == "flush");
        let first = self.words.get(2).filter(|word| !word.starts_with('-'));
        self.value("account")
            .or_else(|| first.filter(|_| is_positional).cloned())
    }

    /// The value of the option `--name` or `-n`, even where bash has split it at `=` and `:`.
    fn value(&self, name: &str) -> Option<String> {
        let long = format!("--{name}");
        let short = format!("-{}", name.chars().next()?);
        let with_equals = format!("{long}=");
        let mut words = self.words.iter().skip(1).peekable();
        while let Some(word) = words.next() {
            if let Some(value) = word.strip_prefix(&with_equals) {
                return Some(value.to_owned());
            }
            let has_short = matches!(name, "config" | "account");
            if *word != long && !(has_short && *word == short) {
                continue;
            }
            words.next_if(|word| *word == "=");
            let mut value = words.next()?.clone();
            while let Some(more) =
                words.next_if(|word| word.starts_with(':') || value.ends_with(':'))
            {
                value.push_str(more);
            }
            return Some(value);
        }
        None
    }

    /// Asks the daemon, within the time that somebody waits. What `work` has found until then is kept.
    fn ask<F: Future<Output = Result<(), Failure>>>(&self, work: impl FnOnce(Client) -> F) {
        let Ok(client) = Remote::typed(|name| self.value(name)).client() else {
            return;
        };
        let _ = remote::run(async {
            let _ = timeout(PATIENCE, work(client)).await;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str, name: &str) -> Option<String> {
        let words = line.split(' ').map(str::to_owned).collect();
        Typed { words }.value(name)
    }

    #[test]
    fn options_are_found_as_shells_cut_them() {
        let whole = "usrlocd list --url http://127.0.0.1:8000 -c /etc/x";
        assert_eq!(
            value(whole, "url").as_deref(),
            Some("http://127.0.0.1:8000")
        );
        assert_eq!(value(whole, "config").as_deref(), Some("/etc/x"));
        let bash = "usrlocd show --url = http : //127.0.0.1 : 8000 --account acme";
        assert_eq!(value(bash, "url").as_deref(), Some("http://127.0.0.1:8000"));
        assert_eq!(value(bash, "account").as_deref(), Some("acme"));
        assert_eq!(
            value("usrlocd show --socket=/s", "socket").as_deref(),
            Some("/s")
        );
        assert_eq!(value("usrlocd show --socket", "socket"), None);
    }
}
