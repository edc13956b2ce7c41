//! Which accounts there are, and which one a command line means: by its id, or by a realm or name that only one
//! account has.

use anyhow::anyhow;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::pages::Reach;
use super::refusals::stranger;
use super::remote;
use crate::client::Client;
use crate::daemon::Failure;
use crate::document::nearest;
use crate::terminal::printable;

/// Where the accounts are.
const ACCOUNTS: &str = "/v2/registrations/count?accounts=true";

/// How many accounts an error lists.
const SHOWN: usize = 20;

/// An account as the daemon lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Account {
    id: String,
    name: Option<String>,
    realm: Option<String>,
}

/// What a word on the command line means.
#[derive(PartialEq, Eq, Debug)]
enum Meaning<'a> {
    /// One account.
    One(&'a Account),
    /// Several, of which none is meant more than the others.
    Many(Vec<&'a Account>),
    /// None; this is the word of an account that is most like it.
    None { similar: Option<&'a str> },
}

/// The registrations of the account that `account` means; without one, all that the caller may see.
pub(super) async fn reach<'a>(
    client: &'a Client,
    account: Option<&str>,
) -> Result<Reach<'a>, Failure> {
    match account {
        Some(given) => Reach::of(client, Some(&resolve(client, given).await?)).await,
        None => Reach::of(client, None).await,
    }
}

/// How many there are in all lists, and what is known of Kamailio's tables.
pub(super) async fn count(
    client: &Client,
    reach: &Reach<'_>,
    last: &str,
) -> Result<(u64, Value), Failure> {
    let envelopes = reach.envelopes(last).await?;
    let counts = envelopes.iter().map(|it| it["data"]["count"].as_u64());
    let Some(sum) = counts.sum::<Option<u64>>() else {
        return Err(stranger(client));
    };
    let source = envelopes.into_iter().next_back();
    let source = source.map(|mut it| it["source"].take());
    Ok((sum, source.unwrap_or_default()))
}

/// The accounts that the caller may see and that have rows, and what is known of Kamailio's tables.
pub(super) async fn seen(client: &Client) -> Result<(Vec<Value>, Value), Failure> {
    let reach = Reach::of(client, None).await?;
    if reach.is_system() {
        let answer = remote::ask(client, Method::GET, ACCOUNTS).await?;
        let mut envelope = remote::envelope(client, answer).await?;
        let accounts = accounts(&mut envelope)?;
        return Ok((accounts, envelope["source"].take()));
    }
    let (mut all, mut source) = (Vec::new(), Value::Null);
    for path in &reach.paths {
        let one = reach.only(path);
        let (count, known) = count(client, &one, "/count").await?;
        let first = one.envelopes("?page_size=1").await?;
        source = known;
        // An account's name comes from its rows: the API has no other way.
        if let Some(item) = first.first().map(|it| &it["data"][0])
            && count > 0
        {
            all.push(json!({
                "id": remote::account_of(path),
                "name": item["account_name"],
                "realm": item["account_realm"],
                "count": count,
            }));
        }
    }
    Ok((all, source))
}

/// The accounts with their numbers.
fn accounts(envelope: &mut Value) -> Result<Vec<Value>, Failure> {
    match envelope["data"]["accounts"].take() {
        Value::Array(accounts) => Ok(accounts),
        _ => Err(Failure::Unavailable(anyhow!(
            "this usrlocd is too old to list accounts; update it"
        ))),
    }
}

/// The id of the account that `given` means. Where the daemon does not know, it is `given` itself, so that the daemon's
/// own answer tells what is wrong.
pub(super) async fn resolve(client: &Client, given: &str) -> Result<String, Failure> {
    let probe = format!("{}/count", remote::path(Some(given), None));
    let answer = remote::send(client, Method::GET, &probe).await?;
    let is_unknown = answer.status == StatusCode::NOT_FOUND;
    // An id always wins; a token learns nothing of accounts that it may not see.
    if !is_unknown && answer.status != StatusCode::FORBIDDEN {
        return Ok(given.to_owned());
    }
    let Ok((listed, _)) = seen(client).await else {
        return Ok(given.to_owned());
    };
    let accounts: Vec<Account> = listed.iter().filter_map(Account::read).collect();
    match meaning(given, &accounts) {
        Meaning::One(account) => Ok(account.id.clone()),
        Meaning::Many(candidates) => Err(ambiguous(given, &candidates)),
        Meaning::None { similar } if is_unknown => Err(unknown(given, similar)),
        Meaning::None { .. } => Ok(given.to_owned()),
    }
}

impl Account {
    fn read(listed: &Value) -> Option<Self> {
        let text = |key: &str| listed[key].as_str().map(str::to_owned);
        Some(Self {
            id: text("id")?,
            name: text("name"),
            realm: text("realm"),
        })
    }

    /// Its realm and its name.
    fn words(&self) -> impl Iterator<Item = &str> {
        self.realm
            .as_deref()
            .into_iter()
            .chain(self.name.as_deref())
    }
}

/// Which of `accounts` has `given` as its realm or name, in any case unless the case decides.
fn meaning<'a>(given: &str, accounts: &'a [Account]) -> Meaning<'a> {
    let lower = given.to_lowercase();
    let having = |is: &dyn Fn(&str) -> bool| -> Vec<&'a Account> {
        accounts.iter().filter(|it| it.words().any(is)).collect()
    };
    let alike = having(&|word| word.to_lowercase() == lower);
    let exact = having(&|word| word == given);
    match (&*alike, &*exact) {
        ([], _) => Meaning::None {
            similar: similar(&lower, accounts),
        },
        ([one], _) | (_, [one]) => Meaning::One(one),
        _ => Meaning::Many(alike),
    }
}

fn similar<'a>(lower: &str, accounts: &'a [Account]) -> Option<&'a str> {
    let words = accounts
        .iter()
        .flat_map(|it| it.words().chain([&*it.id]))
        .map(|word| (word.to_lowercase(), word));
    let words: Vec<(String, &str)> = words.collect();
    let meant = nearest(lower, words.iter().map(|(lower, _)| &**lower))?;
    let is_meant = |(lower, word): &(String, &'a str)| (lower == meant).then_some(*word);
    words.iter().find_map(is_meant)
}

fn unknown(given: &str, similar: Option<&str>) -> Failure {
    let maybe = similar.map_or_else(String::new, |word| {
        format!("did you mean `{}`? ", printable(word))
    });
    Failure::Failed(anyhow!(
        "no account `{given}`; {maybe}`usrlocd accounts` lists them"
    ))
}

fn ambiguous(given: &str, candidates: &[&Account]) -> Failure {
    let line = |account: &&Account| {
        let words: Vec<String> = account
            .words()
            .map(|word| printable(word).into_owned())
            .collect();
        format!("\n  {}  {}", printable(&account.id), words.join("  "))
    };
    let mut list: String = candidates.iter().take(SHOWN).map(line).collect();
    if candidates.len() > SHOWN {
        list.push_str("\n  …");
    }
    Failure::Failed(anyhow!(
        "{} accounts have the realm or name `{given}`; give one's id instead:{list}",
        candidates.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str, name: &str, realm: &str) -> Account {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Account {
            id: id.to_owned(),
            name: text(name),
            realm: text(realm),
        }
    }

    fn ids(meaning: &Meaning<'_>) -> Vec<String> {
        match meaning {
            Meaning::One(one) => vec![one.id.clone()],
            Meaning::Many(many) => many.iter().map(|it| it.id.clone()).collect(),
            Meaning::None { .. } => Vec::new(),
        }
    }

    #[test]
    fn a_realm_or_name_means_the_one_account_that_has_it() {
        let accounts = [
            account("a1", "Acme", "acme.example.com"),
            account("b2", "Bolts & Co", "bolts.example.com"),
            account("c3", "ACME", "acme.example.net"),
            account("d4", "", "Delta.example.com"),
            account("e5", "delta.example.com", ""),
            account("f6", "Same", "same"),
        ];
        let means = |given: &str| ids(&meaning(given, &accounts));
        assert_eq!(means("acme.example.com"), ["a1"]);
        assert_eq!(means("ACME.Example.NET"), ["c3"]);
        assert_eq!(means("bolts & co"), ["b2"]);
        assert_eq!(means("same"), ["f6"], "it has it twice");
        assert_eq!(means("Acme"), ["a1"], "the case decides");
        assert_eq!(means("ACME"), ["c3"]);
        assert_eq!(means("acme"), ["a1", "c3"]);
        assert_eq!(means("DELTA.example.com"), ["d4", "e5"]);
        assert_eq!(means("elsewhere"), [""; 0]);
        assert_eq!(means(""), [""; 0]);
    }

    #[test]
    fn errors_list_what_may_be_meant() {
        let accounts = [
            account("a1", "Acme", "acme.example.com"),
            account("c3", "ACME\u{1b}[2J", "acme.example.net"),
        ];
        let suggests = |given: &str| match meaning(given, &accounts) {
            Meaning::None { similar } => unknown(given, similar).to_string(),
            other => panic!("{given}: {other:?}"),
        };
        assert!(suggests("acmee").contains("did you mean `Acme`?"));
        assert!(suggests("acme.exampel.com").contains("`acme.example.com`?"));
        assert!(!suggests("zzz").contains("did you mean"));
        let both: Vec<&Account> = accounts.iter().collect();
        let text = ambiguous("acme", &both).to_string();
        assert!(text.contains("\n  a1  acme.example.com  Acme"), "{text}");
        assert!(text.contains("c3") && !text.contains('\u{1b}'), "{text}");
    }
}
