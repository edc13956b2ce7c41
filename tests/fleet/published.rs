//! What a node has published, as a reader of the database makes it of rows and blocks.

use std::collections::BTreeMap;

use serde_json::Value;
use usrlocd::fleet::block::{Block, Refresh, SLOTS};
use usrlocd::fleet::record::{Decoder, refreshed};
use usrlocd::registration::item::{Field, Wire};

use crate::oracle::{PATIENCE, list};
use crate::servers::ALL;
use crate::support::daemon::Daemon;
use crate::support::server::Server;
use crate::support::{eventually, holds};

/// The items of a list by their ruids: names and values of all keys that do not count down.
type Items = BTreeMap<String, BTreeMap<String, String>>;

/// Waits until the database has what the node lists, and nothing else.
#[track_caller]
pub(super) fn is_published(server: &Server, name: &str, daemon: &Daemon) {
    eventually("the database has what is listed", PATIENCE, || {
        let (published, listed) = (published(server, name), listed(daemon));
        holds(published == listed, || {
            format!(
                "{published:#?}\nbut listed is {listed:#?}\n{}",
                daemon.log()
            )
        })
    });
}

fn listed(daemon: &Daemon) -> Items {
    let items = list(daemon, ALL).into_iter();
    let items = items.map(|item| {
        let keys = item.as_object().expect("an item is an object").iter();
        let keys = keys.map(|(key, value)| (key.clone(), text(value)));
        let keys: BTreeMap<_, _> = keys.filter(|(key, _)| key != "expires").collect();
        (keys["ruid"].clone(), keys)
    });
    items.collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn published(server: &Server, name: &str) -> Items {
    let of_node = format!("node = (SELECT id FROM usrlocd.node WHERE name = '{name}')");
    let hex = |column: &str| format!("encode({column}, 'hex')");
    let segments: Vec<String> = (0..8).map(|segment| hex(&format!("s{segment}"))).collect();
    let blocks = server.query(&format!(
        "SELECT block, {}, {} FROM usrlocd.block WHERE {of_node}",
        hex("base"),
        segments.join(", ")
    ));
    let blocks: BTreeMap<u32, Block> = blocks.lines().map(block).collect();
    let rows = server.query(&format!(
        "SELECT slot, seq, {} FROM usrlocd.row WHERE {of_node}",
        hex("record")
    ));
    let mut decoder = Decoder::default();
    let mut items = Items::new();
    for line in rows.lines() {
        let columns: Vec<&str> = line.split('|').collect();
        let slot: u32 = columns[0].parse().expect("a slot");
        let sequence: u64 = columns[1].parse().expect("a number");
        let record = hex::decode(columns[2]).expect("hexadecimal digits");
        let row = decoder.decode(&record).expect("a record");
        let written = Refresh::of(&row.binding);
        let place = u16::try_from(slot % SLOTS).expect("a place");
        let block = blocks.get(&(slot / SLOTS));
        let latest = block.map_or(written, |block| block.latest(place, sequence, written));
        let row = refreshed(row, latest);
        let shown = Field::USUAL
            .iter()
            .filter(|field| **field != Field::Expires);
        let keys = shown.filter_map(|field| {
            let value = row.value(*field, Wire::Document, 0)?;
            Some((field.name().to_owned(), value.to_text().into_owned()))
        });
        let keys: BTreeMap<_, _> = keys.collect();
        let former = items.insert(keys["ruid"].clone(), keys);
        assert_eq!(former, None, "a registration has one row");
    }
    items
}

fn block(line: &str) -> (u32, Block) {
    let columns: Vec<&str> = line.split('|').collect();
    let bytes: Vec<Vec<u8>> = columns[1..]
        .iter()
        .map(|digits| hex::decode(digits).expect("hexadecimal digits"))
        .collect();
    let segments = bytes[1..].iter().map(Vec::as_slice);
    let block = Block::decode(&bytes[0], segments).expect("a block");
    (columns[0].parse().expect("a number"), block)
}
