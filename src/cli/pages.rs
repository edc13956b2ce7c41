//! Walks the pages of a list, so that memory grows neither here nor in the daemon.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::remote::{self, Filters};
use crate::client::Client;
use crate::daemon::Failure;

/// How many items are asked for at a time.
const SIZE: usize = 1000;

/// What a page of a list says.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// The items, as the API writes them.
    pub(super) data: Vec<Box<RawValue>>,
    /// Where the next page starts; absent on the last one.
    pub(super) next_start_key: Option<String>,
    /// How well the daemon knows Kamailio's tables.
    pub(super) source: Value,
}

/// The pages of one list that are still to come.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    client: &'a Client,
    path: &'a str,
    filters: &'a Filters,
    size: String,
    /// Where the next page starts; `None` at the end.
    next: Option<Start>,
}

#[derive(Debug)]
enum Start {
    Beginning,
    Key(String),
}

impl<'a> Pages<'a> {
    /// All pages of the list at `path`.
    pub(super) fn of(client: &'a Client, path: &'a str, filters: &'a Filters) -> Self {
        Self {
            client,
            path,
            filters,
            size: SIZE.to_string(),
            next: Some(Start::Beginning),
        }
    }

    /// Pages of at most `size` items.
    pub(super) fn sized(mut self, size: usize) -> Self {
        self.size = size.clamp(1, SIZE).to_string();
        self
    }

    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, Failure> {
        let Some(start) = self.next.take() else {
            return Ok(None);
        };
        let mut further = vec![("page_size", &*self.size)];
        if let Start::Key(key) = &start {
            further.push(("start_key", key));
        }
        let target = format!("{}?{}", self.path, self.filters.query(&further));
        let answer = remote::ask(self.client, Method::GET, &target).await?;
        let body = answer
            .body()
            .await
            .map_err(|error| remote::lost(self.client, error))?;
        let page: Page = remote::parse(self.client, &body)?;
        self.next = page.next_start_key.clone().map(Start::Key);
        Ok(Some(page))
    }
}

/// The list of all accounts, or of the only account of a token that may not see all.
pub(super) async fn own_path(client: &Client, path: &str) -> Result<String, Failure> {
    if client.has_token() && path == "/v2/registrations" {
        let probe = client
            .send(Method::HEAD, "/v2/registrations/count", &[])
            .await
            .map_err(|error| remote::lost(client, error))?;
        if probe.status == StatusCode::FORBIDDEN {
            return Ok("/v2/account/registrations".to_owned());
        }
    }
    Ok(path.to_owned())
}
