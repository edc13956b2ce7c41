//! Walks the pages of lists, so that memory grows neither here nor in the daemon.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::refusals::{lost, refused};
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
#[derive(Clone, Debug)]
pub(super) struct Reach<'a> {
    client: &'a Client,
    pub(super) paths: Vec<String>,
    /// Whether somebody named the account, so that one that is not known is a mistake.
    named: bool,
}

/// The pages that are still to come.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    reach: &'a Reach<'a>,
    filters: &'a Filters,
    size: String,
    /// The lists that are still to come, each with the key of its next page.
    next: VecDeque<(&'a str, Option<String>)>,
}

impl<'a> Reach<'a> {
    /// The one list at `path`.
    pub(super) fn at(client: &'a Client, path: String) -> Self {
        Self {
            client,
            paths: vec![path],
            named: true,
        }
    }

    /// The registrations of the account with the id `account`; without one, all that the caller may see.
    pub(super) async fn of(client: &'a Client, account: Option<&str>) -> Result<Self, Failure> {
        let all = remote::path(account, None);
        if account.is_some() || !client.has_token() {
            return Ok(Self::at(client, all));
        }
        let answer = remote::send(client, Method::GET, &format!("{all}/count")).await?;
        if answer.status != StatusCode::FORBIDDEN {
            return Ok(Self::at(client, all));
        }
        let envelope = remote::envelope(client, answer).await?;
        let accounts = envelope["data"]["accounts"].as_array();
        let ids = accounts.into_iter().flatten().filter_map(Value::as_str);
        let paths: Vec<String> = ids.map(|id| remote::path(Some(id), None)).collect();
        // A token without the right to read, or an older daemon: its own words explain it.
        Ok(if paths.is_empty() {
            Self::at(client, "/v2/account/registrations".to_owned())
        } else {
            Self {
                client,
                paths,
                named: false,
            }
        })
    }

    /// One of the lists alone.
    pub(super) fn only(&self, path: &str) -> Self {
        Self {
            paths: vec![path.to_owned()],
            ..*self
        }
    }

    /// Whether these are all registrations of the system, in one list.
    pub(super) fn is_system(&self) -> bool {
        self.named && self.paths == [remote::path(None, None)]
    }

    /// Asks below the path of one of the lists. `None` where that account is not known and nobody named it: it has
    /// no registrations.
    pub(super) async fn ask(&self, target: &str) -> Result<Option<Answer>, Failure> {
        let answer = remote::send(self.client, Method::GET, target).await?;
        match answer.status {
            StatusCode::NOT_FOUND if !self.named => Ok(None),
            status if status.is_success() => Ok(Some(answer)),
            _ => Err(refused(self.client, answer).await),
        }
    }

    /// The daemon's answers at each path with `last` appended, for instance `/count`.
    pub(super) async fn envelopes(&self, last: &str) -> Result<Vec<Value>, Failure> {
        let mut envelopes = Vec::new();
        for path in &self.paths {
            if let Some(answer) = self.ask(&format!("{path}{last}")).await? {
                envelopes.push(remote::envelope(self.client, answer).await?);
            }
        }
        Ok(envelopes)
    }

    /// The next piece of an answer; `None` at its end.
    pub(super) async fn piece(&self, answer: &mut Answer) -> Result<Option<Bytes>, Failure> {
        let piece = answer.piece().await;
        piece.map_err(|error| lost(self.client, error))
    }

    /// Whether any of the registrations passes `filters`.
    pub(super) async fn has_any(&self, filters: &Filters) -> Result<bool, Failure> {
        let last = format!("/count?{}", filters.query(&[]));
        let envelopes = self.envelopes(&last).await?;
        Ok(envelopes.iter().any(|it| it["data"]["count"] != 0))
    }

    /// All pages of the lists.
    pub(super) fn pages<'b>(&'b self, filters: &'b Filters) -> Pages<'b> {
        Pages {
            reach: self,
            filters,
            size: SIZE.to_string(),
            next: self.paths.iter().map(|path| (&**path, None)).collect(),
        }
    }
}

impl Pages<'_> {
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
        let mut page = match self.reach.ask(&target).await? {
            None => Page::default(),
            Some(answer) => remote::body(self.reach.client, answer).await?,
        };
        if let Some(key) = page.next_start_key.take() {
            self.next.push_front((path, Some(key)));
        }
        page.is_last = self.next.is_empty();
        Ok(Some(page))
    }

    /// What the items of a page say.
    pub(super) fn items<T: DeserializeOwned>(&self, page: &Page) -> Result<Vec<T>, Failure> {
        let items = page.data.iter();
        let items = items.map(|item| remote::parse(self.reach.client, item.get().as_bytes()));
        items.collect()
    }

    /// What the items of the next page say; `None` after the last.
    pub(super) async fn next_items<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<Vec<T>>, Failure> {
        let page = self.next().await?;
        page.map(|page| self.items(&page)).transpose()
    }
}
