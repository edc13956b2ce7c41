//! The attribute rows of one binding.

use std::borrow::Cow;

use crate::registration::{Attributes, Text};

/// Attribute rows with their rowids.
#[derive(Debug)]
pub(super) enum AttributeRows {
    /// One row for each attribute that has been told, in the order of those, with their content: as nearly all
    /// bindings have them nearly always. Only the rowids are kept.
    AsTold(Rowids),
    /// In the order of rowids.
    #[expect(
        clippy::box_collection,
        reason = "there are few of these beside very many of the others"
    )]
    Each(Box<Vec<Row>>),
}

/// A row: its rowid and name, and its value, where that is not what has been told of the name.
type Row = (i64, Text, Option<Text>);

/// Rowids of a binding's attributes. Kazoo gives each binding two: these need no memory of their own.
#[derive(Debug)]
pub(super) enum Rowids {
    None,
    One(i64),
    Two([i64; 2]),
    More(Box<[i64]>),
}

impl AttributeRows {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::AsTold(rowids) => rowids.as_slice().len(),
            Self::Each(rows) => rows.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names and values; of equal names the last one counts.
    pub(super) fn content<'a>(
        &'a self,
        told: Option<&'a Attributes>,
    ) -> impl Iterator<Item = (&'a Text, Cow<'a, [u8]>)> {
        let (all, rows) = match self {
            Self::AsTold(_) => (told, [].as_slice()),
            Self::Each(rows) => (None, rows.as_slice()),
        };
        let rows = rows.iter().map(move |(_, name, value)| {
            let value = match value {
                Some(value) => value.as_bytes().into(),
                None => value_of(name, told),
            };
            (name, value)
        });
        all.into_iter().flat_map(Attributes::iter).chain(rows)
    }

    /// Sets a row, and returns whether it is a new one. What has been told is not kept twice.
    pub(super) fn set(
        &mut self,
        rowid: i64,
        (name, value): (Text, &[u8]),
        told: Option<&Attributes>,
    ) -> bool {
        let is_told = told.is_some_and(|told| told.has(name.as_bytes(), value));
        let value = (!is_told).then(|| value.into());
        let rows = self.one_by_one(told);
        match find(rows, rowid) {
            Ok(at) => {
                rows[at] = (rowid, name, value);
                false
            }
            Err(at) => {
                // There are one or two of them in each of very many slots: no room to spare.
                rows.reserve_exact(1);
                rows.insert(at, (rowid, name, value));
                true
            }
        }
    }

    /// Removes a row, and returns whether it was there.
    pub(super) fn remove(&mut self, rowid: i64, told: Option<&Attributes>) -> bool {
        let rows = self.one_by_one(told);
        let found = find(rows, rowid);
        if let Ok(at) = found {
            rows.remove(at);
        }
        found.is_ok()
    }

    /// Whether they are what has been told, each of its attributes being there.
    pub(super) fn are_told(&self, told: &Attributes) -> bool {
        let Self::Each(rows) = self else {
            return true;
        };
        let is_told = |(_, name, value): &Row| {
            let value = value.as_ref().map(Text::as_bytes);
            value.is_none_or(|value| told.has(name.as_bytes(), value))
        };
        let is_present = |name: &Text| rows.iter().any(|(_, present, _)| present == name);
        rows.iter().all(is_told) && told.names().all(is_present)
    }

    /// Keeps nothing twice that has been told.
    pub(super) fn share(&mut self, told: &Attributes) {
        let is_told = self.are_told(told);
        let Self::Each(rows) = self else { return };
        if is_told && rows.len() == told.len() {
            let rowid = |name: &Text| rows.iter().find(|(_, own, _)| own == name);
            let rowids = told.names().filter_map(rowid);
            *self = Self::AsTold(rowids.map(|(rowid, ..)| *rowid).collect());
        }
    }

    /// Gives each row its content: to be called before what has been told changes.
    pub(super) fn keep_content(&mut self, told: Option<&Attributes>) {
        for (_, name, value) in self.one_by_one(told) {
            if value.is_none() {
                *value = Some(Text::from(&*value_of(name, told)));
            }
        }
    }

    fn one_by_one(&mut self, told: Option<&Attributes>) -> &mut Vec<Row> {
        if let Self::AsTold(rowids) = self {
            let names = told.into_iter().flat_map(Attributes::names);
            let rows = rowids.as_slice().iter().zip(names);
            let mut rows: Vec<Row> = rows
                .map(|(rowid, name)| (*rowid, name.clone(), None))
                .collect();
            rows.sort_unstable_by_key(|(rowid, ..)| *rowid);
            *self = Self::Each(Box::new(rows));
        }
        match self {
            Self::Each(rows) => rows,
            Self::AsTold(_) => unreachable!("they have just been put down one by one"),
        }
    }
}

/// What has been told of a name.
fn value_of<'a>(name: &Text, told: Option<&'a Attributes>) -> Cow<'a, [u8]> {
    let value = told.and_then(|told| told.get(name.as_bytes()));
    value.unwrap_or_default()
}

impl Default for AttributeRows {
    fn default() -> Self {
        Self::Each(Box::default())
    }
}

impl Rowids {
    fn as_slice(&self) -> &[i64] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Two(two) => two,
            Self::More(more) => more,
        }
    }
}

impl FromIterator<i64> for Rowids {
    fn from_iter<I: IntoIterator<Item = i64>>(rowids: I) -> Self {
        let all: Vec<i64> = rowids.into_iter().collect();
        match all[..] {
            [] => Self::None,
            [one] => Self::One(one),
            [one, two] => Self::Two([one, two]),
            _ => Self::More(all.into()),
        }
    }
}

fn find(rows: &[Row], rowid: i64) -> Result<usize, usize> {
    rows.binary_search_by_key(&rowid, |(rowid, ..)| *rowid)
}

#[cfg(test)]
impl AttributeRows {
    /// The bytes that are allocated for it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::AsTold(Rowids::More(rowids)) => size_of_val(&**rowids),
            Self::AsTold(_) => 0,
            Self::Each(rows) => size_of_val(&**rows) + rows.capacity() * size_of::<Row>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(i64, &'static str, &'static str),
        Remove(i64),
        /// What there is is told.
        Tell,
        Share,
    }

    fn step() -> impl Strategy<Value = Step> {
        let name = prop::sample::select(vec!["a", "b", "c"]);
        let value = prop::sample::select(vec!["x", "y"]);
        prop_oneof![
            4 => (0..5_i64, name, value).prop_map(|(rowid, name, value)| Step::Set(rowid, name, value)),
            2 => (0..5_i64).prop_map(Step::Remove),
            1 => Just(Step::Tell),
            2 => Just(Step::Share),
        ]
    }

    fn attributes<'a>(pairs: impl Iterator<Item = (&'a Text, Cow<'a, [u8]>)>) -> Attributes {
        pairs
            .map(|(name, value)| (name.clone(), Text::from(&*value)))
            .collect()
    }

    proptest! {
        #[test]
        fn rows_are_what_was_set(steps in prop::collection::vec(step(), 0..40)) {
            let mut model: BTreeMap<i64, (Text, Text)> = BTreeMap::new();
            let (mut rows, mut told) = (AttributeRows::default(), None::<Attributes>);
            for step in steps {
                match step {
                    Step::Set(rowid, name, value) => {
                        let content: (Text, Text) = (name.into(), value.into());
                        let is_new = rows.set(rowid, (name.into(), value.as_bytes()), told.as_ref());
                        prop_assert_eq!(is_new, model.insert(rowid, content).is_none());
                    }
                    Step::Remove(rowid) => {
                        let was_there = rows.remove(rowid, told.as_ref());
                        prop_assert_eq!(was_there, model.remove(&rowid).is_some());
                    }
                    Step::Tell => {
                        rows.keep_content(told.as_ref());
                        told = Some(attributes(rows.content(None)));
                    }
                    Step::Share => if let Some(told) = &told {
                        rows.share(told);
                    }
                }
                let expected = attributes(model.values().map(|(name, value)| (name, value.as_bytes().into())));
                prop_assert_eq!(rows.len(), model.len());
                prop_assert_eq!(&attributes(rows.content(told.as_ref())), &expected);
                if let Some(told) = &told {
                    let all_last = model.values().all(|(name, value)| expected.has(name.as_bytes(), value.as_bytes()));
                    prop_assert_eq!(rows.are_told(told), *told == expected && all_last);
                }
            }
            rows.keep_content(told.as_ref());
            let each = rows.one_by_one(None).clone();
            let expected = model.into_iter().map(|(rowid, (name, value))| (rowid, name, Some(value)));
            prop_assert_eq!(each, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn of_what_was_told_only_rowids_are_kept() {
        let mut rows = AttributeRows::default();
        for (rowid, name) in [(7, "b"), (8, "a")] {
            rows.set(rowid, (name.into(), b"x"), None);
        }
        let told = attributes(rows.content(None));
        rows.share(&told);
        assert_eq!(rows.bytes(), 0);
        rows.set(8, ("a".into(), b"x"), Some(&told));
        let AttributeRows::Each(each) = &rows else {
            panic!("one was written again");
        };
        assert!(each.iter().all(|(_, _, value)| value.is_none()));
        assert!(rows.remove(8, Some(&told)));
        let left: Vec<_> = rows
            .content(Some(&told))
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!(left, ["b".into()]);
    }
}
