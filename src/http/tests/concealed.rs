//! No `Debug` shows a token.

use std::time::Duration;

use axum::body::Body;
use http::Request;

use crate::http::api::flush::Who;
use crate::http::auth::access::Caller;
use crate::http::auth::credential::Credential;
use crate::http::auth::limits::Key;
use crate::http::auth::peer::{Origin, Peer};
use crate::http::request::call::Call;
use crate::http::request::params::Params;
use crate::http::request::secret::Secret;
use crate::http::response::envelope::Success;
use crate::http::server::middleware::conceal;

const TOKEN: &str = "usrlocd_0123456789abcdef";

fn assert_concealed(shown: &str) {
    assert!(!shown.contains("0123456789"), "{shown}");
}

#[tokio::test]
async fn debug_shows_no_token() {
    let query = format!("page_size=1&auth_token={TOKEN}");
    let body = format!("{{\"data\": {{\"auth_token\": \"{TOKEN}\"}}}}");
    let mut request = Request::post(format!("/v2/registrations?{query}"))
        .header("x-auth-token", TOKEN)
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("cookie", format!("usrlocd-session-node={TOKEN}"))
        .body(Body::from(body))
        .unwrap();
    conceal(request.headers_mut());
    assert_concealed(&format!("{:?}", request.headers()));
    let (parts, body) = request.into_parts();
    let call = Call::read(parts, body, 1024, Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(call.token().unwrap().reveal(), TOKEN);
    assert_concealed(&format!("{call:?}"));
    assert_concealed(&format!("{:?}", Credential::token(&call)));
    assert_concealed(&format!("{:?}", call.params));
    assert_concealed(&format!("{:?}", call.token()));
    assert_concealed(&format!("{:?}", Params::parse(&query)));
    assert_concealed(&format!(
        "{:?}",
        Key::token(TOKEN.as_bytes(), Origin::User(7))
    ));
    let success = Success {
        auth_token: call.token(),
        ..Success::default()
    };
    assert_concealed(&format!("{success:?}"));
    let caller = Caller::Process { uid: 7 };
    let who = Who {
        caller: &caller,
        peer: Peer::Host([192, 0, 2, 1].into()),
        query: Secret::new(&query),
    };
    assert_concealed(&format!("{who:#?}"));
}
