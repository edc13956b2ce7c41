//! How many registrations are left of nodes that are not live: those that have not ended.
//!
//! Such a node writes nothing, so that the ends of its registrations are read once for each of its transactions.

use std::collections::HashMap;
use std::sync::Arc;

use super::Error;
use super::nodes::Nodes;
use super::reader::Fleet;
use super::scan::Scan;
use super::whose::{Of, Whose};
use crate::registration::Expiry;

/// Of more registrations than this the ends are not read: every node seems to have died at once, which is for the database
/// to bear, and they count as what they were.
const MOST: u64 = 200_000;

impl Fleet {
    /// Sets how many registrations the nodes that are not live have left.
    pub(super) async fn count_left(&self, nodes: &mut Nodes) -> Result<(), Error> {
        self.read_ends(nodes).await?;
        let ends = self.ends();
        let left = |id: &String, seq: i64| {
            let (read, ends) = ends.get(id)?;
            let ended = ends.partition_point(|end| *end <= nodes.now);
            (*read == seq).then(|| (ends.len() - ended) as u64)
        };
        let silent = nodes.silent().map(|node| &node.row);
        let all = silent.filter_map(|row| Some((row.id.clone(), left(&row.id, row.seq)?)));
        for (id, rows) in all.collect::<Vec<_>>() {
            nodes.leave(&id, rows);
        }
        Ok(())
    }

    async fn read_ends(&self, nodes: &Nodes) -> Result<(), Error> {
        let missing: Vec<_> = {
            let mut ends = self.ends();
            ends.retain(|id, _| nodes.silent().any(|node| node.row.id == *id));
            let is_known = |id: &String, seq| ends.get(id).is_some_and(|(read, _)| *read == seq);
            let silent = nodes.silent().map(|node| &node.row);
            silent.filter(|row| !is_known(&row.id, row.seq)).collect()
        };
        let rows: u64 = missing.iter().map(|row| row.rows).sum();
        if missing.is_empty() || rows > MOST {
            return Ok(());
        }
        let mut read: HashMap<String, Vec<i64>> = HashMap::new();
        for row in &missing {
            read.insert(row.id.clone(), Vec::new());
        }
        let everybody = Of {
            whose: Whose::Everybody,
            username: None,
        };
        let mut scan = Scan::of_nodes(self, nodes, everybody, read.keys().cloned().collect());
        while let Some(portion) = scan.next().await? {
            for (_, one) in portion {
                let name = one.common.node.as_ref().map(|node| &node.name);
                let row = missing.iter().find(|row| Some(&row.name) == name);
                if let Some(ends) = row.and_then(|row| read.get_mut(&row.id)) {
                    ends.push(match one.binding.expiry {
                        Expiry::At(end) => end,
                        Expiry::Permanent => i64::MAX,
                    });
                }
            }
        }
        let mut ends = self.ends();
        for row in missing {
            let mut read = read.remove(&row.id).unwrap_or_default();
            read.sort_unstable();
            ends.insert(row.id.clone(), (row.seq, Arc::new(read)));
        }
        Ok(())
    }
}
