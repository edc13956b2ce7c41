//! What the database has of this node: learnt at a start, compared after a connection was lost.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::Error;
use super::block::SLOTS;
use super::connection::answered;
use super::node::Node;
use super::record::Decoder;
use super::slots::Slots;

/// How many rows are read at a time.
const PAGE: i64 = 2000;

/// How many blocks are compared at a time.
const BLOCKS: u32 = 128;

const ROWS: &str = "SELECT slot, seq, record FROM usrlocd.row WHERE node = $1::uuid AND slot > $2 ORDER BY slot LIMIT $3";
const SUMS: &str = include_str!("../../sql/fleet/sums.sql");
const LAST: &str = "SELECT coalesce(max(slot), -1)::int4 FROM usrlocd.row WHERE node = $1::uuid";
const OF_BLOCK: &str =
    "SELECT slot, seq FROM usrlocd.row WHERE node = $1::uuid AND slot >= $2 AND slot < $3";

/// Has every registration that has a row keep its slot.
pub(super) async fn learn(
    connection: &mut PgConnection,
    node: &Node,
    slots: &mut Slots,
) -> Result<(), Error> {
    let mut decoder = Decoder::default();
    let mut last = -1_i32;
    loop {
        let reading = sqlx::query(ROWS).bind(&node.id).bind(last).bind(PAGE);
        let rows = answered(async { Ok(reading.fetch_all(&mut *connection).await?) }).await?;
        for row in &rows {
            last = row.try_get(0)?;
            let sequence: i64 = row.try_get(1)?;
            let known = decoder.decode(row.try_get(2)?).ok();
            let slot = u32::try_from(last).map_err(|_| Error::Content)?;
            slots.learn(slot, sequence.cast_unsigned(), known.as_ref());
        }
        if rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Finds the rows that are not what this process wrote last. Returns how many blocks had some.
pub(super) async fn compare(
    connection: &mut PgConnection,
    node: &Node,
    slots: &mut Slots,
) -> Result<usize, Error> {
    let reading = sqlx::query(LAST).bind(&node.id);
    let last: i32 =
        answered(async { Ok(reading.fetch_one(&mut *connection).await?.try_get(0)?) }).await?;
    let there = u32::try_from(last + 1).unwrap_or(0).div_ceil(SLOTS);
    let end = there.max(slots.blocks());
    let known = slots.sums();
    let mut differing = Vec::new();
    for first in (0..end).step_by(BLOCKS as usize) {
        let found = sums(connection, node, first, first + BLOCKS).await?;
        let blocks = first..first.saturating_add(BLOCKS).min(end);
        differing.extend(blocks.filter(|block| found.get(block) != known.get(block)));
    }
    for block in &differing {
        let (first, end) = (block * SLOTS, (block + 1) * SLOTS);
        let reading = sqlx::query(OF_BLOCK).bind(&node.id);
        let reading = reading.bind(bound(first)).bind(bound(end));
        let rows = answered(async { Ok(reading.fetch_all(&mut *connection).await?) }).await?;
        let mut found = BTreeMap::new();
        for row in rows {
            let (slot, sequence): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
            let slot = u32::try_from(slot).map_err(|_| Error::Content)?;
            found.insert(slot, sequence.cast_unsigned());
        }
        slots.doubt(*block, &found);
    }
    Ok(differing.len())
}

async fn sums(
    connection: &mut PgConnection,
    node: &Node,
    first: u32,
    end: u32,
) -> Result<BTreeMap<u32, (i64, i128, i128)>, Error> {
    let reading = sqlx::query(SUMS).bind(&node.id);
    let reading = reading.bind(bound(first * SLOTS)).bind(bound(end * SLOTS));
    let rows = answered(async { Ok(reading.fetch_all(connection).await?) }).await?;
    let mut sums = BTreeMap::new();
    for row in rows {
        let (block, count): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (plain, weighted): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let sum = |text: String| text.parse::<i128>().map_err(|_| Error::Content);
        let block = u32::try_from(block).map_err(|_| Error::Content)?;
        sums.insert(block, (count, sum(plain)?, sum(weighted)?));
    }
    Ok(sums)
}

fn bound(slot: u32) -> i32 {
    i32::try_from(slot).unwrap_or(i32::MAX)
}
