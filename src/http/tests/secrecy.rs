//! No account learns anything of another: whatever its token asks, the answer is the same, byte for byte, whether
//! the others have registrations or not.

use http::Method;
use proptest::prelude::*;

use super::site::{ACME, Answer, Site, phone};
use crate::registration::Registration;

const TOKENS: &[&str] = &[
    ACME,
    "read-token",
    "flush-token",
    "old-token",
    "wrong",
    "two-token",
];

fn others() -> impl Strategy<Value = Vec<Registration>> {
    let user = prop_oneof![Just("alice"), Just("bob"), Just("carol"), Just("x")];
    let account = prop_oneof![Just("empty"), Just("top"), Just("nowhere"), Just("")];
    let one = (account, user, 100_u16..2000).prop_map(|(account, user, number)| {
        let mut phone = phone(account, user, number);
        if account.is_empty() {
            phone.account_id = None;
        }
        phone
    });
    proptest::collection::vec(one, 0..12)
}

fn uri() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        Just("/v2/registrations".to_owned()),
        Just("/v2/registrations/count".to_owned()),
        (
            "acme|empty|top|nowhere|acm|ACME|%00|",
            "|/count|/alice|/BOB|/carol|/x|/ghost|/%ff"
        )
            .prop_map(|(account, rest)| format!("/v2/accounts/{account}/registrations{rest}")),
        "|/count|/alice|/carol|/x".prop_map(|rest| format!("/v1/account/registrations{rest}")),
    ];
    let query = proptest::collection::vec(
        prop_oneof![
            Just("page_size=1".to_owned()),
            Just("accept=csv".to_owned()),
            Just("dry_run=true".to_owned()),
            Just("has_key=owner_id".to_owned()),
            "filter_username=(alice|bob|carol|x)",
            "filter_not_realm=(acme|other|empty)[.]example[.]com",
            "start_key=[A-Za-z0-9_-]{0,40}",
        ],
        0..3,
    );
    (path, query).prop_map(|(path, query)| format!("{path}?{}", query.join("&")))
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![4 => Just(Method::GET), 1 => Just(Method::HEAD), 2 => Just(Method::DELETE), 1 => Just(Method::PUT)]
}

async fn ask(site: &Site, method: &Method, uri: &str, token: &str) -> Answer {
    site.ask(method.clone(), uri)
        .with_token(token)
        .answer()
        .await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn others_make_no_difference(
        others in others(),
        requests in proptest::collection::vec((method(), uri(), 0..TOKENS.len()), 1..8),
        foreign in 0..3_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (alone, among) = (Site::furnished(), Site::furnished());
            among.add(others);
            // A cursor of a list that the token may not see, from whichever of the two has one.
            let lists = ["/v2/registrations", "/v2/accounts/empty/registrations", "/v2/accounts/other/registrations"];
            let list = format!("{}?page_size=1", lists[foreign]);
            let key = among.get(&list).answer().await.json()["next_start_key"].as_str().map(str::to_owned);
            for (method, uri, token) in requests {
                let uri = match &key {
                    Some(key) => uri.replace("start_key=", &format!("start_key={key}&x=")),
                    None => uri,
                };
                let one = ask(&alone, &method, &uri, TOKENS[token]).await;
                let other = ask(&among, &method, &uri, TOKENS[token]).await;
                prop_assert_eq!(one.show(), other.show(), "{} {}", method, uri);
            }
            let asked = |site: &Site| {
                let asked = site.fake.asked.lock().unwrap();
                asked.iter().map(|one| (one.registrations.clone(), one.further.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(asked(&alone), asked(&among));
            Ok(())
        })?;
    }
}
