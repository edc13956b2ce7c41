//! `[history]`: whether, where and for how long events are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::defaults::STORE;
use super::duration::any_duration;
use super::{Burst, Flap, values};
use crate::document::{Item, Reader, quoted};

/// The name of the file, beside the store.
const NAME: &str = "history.db";

/// The longest that events may be kept: ten years.
const LONGEST: Duration = Duration::from_hours(24 * 3650);

/// A smaller file would be full at once, and a larger one is a mistake.
const SMALLEST: u64 = 16 << 20;
const LARGEST: u64 = 1 << 40;

/// Units of sizes, the largest first.
const UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// What is kept of events, and what is made of them.
#[derive(Clone, PartialEq, Debug)]
pub struct History {
    /// Whether events are kept.
    pub enabled: bool,
    /// The file; absolute, and never Kamailio's or the store's.
    pub path: PathBuf,
    /// How long events are kept; more than zero.
    pub keep: Duration,
    /// How many bytes the file and its log may take.
    pub size: u64,
    /// `[history.flap]`
    pub flap: Flap,
    /// `[history.burst]`
    pub burst: Burst,
}

impl Default for History {
    fn default() -> Self {
        Self {
            enabled: true,
            path: beside(Path::new(STORE)),
            keep: Duration::from_hours(24 * 7),
            size: 1 << 30,
            flap: Flap::default(),
            burst: Burst::default(),
        }
    }
}

/// The history beside this store.
pub(super) fn beside(store: &Path) -> PathBuf {
    store.with_file_name(NAME)
}

/// Reads the keys of the section itself.
pub(super) fn apply(into: &mut History, table: &mut Reader<'_>) {
    table.set("enabled", &mut into.enabled, values::flag);
    table.set("path", &mut into.path, values::path);
    table.set("keep", &mut into.keep, keep);
    table.set("size", &mut into.size, size);
}

/// How long events are kept.
pub(super) fn keep(item: &Item) -> Result<Duration, String> {
    let (text, duration) = any_duration(item)?;
    if duration > LONGEST {
        let quoted = quoted(text);
        return Err(format!(
            "{quoted} is longer than ten years; use at most \"3650d\""
        ));
    }
    Ok(duration)
}

/// A number of bytes with a unit, for instance `1GiB`.
fn size(item: &Item) -> Result<u64, String> {
    let text = item.text()?;
    let quoted = quoted(text);
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, name) = text.split_at(digits.unwrap_or(text.len()));
    let unit = UNITS.iter().find(|(unit, _)| *unit == name);
    let size = number
        .parse()
        .ok()
        .zip(unit)
        .map(|(number, (_, unit))| unit.checked_mul(number));
    match size {
        None => Err(format!(
            "{quoted} is not a size; write for instance \"1GiB\" or \"500MiB\""
        )),
        Some(Some(size)) if (SMALLEST..=LARGEST).contains(&size) => Ok(size),
        Some(_) => Err(format!(
            "{quoted} is out of range; use \"16MiB\" to \"1TiB\""
        )),
    }
}

/// A size as [`size`] reads it.
pub(super) fn show_size(size: u64) -> String {
    let whole = UNITS.iter().find(|(_, unit)| size.is_multiple_of(*unit));
    let (name, unit) = whole.unwrap_or(&UNITS[UNITS.len() - 1]);
    format!("{}{name}", size / unit)
}
