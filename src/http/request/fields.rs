//! `fields=` and `sort=`: which keys are shown, and which one decides the order. Pure.

use crate::http::error::{Error, Problem};
use crate::http::request::params::Params;
use crate::http::request::reach::Reach;
use crate::registration::item::Field;
use crate::registration::item::sort::Sort;

const FIELDS: &str = "fields";
const SORT: &str = "sort";

/// The fields that are wanted, in the order in which they are named, each once; `None` for all.
pub(crate) fn fields(params: &Params, reach: Reach<'_>) -> Result<Option<Vec<Field>>, Error> {
    let mut fields = None;
    for name in params.all(FIELDS).flat_map(|names| names.split(',')) {
        let field = reach.key(name);
        let field = field.ok_or_else(|| Error::parameter(FIELDS, Problem::UnknownKey))?;
        let fields: &mut Vec<Field> = fields.get_or_insert_default();
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    Ok(fields)
}

/// The order that is wanted; `None` for the usual one.
pub(crate) fn sort(params: &Params, reach: Reach<'_>) -> Result<Option<Sort>, Error> {
    let refuse = |problem| Error::parameter(SORT, problem);
    let mut only = None;
    for text in params.all(SORT) {
        let sort = Sort::parse(text).filter(|sort| reach.key(sort.field().name()).is_some());
        let sort = sort.ok_or_else(|| refuse(Problem::UnknownKey))?;
        if only.replace(sort).is_some_and(|previous| previous != sort) {
            return Err(refuse(Problem::Contradiction));
        }
    }
    Ok(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_the_order_in_which_they_are_named() {
        let of = |query| fields(&Params::parse(query), Reach::Node("k1"));
        assert_eq!(of(""), Ok(None));
        let expected = vec![Field::Contact, Field::Username, Field::Q];
        for query in [
            "fields=contact,username,q",
            "fields=contact,username&fields=q,contact",
        ] {
            assert_eq!(of(query), Ok(Some(expected.clone())), "{query}");
        }
        for query in [
            "fields=",
            "fields=Contact",
            "fields=contact,",
            "fields=%20q",
        ] {
            assert!(of(query).is_err(), "{query}");
        }
    }

    #[test]
    fn there_is_one_order() {
        let of = |query| sort(&Params::parse(query), Reach::Node("k1"));
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("sort=-q&sort=-q"), Ok(Sort::parse("-q")));
        for query in ["sort=", "sort=-", "sort=x", "sort=q&sort=-q", "sort=q,ruid"] {
            assert!(of(query).is_err(), "{query}");
        }
    }
}
