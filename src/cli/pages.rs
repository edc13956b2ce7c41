//! Walks the pages of lists, so that memory grows neither here nor in the daemon.

use std::collections::VecDeque;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::remote::{self, Filters};
use crate::client::{Answer, Client};
use crate::daemon::Failure;

/// How many items are asked for at a time.
const SIZE: usize = 1000;

/// A page of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    /// The items, as the API writes them.
    pub(super) data: Vec<Box<RawValue>>,
    /// Where the next page starts; absent on a list's last one.
    next_start_key: Option<String>,
    /// How well the daemon knows Kamailio's tables.
    #[serde(default)]
    pub(super) source: Value,
    /// Whether no page of any list follows.
    #[serde(skip)]
    pub(super) is_last: bool,
}

/// Which lists of registrations are meant: those at these paths, one after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reach {
    pub(super) paths: Vec<String>,
    /// Whether somebody named the account, so that one that is not known is a mistake.
    named: bool,
}

/// The pages that are still to come.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    client: &'a Client,
    reach: &'a Reach,
    filters: &'a Filters,
    size: String,
    /// The lists that are still to come, each with the key of its next page.
    next: VecDeque<(&'a str, Option<String>)>,
}

impl Reach {
    /// The one list at `path`.
    pub(super) fn at(path: String) -> Self {
        Self {
            paths: vec![path],
            named: true,
        }
    }

    /// The registrations of the account with the id `account`; without one, all that the caller may see.
    pub(super) async fn of(client: &Client, account: Option<&str>) -> Result<Self, Failure> {
        let all = remote::path(account, None);
        if account.is_some() || !client.has_token() {
            return Ok(Self::at(all));
        }
        let probe = format!("{all}/count");
        let answer = client
            .send(Method::GET, &probe, &[])
            .await
            .map_err(|error| remote::lost(client, error))?;
        if answer.status != StatusCode::FORBIDDEN {
            return Ok(Self::at(all));
        }
        let envelope = remote::envelope(client, answer).await?;
        let accounts = envelope["data"]["accounts"].as_array();
        let ids = accounts.into_iter().flatten().filter_map(Value::as_str);
        let paths: Vec<String> = ids.map(|id| remote::path(Some(id), None)).collect();
        // A token without the right to read, or an older daemon: its own words explain it.
        Ok(if paths.is_empty() {
            Self::at("/v2/account/registrations".to_owned())
        } else {
            Self {
                paths,
                named: false,
            }
        })
    }

    /// One of the lists alone.
    pub(super) fn only(&self, path: &str) -> Self {
        Self {
            paths: vec![path.to_owned()],
            named: self.named,
        }
    }

    /// Whether these are all registrations of the system, in one list.
    pub(super) fn is_system(&self) -> bool {
        self.named && self.paths == [remote::path(None, None)]
    }

    /// Asks below the path of one of the lists. `None` where that account is not known and nobody named it: it has
    /// no registrations.
    pub(super) async fn ask(
        &self,
        client: &Client,
        target: &str,
    ) -> Result<Option<Answer>, Failure> {
        let answer = client
            .send(Method::GET, target, &[])
            .await
            .map_err(|error| remote::lost(client, error))?;
        match answer.status {
            StatusCode::NOT_FOUND if !self.named => Ok(None),
            status if status.is_success() => Ok(Some(answer)),
            _ => Err(remote::refused(client, answer).await),
        }
    }

    /// The daemon's answers at each path with `last` appended, for instance `/count`.
    pub(super) async fn envelopes(
        &self,
        client: &Client,
        last: &str,
    ) -> Result<Vec<Value>, Failure> {
        let mut envelopes = Vec::new();
        for path in &self.paths {
            if let Some(answer) = self.ask(client, &format!("{path}{last}")).await? {
                envelopes.push(remote::envelope(client, answer).await?);
            }
        }
        Ok(envelopes)
    }
}

impl<'a> Pages<'a> {
    /// All pages of the lists.
    pub(super) fn of(client: &'a Client, reach: &'a Reach, filters: &'a Filters) -> Self {
        Self {
            client,
            reach,
            filters,
            size: SIZE.to_string(),
            next: reach.paths.iter().map(|path| (&**path, None)).collect(),
        }
    }

    /// Pages of at most `size` items.
    pub(super) fn sized(mut self, size: usize) -> Self {
        self.size = size.clamp(1, SIZE).to_string();
        self
    }

    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, Failure> {
        let Some((path, start)) = self.next.pop_front() else {
            return Ok(None);
        };
        let mut further = vec![("page_size", &*self.size)];
        if let Some(key) = &start {
            further.push(("start_key", key));
        }
        let target = format!("{path}?{}", self.filters.query(&further));
        let mut page = match self.reach.ask(self.client, &target).await? {
            None => Page::default(),
            Some(answer) => {
                let body = answer.body().await;
                let body = body.map_err(|error| remote::lost(self.client, error))?;
                remote::parse(self.client, &body)?
            }
        };
        if let Some(key) = page.next_start_key.take() {
            self.next.push_front((path, Some(key)));
        }
        page.is_last = self.next.is_empty();
        Ok(Some(page))
    }
}
