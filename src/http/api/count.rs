//! Counts of registrations: of an account, or of all that the caller may see, account by account if asked for.

use std::collections::HashSet;
use std::sync::Arc;

use axum::response::Response;

use super::asked::Asked;
use super::select::{BATCH, select, turn};
use super::subject::Subject;
use crate::accounts::directory::Directory;
use crate::http::App;
use crate::http::auth::access::Caller;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::filter::Filters;
use crate::http::request::reach::Reach;
use crate::http::request::request_id::RequestId;
use crate::http::response::answer::{enveloped, enveloped_in};
use crate::http::response::revision::{Revision, unchanged, validated};
use crate::http::response::view::View;
use crate::registration::Common;
use crate::registry::Scope;

/// How many of an account's registrations are searched for its name and realm, so that a large account costs no more.
const NAME_SAMPLES: usize = 16;

/// The number of registrations.
pub(crate) async fn count(
    app: &App,
    call: &Call,
    subject: Subject<'_>,
    caller: &Caller,
    id: &RequestId,
) -> Result<Response, Error> {
    if let Some(fleet) = subject.fleet {
        return count_fleet(app, fleet, call, subject, caller, id).await;
    }
    let filters = Filters::parse(&call.params, app.reach())?;
    let (count, sum) = if filters.is_empty() {
        subject.count(app)
    } else {
        let _turn = turn(app, subject, caller).await;
        let found = select(app, subject, &filters, &View::now(app)).await;
        (found.registrations.len(), found.revision)
    };
    let revision = Revision::of(sum);
    let with_accounts = subject.scope == Scope::System && asks_for_accounts(call);
    // Names come from the directory, whose changes the revision does not show.
    if !with_accounts && let Some(unchanged) = unchanged(call, &revision) {
        return Ok(unchanged);
    }
    let data = if with_accounts {
        serde_json::json!({"accounts": accounts(app, subject).await, "count": count}).to_string()
    } else {
        format!("{{\"count\":{count}}}")
    };
    let response = enveloped(app, call, id, &data, &revision);
    Ok(validated(response, &revision))
}

/// The number of the fleet's registrations, and of those of them that are on nodes that are not live.
async fn count_fleet(
    app: &App,
    fleet: &Asked,
    call: &Call,
    subject: Subject<'_>,
    caller: &Caller,
    id: &RequestId,
) -> Result<Response, Error> {
    let filters = Filters::parse(&call.params, Reach::Fleet)?;
    let of = subject.of_fleet();
    let count = if filters.is_empty() {
        fleet.count(of).await?
    } else {
        let _turn = turn(app, subject, caller).await;
        fleet
            .count_selected(of, &filters, &subject.view(app))
            .await?
    };
    let revision = Revision::of(count.revision);
    let with_accounts = subject.scope == Scope::System && asks_for_accounts(call);
    if !with_accounts && let Some(unchanged) = unchanged(call, &revision) {
        return Ok(unchanged);
    }
    let mut data = serde_json::json!({"count": count.all, "stale": count.stale});
    if with_accounts {
        data["accounts"] = accounts_of_fleet(app, fleet, subject).await?;
    }
    let envelope = subject.envelope(app, id);
    let response = enveloped_in(&envelope, call, &data.to_string(), &revision);
    Ok(validated(response, &revision))
}

/// Every account that has registrations in the fleet, of those asked for. Names are those of the directory.
async fn accounts_of_fleet(
    app: &App,
    fleet: &Asked,
    subject: Subject<'_>,
) -> Result<serde_json::Value, Error> {
    let counts = fleet.fleet.count_accounts(&fleet.nodes, subject.of_fleet());
    let counts = counts.await.map_err(|error| fleet.away(&error))?;
    let directory = Arc::clone(&app.directory.borrow());
    let account = |(id, (count, realm)): (String, (u64, Option<String>))| {
        let known = directory.account(&id);
        let name = known.and_then(|known| known.name.as_deref());
        let own = known.and_then(|known| known.realm.as_deref());
        let mut account = serde_json::json!({"count": count, "id": id});
        for (key, value) in [("name", name), ("realm", own.or(realm.as_deref()))] {
            if let Some(value) = value {
                account[key] = value.into();
            }
        }
        account
    };
    Ok(counts.into_iter().map(account).collect())
}

fn asks_for_accounts(call: &Call) -> bool {
    call.params.get("accounts") == Some("true")
}

/// Every account that has rows, of those asked for. Others are served in between, however many there are.
pub(super) async fn accounts(app: &App, subject: Subject<'_>) -> Vec<serde_json::Value> {
    let directory = Arc::clone(&app.directory.borrow());
    let mut all = app.registry.accounts();
    if let Some(seen) = subject.accounts {
        let seen: HashSet<&str> = seen.iter().map(String::as_str).collect();
        all.retain(|(id, _)| seen.contains(&**id));
    }
    let mut accounts = Vec::new();
    for batch in all.chunks(BATCH) {
        accounts.extend(
            batch
                .iter()
                .map(|(id, count)| account(app, &directory, id, *count)),
        );
        tokio::task::yield_now().await;
    }
    accounts
}

/// An account with its number, name and realm. Name and realm come from the directory, else from the first of its
/// registrations, in the order of lists, that has one.
pub(super) fn account(
    app: &App,
    directory: &Directory,
    id: &Arc<str>,
    count: usize,
) -> serde_json::Value {
    let known = directory.account(id);
    let mut name = known.and_then(|known| known.name.clone());
    let mut realm = known.and_then(|known| known.realm.clone());
    if name.is_none() || realm.is_none() {
        let first = app.registry.page(Scope::Account(id), None, NAME_SAMPLES);
        let found = |what: fn(&Common) -> &Option<Arc<str>>| {
            let mut each = first.registrations.iter();
            each.find_map(|(_, one)| what(&one.common).clone())
        };
        name = name.or_else(|| found(|common| &common.account_name));
        realm = realm.or_else(|| found(|common| &common.account_realm));
    }
    let mut account = serde_json::Map::new();
    account.insert("count".to_owned(), count.into());
    account.insert("id".to_owned(), (**id).into());
    for (key, value) in [("name", name), ("realm", realm)] {
        if let Some(value) = value {
            account.insert(key.to_owned(), (*value).into());
        }
    }
    serde_json::Value::Object(account)
}
