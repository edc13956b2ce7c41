//! Looks through the registrations of a fleet's database, in the order of lists, a portion at a time. A portion ends with a
//! user, so that the contacts of a phone on several nodes are seen together.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row as _};

use super::Error;
use super::block::{Block, Refresh, SEGMENTS, SLOTS};
use super::nodes::Nodes;
use super::reader::Fleet;
use super::record::{Decoder, refreshed};
use super::superseded::mark;
use super::whose::Of;
use crate::registration::intern::Interner;
use crate::registration::{Common, NodeState, OnNode, Registration};
use crate::registry::Position;

/// How many rows are read at a time where all are looked through.
pub(super) const PORTION: usize = 2000;

/// A registration at its place.
pub(super) type Placed = (Position, Arc<Registration>);

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
    pub(super) fn new(fleet: &'a Fleet, nodes: &'a Nodes, of: Of<'a>, portion: usize) -> Self {
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
    pub(super) fn begin_at(&mut self, place: Option<&Position>) {
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
            self.fleet.cannot_read(self.nodes, node);
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
