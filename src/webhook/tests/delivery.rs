//! The client against real receivers.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::super::body::Message;
use super::super::client::{Client, Failure, Outcome, Post};
use super::super::resolver::{Lookup, SystemLookup};
use super::receiver::{Answer, Receiver};
use super::{SECRET, hook};

const NOW: i64 = 1_800_000_000;

/// Longer than anything takes that is to succeed.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a name resolves to.
#[derive(Clone)]
struct Resolves(Vec<SocketAddr>);

impl Lookup for Resolves {
    fn lookup(
        &self,
        _: Name,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}

fn message() -> Message {
    Message {
        id: "0123456789abcdef-7".to_owned(),
        content_type: "application/cloudevents+json",
        body: r#"{"data":"ä"}"#.into(),
        last: 7,
        since: 0,
    }
}

/// TLS that trusts these authorities alone.
fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn client(url: &str, more: &str, answer: Duration) -> Client {
    let tls = trusting(RootCertStore::empty());
    Client::with(hook(url, more), tls, Arc::new(SystemLookup), answer)
}

const PRIVATE: &str = "allow_private = true";

#[tokio::test]
async fn a_message_is_signed_as_standard_webhooks_has_it() {
    let receiver = Receiver::start(&[]).await;
    let client = client(&receiver.url(), PRIVATE, PATIENCE);
    let now = jiff::Timestamp::now().as_second();
    for _ in 0..2 {
        let outcome = client.post(&message(), now).await;
        assert!(
            matches!(outcome, Outcome::Delivered(status) if status == 200),
            "{outcome:?}"
        );
    }
    let got = receiver.got();
    assert_eq!(
        receiver.shared.connections.load(Ordering::Relaxed),
        1,
        "it is kept open"
    );
    let independent = standardwebhooks::Webhook::new(SECRET).unwrap();
    for one in &got {
        assert_eq!(one.path, "/hook?key=hidden");
        assert_eq!(one.body, message().body);
        let header = |name: &str| one.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/cloudevents+json");
        assert_eq!(header("webhook-id"), "0123456789abcdef-7");
        assert_eq!(header("webhook-timestamp"), now.to_string());
        assert!(header("user-agent").starts_with("usrlocd/"));
        independent.verify(&one.body, &one.headers).unwrap();
        let mut headers = one.headers.clone();
        headers.insert("webhook-id", "other".parse().unwrap());
        independent.verify(&one.body, &headers).unwrap_err();
    }
}

#[tokio::test]
async fn what_is_not_2xx_is_not_delivered() {
    let later = Answer::With(503, "retry-after", "120".to_owned());
    let answers = [
        Answer::Status(204),
        later,
        Answer::Status(500),
        Answer::Status(410),
    ];
    let receiver = Receiver::start(&answers).await;
    let client = client(&receiver.url(), PRIVATE, PATIENCE);
    let mut outcomes = Vec::new();
    for _ in answers {
        outcomes.push(client.post(&message(), NOW).await);
    }
    assert!(matches!(outcomes[0], Outcome::Delivered(_)), "{outcomes:?}");
    assert!(
        matches!(outcomes[1], Outcome::Refused { retry_after: Some(it), .. } if it.as_secs() == 120),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[2], Outcome::Refused { retry_after: None, status } if status == 500),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[3], Outcome::Gone), "{outcomes:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Receiver::start(&[]).await;
    for status in [301, 302, 303, 307, 308] {
        let to = Answer::With(status, "location", target.url());
        let receiver = Receiver::start(&[to]).await;
        let outcome = client(&receiver.url(), PRIVATE, PATIENCE)
            .post(&message(), NOW)
            .await;
        assert!(
            matches!(outcome, Outcome::Refused { status: it, .. } if it == status),
            "{outcome:?}"
        );
        assert!(outcome.to_string().contains("not followed"), "{outcome}");
    }
    assert!(target.got().is_empty());
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_given_up() {
    let receiver = Receiver::start(&[Answer::Never, Answer::Close]).await;
    let client = client(&receiver.url(), PRIVATE, Duration::from_millis(300));
    let outcome = client.post(&message(), NOW).await;
    assert!(
        matches!(outcome, Outcome::Failed(Failure::Timeout)),
        "{outcome:?}"
    );
    let outcome = client.post(&message(), NOW).await;
    assert!(
        matches!(outcome, Outcome::Failed(Failure::Cut(_))),
        "{outcome:?}"
    );
    let outcome = client.post(&message(), NOW).await;
    assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_said() {
    let gone = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let client = client(&format!("http://{address}/"), PRIVATE, PATIENCE);
    let outcome = client.post(&message(), NOW).await;
    let Outcome::Failed(Failure::Connect(reason)) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn the_body_of_an_answer_costs_little() {
    let receiver = Receiver::start(&[Answer::Huge, Answer::Endless]).await;
    let client = client(&receiver.url(), PRIVATE, PATIENCE);
    for _ in 0..2 {
        let outcome = client.post(&message(), NOW).await;
        assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
    }
    // What is taken beyond the bound is in the sockets' buffers.
    let taken = receiver.shared.taken.load(Ordering::Relaxed);
    assert!(taken < 32 << 20, "{taken} bytes of 100 MB");
}

#[tokio::test]
async fn what_is_not_public_gets_nothing() {
    let receiver = Receiver::start(&[]).await;
    let port = receiver.address.port();
    let tls = || trusting(RootCertStore::empty());
    // By its address, by its name, and by what a name resolves to.
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "2130706433",
        "127.1",
    ] {
        let url = format!("http://{host}:{port}/");
        let client = Client::with(hook(&url, ""), tls(), Arc::new(SystemLookup), PATIENCE);
        let outcome = client.post(&message(), NOW).await;
        assert!(
            matches!(outcome, Outcome::Failed(Failure::NotPublic)),
            "{host}: {outcome:?}"
        );
    }
    let rebound = Resolves(vec![receiver.address, "10.0.0.1:1".parse().unwrap()]);
    let url = format!("http://crm.example.com:{port}/");
    let client = Client::with(hook(&url, ""), tls(), Arc::new(rebound.clone()), PATIENCE);
    let outcome = client.post(&message(), NOW).await;
    assert!(
        matches!(outcome, Outcome::Failed(Failure::NotPublic)),
        "{outcome:?}"
    );
    assert_eq!(outcome.as_str(), "not_public");
    assert!(receiver.got().is_empty());
    let client = Client::with(hook(&url, PRIVATE), tls(), Arc::new(rebound), PATIENCE);
    let outcome = client.post(&message(), NOW).await;
    assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
}

/// An authority, and a server's certificate from it for `crm.example.com`.
fn certificate() -> (RootCertStore, ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["crm.example.com".to_owned()]).unwrap();
    let server = server.signed_by(&key, &authority).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    (roots, config)
}

#[tokio::test]
async fn tls_checks_the_authority_and_the_name() {
    let (roots, server) = certificate();
    let receiver = Receiver::start_with(&[], Some(server)).await;
    let port = receiver.address.port();
    let outcome_of = async |name: &str, roots: RootCertStore| {
        let hook = hook(&format!("https://{name}:{port}/"), PRIVATE);
        let lookup = Arc::new(Resolves(vec![receiver.address]));
        let client = Client::with(hook, trusting(roots), lookup, PATIENCE);
        client.post(&message(), NOW).await
    };
    let outcome = outcome_of("crm.example.com", roots.clone()).await;
    assert!(matches!(outcome, Outcome::Delivered(_)), "{outcome:?}");
    for (name, roots) in [
        ("other.example.com", roots),
        ("crm.example.com", RootCertStore::empty()),
    ] {
        let outcome = outcome_of(name, roots).await;
        let Outcome::Failed(Failure::Connect(reason)) = &outcome else {
            panic!("{outcome:?}")
        };
        assert!(reason.contains("certificate"), "{reason}");
    }
    assert_eq!(receiver.got().len(), 1);
}
