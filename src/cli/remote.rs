//! What the verbs that ask a running daemon have in common: its address, the token, and how to ask.

use std::future::Future;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, ValueHint};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::configuration::{Configuration, ConfigurationFile, absolute};
use super::output::hint;
use super::refusals::{lost, refused, stranger};
use crate::client::{Address, Answer, Client};
use crate::config::is_file_name;
use crate::daemon::Failure;
use crate::document::{quoted, shown};
use crate::terminal::printable;

/// Overrides the configuration's socket; flags override it.
const URL: &str = "USRLOCD_URL";

const DEFAULT_SOCKET: &str = "/run/usrlocd/usrlocd.sock";

/// Where the running daemon is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Daemon")]
pub(super) struct Remote {
    /// The daemon's Unix socket [default: the configuration's]
    #[arg(long, value_name = "FILE", conflicts_with = "url", value_hint = ValueHint::FilePath)]
    socket: Option<String>,

    // The variable is read later: a --socket overrides it.
    #[arg(
        help = "The daemon's address, for instance http://127.0.0.1:8000, instead of the socket [env: USRLOCD_URL]",
        long,
        value_name = "URL"
    )]
    url: Option<String>,

    /// A file that contains an API token and nothing else
    #[arg(long, value_name = "FILE", env = "USRLOCD_TOKEN_FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    file: ConfigurationFile,
}

/// Which registrations.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Filters {
    /// Only registrations whose KEY is exactly VALUE, or is not (KEY!=VALUE); may be repeated
    #[arg(short, long = "filter", value_name = "KEY=VALUE", value_parser = filter)]
    filters: Vec<(String, String)>,

    /// Only registrations with all of these WORDS in user, realm, contact, User-Agent or addresses, in any case; also
    /// user:NAME, realm:NAME and account:NAME (NAME* for any rest), ua:PART, ip:ADDRESS[/BITS], transport:tls,
    /// expires:<60, flapping:yes, node:NAME
    #[arg(long, value_name = "WORDS", value_parser = search)]
    search: Option<String>,
}

/// The words of a search. Without any it would find everything.
fn search(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("there is nothing to search for (is a variable unset?)".to_owned());
    }
    Ok(text.to_owned())
}

/// A filter as the API's parameter.
fn filter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write KEY=VALUE or KEY!=VALUE, for instance realm=acme.example.com")?;
    let (prefix, key) = match key.strip_suffix('!') {
        Some(key) => ("filter_not_", key),
        None => ("filter_", key),
    };
    if key.is_empty() {
        return Err("there is no key before the `=` (is a variable unset?)".to_owned());
    }
    Ok((format!("{prefix}{key}"), value.to_owned()))
}

impl Filters {
    /// The query that states them, and `further` parameters.
    pub(super) fn query(&self, further: &[(&str, &str)]) -> String {
        let search = self.search.as_deref().map(|words| ("q", words));
        let own = self.filters.iter().map(|(key, value)| (&**key, &**value));
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(search.into_iter().chain(own).chain(further.iter().copied()))
            .finish()
    }

    /// Adds one more.
    pub(super) fn and(&mut self, parameter: &str, value: &str) {
        self.filters.push((parameter.to_owned(), value.to_owned()));
    }
}

/// An account of the command line. One that is empty, or that a URL cannot hold, would make the path one of something
/// else.
pub(super) fn account(text: &str) -> Result<String, String> {
    match text {
        "" => {
            Err("the account is empty (is a variable unset?); `usrlocd accounts` lists them".into())
        }
        "." | ".." => Err("this is not an account; `usrlocd accounts` lists them".into()),
        _ => Ok(text.to_owned()),
    }
}

/// A user of the command line.
pub(super) fn user(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(
            "the user is empty (is a variable unset?); users without a name are those of --filter username="
                .into(),
        );
    }
    Ok(text.to_owned())
}

/// Whether a path can name this user. `count` is a number there, and of the others a URL has only what stands before them,
/// which means the whole account.
pub(super) fn fits_in_path(user: &str) -> bool {
    !matches!(user, "" | "." | ".." | "count")
}

/// The path of registrations: of an account, or of all accounts; of one user, or of all.
pub(super) fn path(account: Option<&str>, last: Option<&str>) -> String {
    let mut path = match account {
        Some(id) => format!(
            "/v2/accounts/{}/registrations",
            utf8_percent_encode(id, NON_ALPHANUMERIC)
        ),
        None => "/v2/registrations".to_owned(),
    };
    if let Some(last) = last {
        path.push('/');
        path.extend(utf8_percent_encode(last, NON_ALPHANUMERIC));
    }
    path
}

/// The path of what there is beside registrations: of an account, or of all that the caller may see.
pub(super) fn beside(account: Option<&str>, what: &str) -> String {
    match account {
        Some(id) => format!(
            "/v2/accounts/{}/{what}",
            utf8_percent_encode(id, NON_ALPHANUMERIC)
        ),
        None => format!("/v2/{what}"),
    }
}

/// The account of a path that [`path`] made.
pub(super) fn account_of(path: &str) -> String {
    let id = path
        .strip_prefix("/v2/accounts/")
        .and_then(|rest| rest.split('/').next());
    percent_encoding::percent_decode_str(id.unwrap_or_default())
        .decode_utf8_lossy()
        .into_owned()
}

/// Runs what asks the daemon.
pub(super) fn run(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")
        .map_err(Failure::System)?;
    runtime.block_on(work)
}

impl Remote {
    /// The daemon that a command line means which is still being typed; `value` gives an option's value.
    pub(super) fn typed(value: impl Fn(&str) -> Option<String>) -> Self {
        let or_variable = |option, name| value(option).or_else(|| std::env::var(name).ok());
        Self {
            socket: value("socket"),
            url: value("url"),
            token_file: or_variable("token-file", "USRLOCD_TOKEN_FILE").map(PathBuf::from),
            file: ConfigurationFile {
                config: or_variable("config", "USRLOCD_CONFIG").map(PathBuf::from),
            },
        }
    }

    /// The client for the daemon.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let parse = |name, url: &str| {
            Address::parse(url)
                .map_err(|error| Failure::Usage(anyhow!("{name}: `{}` is {error}", shown(url))))
        };
        let variable = std::env::var(URL).ok().filter(|url| !url.is_empty());
        let address = match (&self.url, &self.socket, variable) {
            (Some(url), _, _) => parse("--url", url)?,
            (None, Some(socket), _) if !is_file_name(socket) => {
                return Err(Failure::Usage(anyhow!(
                    "--socket: {} is not the path of a socket; an address is --url http://HOST:PORT",
                    quoted(socket)
                )));
            }
            (None, Some(socket), _) => Address::Socket(absolute(socket).into()),
            (None, None, Some(url)) => parse(URL, &url)?,
            (None, None, None) => Address::Socket(self.configured()?),
        };
        Ok(Client::new(address, self.token()?))
    }

    /// The configuration's socket. An operator need not be able to read the configuration: Debian's is private.
    fn configured(&self) -> Result<PathBuf, Failure> {
        match Configuration::of(self.file.config.clone()).load() {
            Ok(loaded) => loaded.config.http.socket.ok_or_else(|| {
                Failure::Usage(anyhow!(
                    "[http] socket is off; give the daemon's address with --url http://HOST:PORT"
                ))
            }),
            Err(problems) if self.file.config.is_some() => Err(problems.into()),
            Err(_) => Ok(DEFAULT_SOCKET.into()),
        }
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.token_file else {
            return Ok(None);
        };
        // Some write the token itself there.
        let named = shown(&file.to_string_lossy()).into_owned();
        let text = std::fs::read_to_string(file).map_err(|error| {
            let kind = error.kind();
            let error = anyhow::Error::new(error).context(format!(
                "cannot read the token in {named}; choose another file with --token-file"
            ));
            match kind {
                ErrorKind::PermissionDenied => Failure::Permission(error),
                _ => Failure::Io(error),
            }
        })?;
        let token = text.trim();
        if token.is_empty() {
            return Err(Failure::Usage(anyhow!(
                "{named} is empty; put a token there, as printed by `usrlocd token new`"
            )));
        }
        Ok(Some(token.to_owned()))
    }
}

/// Asks; fails in words where there is no answer.
pub(super) async fn send(client: &Client, method: Method, target: &str) -> Result<Answer, Failure> {
    let answer = client.send(method, target, &[]).await;
    answer.map_err(|error| lost(client, error))
}

/// Asks, and fails in words unless the answer is a success.
pub(super) async fn ask(client: &Client, method: Method, target: &str) -> Result<Answer, Failure> {
    let answer = send(client, method, target).await?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    Err(refused(client, answer).await)
}

/// The body of a success as JSON.
pub(super) async fn envelope(client: &Client, answer: Answer) -> Result<Value, Failure> {
    body(client, answer).await
}

/// What the body of a success says.
pub(super) async fn body<T: DeserializeOwned>(
    client: &Client,
    answer: Answer,
) -> Result<T, Failure> {
    let body = answer.body().await.map_err(|error| lost(client, error))?;
    parse(client, &body)
}

/// Reads JSON of the daemon's.
pub(super) fn parse<T: DeserializeOwned>(client: &Client, body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| stranger(client))
}

/// Says on standard error if the answer may not be the present state.
pub(super) fn mention_source(source: &Value) {
    if let Some(warning) = warning(source) {
        hint(format_args!("warning: {warning}"));
    }
}

/// Why an answer may not be the present state, and where to look.
pub(super) fn warning(source: &Value) -> Option<String> {
    if let Some(nodes) = source["nodes"].as_array() {
        return missed(nodes);
    }
    let lag = source["lag_ms"].as_u64().unwrap_or_default() / 1000;
    match source["state"].as_str() {
        Some("stale") => Some(format!(
            "stale: Kamailio's database could not be read for {lag} s; this is the last known state. \
             See `journalctl -u usrlocd`."
        )),
        Some("catching_up") => Some(format!(
            "usrlocd is catching up with Kamailio's database and is {lag} s behind."
        )),
        Some("unavailable") => Some(
            "Kamailio's database has not been read yet. See `journalctl -u usrlocd`.".to_owned(),
        ),
        _ => None,
    }
}

/// Which nodes of a fleet an answer may lack.
fn missed(nodes: &[Value]) -> Option<String> {
    let is_live = |node: &&Value| node["state"] == "live" && node["source_state"] == "live";
    // Nothing is left of those that were stopped and have no registrations.
    let is_over = |node: &&Value| node["state"] == "stopped" && node["rows"] == 0;
    let missed = nodes.iter().filter(|node| !is_live(node) && !is_over(node));
    let shown = |node: &Value| {
        let text = |key: &str| printable(node[key].as_str().unwrap_or_default()).into_owned();
        let state = match text("state") {
            state if state == "live" => format!("source {}", text("source_state")),
            state => state,
        };
        format!("{} ({state})", text("name"))
    };
    let missed: Vec<_> = missed.map(shown).collect();
    (!missed.is_empty()).then(|| {
        let missed = missed.join(", ");
        format!("not every node is live: {missed}. `usrlocd nodes` shows them.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_are_not_live_are_named() {
        let node = |name: &str, state: &str, source: &str, rows: u64| serde_json::json!({"name": name, "state": state, "source_state": source, "rows": rows});
        let live = || node("k1", "live", "live", 5);
        let of = |nodes: Vec<Value>| warning(&serde_json::json!({"nodes": nodes}));
        assert_eq!(of(vec![live(), node("k2", "stopped", "live", 0)]), None);
        assert_eq!(
            of(vec![
                live(),
                node("k2", "lost", "live", 5),
                node("k3", "live", "stale", 5)
            ])
            .as_deref(),
            Some(
                "not every node is live: k2 (lost), k3 (source stale). `usrlocd nodes` shows them."
            )
        );
    }
}
