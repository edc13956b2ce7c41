//! The fleet as it is asked by one request: its database, and its nodes when the request came.

use std::sync::Arc;

use serde_json::Value;

use crate::fleet::nodes::Nodes;
use crate::fleet::read::{Count, Of};
use crate::fleet::{self, Fleet};
use crate::http::auth::account::InFleet;
use crate::http::error::{Error, Problem};
use crate::http::request::filter::Filters;
use crate::http::response::fleet as response;
use crate::http::response::view::View;
use crate::registration::{NodeState, Registration};
use crate::registry::{Listing, Page, Position};

/// How many registrations one answer has at most; for more it is asked page by page.
const MOST: usize = 100_000;

/// The fleet, and its nodes when it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) nodes: Arc<Nodes>,
    /// What is known of the accounts that the caller's right is about.
    pub(crate) known: Arc<InFleet>,
}

impl Asked {
    /// Asks the fleet.
    pub(super) async fn new(fleet: &Arc<Fleet>) -> Result<Self, Error> {
        let nodes = fleet.nodes().await.map_err(|error| away(fleet, &error))?;
        Ok(Self {
            fleet: Arc::clone(fleet),
            nodes,
            known: Arc::default(),
        })
    }

    /// Looks which of these accounts have registrations.
    pub(super) async fn find_accounts(&mut self, ids: &[String]) -> Result<(), Error> {
        let known = self.fleet.accounts(ids).await;
        self.known = Arc::new(known.map_err(|error| self.away(&error))?);
        Ok(())
    }

    /// At most `limit` registrations after `after`, and how many there are in all.
    pub(super) async fn page(
        &self,
        of: Of<'_>,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<(Page, usize), Error> {
        let page = self.fleet.page(&self.nodes, of, after, limit).await;
        let page = page.map_err(|error| self.away(&error))?;
        let total = usize::try_from(self.count(of).await?.all).unwrap_or(usize::MAX);
        Ok((page, total))
    }

    /// The registrations that the filters select.
    pub(super) async fn select(
        &self,
        of: Of<'_>,
        filters: &Filters,
        view: &View,
    ) -> Result<Listing, Error> {
        let mut room = Vec::new();
        let wanted = |one: &Registration| filters.match_item(&view.item(one), &mut room);
        let found = self.fleet.select(&self.nodes, of, wanted, MOST).await;
        let too_many = || Error::parameter("page_size", Problem::TooManyRows);
        found
            .map_err(|error| self.away(&error))?
            .ok_or_else(too_many)
    }

    /// The same, for something to be done with them.
    pub(super) async fn choose(
        &self,
        of: Of<'_>,
        filters: &Filters,
        view: &View,
    ) -> Result<Vec<Arc<Registration>>, Error> {
        let chosen = self.select(of, filters, view).await;
        let chosen = chosen.map_err(|error| match error {
            Error::Parameter {
                problem: Problem::TooManyRows,
                ..
            } => Error::parameter("q", Problem::TooManyChosen),
            error => error,
        });
        Ok(chosen?.registrations)
    }

    /// How many there are, and how many of them are on nodes that are not live.
    pub(super) async fn count(&self, of: Of<'_>) -> Result<Count, Error> {
        let count = self.fleet.count(&self.nodes, of).await;
        count.map_err(|error| self.away(&error))
    }

    /// The same of those that the filters select.
    pub(super) async fn count_selected(
        &self,
        of: Of<'_>,
        filters: &Filters,
        view: &View,
    ) -> Result<Count, Error> {
        let found = self.select(of, filters, view).await?;
        let all = &found.registrations;
        let nodes = all.iter().filter_map(|one| one.common.node.as_ref());
        let stale = nodes.filter(|node| node.state != NodeState::Live);
        Ok(Count {
            all: all.len() as u64,
            stale: stale.count() as u64,
            revision: found.revision,
        })
    }

    /// The answer where it cannot be written what nodes are asked for.
    pub(super) fn not_written(&self, error: &fleet::Error) -> Error {
        match error {
            fleet::Error::Permission | fleet::Error::ReadOnly => {
                tracing::warn!("a flush or NOTIFY for the fleet was refused: {error}");
                Error::FleetReadOnly
            }
            error => self.away(error),
        }
    }

    /// The answer where the database cannot be read.
    pub(super) fn away(&self, error: &fleet::Error) -> Error {
        away(&self.fleet, error)
    }
}

fn away(fleet: &Fleet, error: &fleet::Error) -> Error {
    tracing::debug!(%error, "the fleet was asked in vain");
    let nodes = fleet.last_nodes();
    let nodes = nodes.map_or_else(|| Value::Array(Vec::new()), |last| response::nodes(&last));
    Error::FleetUnreachable { nodes }
}
