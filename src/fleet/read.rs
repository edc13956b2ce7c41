//! Questions to a fleet's database: which registrations there are, in the order of lists.
//!
//! Account, user and node are chosen by SQL; all else is for whoever asks, over registrations that are what their node
//! shows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row as _};

use super::Error;
use super::nodes::{Node, Nodes};
use super::reader::Fleet;
use super::scan::{PORTION, Scan};
pub use super::whose::{Of, Whose};
use crate::registration::{NodeState, Registration};
use crate::registry::{Listing, Page, Position};

/// How many more rows than a page needs are read with it: its last user may have further contacts.
const SPARE: usize = 32;

/// How many registrations there are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Count {
    /// All that are listed.
    pub all: u64,
    /// Those of them that are on nodes that are not live.
    pub stale: u64,
    /// Changes with them.
    pub revision: u64,
}

impl Fleet {
    /// At most `limit` registrations after `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn page(
        &self,
        nodes: &Nodes,
        of: Of<'_>,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page, Error> {
        let portion = limit.saturating_add(1 + SPARE).min(PORTION);
        let mut scan = Scan::new(self, nodes, of, portion);
        scan.begin_at(after);
        let mut page = Page::default();
        'all: while let Some(portion) = scan.next().await? {
            for (place, one) in portion {
                if after.is_some_and(|after| place <= *after) {
                    continue;
                }
                if page.registrations.len() == limit {
                    page.more = true;
                    break 'all;
                }
                page.revision = page.revision.wrapping_add(one.digest());
                page.registrations.push((place, one));
            }
        }
        Ok(page)
    }

    /// All that are `wanted`, in order; `None` where these are more than `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn select(
        &self,
        nodes: &Nodes,
        of: Of<'_>,
        mut wanted: impl FnMut(&Registration) -> bool,
        most: usize,
    ) -> Result<Option<Listing>, Error> {
        let mut scan = Scan::new(self, nodes, of, PORTION);
        let mut listing = Listing::default();
        while let Some(portion) = scan.next().await? {
            for (_, one) in portion {
                if !wanted(&one) {
                    continue;
                }
                if listing.registrations.len() == most {
                    return Ok(None);
                }
                listing.revision = listing.revision.wrapping_add(one.digest());
                listing.registrations.push(one);
            }
        }
        Ok(Some(listing))
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn count(&self, nodes: &Nodes, of: Of<'_>) -> Result<Count, Error> {
        let mut count = Count::default();
        for (node, number, changes) in self.counts(nodes, of).await? {
            count.all += number;
            if node.state != NodeState::Live {
                count.stale += number;
            }
            let each = [number, changes, node.state as u64];
            let each = each.map(u64::to_le_bytes).concat();
            let digest = xxhash_rust::xxh3::xxh3_64_with_seed(node.row.id.as_bytes(), 0);
            let digest = xxhash_rust::xxh3::xxh3_64_with_seed(&each, digest);
            count.revision = count.revision.wrapping_add(digest);
        }
        Ok(count)
    }

    /// The number on each node, and another one that changes with what is there.
    async fn counts<'n>(
        &self,
        nodes: &'n Nodes,
        of: Of<'_>,
    ) -> Result<Vec<(&'n Node, u64, u64)>, Error> {
        if of.whose == Whose::Everybody && of.username.is_none() {
            let all = nodes.all().iter();
            return Ok(all.map(|node| (node, node.row.rows, 0)).collect());
        }
        let mut query = QueryBuilder::<Postgres>::new(include_str!("../../sql/fleet/counts.sql"));
        of.push(&mut query);
        query.push(" group by r.node");
        let mut counts = Vec::new();
        let mut has_others = false;
        for row in self.rows(query).await? {
            let (id, number, changes): (String, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let Some(node) = nodes.get(&id) else { continue };
            if node.state == NodeState::Live {
                counts.push((node, number.cast_unsigned(), changes.cast_unsigned()));
            } else {
                has_others = true;
            }
        }
        if has_others {
            counts.extend(self.left(nodes, of).await?);
        }
        Ok(counts)
    }

    /// The same of nodes that are not live: those rows count that have not ended.
    async fn left<'n>(
        &self,
        nodes: &'n Nodes,
        of: Of<'_>,
    ) -> Result<Vec<(&'n Node, u64, u64)>, Error> {
        let silent = nodes.silent().map(|node| node.row.id.clone());
        let mut scan = Scan::of_nodes(self, nodes, of, silent.collect());
        let mut left: HashMap<Arc<str>, (u64, u64)> = HashMap::new();
        while let Some(portion) = scan.next().await? {
            for (_, one) in portion {
                if let Some(node) = &one.common.node {
                    let (number, sum) = left.entry(Arc::clone(&node.name)).or_default();
                    *number += 1;
                    *sum = sum.wrapping_add(one.digest());
                }
            }
        }
        let all = nodes.all().iter();
        Ok(all
            .filter_map(|node| {
                let (number, sum) = left.get(&node.row.name)?;
                Some((node, *number, *sum))
            })
            .collect())
    }

    /// How many registrations each account has, and the realm of one of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn count_accounts(
        &self,
        nodes: &Nodes,
        of: Of<'_>,
    ) -> Result<BTreeMap<String, (u64, Option<String>)>, Error> {
        let mut query =
            QueryBuilder::<Postgres>::new(include_str!("../../sql/fleet/by_account.sql"));
        of.push(&mut query);
        let live = nodes.all().iter();
        let live = live.filter(|node| node.state == NodeState::Live);
        let live: Vec<String> = live.map(|node| node.row.id.clone()).collect();
        query.push(" and r.account is not null and r.node = any(");
        query.push_bind(live).push("::uuid[]) group by r.account");
        let mut counts = BTreeMap::new();
        for row in self.rows(query).await? {
            let number: i64 = row.try_get(1)?;
            counts.insert(row.try_get(0)?, (number.cast_unsigned(), row.try_get(2)?));
        }
        let silent = nodes.silent().map(|node| node.row.id.clone());
        let silent: Vec<_> = silent.collect();
        if silent.is_empty() {
            return Ok(counts);
        }
        let mut scan = Scan::of_nodes(self, nodes, of, silent);
        while let Some(portion) = scan.next().await? {
            for (_, one) in portion {
                if let Some(account) = &one.account_id {
                    let realm = one.common.realm.as_deref().map(str::to_owned);
                    let (number, _) = counts.entry(account.to_string()).or_insert((0, realm));
                    *number += 1;
                }
            }
        }
        Ok(counts)
    }

    /// Those of these accounts that have registrations, each with the realm of one of them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn accounts(&self, ids: &[String]) -> Result<HashMap<String, Option<String>>, Error> {
        let mut query = QueryBuilder::<Postgres>::new(include_str!("../../sql/fleet/accounts.sql"));
        query.push_bind(ids.to_vec());
        query.push("::text[]) as asked (id)) as found where found.slot is not null");
        let rows = self.rows(query).await?;
        let known = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        known.collect()
    }

    pub(super) async fn rows(
        &self,
        mut query: QueryBuilder<Postgres>,
    ) -> Result<Vec<PgRow>, Error> {
        Ok(query.build().fetch_all(self.pool()).await?)
    }
}
