//! What a query returned: every value as the text that the server wrote, in one piece of memory.

use std::ops::Range;

/// The rows of an answer.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    cells: Vec<Option<Range<usize>>>,
    width: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells<'a> {
    bytes: &'a [u8],
    cells: &'a [Option<Range<usize>>],
}

impl Rows {
    /// For rows of so many values.
    pub(super) fn of_width(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// Adds the next value of a row; `None` for NULL.
    pub(super) fn push(&mut self, value: Option<&[u8]>) {
        let cell = value.map(|value| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(value);
            start..self.bytes.len()
        });
        self.cells.push(cell);
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.cells.len() / self.width.max(1)
    }

    /// Each row in turn.
    pub(super) fn iter(&self) -> impl Iterator<Item = Cells<'_>> {
        let rows = self.cells.chunks_exact(self.width.max(1));
        rows.map(|cells| Cells {
            bytes: &self.bytes,
            cells,
        })
    }

    /// The first row's first value.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.iter().next()?.get(0)
    }
}

impl<'a> Cells<'a> {
    /// The value at this place; `None` for NULL.
    pub(super) fn get(&self, place: usize) -> Option<&'a [u8]> {
        let range = self.cells.get(place)?.clone()?;
        self.bytes.get(range)
    }

    /// The value as text, with U+FFFD for what is not UTF-8; empty for NULL.
    pub(super) fn text(&self, place: usize) -> String {
        String::from_utf8_lossy(self.get(place).unwrap_or_default()).into_owned()
    }

    /// The value as a number.
    pub(super) fn number<N: std::str::FromStr>(&self, place: usize) -> Option<N> {
        std::str::from_utf8(self.get(place)?).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_was_pushed() {
        let mut rows = Rows::of_width(2);
        for value in [Some(&b"7"[..]), None, Some(b""), Some(b"\xff")] {
            rows.push(value);
        }
        let read: Vec<_> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(
            read,
            [
                (Some(&b"7"[..]), None),
                (Some(&b""[..]), Some(&b"\xff"[..]))
            ]
        );
        assert_eq!((rows.len(), rows.first()), (2, Some(&b"7"[..])));
        let first = rows.iter().next().unwrap();
        assert_eq!(
            (first.number::<i64>(0), first.number::<i64>(1)),
            (Some(7), None)
        );
    }
}
