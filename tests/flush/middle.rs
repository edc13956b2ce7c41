//! Somebody between usrlocd and Kamailio's JSON-RPC, who passes calls on and spoils replies.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::support::http;
use crate::support::kamailio::Kamailio;

/// What becomes of a call that Kamailio has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The reply comes, and the connection stays open.
    Pass,
    /// The reply comes, and then the connection is closed without a word.
    Close,
    /// A part of the reply comes.
    Cut,
    /// Kamailio's answer is an error with these words.
    Refuse(&'static str),
}

/// Whoever stands in the middle. Its thread ends with the process.
#[derive(Debug)]
pub(super) struct Middle {
    address: SocketAddr,
}

impl Middle {
    /// Asks `fate` about each call once Kamailio has carried it out; it may wait, and the caller waits too.
    pub(super) fn of(
        kamailio: &Kamailio,
        fate: impl Fn(&str, &[Value]) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
        let address = listener
            .local_addr()
            .expect("an open socket has an address");
        let (kamailio, fate) = (kamailio.address(), Arc::new(fate));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let fate = Arc::clone(&fate);
                thread::spawn(move || serve(stream, kamailio, &*fate));
            }
        });
        Self { address }
    }

    pub(super) fn rpc_url(&self) -> String {
        format!("http://{}/RPC", self.address)
    }
}

fn serve(stream: TcpStream, kamailio: SocketAddr, fate: &dyn Fn(&str, &[Value]) -> Fate) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader) {
        let headers = [("Content-Type", "application/json")];
        let Ok(answer) = http::request(kamailio, "POST", "/RPC", &headers, &body) else {
            // Nobody is there; the caller sees its connection end.
            return;
        };
        let call: Value = serde_json::from_slice(&body).expect("usrlocd sends JSON");
        let method = call["method"].as_str().expect("a method");
        let params = call["params"].as_array().expect("parameters");
        let fate = fate(method, params);
        let (status, body) = match fate {
            Fate::Refuse(message) => {
                let error = json!({"code": 500, "message": message});
                let refusal = json!({"jsonrpc": "2.0", "error": error, "id": call["id"]});
                (500, refusal.to_string().into_bytes())
            }
            Fate::Pass | Fate::Close | Fate::Cut => (answer.status, answer.body),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n");
        let sent = match fate {
            Fate::Pass | Fate::Close | Fate::Refuse(_) => &body[..],
            Fate::Cut => &body[..length / 2],
        };
        let message = [head.as_bytes(), sent].concat();
        let written = reader.get_mut().write_all(&message);
        if matches!(fate, Fate::Close | Fate::Cut) || written.is_err() {
            return;
        }
    }
}

/// The body of the next request; `None` at the end of the connection.
fn request(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let (_, length) = head.split_once("content-length:").expect("a length");
    let length = length.lines().next().unwrap_or_default().trim().parse();
    let mut body = vec![0; length.expect("a number")];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}
