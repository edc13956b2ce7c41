//! Why the daemon gives no answer, or not the one that was asked for, and what to do: in words for the command line.

use std::io::ErrorKind;

use anyhow::anyhow;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::client::{Answer, Client, Error};
use crate::daemon::Failure;

/// What answers is not usrlocd.
pub(super) fn stranger(client: &Client) -> Failure {
    Failure::Unavailable(anyhow!(
        "{} does not answer like usrlocd; is it another program?",
        client.address().shown()
    ))
}

/// Why there is no answer, with the remedy.
pub(super) fn lost(client: &Client, error: Error) -> Failure {
    let shown = client.address().shown();
    let on_socket = client.address().socket().is_some();
    let Error::Connect { source, .. } = &error else {
        return Failure::Unavailable(anyhow::Error::new(error).context(format!(
            "{shown}: no complete answer; see `journalctl -u usrlocd`"
        )));
    };
    match source.kind() {
        ErrorKind::PermissionDenied => Failure::Permission(anyhow!(
            "permission denied for {shown}: become root, or join its group (see `ls -l {shown}`), \
             or use --url with --token-file"
        )),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused if on_socket => {
            Failure::Unavailable(anyhow!(
                "usrlocd is not running at {shown}: start it (`systemctl start usrlocd`), or give its address with --socket or --url"
            ))
        }
        _ => Failure::Unavailable(anyhow::Error::new(error).context(format!(
            "usrlocd is not running at {shown}: start it (`systemctl start usrlocd`), or give its address with --url"
        ))),
    }
}

/// What a refusal means, and what to do.
pub(super) async fn refused(client: &Client, answer: Answer) -> Failure {
    let status = answer.status;
    let wait = answer.header("retry-after").unwrap_or("some").to_owned();
    let body = answer.body().await.unwrap_or_default();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status == StatusCode::SERVICE_UNAVAILABLE
        && value["message"] == "datastore_unreachable"
        && let Some(failure) = unready(client).await
    {
        return failure;
    }
    refusal(client, status, &wait, &value)
}

/// Why it has no answer yet, in its own words.
async fn unready(client: &Client) -> Option<Failure> {
    let answer = client.send(Method::GET, "/readyz", &[]).await.ok()?;
    let ready: Value = serde_json::from_slice(&answer.body().await.ok()?).ok()?;
    let reason = ready["reason"].as_str()?.to_owned();
    Some(Failure::Unavailable(match ready["status"].as_str()? {
        "starting" => anyhow!("{reason} Try again in a moment."),
        _ => anyhow!("{reason}"),
    }))
}

/// The same for an answer that is read already; `wait` is for how many seconds.
pub(super) fn refusal(client: &Client, status: StatusCode, wait: &str, value: &Value) -> Failure {
    let message = value["message"].as_str().unwrap_or("no reason given");
    let data = &value["data"];
    match status {
        StatusCode::BAD_REQUEST => Failure::Usage(anyhow!("{}", mistakes(data, message))),
        StatusCode::UNAUTHORIZED if client.has_token() => Failure::Permission(anyhow!(
            "the token is not valid (revoked, expired, or for another usrlocd); `usrlocd token list` lists the valid ones"
        )),
        StatusCode::UNAUTHORIZED => Failure::Permission(anyhow!(
            "{} requires a token: give its file with --token-file, or use the socket as root or as a member of its group",
            client.address().shown()
        )),
        StatusCode::FORBIDDEN => Failure::Permission(anyhow!(
            "the token does not permit this; choose an account that it may access, or use a token with more rights"
        )),
        StatusCode::NOT_FOUND => Failure::Failed(match data["cause"].as_str() {
            Some(id) => anyhow!("no account `{id}`; `usrlocd accounts` lists them"),
            None => match data[0].as_str() {
                Some(user) => anyhow!(
                    "no user `{user}` in this account; `usrlocd list` shows who is registered"
                ),
                None => anyhow!(
                    "{} does not know this request; is it an older version of usrlocd?",
                    client.address().shown()
                ),
            },
        }),
        StatusCode::MISDIRECTED_REQUEST => Failure::Usage(anyhow!(
            "usrlocd does not answer to the name in {}; use an IP address, or add the name to its [http] hosts",
            client.address().shown()
        )),
        StatusCode::TOO_MANY_REQUESTS => {
            Failure::Unavailable(anyhow!("too many requests; try again in {wait} s"))
        }
        StatusCode::SERVICE_UNAVAILABLE if message == "kamailio_unreachable" => {
            Failure::Unavailable(anyhow!(
                "nothing was flushed: Kamailio's JSON-RPC cannot be reached; check [kamailio] jsonrpc, and that Kamailio is running"
            ))
        }
        StatusCode::GATEWAY_TIMEOUT => Failure::Unavailable(anyhow!(
            "Kamailio did not answer in time, so it is not known what was flushed; try again, which is always safe"
        )),
        StatusCode::SERVICE_UNAVAILABLE if message == "datastore_unreachable" => {
            Failure::Unavailable(anyhow!(
                "Kamailio's database has not been read yet; see `journalctl -u usrlocd`"
            ))
        }
        StatusCode::SERVICE_UNAVAILABLE if message == "history_unavailable" => {
            Failure::Unavailable(anyhow!(
                "no history: [history] enabled is false, or the file cannot be read (see `journalctl -u usrlocd`)"
            ))
        }
        StatusCode::SERVICE_UNAVAILABLE if message == "fleet_unreachable" => {
            Failure::Unavailable(anyhow!(
                "the fleet's database cannot be reached; see `journalctl -u usrlocd`, or ask a node for its own registrations"
            ))
        }
        StatusCode::SERVICE_UNAVAILABLE if message == "fleet_read_only" => {
            Failure::Unavailable(anyhow!(
                "usrlocd may only read the fleet's database, so it cannot ask nodes to act; ask the node"
            ))
        }
        _ if status.is_server_error() => Failure::Unavailable(anyhow!(
            "usrlocd failed: {status} {message}; see `journalctl -u usrlocd`"
        )),
        _ => Failure::Failed(anyhow!("usrlocd refused the request: {status} {message}")),
    }
}

/// What is wrong with each parameter, in the API's words.
fn mistakes(data: &Value, message: &str) -> String {
    let Some(parameters) = data.as_object().filter(|all| !all.is_empty()) else {
        return message.to_owned();
    };
    let broken = parameters.iter().filter(|(_, rules)| rules.is_object());
    let one = |(name, rules): (&String, &Value)| {
        let why = rules
            .as_object()
            .and_then(|rules| rules.values().next()?["message"].as_str())
            .unwrap_or(message);
        let key = name
            .strip_prefix("filter_not_")
            .or_else(|| name.strip_prefix("filter_"))
            .unwrap_or(name);
        if why == "unknown key" {
            format!(
                "`{key}` is not a key of registrations; `usrlocd list -o csv | head -1` lists them"
            )
        } else {
            format!("{key}: {why}")
        }
    };
    broken.map(one).collect::<Vec<_>>().join("; ")
}
