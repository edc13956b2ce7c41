//! The phones that flap: each node publishes its own, and readers let their scores decay.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::Error;
use super::connection::answered;
use super::node::Node;
use super::reader::Fleet;
use crate::event_log::Finder;
use crate::events::json::flapping;

const PUT: &str = include_str!("../../sql/fleet/flapping_put.sql");
const ALL: &str = include_str!("../../sql/fleet/flapping.sql");

/// How many phones of a node are published.
const PHONES: usize = 1000;

/// What is published of this node.
#[derive(Debug)]
pub(super) struct Published {
    finder: Arc<Finder>,
    /// What the database has, without what only decays; `None` where that is not known.
    last: Option<Vec<Value>>,
}

/// The phones that flap on a node.
#[derive(Clone, PartialEq, Debug)]
pub struct OnNode {
    /// The id of the node.
    pub node: String,
    /// How old the scores are.
    pub age: Duration,
    /// The phones, as a node itself answers.
    pub phones: Vec<Value>,
}

impl Published {
    pub(super) fn new(finder: Arc<Finder>) -> Self {
        Self { finder, last: None }
    }

    /// What the database has is not known.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Publishes the phones that flap now, if there is more to say than that their scores decay.
    pub(super) async fn publish(
        &mut self,
        connection: &mut PgConnection,
        node: &Node,
    ) -> Result<(), Error> {
        let mut phones = self.finder.flapping();
        phones.truncate(PHONES);
        let phones: Vec<Value> = phones.iter().map(flapping).collect();
        let steady = phones.iter().cloned().map(|mut phone| {
            if let Some(phone) = phone.as_object_mut() {
                phone.remove("score");
            }
            phone
        });
        let steady = Some(steady.collect::<Vec<_>>());
        if self.last == steady {
            return Ok(());
        }
        let put = sqlx::query(PUT).bind(&node.id).bind(node.epoch);
        let put = put.bind(Value::Array(phones).to_string());
        answered(async { Ok(put.execute(connection).await.map(drop)?) }).await?;
        self.last = steady;
        Ok(())
    }
}

impl Fleet {
    /// The phones that flap on each node.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn flapping(&self) -> Result<Vec<OnNode>, Error> {
        let mut all = Vec::new();
        for row in sqlx::query(ALL).fetch_all(self.pool()).await? {
            let (age, phones): (i64, &str) = (row.try_get(1)?, row.try_get(2)?);
            all.push(OnNode {
                node: row.try_get(0)?,
                age: Duration::from_millis(age.max(0).cast_unsigned()),
                phones: serde_json::from_str(phones).map_err(|_| Error::Content)?,
            });
        }
        Ok(all)
    }
}
