//! Which SIP user a command line means: one that need not be registered now.

use anyhow::anyhow;
use http::{Method, StatusCode};

use super::account;
use super::refusals::lost;
use super::remote;
use crate::client::Client;
use crate::daemon::Failure;
use crate::terminal::printable;

/// How many accounts are asked for a user whose account is not named.
const ACCOUNTS: usize = 200;

/// A user of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Person {
    account: String,
    user: String,
}

impl Person {
    /// The user that `given` means, `USER` or `USER@REALM`, in `account` where it is named. Where it is not, the realm
    /// names it, or it is the one account that knows the user; `what` is asked for below the user's path.
    pub(super) async fn find(
        client: &Client,
        given: &str,
        account: Option<&str>,
        what: &str,
    ) -> Result<Self, Failure> {
        let split = given.rsplit_once('@').filter(|(user, _)| !user.is_empty());
        if let Some(account) = account {
            let account = account::resolve(client, account).await?;
            // The name may be a mail address.
            let whole = Self::new(&account, given)?;
            return match split {
                Some((user, _)) if !whole.is_known(client, what).await? => {
                    Self::new(&account, user)
                }
                _ => Ok(whole),
            };
        }
        if let Some((user, realm)) = split
            && let Ok(account) = account::resolve(client, realm).await
        {
            let one = Self::new(&account, user)?;
            if one.is_known(client, what).await? {
                return Ok(one);
            }
            // A row whose attributes came late was, for a moment, that of an account called like its domain.
            let other = Self::of_realm(client, user, realm, what).await?;
            return Ok(other.unwrap_or(one));
        }
        Self::search(client, given, what).await
    }

    /// The user of the account with this realm, where there is one that knows the user.
    async fn of_realm(
        client: &Client,
        user: &str,
        realm: &str,
        what: &str,
    ) -> Result<Option<Self>, Failure> {
        let (accounts, _) = account::seen(client).await?;
        let has_realm = |it: &&serde_json::Value| {
            it["realm"]
                .as_str()
                .is_some_and(|own| own.eq_ignore_ascii_case(realm))
        };
        for account in accounts.iter().filter(has_realm) {
            let one = Self::new(account["id"].as_str().unwrap_or_default(), user)?;
            if one.is_known(client, what).await? {
                return Ok(Some(one));
            }
        }
        Ok(None)
    }

    /// The one account that knows the user.
    async fn search(client: &Client, user: &str, what: &str) -> Result<Self, Failure> {
        let (accounts, _) = account::seen(client).await?;
        let ids: Vec<&str> = accounts.iter().filter_map(|it| it["id"].as_str()).collect();
        if ids.len() > ACCOUNTS {
            return Err(Failure::Usage(anyhow!(
                "there are {} accounts; name the user's with --account, or write USER@REALM",
                ids.len()
            )));
        }
        let mut found = Vec::new();
        for id in ids {
            let one = Self::new(id, user)?;
            if one.is_known(client, what).await? {
                found.push(one);
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Failure::Failed(anyhow!(
                "no account knows a user `{}`; name the account with --account",
                printable(user)
            ))),
            _ => {
                let ids: Vec<_> = found.iter().map(|one| printable(&one.account)).collect();
                Err(Failure::Failed(anyhow!(
                    "several accounts have a user `{}`; name one with --account: {}",
                    printable(user),
                    ids.join(", ")
                )))
            }
        }
    }

    fn new(account: &str, user: &str) -> Result<Self, Failure> {
        if !remote::fits_in_path(user) {
            return Err(Failure::Usage(anyhow!(
                "`{user}` cannot be asked for: a path cannot name this user"
            )));
        }
        Ok(Self {
            account: account.to_owned(),
            user: user.to_owned(),
        })
    }

    async fn is_known(&self, client: &Client, what: &str) -> Result<bool, Failure> {
        let target = self.path(what);
        let answer = client.send(Method::HEAD, &target, &[]).await;
        let answer = answer.map_err(|error| lost(client, error))?;
        Ok(answer.status != StatusCode::NOT_FOUND && answer.status != StatusCode::FORBIDDEN)
    }

    /// The path of something about the user.
    pub(super) fn path(&self, what: &str) -> String {
        let user = remote::path(Some(&self.account), Some(&self.user));
        format!("{user}/{what}")
    }
}
