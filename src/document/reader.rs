//! Reads the keys of a table one by one, and reports those that nobody asked for.

use std::collections::BTreeMap;

use super::{Item, Name, Place, Problem, Value, shown};

/// What was found on the way: mistakes, and where each key was set last.
#[derive(Debug, Default)]
pub struct Findings {
    /// The mistakes so far.
    pub problems: Vec<Problem>,
    /// Where each key, by its dotted name, was set last.
    pub places: BTreeMap<String, Place>,
    /// Every key that exists anywhere, dotted: so that a key in the wrong section is recognised.
    pub vocabulary: Vec<&'static str>,
}

/// A table that is being read.
#[derive(Debug)]
pub struct Reader<'a> {
    path: String,
    place: Place,
    entries: &'a [(Name, Item)],
    known: Vec<&'static str>,
    findings: &'a mut Findings,
}

impl Findings {
    /// Reads the top-level table of a document, then reports its unknown keys.
    pub fn read<T>(
        &mut self,
        document: &Item,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> Option<T> {
        let place = document.place.clone();
        Reader::over(document, String::new(), place, self, read)
    }

    /// Notes a mistake at `place`.
    pub fn report(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem::new(place, message));
    }

    /// Notes a mistake in `item`, unless that has been done.
    fn report_item(&mut self, item: &Item, message: impl Into<String>) {
        if !matches!(item.value, Value::Unreadable) {
            self.report(item.place.clone(), message);
        }
    }

    /// Notes a mistake that concerns the dotted `key`, where that was set, else `otherwise`.
    pub fn report_key(&mut self, key: &str, message: impl Into<String>) {
        let place = self.places.get(key).cloned();
        self.report(place.unwrap_or_else(|| Place::of(key)), message);
    }
}

impl Reader<'_> {
    fn over<T>(
        item: &Item,
        path: String,
        place: Place,
        findings: &mut Findings,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> Option<T> {
        let Value::Table(entries) = &item.value else {
            findings.report_item(item, item.expected("a table"));
            return None;
        };
        let mut reader = Reader {
            path,
            place,
            entries,
            known: Vec::new(),
            findings,
        };
        let result = read(&mut reader);
        reader.report_unknown();
        Some(result)
    }

    /// Notes a mistake of the table as a whole.
    pub fn report(&mut self, message: impl Into<String>) {
        self.findings.report(self.place.clone(), message);
    }

    /// Replaces `into` by the value of `key`, if present and valid.
    pub fn set<T>(
        &mut self,
        key: &'static str,
        into: &mut T,
        parse: impl FnOnce(&Item) -> Result<T, String>,
    ) {
        if let Some(value) = self.optional(key, parse) {
            *into = value;
        }
    }

    /// The value of `key`, if present and valid.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Item) -> Result<T, String>,
    ) -> Option<T> {
        let (_, item) = self.entry(key)?;
        match parse(item) {
            Ok(value) => Some(value),
            Err(message) => {
                self.findings.report_item(item, message);
                None
            }
        }
    }

    /// The value of `key`; a mistake if it is missing.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Item) -> Result<T, String>,
    ) -> Option<T> {
        if !self.entries.iter().any(|(name, _)| name.text == key) {
            self.known.push(key);
            self.report(format!("`{key}` is missing"));
            return None;
        }
        self.optional(key, parse)
    }

    /// Each element of the array under `key`; `None` where it is absent or one of them is wrong.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        mut parse: impl FnMut(&Item) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let elements = self.optional(key, Item::elements)?;
        let mut list = Some(Vec::new());
        for element in &elements {
            match (parse(element), &mut list) {
                (Ok(value), Some(list)) => list.push(value),
                (Ok(_), None) => {}
                (Err(message), _) => {
                    self.findings.report_item(element, message);
                    list = None;
                }
            }
        }
        list
    }

    /// Reads the table under `key`, where it is there, then reports its unknown keys.
    pub fn table(&mut self, key: &'static str, read: impl FnOnce(&mut Reader<'_>)) {
        let path = self.dotted(key);
        if let Some((name, item)) = self.entry(key) {
            Reader::over(item, path, name.place.clone(), self.findings, read);
        }
    }

    /// Reads each table of the array under `key`; `None` where it is absent or one of them is wrong.
    pub fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Reader<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let path = self.dotted(key);
        let elements = self.optional(key, Item::elements)?;
        let before = self.findings.problems.len();
        let mut list = Vec::new();
        for element in &elements {
            let place = element.place.clone();
            let value = Reader::over(element, path.clone(), place, self.findings, &mut read);
            list.extend(value.flatten());
        }
        (self.findings.problems.len() == before).then_some(list)
    }

    /// Each key and value of the table under `key`, whose keys are free; `None` where it is absent or one of
    /// them is wrong.
    pub fn pairs<T>(
        &mut self,
        key: &'static str,
        mut parse: impl FnMut(&Name, &Item) -> Result<T, (Place, String)>,
    ) -> Option<Vec<T>> {
        let (_, item) = self.entry(key)?;
        let Value::Table(entries) = &item.value else {
            self.findings
                .report_item(item, item.expected("a table in braces"));
            return None;
        };
        let before = self.findings.problems.len();
        let mut pairs = Vec::new();
        for (name, item) in entries {
            match parse(name, item) {
                Ok(pair) => pairs.push(pair),
                Err((place, message)) => self.findings.report(place, message),
            }
        }
        (self.findings.problems.len() == before).then_some(pairs)
    }

    fn dotted(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }
}

impl<'a> Reader<'a> {
    fn entry(&mut self, key: &'static str) -> Option<&'a (Name, Item)> {
        self.known.push(key);
        let entries: &'a [(Name, Item)] = self.entries;
        let entry = entries.iter().find(|(name, _)| name.text == key)?;
        let dotted = self.dotted(key);
        self.findings.places.insert(dotted, entry.1.place.clone());
        Some(entry)
    }

    fn report_unknown(&mut self) {
        for (name, item) in self.entries {
            if self.known.contains(&name.text.as_str()) {
                continue;
            }
            let section = self.path.is_empty() && matches!(item.value, Value::Table(_));
            let what = if section {
                format!("unknown section [{}]", shown(&name.text))
            } else {
                format!("unknown key `{}`", shown(&name.text))
            };
            let hint = self.hint(&name.text, section);
            self.findings
                .report(name.place.clone(), format!("{what}; {hint}"));
        }
    }

    /// A hint for the unknown key `wrong`.
    fn hint(&self, wrong: &str, section: bool) -> String {
        let wrong = wrong.to_lowercase();
        match nearest(&wrong, self.known.iter().copied()) {
            Some(close) if section => return format!("did you mean [{close}]?"),
            Some(close) => return format!("did you mean `{close}`?"),
            None => {}
        }
        for dotted in &self.findings.vocabulary {
            if let Some((section, key)) = dotted.rsplit_once('.')
                && key == wrong
            {
                return format!("did you mean `{key}` in [{section}]?");
            }
        }
        match self.known.as_slice() {
            [] => "nothing is expected here".to_owned(),
            known => format!("known here: {}", known.join(", ")),
        }
    }
}

/// The word that was probably meant by `wrong`, which has few typing errors then.
#[must_use]
pub fn nearest<'w>(wrong: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let allowed = (wrong.chars().count() / 3).clamp(1, 3);
    words
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word)
}
