//! What a token asks.

use http::Method;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::site::{Answer, Site};
use super::life::{ACCOUNTS, Life, Pair, USERS, name};

/// A request, before it is known what there is to ask for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    method: Method,
    path: String,
    query: Vec<String>,
    /// Where the token stands.
    token: Place,
    /// A key of the list at this path, as somebody who may see it.
    cursor: Option<String>,
    /// The revision of the list at this path.
    revision: Option<String>,
    /// Whether a POST says that it is a DELETE, and where.
    tunnel: Option<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Header,
    Bearer,
    Query,
    Body,
    Inside,
    Nowhere,
}

/// A request, ready to be made.
#[derive(Debug)]
pub(super) struct Request {
    method: Method,
    uri: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        6 => Just(Place::Header),
        1 => Just(Place::Bearer),
        1 => Just(Place::Query),
        1 => Just(Place::Body),
        1 => Just(Place::Inside),
        1 => Just(Place::Nowhere),
    ]
}

/// The path of a list.
fn list() -> impl Strategy<Value = String> {
    let account = prop_oneof![
        9 => (0..ACCOUNTS).prop_map(name),
        1 => prop_oneof![Just("A0"), Just("nowhere"), Just("shared0.example.com"), Just("%00")].prop_map(str::to_owned),
    ];
    prop_oneof![
        1 => Just("/v2/registrations".to_owned()),
        1 => Just("/v2/account/registrations".to_owned()),
        8 => (account, "v1|v2").prop_map(|(account, version)| format!("/{version}/accounts/{account}/registrations")),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let user = proptest::sample::select(USERS.to_vec()).prop_map(|user| format!("/{user}"));
    let rest = prop_oneof![
        4 => Just(String::new()),
        2 => Just("/count".to_owned()),
        4 => user,
        1 => prop_oneof![Just("/ghost"), Just("/ALICE"), Just("/"), Just("/%ff"), Just("/x/y")].prop_map(str::to_owned),
    ];
    let of_lists = (list(), rest).prop_map(|(list, rest)| format!("{list}{rest}"));
    prop_oneof![
        9 => of_lists,
        1 => "/ui/data/(session|overview|accounts|flushes|health)",
    ]
}

fn query() -> impl Strategy<Value = Vec<String>> {
    let part = prop_oneof![
        "page_size=[0-3]",
        Just("accept=csv".to_owned()),
        Just("dry_run=true".to_owned()),
        Just("pretty_print=true".to_owned()),
        Just("accounts=true".to_owned()),
        Just("has_key=owner_id".to_owned()),
        "filter_(username|from_user)=(alice|Bob|carol)",
        "filter_not_realm=(a0|a1|shared0)[.]example[.]com",
        "filter_contact=sip:alice@192[.]0[.]2[.]1:5060",
        "start_key=[A-Za-z0-9_-]{0,40}",
        "modified_from=6386721[0-9]{4}",
    ];
    vec(part, 0..3)
}

pub(super) fn wish() -> impl Strategy<Value = Wish> {
    let method = prop_oneof![
        5 => Just(Method::GET),
        1 => Just(Method::HEAD),
        3 => Just(Method::DELETE),
        1 => Just(Method::POST),
        1 => Just(Method::PUT),
        1 => Just(Method::OPTIONS),
    ];
    (
        method,
        path(),
        query(),
        place(),
        option::of(list()),
        option::of(list()),
        option::of(place()),
    )
        .prop_map(
            |(method, path, query, token, cursor, revision, tunnel)| Wish {
                method,
                path,
                query,
                token,
                cursor,
                revision,
                tunnel,
            },
        )
}

impl Wish {
    /// The request, with a key and a revision of lists as they are where the others live: the token has heard of them.
    pub(super) async fn made_of(&self, pair: &Pair, life: &Life) -> Request {
        let token = life.secret();
        let mut query = self.query.clone();
        let mut headers = vec![("accept-encoding", "identity".to_owned())];
        let (mut top, mut inside) = (serde_json::Map::new(), serde_json::Map::new());
        match self.token {
            Place::Header => headers.push(("x-auth-token", token)),
            Place::Bearer => headers.push(("authorization", format!("Bearer {token}"))),
            Place::Query => query.push(format!("auth_token={token}")),
            Place::Body => drop(top.insert("auth_token".to_owned(), token.into())),
            Place::Inside => drop(inside.insert("auth_token".to_owned(), token.into())),
            Place::Nowhere => {}
        }
        if self.method == Method::POST {
            match self.tunnel {
                Some(Place::Query) => query.push("verb=delete".to_owned()),
                Some(Place::Inside) => drop(inside.insert("verb".to_owned(), "Delete".into())),
                Some(_) => drop(top.insert("verb".to_owned(), "delete".into())),
                None => {}
            }
        }
        if let Some(list) = &self.cursor {
            let page = pair
                .among
                .get(&format!("{list}?page_size=1"))
                .answer()
                .await;
            if page.status.is_success()
                && let Some(key) = page.json()["next_start_key"].as_str()
            {
                query.push(format!("start_key={key}"));
            }
        }
        if let Some(list) = &self.revision {
            let whole = pair.among.get(list).answer().await;
            if let Some(tag) = whole.header("etag") {
                headers.push(("if-none-match", tag.to_owned()));
            }
        }
        if !inside.is_empty() {
            top.insert("data".to_owned(), inside.into());
        }
        let body = if top.is_empty() {
            String::new()
        } else {
            serde_json::Value::Object(top).to_string()
        };
        Request {
            method: self.method.clone(),
            uri: format!("{}?{}", self.path, query.join("&")),
            headers,
            body,
        }
    }
}

impl Request {
    pub(super) async fn ask(&self, site: &Site) -> Answer {
        let mut ask = site
            .ask(self.method.clone(), &self.uri)
            .without("x-auth-token")
            .body(self.body.clone());
        for (name, value) in &self.headers {
            ask = ask.header(name, value);
        }
        ask.answer().await
    }
}
