//! `{"data": {"event": "check-sync", "reboot": true}}`: what phones are asked for, and which phones. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::http::error::{Error, Problem};
use crate::http::request::chosen::chosen;
use crate::http::request::flush_params::refuse_unknown;
use crate::http::request::params::Params;
use crate::notify::{CHECK_SYNC, Event};

const EVENT: &str = "event";
const REBOOT: &str = "reboot";

/// What the body of a request says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    /// What phones are asked for.
    pub(crate) event: Event,
    /// The ruids that are chosen; `None` where none are named.
    pub(crate) chosen: Option<BTreeSet<String>>,
}

/// Refuses every parameter of the query that a flush does not have either, and the one that only makes sense there.
pub(crate) fn refuse_others(params: &Params) -> Result<(), Error> {
    const KEEP_NEWEST: &str = "keep_newest";
    refuse_unknown(params)?;
    match params.get(KEEP_NEWEST) {
        Some(_) => Err(Error::parameter(KEEP_NEWEST, Problem::UnknownParameter)),
        None => Ok(()),
    }
}

/// Reads the body; `events` are those that are allowed. Without one it is `default`, where there is one.
pub(crate) fn asked(
    body: Option<&Value>,
    events: &[String],
    default: Option<&str>,
) -> Result<Asked, Error> {
    let mut body = body.cloned();
    let event = take(&mut body, EVENT)?;
    let reboot = take(&mut body, REBOOT)?;
    let chosen = chosen(body.as_ref())?;
    let name = match (&event, default) {
        (None, None) => return Err(Error::parameter(EVENT, Problem::Missing)),
        (None, Some(default)) => default,
        (Some(event), _) => event.as_str().unwrap_or_default(),
    };
    if !events.iter().any(|allowed| allowed == name) {
        return Err(Error::parameter(EVENT, Problem::UnknownRequest));
    }
    let reboot = reboot.map(|flag| is_true(&flag)).transpose()?;
    let event = match reboot {
        Some(_) if name != CHECK_SYNC => {
            return Err(Error::parameter(REBOOT, Problem::NotOfEvent));
        }
        reboot if name == CHECK_SYNC => Event::check_sync(reboot.unwrap_or(false)),
        _ => Event::configured(name),
    };
    Ok(Asked { event, chosen })
}

/// Takes a key out of the body, at its top or under `data`; null is none.
fn take(body: &mut Option<Value>, key: &str) -> Result<Option<Value>, Error> {
    let Some(Value::Object(body)) = body else {
        return Ok(None);
    };
    let inner = body.get_mut("data").and_then(Value::as_object_mut);
    let inner = inner.and_then(|inner: &mut Map<_, _>| inner.remove(key));
    match (inner, body.remove(key)) {
        (Some(_), Some(_)) => Err(Error::parameter(key, Problem::Contradiction)),
        (inner, top) => Ok(inner.or(top).filter(|value| !value.is_null())),
    }
}

fn is_true(flag: &Value) -> Result<bool, Error> {
    match flag {
        Value::Bool(flag) => Ok(*flag),
        // As Kazoo's clients may write it.
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err(Error::parameter(REBOOT, Problem::NotAFlag)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(body: &Value, default: Option<&str>) -> Result<String, String> {
        let events = [CHECK_SYNC.to_owned(), "resync".to_owned()];
        let asked = asked(Some(body), &events, default).map_err(|error| error.to_string())?;
        Ok(asked.event.to_string())
    }

    #[test]
    fn an_event_is_one_that_is_allowed() {
        for (body, expected) in [
            (json!({"event": "check-sync"}), "check-sync;reboot=false"),
            (
                json!({"data": {"event": "check-sync", "reboot": true}}),
                "check-sync;reboot=true",
            ),
            (
                json!({"data": {"event": "check-sync"}, "reboot": "true"}),
                "check-sync;reboot=true",
            ),
            (json!({"event": "resync", "reboot": null}), "resync"),
        ] {
            assert_eq!(event(&body, None).as_deref(), Ok(expected), "{body}");
        }
        assert_eq!(
            event(&json!({}), Some(CHECK_SYNC)).as_deref(),
            Ok("check-sync;reboot=false")
        );
        let none = asked(None, &[CHECK_SYNC.to_owned()], Some(CHECK_SYNC)).unwrap();
        assert_eq!(none.chosen, None);
    }

    #[test]
    fn whatever_else_is_there_is_refused() {
        for body in [
            json!({}),
            json!({"data": null}),
            json!({"event": null}),
            json!({"event": "reboot"}),
            json!({"event": "check-sync;reboot=true"}),
            json!({"event": "check-sync\r\nX-Evil: 1"}),
            json!({"event": ["check-sync"]}),
            json!({"event": "resync", "reboot": true}),
            json!({"event": "check-sync", "reboot": 1}),
            json!({"event": "check-sync", "data": {"event": "check-sync"}}),
            json!({"event": "check-sync", "body": "x"}),
            json!({"event": "check-sync", "ruids": []}),
            json!({"event": "check-sync", "dry_run": true}),
            json!({"event": "check-sync", "data": ["x"]}),
        ] {
            assert!(event(&body, None).is_err(), "{body}");
        }
    }

    #[test]
    fn ruids_choose_as_in_a_flush() {
        let events = [CHECK_SYNC.to_owned()];
        let body = json!({"data": {"event": "check-sync", "ruids": ["a"]}});
        let asked = asked(Some(&body), &events, None).unwrap();
        assert_eq!(asked.chosen, Some(BTreeSet::from(["a".to_owned()])));
    }
}
