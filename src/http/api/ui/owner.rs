//! `/ui/data/owner`: the account that the phones of a user (`username`, `realm`) belonged to, by the history. An account
//! that nothing else knows any more is found so.

use serde_json::{Value, json};

use super::asker::Asker;
use crate::event_log::{History, Of, Query};
use crate::http::App;
use crate::http::api::kept::{kept, unreadable};
use crate::http::error::Error;
use crate::http::request::call::Call;

/// Its id: of several accounts that of the newest event. `null` where the caller may see none that had such a user, and
/// where no history is kept.
pub(super) async fn owner(app: &App, call: &Call, asker: &Asker) -> Result<Value, Error> {
    let text = |name| call.params.get(name).unwrap_or_default();
    let (username, realm) = (text("username"), text("realm"));
    let mut newest = None;
    if let Ok(history) = kept(app) {
        let owners = history.owners(username, realm).await;
        let owners = owners.map_err(|error| unreadable(&error))?;
        let viewer = asker.viewer();
        for account in owners.into_iter().filter(|id| viewer.sees(Some(id))) {
            newest = newest.max(last_event(history, account, username).await?);
        }
    }
    Ok(json!({"account_id": newest.map(|(_, account)| account)}))
}

/// The newest event of a user that the account's list shows.
async fn last_event(
    history: &History,
    account: String,
    username: &str,
) -> Result<Option<(u64, String)>, Error> {
    let query = Query {
        of: Of::User {
            account: account.clone(),
            username: username.to_owned(),
        },
        from: None,
        to: None,
        types: None,
        reasons: None,
        before: None,
        limit: 1,
    };
    let found = history.query(&query).await;
    let found = found.map_err(|error| unreadable(&error))?;
    Ok(found.first().map(|event| (event.seq, account)))
}
