//! What the attributes of many registrations have in common, as the store keeps it: once, with a number that records have
//! in its place.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet};
use futures_util::TryStreamExt;
use sqlx::{Row, SqliteConnection};

use crate::registration::Stored;

/// So many are kept at most; the attributes of further ones stand in their records, whole.
const MOST: usize = if cfg!(test) { 8 } else { 1 << 14 };

/// The shapes that the store has, by their keys.
#[derive(Debug, Default)]
pub(super) struct KnownShapes {
    numbers: HashMap<Arc<[u8]>, u32>,
    last: u32,
}

/// The same by their numbers.
pub(super) type ShapeKeys = HashMap<u32, Arc<[u8]>>;

impl KnownShapes {
    /// Those that the store has.
    pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let all = read(connection).await?;
        Ok(Self {
            last: all.keys().max().copied().unwrap_or_default(),
            numbers: all.into_iter().map(|(number, key)| (key, number)).collect(),
        })
    }

    /// Takes in the shapes of `registrations`; those that are new, with their numbers, are to be kept with them.
    pub(super) fn learn(&mut self, registrations: &[Stored]) -> Vec<(u32, Arc<[u8]>)> {
        let mut new = Vec::new();
        for one in registrations {
            if let Some((shape, _)) = one.binding.attributes.split()
                && !self.numbers.contains_key(shape.key())
                && self.numbers.len() < MOST
                && let Some(number) = self.last.checked_add(1)
            {
                let key: Arc<[u8]> = shape.key().into();
                self.last = number;
                self.numbers.insert(Arc::clone(&key), number);
                new.push((number, key));
            }
        }
        new
    }

    /// The number of the shape with this key.
    pub(super) fn number(&self, key: &[u8]) -> Option<u32> {
        self.numbers.get(key).copied()
    }
}

/// The shapes that the store has.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<ShapeKeys, sqlx::Error> {
    let mut rows = sqlx::query(include_str!("../../../sql/store/shapes.sql")).fetch(connection);
    let mut shapes = ShapeKeys::new();
    while let Some(row) = rows.try_next().await? {
        let key: &[u8] = row.try_get(1)?;
        shapes.insert(row.try_get(0)?, key.into());
    }
    Ok(shapes)
}

/// Forgets those but the `used` ones, where there are many: what phones once had must not keep others out.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    known: &ShapeKeys,
    used: &HashSet<u32>,
) -> Result<(), sqlx::Error> {
    if known.len() < MOST / 2 || used.len() == known.len() {
        return Ok(());
    }
    let used = serde_json::json!(used).to_string();
    let prune = sqlx::query(include_str!("../../../sql/store/shapes_prune.sql"));
    prune.bind(used).execute(connection).await?;
    Ok(())
}
