//! `{"data": {"ruids": […]}}` in the body of a DELETE: flushes only these, of what the query selects. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::http::error::{Error, Problem};
use crate::http::request::filter::Filters;
use crate::http::request::ruids::{RUIDS, bounded};

/// What the body of a DELETE may have beside `ruids`, at its top and under `data`. Kazoo's user interface always sends
/// `ui_metadata`.
const ENVELOPE: &[&str] = &["auth_token", "verb", "pretty_print", "ui_metadata"];

/// Parameters of the query that callers may expect to work in the body as well.
const IN_QUERY: &[&str] = &["dry_run", "keep_newest", "page_size", "start_key"];

/// The ruids that the body of a DELETE chooses; `None` where it has none. A body with any other key is refused: it may be
/// meant to narrow the flush.
pub(crate) fn chosen(body: Option<&Value>) -> Result<Option<BTreeSet<String>>, Error> {
    let Some(Value::Object(body)) = body else {
        return Ok(None);
    };
    let inner = match body.get("data") {
        None | Some(Value::Null) => &Map::new(),
        Some(Value::Object(inner)) => inner,
        Some(_) => return Err(Error::parameter("data", Problem::NotAnObject)),
    };
    let top = body.iter().filter(|(key, _)| *key != "data");
    let mut chosen = None;
    for (key, value) in top.chain(inner) {
        if key == RUIDS {
            let these = ruids(value)?;
            if chosen.replace(these).is_some() {
                return Err(Error::parameter(RUIDS, Problem::Contradiction));
            }
        } else if IN_QUERY.contains(&key.as_str()) || Filters::is_filter(key) {
            return Err(Error::parameter(key, Problem::InBody));
        } else if !ENVELOPE.contains(&key.as_str()) {
            return Err(Error::parameter(key, Problem::UnknownParameter));
        }
    }
    Ok(chosen)
}

fn ruids(value: &Value) -> Result<BTreeSet<String>, Error> {
    let texts = value
        .as_array()
        .and_then(|ruids| ruids.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    match texts {
        None => Err(Error::parameter(RUIDS, Problem::NotTexts)),
        Some(texts) => bounded(&texts),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::request::ruids::MOST;

    fn of(body: &Value) -> Result<Option<Vec<String>>, String> {
        let chosen = chosen(Some(body)).map_err(|error| error.to_string())?;
        Ok(chosen.map(|ruids| ruids.into_iter().collect()))
    }

    #[test]
    fn ruids_are_chosen_under_data_or_at_the_top() {
        let both = Ok(Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(of(&json!({"data": {"ruids": ["b", "a"]}})), both);
        assert_eq!(
            of(&json!({"ruids": ["a", "b", "a"], "verb": "delete"})),
            both
        );
        let plain = json!({"data": {"auth_token": "x", "ui_metadata": {}}, "pretty_print": true});
        assert_eq!(of(&plain), Ok(None));
        assert_eq!(of(&json!({"data": null})), Ok(None));
        assert_eq!(chosen(None), Ok(None));
    }

    #[test]
    fn whatever_else_is_there_is_refused() {
        let many: Vec<_> = (0..=MOST).map(|number| number.to_string()).collect();
        for body in [
            json!({"data": {"ruids": []}}),
            json!({"data": {"ruids": "a"}}),
            json!({"data": {"ruids": ["a", 1]}}),
            json!({"data": {"ruids": null}}),
            json!({"data": {"ruids": many}}),
            json!({"data": {"ruids": ["a"]}, "ruids": ["a"]}),
            json!({"data": ["a"]}),
            json!({"data": {"ruid": "a"}}),
            json!({"data": {"username": "bob"}}),
            json!({"q": "bob"}),
            json!({"dry_run": true}),
            json!({"data": {"filter_username": "bob"}}),
        ] {
            assert!(of(&body).is_err(), "{body}");
        }
        assert_eq!(
            of(&json!({"data": {"ruids": many[1..]}})).map(|some| some.map(|all| all.len())),
            Ok(Some(MOST))
        );
    }
}
