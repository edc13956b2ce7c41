//! `/ui/data/accounts`: the accounts that the caller may see, those without registrations too; the largest first.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::asker::Asker;
use crate::http::App;
use crate::http::api::count;
use crate::http::api::subject::Subject;
use crate::registry::Scope;

/// All of them, with name, realm, number, and how much their phones flap.
pub(super) async fn accounts(app: &App, asker: &Asker) -> Value {
    let subject = Subject {
        accounts: asker.accounts.as_deref(),
        ..Subject::of(Scope::System)
    };
    let mut all = count::accounts(app, subject).await;
    let listed: HashSet<String> = all.iter().filter_map(id).map(str::to_owned).collect();
    let directory = Arc::clone(&app.directory.borrow());
    let viewer = asker.viewer();
    let named = directory
        .accounts()
        .filter(|account| viewer.sees(Some(&account.id)) && !listed.contains(&*account.id));
    all.extend(named.map(|account| {
        json!({"id": account.id, "name": account.name, "realm": account.realm, "count": 0})
    }));
    let mut flapping: HashMap<String, u64> = HashMap::new();
    for one in app.flaps.flapping() {
        if let Some(account) = one.phone.account_id {
            *flapping.entry(account.to_string()).or_default() += 1;
        }
    }
    let now = u64::try_from(app.clock.unix().as_millis()).unwrap_or(u64::MAX);
    app.flaps.day(|day| {
        for account in &mut all {
            let id = id(account).unwrap_or_default().to_owned();
            if account["name"].is_null() {
                account["name"] = id.as_str().into();
            }
            account["flapping"] = flapping.get(&id).copied().unwrap_or(0).into();
            account["losses_24h"] = day.losses(&id, now).into();
        }
    });
    all.sort_by_cached_key(|account| {
        let count = account["count"].as_u64().unwrap_or(0);
        (Reverse(count), id(account).unwrap_or_default().to_owned())
    });
    all.into()
}

fn id(account: &Value) -> Option<&str> {
    account["id"].as_str()
}
