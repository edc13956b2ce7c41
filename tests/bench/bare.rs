//! The yardstick of `make bench`: a bare axum server that answers fixed bytes from memory.
//!
//! `bare NAME=FILE…` answers `GET /NAME` with the bytes of the file, as JSON, and prints the port that it listens on.

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use http::{HeaderValue, header};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut router = Router::new();
    for argument in std::env::args().skip(1) {
        let (name, file) = argument
            .split_once('=')
            .ok_or_else(|| anyhow::anyhow!("not NAME=FILE: {argument}"))?;
        let body = Bytes::from(std::fs::read(file)?);
        let answer = move || async move {
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], body)
        };
        router = router.route(&format!("/{name}"), get(answer));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}
