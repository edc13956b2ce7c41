//! Writes one transaction of this node.

use std::sync::Arc;

use sqlx::postgres::PgConnection;

use super::connection::{answered, execute};
use super::ledger::Write;
use super::node::{Node, Report};
use super::outbox::{self, Batch};
use super::slots::Taken;
use super::{Error, record};
use crate::registration::{Registration, Text};

const UPSERT: &str = include_str!("../../sql/fleet/upsert.sql");
const DELETE: &str = "DELETE FROM usrlocd.row WHERE node = $1::uuid AND slot = ANY($2::int4[])";
const BASE: &str = include_str!("../../sql/fleet/base.sql");
const SEGMENTS: [&str; super::block::SEGMENTS] = [
    "UPDATE usrlocd.block SET s0 = $3 WHERE node = $1::uuid AND block = $2",
    "UPDATE usrlocd.block SET s1 = $3 WHERE node = $1::uuid AND block = $2",
    "UPDATE usrlocd.block SET s2 = $3 WHERE node = $1::uuid AND block = $2",
    "UPDATE usrlocd.block SET s3 = $3 WHERE node = $1::uuid AND block = $2",
    "UPDATE usrlocd.block SET s4 = $3 WHERE node = $1::uuid AND block = $2",
    "UPDATE usrlocd.block SET s5 = $3 WHERE node = $1::uuid AND block = $2",
    "UPDATE usrlocd.block SET s6 = $3 WHERE node = $1::uuid AND block = $2",
    "UPDATE usrlocd.block SET s7 = $3 WHERE node = $1::uuid AND block = $2",
];

/// What one transaction writes beside the node's own row.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) rows: Taken,
    pub(super) blocks: Vec<(u32, Write)>,
    /// What happened; all rows that it is about are written, at the latest with it.
    pub(super) events: Option<Batch>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.rows.rows.is_empty()
            && self.rows.gone.is_empty()
            && self.blocks.is_empty()
            && self.events.is_none()
    }
}

/// Commits `changes` with the node's current sequence number. Returns the database's clock, in milliseconds since the
/// Unix epoch.
pub(super) async fn commit(
    connection: &mut PgConnection,
    node: &mut Node,
    report: &Report,
    changes: &Changes,
) -> Result<i64, Error> {
    if changes.is_empty() {
        let clock = answered(node.beat(connection, report)).await?;
        node.committed();
        return Ok(clock);
    }
    execute(connection, "BEGIN").await?;
    let clock = answered(node.beat(connection, report)).await?;
    if !changes.rows.gone.is_empty() {
        let gone: Vec<i32> = changes.rows.gone.iter().map(|slot| number(*slot)).collect();
        let deleting = sqlx::query(DELETE).bind(&node.id).bind(gone);
        answered(async { Ok(deleting.execute(&mut *connection).await.map(drop)?) }).await?;
    }
    if !changes.rows.rows.is_empty() {
        answered(upsert(connection, node, &changes.rows.rows)).await?;
    }
    for (block, write) in &changes.blocks {
        let (sql, bytes) = match write {
            Write::Base(bytes) => (BASE, bytes),
            Write::Segment(segment, bytes) => (SEGMENTS[*segment], bytes),
        };
        let writing = sqlx::query(sql).bind(&node.id).bind(number(*block));
        let writing = writing.bind(bytes);
        answered(async { Ok(writing.execute(&mut *connection).await.map(drop)?) }).await?;
    }
    if let Some(batch) = &changes.events {
        answered(outbox::write(connection, node, batch)).await?;
    }
    execute(connection, "COMMIT").await?;
    node.committed();
    Ok(clock)
}

async fn upsert(
    connection: &mut PgConnection,
    node: &Node,
    rows: &[(u32, Arc<Registration>)],
) -> Result<(), Error> {
    let of = |row: &Arc<Registration>| row.binding.expiry.end().unwrap_or(0);
    let texts = |text: fn(&Registration) -> Option<String>| -> Vec<Option<String>> {
        rows.iter().map(|(_, row)| text(row)).collect()
    };
    let upserting = sqlx::query(UPSERT)
        .bind(&node.id)
        .bind(node.sequence.cast_signed())
        .bind(
            rows.iter()
                .map(|(slot, _)| number(*slot))
                .collect::<Vec<i32>>(),
        )
        .bind(rows.iter().map(|(_, row)| of(row)).collect::<Vec<i64>>())
        .bind(texts(|row| row.account_id.as_deref().map(storable)))
        .bind(texts(|row| {
            let user = Text::from(&*row.binding.user());
            Some(storable(&user.lossy()).to_lowercase())
        }))
        .bind(texts(|row| row.common.realm.as_deref().map(storable)))
        .bind(texts(|row| Some(storable(&row.binding.contact.lossy()))))
        .bind(
            rows.iter()
                .map(|(_, row)| record::encode(row))
                .collect::<Vec<_>>(),
        );
    Ok(upserting.execute(connection).await.map(drop)?)
}

/// The text as `PostgreSQL` can hold it.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn number(slot: u32) -> i32 {
    i32::try_from(slot).unwrap_or(i32::MAX)
}
