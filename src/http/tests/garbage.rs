//! Random bytes to the real server: it answers or closes, soon, and it stays up.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::site::{Site, settings};
use crate::config::{Bucket, Limits};
use crate::http::{Listeners, serve};

const PATIENCE: Duration = Duration::from_secs(20);

/// Pieces of requests, good and bad; some of them make whole ones.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::sample::select(vec![
            "GET /v2/accounts/acme/registrations HTTP/1.1\r\n", "DELETE /v1/account/registrations/bob?", "POST ",
            "HEAD /metrics HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.0\r\n", "host: localhost\r\n", "x-auth-token: ops-token\r\n",
            "content-length: 5\r\n", "content-length: 99999999999999999999\r\n", "transfer-encoding: chunked\r\n",
            "5\r\n{\"a\":\r\n0\r\n\r\n", "expect: 100-continue\r\n", "connection: upgrade\r\nupgrade: h2c\r\n",
            "accept-encoding: *;q=0, gzip;q=\r\n", "if-none-match: W/\"\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\r\n", "\r\n\r\n", "{\"auth_token\": \"ops-token\"}", "page_size=1&start_key=%ff&filter_q=nan",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
    ];
    vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

/// Sends the bytes, ends, and reads whatever comes.
async fn throw(address: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may have had enough before the end.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[test]
fn random_bytes_harm_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let off = Bucket {
        burst: 1,
        per_second: 0.0,
    };
    let limits = Limits {
        requests: off,
        deletes: off,
        failures: off,
        header_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let site = Site::with(settings(), &limits);
    site.furnish();
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listeners = Listeners {
            tcp: vec![listener],
            unix: None,
        };
        let app = Arc::clone(&site.app);
        TaskTracker::new().spawn(serve(listeners, app, CancellationToken::new(), PATIENCE));
        address
    });
    let mut runner = TestRunner::new(Config::with_cases(400));
    let thrown = runner.run(&bytes(), |bytes| {
        let answer = runtime.block_on(async {
            let answer = throw(address, &bytes);
            tokio::time::timeout(PATIENCE, answer).await
        });
        let answer = answer.map_err(|_| TestCaseError::fail("no end"))?;
        let text = String::from_utf8_lossy(&answer);
        prop_assert!(text.is_empty() || text.starts_with("HTTP/1."), "{}", text);
        prop_assert!(!text.contains("HTTP/1.1 500"), "{}", text);
        Ok(())
    });
    thrown.unwrap();
    let good = b"GET /v2/registrations/count HTTP/1.1\r\nhost: localhost\r\nx-auth-token: ops-token\r\n\r\n";
    let answer = runtime.block_on(throw(address, good));
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}
