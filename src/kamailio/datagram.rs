//! JSON-RPC over the UNIX datagram socket of `jsonrpcs`.
//!
//! Each call has its own socket with an abstract name (unix(7)), so that Kamailio can answer, whichever user it runs as.
//! Anyone on the machine could send to that name, so a reply counts only with the call's id, which is random.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as Socket};
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixDatagram;

use super::Fault;
use super::message::{self, Reply};

/// `jsonrpcs` reads a datagram into 65,456 bytes.
const REQUEST_MAX: usize = 60_000;

/// `jsonrpcs` sends at most 128 KiB.
const REPLY_MAX: usize = 256 * 1024;

/// Kamailio's queue of datagrams is full: the time to the next try.
const PAUSE: Duration = Duration::from_millis(2);

/// Sends a request and waits for the reply with `id`.
pub(super) async fn exchange(path: &Path, request: &[u8], id: u64) -> Result<Reply, Fault> {
    if request.len() > REQUEST_MAX {
        return Err(Fault::Unsendable(
            "the request is longer than Kamailio accepts",
        ));
    }
    let unreachable = |source| Fault::Unreachable { source };
    let (socket, replies) = bind().map_err(unreachable)?;
    send(&socket, path, request).await.map_err(unreachable)?;
    let mut buffer = vec![0; REPLY_MAX];
    loop {
        let length = replies.recv(&mut buffer).await.map_err(unreachable)?;
        match message::decode(&buffer[..length]) {
            Ok(reply) if reply.id != Some(id) => {}
            result => return result,
        }
    }
}

/// The socket, to send by and to receive by.
fn bind() -> io::Result<(Socket, UnixDatagram)> {
    let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let name = format!("usrlocd-{random:016x}");
    let socket = Socket::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    socket.set_nonblocking(true)?;
    let replies = UnixDatagram::from_std(socket.try_clone()?)?;
    Ok((socket, replies))
}

/// The reactor cannot say when the queue of a socket that is not connected has room, and Kamailio could not answer to
/// a connected one; so this asks again.
async fn send(socket: &Socket, path: &Path, request: &[u8]) -> io::Result<()> {
    loop {
        match socket.send_to(request, path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(PAUSE).await;
            }
            result => return result.map(|_| ()),
        }
    }
}
