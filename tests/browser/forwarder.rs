//! Forwards a port of this machine, as `ssh -L` does, and keeps what passes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

/// To where.
#[derive(Clone, Debug)]
pub(super) enum To {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A request that passed, and its answer's status if there was one.
#[derive(Clone, Debug)]
pub(super) struct Passed {
    pub(super) method: String,
    pub(super) target: String,
    /// The whole head, in lower case.
    pub(super) head: String,
    pub(super) status: Option<u16>,
}

/// What passed over one connection, there and back.
#[derive(Debug, Default)]
struct Bytes {
    there: Vec<u8>,
    back: Vec<u8>,
}

type Connections = Arc<Mutex<Vec<Arc<Mutex<Bytes>>>>>;

#[derive(Debug)]
pub(super) struct Forwarder {
    address: SocketAddr,
    connections: Connections,
}

impl Forwarder {
    pub(super) fn new(to: To) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let connections = Connections::default();
        let kept = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bytes = Arc::<Mutex<Bytes>>::default();
                kept.lock()
                    .expect("nobody panics with it")
                    .push(Arc::clone(&bytes));
                forward(stream, &to, &bytes);
            }
        });
        Self {
            address,
            connections,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, in the order of their connections.
    pub(super) fn passed(&self) -> Vec<Passed> {
        let connections = self.connections.lock().expect("nobody panics with it");
        let mut passed = Vec::new();
        for bytes in &*connections {
            let bytes = bytes.lock().expect("nobody panics with it");
            let there = String::from_utf8_lossy(&bytes.there);
            let back = String::from_utf8_lossy(&bytes.back);
            let mut statuses = back
                .match_indices("HTTP/1.1 ")
                .map(|(at, found)| back[at + found.len()..].chars().take(3).collect::<String>());
            for part in there.split("\r\n\r\n") {
                // A body stands before the next head, if at all.
                let lines: Vec<&str> = part.split("\r\n").collect();
                let Some(start) = lines.iter().position(|line| line.ends_with(" HTTP/1.1")) else {
                    continue;
                };
                let words = || lines[start].split(' ').rev();
                let method = words().nth(2).unwrap_or_default();
                let method = method.rsplit(|c: char| !c.is_ascii_uppercase()).next();
                passed.push(Passed {
                    method: method.unwrap_or_default().to_owned(),
                    target: words().nth(1).unwrap_or_default().to_owned(),
                    head: lines[start..].join("\n").to_lowercase(),
                    status: statuses.next().and_then(|status| status.parse().ok()),
                });
            }
        }
        passed
    }
}

fn forward(near: TcpStream, to: &To, bytes: &Arc<Mutex<Bytes>>) {
    match to {
        To::Tcp(address) => {
            if let Ok(far) = TcpStream::connect(address) {
                let (far_too, near_too) = (copy_of(&far), copy_of(&near));
                pump(
                    near,
                    far_too,
                    bytes,
                    |bytes| &mut bytes.there,
                    |far| far.shutdown(Shutdown::Write),
                );
                pump(
                    far,
                    near_too,
                    bytes,
                    |bytes| &mut bytes.back,
                    |near| near.shutdown(Shutdown::Write),
                );
            }
        }
        To::Unix(path) => {
            if let Ok(far) = UnixStream::connect(path) {
                let far_too = far.try_clone().expect("a second handle");
                let near_too = copy_of(&near);
                pump(
                    near,
                    far_too,
                    bytes,
                    |bytes| &mut bytes.there,
                    |far| far.shutdown(Shutdown::Write),
                );
                pump(
                    far,
                    near_too,
                    bytes,
                    |bytes| &mut bytes.back,
                    |near| near.shutdown(Shutdown::Write),
                );
            }
        }
    }
}

fn copy_of(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a second handle")
}

/// Copies what comes from one side to the other until it ends.
fn pump<W: Write + Send + 'static>(
    mut from: impl Read + Send + 'static,
    mut to: W,
    bytes: &Arc<Mutex<Bytes>>,
    kept: fn(&mut Bytes) -> &mut Vec<u8>,
    end: fn(&W) -> std::io::Result<()>,
) {
    let bytes = Arc::clone(bytes);
    thread::spawn(move || {
        let mut piece = [0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            kept(&mut bytes.lock().expect("nobody panics with it"))
                .extend_from_slice(&piece[..length]);
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        // The other side may be gone.
        let _ = end(&to);
    });
}
