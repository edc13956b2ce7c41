//! Questions to a fleet's database: which registrations there are, in the order of lists.
//!
//! Account, user and node are chosen by SQL; all else is for whoever asks, over registrations that are what their node
//! shows. Rows come a portion at a time, and a portion ends with a user, so that the contacts of a phone on several
//! nodes are seen together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row as _};

use super::Error;
use super::block::{Block, Refresh, SEGMENTS, SLOTS};
use super::nodes::{Node, Nodes};
use super::reader::Fleet;
use super::record::{Decoder, refreshed};
use super::superseded::mark;
use crate::registration::intern::Interner;
use crate::registration::{Common, NodeState, OnNode, Registration, lower_shown};
use crate::registry::{Listing, Page, Position};

/// How many rows are read at a time where all are looked through.
const PORTION: usize = 2000;

/// How many more rows than a page needs are read with it: its last user may have further contacts.
const SPARE: usize = 32;

/// Whose registrations are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Those of whom.
    pub whose: Whose<'a>,
    /// Only those of this user, in any case of letters.
    pub username: Option<&'a [u8]>,
}

/// Those of whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose<'a> {
    /// All there are.
    Everybody,
    /// Those of this account.
    One(&'a str),
    /// Those of these accounts.
    Several(&'a [String]),
}

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

/// A registration at its place.
type Placed = (Position, Arc<Registration>);

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

    async fn rows(&self, mut query: QueryBuilder<Postgres>) -> Result<Vec<PgRow>, Error> {
        Ok(query.build().fetch_all(self.pool()).await?)
    }
}

impl Of<'_> {
    /// Adds the condition to a query over `r`.
    fn push(&self, query: &mut QueryBuilder<Postgres>) {
        match self.whose {
            Whose::Everybody => query.push("true"),
            // One account is read in order by the index.
            Whose::One(id) => query.push("r.account = ").push_bind(id.to_owned()),
            Whose::Several(ids) => {
                query.push("r.account = any(");
                query.push_bind(ids.to_vec()).push(")")
            }
        };
        if let Some(username) = self.username {
            query
                .push(" and r.username = ")
                .push_bind(lower_shown(username));
        }
    }
}

/// Looks through registrations, a portion at a time.
pub(super) struct Scan<'a> {
    fleet: &'a Fleet,
    nodes: &'a Nodes,
    of: Of<'a>,
    portion: usize,
    /// Only rows of the nodes with these ids.
    only: Option<Vec<String>>,
    /// The user who comes next, or the last who was read.
    user: Option<User>,
    is_over: bool,
    decoder: Decoder,
    commons: Interner<Arc<Common>>,
    /// Blocks by the node's place and their number.
    blocks: HashMap<(String, i32), Option<Block>>,
}

/// Where the next portion begins.
enum User {
    /// With this one.
    From(String),
    /// After this one.
    After(String),
}

/// A row as it was read.
struct Raw {
    node: String,
    slot: u32,
    sequence: u64,
    username: String,
    record: Vec<u8>,
}

impl<'a> Scan<'a> {
    fn new(fleet: &'a Fleet, nodes: &'a Nodes, of: Of<'a>, portion: usize) -> Self {
        Self {
            fleet,
            nodes,
            of,
            portion,
            only: None,
            user: None,
            is_over: false,
            decoder: Decoder::default(),
            commons: Interner::default(),
            blocks: HashMap::new(),
        }
    }

    /// Over the registrations of the nodes with these ids.
    pub(super) fn of_nodes(
        fleet: &'a Fleet,
        nodes: &'a Nodes,
        of: Of<'a>,
        ids: Vec<String>,
    ) -> Self {
        Self {
            only: Some(ids),
            ..Self::new(fleet, nodes, of, PORTION)
        }
    }

    /// Begins with the user at this place.
    fn begin_at(&mut self, place: Option<&Position>) {
        self.user = place.map(|place| User::From(place.shown_user()));
    }

    /// The next registrations, of whole users; `None` where there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Placed>>, Error> {
        let mut portion = self.portion;
        while !self.is_over {
            let mut rows = self.read(portion).await?;
            if rows.len() < portion {
                self.is_over = true;
            } else if let Some(last) = rows.last().map(|row| row.username.clone()) {
                // That user may have more.
                rows.retain(|row| row.username != last);
            }
            let Some(last) = rows.last() else {
                portion *= 2;
                continue;
            };
            self.user = Some(User::After(last.username.clone()));
            return Ok(Some(self.registrations(&rows).await?));
        }
        Ok(None)
    }

    async fn read(&self, portion: usize) -> Result<Vec<Raw>, Error> {
        let mut query = QueryBuilder::<Postgres>::new(include_str!("../../sql/fleet/rows.sql"));
        self.of.push(&mut query);
        match &self.user {
            None => {}
            Some(User::From(user)) => {
                query.push(" and r.username >= ").push_bind(user.clone());
            }
            Some(User::After(user)) => {
                query.push(" and r.username > ").push_bind(user.clone());
            }
        }
        if let Some(ids) = &self.only {
            query.push(" and r.node = any(");
            query.push_bind(ids.clone()).push("::uuid[])");
        }
        query.push(" order by r.username, r.contact limit ");
        query.push_bind(i64::try_from(portion).unwrap_or(i64::MAX));
        let rows = self.fleet.rows(query).await?;
        rows.iter().map(Raw::of).collect()
    }

    /// What the rows are, in order, without those that have ended.
    async fn registrations(&mut self, rows: &[Raw]) -> Result<Vec<Placed>, Error> {
        self.read_blocks(rows).await?;
        let mut all: Vec<_> = rows
            .iter()
            .filter_map(|row| self.registration(row))
            .collect();
        mark(&mut all, &mut self.commons);
        let placed = all
            .into_iter()
            .map(|one| (Position::of_registration(&one), Arc::new(one)));
        let mut placed: Vec<Placed> = placed.collect();
        placed.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(placed)
    }

    fn registration(&mut self, row: &Raw) -> Option<Registration> {
        let node = self.nodes.get(&row.node)?;
        let Ok(mut details) = self.decoder.decode(&row.record) else {
            tracing::debug!(node = %node.row.name, slot = row.slot, "a row of the fleet cannot be read");
            return None;
        };
        let written = Refresh::of(&details.binding);
        let block = self.blocks.get(&row.block());
        let latest = match block {
            Some(Some(block)) => block.latest(row.place(), row.sequence, written),
            Some(None) | None => written,
        };
        // Rows of live nodes are ended by their node.
        if node.state != NodeState::Live && !latest.expiry.is_valid_at(self.nodes.now) {
            return None;
        }
        details.common = self.commons.get(&Common {
            node: Some(OnNode {
                name: Arc::clone(&node.row.name),
                state: node.state,
                superseded_by: None,
            }),
            ..(*details.common).clone()
        });
        Some(refreshed(details, latest))
    }

    /// Reads the blocks of these rows that are not known yet.
    async fn read_blocks(&mut self, rows: &[Raw]) -> Result<(), Error> {
        let missing: BTreeSet<_> = rows.iter().map(Raw::block).collect();
        let missing = missing
            .into_iter()
            .filter(|block| !self.blocks.contains_key(block));
        let (ids, numbers): (Vec<String>, Vec<i32>) = missing.unzip();
        if ids.is_empty() {
            return Ok(());
        }
        for block in ids.iter().cloned().zip(numbers.iter().copied()) {
            self.blocks.insert(block, None);
        }
        let query = sqlx::query(include_str!("../../sql/fleet/blocks.sql"));
        let query = query.bind(ids).bind(numbers);
        for row in query.fetch_all(self.fleet.pool()).await? {
            let base: &[u8] = row.try_get(2)?;
            let segments = (3..3 + SEGMENTS).map(|column| row.try_get(column));
            let segments: Vec<&[u8]> = segments.collect::<Result<_, _>>()?;
            let block = Block::decode(base, segments).ok();
            self.blocks
                .insert((row.try_get(0)?, row.try_get(1)?), block);
        }
        Ok(())
    }
}

impl Raw {
    fn of(row: &PgRow) -> Result<Self, Error> {
        let (slot, sequence): (i32, i64) = (row.try_get(1)?, row.try_get(2)?);
        Ok(Self {
            node: row.try_get(0)?,
            slot: slot.cast_unsigned(),
            sequence: sequence.cast_unsigned(),
            username: row.try_get(3)?,
            record: row.try_get(4)?,
        })
    }

    /// The node and number of its block.
    fn block(&self) -> (String, i32) {
        (self.node.clone(), (self.slot / SLOTS).cast_signed())
    }

    /// Its place in that.
    fn place(&self) -> u16 {
        u16::try_from(self.slot % SLOTS).expect("a block has fewer slots")
    }
}
