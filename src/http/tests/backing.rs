//! What stands behind the page in tests: sessions that are kept, and an examination.

use std::sync::Mutex;

use crate::http::{Finding, Health};
use crate::sessions::{Id, Keep, Keeping, Record};

/// What the examination finds.
pub(super) fn findings() -> Vec<Finding> {
    vec![
        Finding {
            name: "store".to_owned(),
            state: Health::Ok,
            text: "The store /secret/place can be written.".to_owned(),
            advice: Vec::new(),
        },
        Finding {
            name: "tokens".to_owned(),
            state: Health::Warning,
            text: "No token.".to_owned(),
            advice: vec!["usrlocd token new".to_owned(), "again".to_owned()],
        },
    ]
}

/// The sessions that are kept, in memory.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Vec<Record>>);

impl Kept {
    pub(super) fn records(&self) -> Vec<Record> {
        self.0.lock().unwrap().clone()
    }
}

impl Keep for Kept {
    fn keep<'a>(&'a self, put: &'a [Record], remove: &'a [Id]) -> Keeping<'a> {
        let mut kept = self.0.lock().unwrap();
        let is_gone =
            |one: &Record| remove.contains(&one.id) || put.iter().any(|it| it.id == one.id);
        kept.retain(|one| !is_gone(one));
        kept.extend(put.iter().cloned());
        Box::pin(async { Ok(()) })
    }
}
