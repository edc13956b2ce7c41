//! What the schema table (`sqlite_schema`) says of the tables asked for.

use super::page::Node;
use super::payload::Pages;
use super::reason::{OrMalformed, Reason, Result};
use super::record::{self, Value};
use super::sql::{Token, Tokens};
use super::table::Table;
use super::walker::{Span, Walker};

/// The root of the schema table.
const ROOT: u32 = 1;

/// One object of the schema.
#[derive(Debug, Clone, PartialEq)]
struct Object {
    kind: String,
    name: String,
    table: String,
    root: u32,
    sql: String,
}

/// All objects of a database's schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Schema {
    objects: Vec<Object>,
}

impl Schema {
    /// Reads the schema; the pages must be of one window.
    ///
    /// # Errors
    /// When a page cannot be read or decoded.
    pub(super) fn read(pages: &mut dyn Pages) -> Result<Self> {
        let mut walker = Walker::default();
        let mut schema = Self::default();
        let (mut room, mut payload) = (Vec::new(), Vec::new());
        let mut key = Span::ALL.low;
        for _ in 0..pages.count() {
            walker.seek(pages, ROOT, key)?;
            let leaf = walker.leaf().or_malformed("no schema")?;
            let node = Node::parse(leaf.number, &leaf.page, pages.usable())?;
            for index in 0..node.cells {
                payload.clear();
                let (_, cell) = node.row(index)?;
                cell.append(pages, &mut room, &mut payload, &mut Vec::new())?;
                schema.objects.extend(Object::decode(&payload)?);
            }
            match leaf.span.high.checked_add(1) {
                Some(next) => key = next,
                None => return Ok(schema),
            }
        }
        Err(Reason::Malformed("a schema greater than the database"))
    }

    /// The table `name`, whatever its case; `None` when there is none.
    ///
    /// # Errors
    /// When it is a table of an unsupported kind.
    pub(super) fn table(&self, name: &str) -> Result<Option<Table>> {
        let named = |object: &&Object| object.name.eq_ignore_ascii_case(name);
        let Some(object) = self.objects.iter().find(named) else {
            return Ok(None);
        };
        let unsupported = |why| Reason::Unsupported {
            table: name.to_owned(),
            why,
        };
        match object.kind.as_str() {
            "table" => Table::parse(&object.name, object.root, &object.sql).map(Some),
            "view" => Err(unsupported("it is a view")),
            _ => Ok(None),
        }
    }

    /// The root of an index of `table` that begins with `column` and has all rows.
    pub(super) fn index(&self, table: &str, column: &str) -> Option<u32> {
        let object = self.objects.iter().find(|object| {
            object.kind == "index"
                && object.table.eq_ignore_ascii_case(table)
                && first_column(&object.sql).is_some_and(|it| it.eq_ignore_ascii_case(column))
        })?;
        Some(object.root)
    }
}

impl Object {
    /// Reads a row of the schema table: `type, name, tbl_name, rootpage, sql`. Rows of no use give `None`.
    fn decode(payload: &[u8]) -> Result<Option<Self>> {
        let values = record::decode(payload)?;
        let text = |index| match values.get(index) {
            Some(Value::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        let root = match values.get(3) {
            Some(Value::Integer(root)) => u32::try_from(*root).unwrap_or_default(),
            _ => 0,
        };
        let (Some(kind), Some(name), Some(table)) = (text(0), text(1), text(2)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            kind,
            name,
            table,
            root,
            sql: text(4).unwrap_or_default(),
        }))
    }
}

/// The first column of the index that `sql` creates, unless it is an expression or the index partial.
fn first_column(sql: &str) -> Option<String> {
    let mut tokens = Tokens::of(sql);
    while !tokens.take()?.is("ON") {}
    tokens.take()?.name()?;
    let columns = tokens.group()?;
    if tokens.skip("WHERE") {
        return None;
    }
    let mut columns = Tokens::from_list(columns);
    let column = columns.take()?;
    let plain = match columns.peek() {
        None | Some(Token::Mark(',')) => true,
        Some(word) => ["COLLATE", "ASC", "DESC"].iter().any(|it| word.is(it)),
    };
    column.name().filter(|_| plain).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_column_of_an_index() {
        let column = |sql| first_column(sql);
        assert_eq!(
            column("CREATE INDEX t_expires_idx ON t (expires)").unwrap(),
            "expires"
        );
        assert_eq!(
            column("CREATE UNIQUE INDEX \"i\" ON [t](\"a b\" DESC, c)").unwrap(),
            "a b"
        );
        assert_eq!(column("CREATE INDEX i ON t(lower(a))"), None);
        assert_eq!(column("CREATE INDEX i ON t(a) WHERE a > 1"), None);
        assert_eq!(column(""), None);
    }
}
