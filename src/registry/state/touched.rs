//! How rows were before a change that is under way.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::registration::{Hidden, Key, Registration};
use crate::registry::event::{Cause, Listed};

/// How the rows that a change touches were before it.
#[derive(Debug)]
pub(super) struct Touched {
    /// Whether anything is noted at all.
    pub(super) is_noting: bool,
    /// Why rows change that are changed themselves.
    pub(super) cause: Cause,
    pub(super) rows: IndexMap<Key, Before>,
}

/// How a row was before a change.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) row: Option<Arc<Registration>>,
    pub(super) listed: Listed,
    pub(super) cause: Cause,
    pub(super) unhidden: Option<Box<Hidden>>,
}

impl Default for Touched {
    fn default() -> Self {
        Self {
            is_noting: false,
            cause: Cause::Table,
            rows: IndexMap::new(),
        }
    }
}
