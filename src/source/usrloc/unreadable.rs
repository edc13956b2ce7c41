//! Cells that cannot be read: each is reported once, with its row and the reason.
//!
//! A table may have very many of them, all for one reason. Of each column the first is a warning, then every half
//! minute one line with the number of those that came since; all of them are in the log at debug.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use super::rows::Value;
use crate::rate_limited::RateLimited;
use crate::registration::Column;

/// Of a value that cannot be read so many bytes are shown.
const SHOWN: usize = 40;

/// A cell that cannot be read.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Unread<'a> {
    pub(super) column: Column,
    pub(super) reason: Reason,
    pub(super) value: Value<'a>,
}

/// Why a row cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cause {
    column: Column,
    reason: Reason,
}

/// Why a cell cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    Null,
    NotATime,
    NotANumber,
}

/// A row with such cells, by its table and rowid.
pub(super) type Place = (usize, i64);

/// A row of `location`, for a report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    pub(super) place: Place,
    pub(super) table: &'a str,
    pub(super) ruid: &'a [u8],
    /// Whether the row is not listed for it; else the value alone is missing.
    pub(super) is_lost: bool,
}

/// The rows with cells that cannot be read.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    rows: HashMap<Place, BadRow>,
    lost: usize,
    columns: BTreeMap<(usize, Column), BadColumn>,
    /// Whether there may be something to report.
    is_due: bool,
}

#[derive(Debug)]
struct BadRow {
    columns: Vec<Column>,
    is_lost: bool,
}

#[derive(Debug, Default)]
struct BadColumn {
    limited: RateLimited,
    /// In how many rows it cannot be read.
    rows: usize,
    /// Since the last report.
    new: u64,
    first: Option<Report>,
}

/// What is to be reported of a cell.
#[derive(Debug)]
struct Report {
    table: String,
    rowid: i64,
    ruid: String,
    reason: String,
    is_lost: bool,
}

impl Unreadable {
    /// How many rows are not listed.
    pub(super) fn lost(&self) -> usize {
        self.lost
    }

    /// Notes which cells of a row cannot be read now.
    pub(super) fn set(&mut self, row: Whose<'_>, cells: &[Unread<'_>]) {
        if cells.is_empty() && self.rows.is_empty() {
            return;
        }
        let former = self.take(row.place);
        if cells.is_empty() {
            return;
        }
        for cell in cells {
            let key = (row.place.0, cell.column);
            let column = self.columns.entry(key).or_default();
            column.rows += 1;
            let is_known = |former: &BadRow| former.columns.contains(&cell.column);
            if !former.as_ref().is_some_and(is_known) {
                self.is_due = true;
                column.found(Report::of(row, cell));
            }
        }
        self.lost += usize::from(row.is_lost);
        let columns = cells.iter().map(|cell| cell.column).collect();
        let is_lost = row.is_lost;
        self.rows.insert(row.place, BadRow { columns, is_lost });
    }

    /// Forgets a row that is gone.
    pub(super) fn remove(&mut self, place: Place) {
        self.take(place);
    }

    /// Forgets all rows: they are read again.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.lost = 0;
        for column in self.columns.values_mut() {
            column.rows = 0;
        }
    }

    /// Reports what has been found since the last time, at `now` (monotonic). While not every row has been read, none
    /// is said to be well again.
    pub(super) fn report(&mut self, now: Duration, complete: bool) {
        if !std::mem::take(&mut self.is_due) {
            return;
        }
        for ((_, which), column) in &mut self.columns {
            column.report(which.name(), now);
            if column.rows == 0 && complete {
                column.recovered(which.name(), now);
            }
            // Until it has been reported, or its end.
            self.is_due |= column.new > 0 || (column.rows == 0 && column.limited.is_failing());
        }
    }

    fn take(&mut self, place: Place) -> Option<BadRow> {
        let former = self.rows.remove(&place)?;
        self.lost -= usize::from(former.is_lost);
        for column in &former.columns {
            if let Some(column) = self.columns.get_mut(&(place.0, *column)) {
                column.rows = column.rows.saturating_sub(1);
                self.is_due |= column.rows == 0;
            }
        }
        Some(former)
    }
}

impl BadColumn {
    fn found(&mut self, report: Report) {
        tracing::debug!(
            table = report.table,
            rowid = report.rowid,
            ruid = report.ruid,
            reason = report.reason,
            "a cell of Kamailio's table cannot be read"
        );
        self.new += 1;
        self.first.get_or_insert(report);
    }

    fn report(&mut self, column: &str, now: Duration) {
        if self.new == 0 {
            return;
        }
        let say = if self.limited.is_failing() {
            self.limited.lasts(now)
        } else {
            self.limited.failed(now)
        };
        let Some(report) = say.and_then(|_| self.first.take()) else {
            return;
        };
        let more = Some(std::mem::take(&mut self.new) - 1).filter(|more| *more > 0);
        let Report {
            table,
            rowid,
            ruid,
            reason,
            is_lost,
        } = report;
        if is_lost {
            tracing::warn!(
                table,
                rowid,
                ruid,
                column,
                reason,
                more,
                "a row of Kamailio's table cannot be read and is not listed"
            );
        } else {
            tracing::warn!(
                table,
                rowid,
                ruid,
                column,
                reason,
                more,
                "a value in Kamailio's table cannot be read; its row is listed without it"
            );
        }
    }

    fn recovered(&mut self, column: &str, now: Duration) {
        if self.limited.succeeded(now).is_some() {
            tracing::info!(column, "every value of the column can be read again");
        }
    }
}

impl Report {
    fn of(row: Whose<'_>, cell: &Unread<'_>) -> Self {
        Self {
            table: row.table.to_owned(),
            rowid: row.place.1,
            ruid: String::from_utf8_lossy(row.ruid).into_owned(),
            reason: cell.to_string(),
            is_lost: row.is_lost,
        }
    }
}

impl Cause {
    /// Why a row is lost that has these cells; `None` where it is not.
    pub(super) fn of_loss(cells: &[Unread<'_>]) -> Option<Self> {
        let is_needed = |cell: &&Unread<'_>| cell.column.is_needed();
        cells.iter().find(is_needed).map(Unread::cause)
    }

    /// Whether there is nothing to read: the value is NULL.
    pub(super) fn is_absence(self) -> bool {
        self.reason == Reason::Null
    }
}

impl Unread<'_> {
    fn cause(&self) -> Cause {
        Cause {
            column: self.column,
            reason: self.reason,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = match self.reason {
            Reason::Null => "is NULL",
            Reason::NotATime => "is not a time",
            Reason::NotANumber => "is not a number",
        };
        write!(f, "{} {is}", self.column.name())
    }
}

impl fmt::Display for Unread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause().fmt(f)?;
        if self.reason == Reason::Null {
            return Ok(());
        }
        f.write_str(": ")?;
        match self.value {
            Value::Null => f.write_str("NULL"),
            Value::Integer(number) => number.fmt(f),
            Value::Real(number) => number.fmt(f),
            Value::Text(bytes) | Value::Blob(bytes) => {
                let shown = &bytes[..bytes.len().min(SHOWN)];
                let rest = if shown.len() < bytes.len() { "…" } else { "" };
                write!(f, "\"{}{rest}\"", shown.escape_ascii())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: Unread<'_> = Unread {
        column: Column::Q,
        reason: Reason::NotANumber,
        value: Value::Text(b"high\n"),
    };

    const EXPIRES: Unread<'_> = Unread {
        column: Column::Expires,
        reason: Reason::NotATime,
        value: Value::Null,
    };

    fn row(rowid: i64, is_lost: bool) -> Whose<'static> {
        Whose {
            place: (1, rowid),
            table: "location",
            ruid: b"uloc-1",
            is_lost,
        }
    }

    #[test]
    fn cells_are_named_with_what_stands_there() {
        assert_eq!(Q.to_string(), "q is not a number: \"high\\n\"");
        let long = Unread {
            value: Value::Blob(&[b'x'; 50]),
            ..EXPIRES
        };
        let shown = "x".repeat(SHOWN);
        assert_eq!(
            long.to_string(),
            format!("expires is not a time: \"{shown}…\"")
        );
        let null = Unread {
            column: Column::Ruid,
            reason: Reason::Null,
            value: Value::Null,
        };
        assert_eq!(null.to_string(), "ruid is NULL");
    }

    #[test]
    fn rows_are_counted_while_they_are_bad() {
        let mut unreadable = Unreadable::default();
        unreadable.set(row(1, false), &[]);
        assert!(unreadable.columns.is_empty());
        unreadable.set(row(1, true), &[EXPIRES, Q]);
        unreadable.set(row(2, false), &[Q]);
        assert_eq!(unreadable.lost(), 1);
        unreadable.set(row(1, false), &[Q]);
        assert_eq!(unreadable.lost(), 0);
        assert_eq!(unreadable.columns[&(1, Column::Expires)].rows, 0);
        assert_eq!(unreadable.columns[&(1, Column::Q)].rows, 2);
        unreadable.remove((1, 1));
        unreadable.set(row(2, false), &[]);
        assert_eq!(unreadable.columns[&(1, Column::Q)].rows, 0);
        unreadable.set(row(3, true), &[EXPIRES]);
        unreadable.clear();
        assert_eq!((unreadable.lost(), unreadable.rows.len()), (0, 0));
    }

    #[test]
    fn each_cell_is_new_once() {
        let new = |unreadable: &Unreadable| unreadable.columns[&(1, Column::Q)].new;
        let mut unreadable = Unreadable::default();
        for _ in 0..3 {
            unreadable.set(row(1, false), &[Q]);
        }
        assert_eq!(new(&unreadable), 1);
        unreadable.report(Duration::ZERO, true);
        assert_eq!(new(&unreadable), 0, "reported at once");
        unreadable.set(row(2, false), &[Q]);
        unreadable.set(row(3, false), &[Q]);
        unreadable.report(Duration::from_secs(29), true);
        assert_eq!(new(&unreadable), 2, "too soon");
        unreadable.report(Duration::from_secs(30), true);
        assert_eq!(new(&unreadable), 0);
    }

    #[test]
    fn a_column_is_well_again_once_all_has_been_read() {
        let failing =
            |unreadable: &Unreadable| unreadable.columns[&(1, Column::Q)].limited.is_failing();
        let mut unreadable = Unreadable::default();
        unreadable.set(row(1, false), &[Q]);
        unreadable.report(Duration::ZERO, true);
        unreadable.set(row(1, false), &[]);
        unreadable.report(Duration::from_secs(1), false);
        assert!(failing(&unreadable));
        unreadable.report(Duration::from_secs(2), true);
        assert!(!failing(&unreadable));
    }
}
