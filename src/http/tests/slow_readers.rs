//! Readers that take nothing for a while, over real sockets, in virtual time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::connections::served;
use super::site::{Site, phone};

const LIST: &str = "/v2/accounts/acme/registrations";

/// More of them than the operating system takes at once.
const ROWS: u16 = 5_000;

fn site() -> Site {
    let site = Site::new();
    site.add((0..ROWS).map(|number| phone("acme", &format!("user{number}"), number)));
    site
}

/// Asks for `target`, and takes nothing for `pause`.
async fn asked(site: &Site, target: &str, pause: Duration) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(served(site).await.address).await.unwrap();
    let head = "HTTP/1.1\r\nhost: localhost\r\nx-auth-token: ops-token\r\n\r\n";
    let request = format!("GET {target} {head}");
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(pause).await;
    stream
}

/// What comes until the end, or until `last` has come.
async fn read_until(stream: &mut TcpStream, last: &str) -> String {
    let mut text = Vec::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = stream.read(&mut piece).await.unwrap();
        text.extend_from_slice(&piece[..read]);
        if read == 0 || memchr::memmem::find(&text, last.as_bytes()).is_some() {
            return String::from_utf8(text).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_for_too_long_ends_and_says_why() {
    let site = site();
    let target = format!("{LIST}?watch=true&initial=true");
    let mut stream = asked(&site, &target, Duration::from_mins(1)).await;
    assert_eq!(site.app.streams.count(), 0, "its seat is free");
    let text = read_until(&mut stream, "\r\n0\r\n\r\n").await;
    let last = text.lines().rfind(|line| line.starts_with('{'));
    assert_eq!(last, Some(r#"{"reason":"slow","type":"bye"}"#));
    assert!(text.ends_with("\r\n0\r\n\r\n"), "the answer is whole");
    let rows = text.matches(r#""type":"present""#).count();
    assert!((1..usize::from(ROWS)).contains(&rows), "{rows}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_read_on_in_time_goes_on() {
    let site = site();
    let target = format!("{LIST}?watch=true&initial=true");
    let mut stream = asked(&site, &target, Duration::from_secs(29)).await;
    assert_eq!(site.app.streams.count(), 1);
    let text = read_until(&mut stream, r#""type":"synced""#).await;
    let rows = text.matches(r#""type":"present""#).count();
    assert_eq!(rows, usize::from(ROWS));
    assert!(!text.contains("bye"));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_not_read_for_too_long_is_cut() {
    let site = site();
    site.add((ROWS..20_000).map(|number| phone("acme", &format!("user{number}"), number)));
    let mut stream = asked(&site, LIST, Duration::from_secs(31)).await;
    let text = read_until(&mut stream, "\r\n0\r\n\r\n").await;
    assert!(!text.ends_with("\r\n0\r\n\r\n"), "it was whole");
}
