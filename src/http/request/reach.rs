//! How far a request reaches: `scope=fleet` asks the fleet's database, and not this node. Pure.

use crate::http::error::{Error, Problem};
use crate::http::request::params::Params;
use crate::registration::item::Field;

/// The parameter.
pub(crate) const SCOPE: &str = "scope";

/// What answers a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach<'a> {
    /// This node, which has this name.
    Node(&'a str),
    /// The fleet.
    Fleet,
}

impl Reach<'_> {
    /// The field with this key, if answers have it.
    pub(crate) fn key(self, name: &str) -> Option<Field> {
        let has = |field: &Field| match self {
            Self::Node(_) => !field.is_of_fleet(),
            // Who flaps is known to the nodes.
            Self::Fleet => *field != Field::Flap,
        };
        Field::from_name(name).filter(has)
    }
}

/// Whether the fleet is asked; `None` where the query does not say.
pub(crate) fn asks_fleet(params: &Params) -> Result<Option<bool>, Error> {
    let refuse = |problem| Error::parameter(SCOPE, problem);
    let mut answer = None;
    for value in params.all(SCOPE) {
        let asks = match value {
            "fleet" => true,
            "node" => false,
            _ => return Err(refuse(Problem::UnknownScope)),
        };
        if answer.replace(asks).is_some_and(|former| former != asks) {
            return Err(refuse(Problem::Contradiction));
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_one_of_two() {
        let of = |query| asks_fleet(&Params::parse(query));
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("scope=fleet&scope=fleet"), Ok(Some(true)));
        assert_eq!(of("scope=node"), Ok(Some(false)));
        for query in ["scope=", "scope=Fleet", "scope=fleet&scope=node"] {
            assert!(of(query).is_err(), "{query}");
        }
    }

    #[test]
    fn each_has_keys_of_its_own() {
        let (node, fleet) = (Reach::Node("k1"), Reach::Fleet);
        for (key, of_node, of_fleet) in [
            ("contact", true, true),
            ("account_id", true, true),
            ("flap", true, false),
            ("node", false, true),
            ("node_state", false, true),
            ("superseded_by", false, true),
            ("nodes", false, false),
        ] {
            let has = [node, fleet].map(|reach| reach.key(key).is_some());
            assert_eq!(has, [of_node, of_fleet], "{key}");
        }
    }
}
