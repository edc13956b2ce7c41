//! Whose registrations a fleet's database is asked for.

use sqlx::{Postgres, QueryBuilder};

use crate::registration::lower_shown;

/// Whose registrations are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Those of whom.
    pub whose: Whose<'a>,
    /// Only those of this user, in any case of letters.
    pub username: Option<&'a [u8]>,
}

/// Those of whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose<'a> {
    /// All there are.
    Everybody,
    /// Those of this account.
    One(&'a str),
    /// Those of these accounts.
    Several(&'a [String]),
}

impl Of<'_> {
    /// Adds the condition to a query over `r`.
    pub(super) fn push(&self, query: &mut QueryBuilder<Postgres>) {
        match self.whose {
            Whose::Everybody => query.push("true"),
            // One account is read in order by the index.
            Whose::One(id) => query.push("r.account = ").push_bind(id.to_owned()),
            Whose::Several(ids) => {
                query.push("r.account = any(");
                query.push_bind(ids.to_vec()).push(")")
            }
        };
        if let Some(username) = self.username {
            query
                .push(" and r.username = ")
                .push_bind(lower_shown(username));
        }
    }
}
