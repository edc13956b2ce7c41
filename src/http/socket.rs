//! A connection's socket, shared between whoever answers on it and an answer that never ends: that one has to learn when
//! its client has gone, and hyper does not look while there is nothing to send.
//!
//! A client that takes nothing is waited for, but not for long. One that follows changes is told so if it reads on later:
//! the operating system keeps no more than [`SENT`] for it, and that there is room for the last words.

mod patient;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

pub(crate) use patient::Patient;

/// How often to look at a client that has sent more than a request, and may have gone.
const LOOK: Duration = Duration::from_secs(1);

/// How much the operating system takes for a client that follows changes and has not taken it yet; Linux doubles it.
const SENT: usize = 64 << 10;

/// The same once it has taken nothing for too long: room for what is half sent, and for the last words. Linux takes as
/// much of it as `net.core.wmem_max` allows.
const SENT_AT_LAST: usize = 512 << 10;

/// A connection's socket.
#[derive(Clone, Debug)]
pub(crate) struct Socket(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stream: Stream,
    /// Whether there is room left for last words.
    has_room: AtomicBool,
    /// Whether the client took nothing for too long.
    is_slow: AtomicBool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::of(Stream::Tcp(stream))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::of(Stream::Unix(stream))
    }
}

impl Socket {
    fn of(stream: Stream) -> Self {
        Self(Arc::new(Shared {
            stream,
            has_room: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
        }))
    }

    /// Leaves room for last words, in case that the client is slow.
    pub(crate) fn leave_room(&self) {
        self.0.is_slow.store(false, Ordering::Relaxed);
        let has_room = set_socket_send_buffer_size(self.0.stream.as_fd(), SENT).is_ok();
        self.0.has_room.store(has_room, Ordering::Relaxed);
    }

    /// Whether the client took nothing for too long, and there is room for the last words alone.
    pub(crate) fn is_slow(&self) -> bool {
        self.0.is_slow.load(Ordering::Relaxed)
    }

    /// The client takes nothing for too long. Returns whether there is room for last words.
    fn use_room(&self) -> bool {
        let has_room = self.0.has_room.swap(false, Ordering::Relaxed)
            && set_socket_send_buffer_size(self.0.stream.as_fd(), SENT_AT_LAST).is_ok();
        self.0.is_slow.store(has_room, Ordering::Relaxed);
        has_room
    }

    /// Waits until the client sends no more: it has gone, or has closed its side.
    pub(crate) async fn closed(&self) {
        loop {
            match self.0.stream.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK).await,
                Ok(_) | Err(_) => return,
            }
        }
    }
}

impl Stream {
    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Tcp(stream) => stream.ready(interest).await,
            Self::Unix(stream) => stream.ready(interest).await,
        }
    }

    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
        }
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Unix(stream) => stream.poll_write_ready(context),
        }
    }

    /// Reads what there is. Where that is less than there is room for, there is no more, and nobody asks the system again
    /// before there is: tokio does the same for those who own a stream.
    fn try_read(&self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut all = false;
        let room = buffer.remaining();
        let mut read = |read: io::Result<usize>| {
            all = (1..room).contains(&read?);
            // This is how tokio is told.
            if all {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        };
        let result = match self {
            Self::Tcp(stream) => {
                stream.try_io(Interest::READABLE, || read(stream.try_read_buf(buffer)))
            }
            Self::Unix(stream) => {
                stream.try_io(Interest::READABLE, || read(stream.try_read_buf(buffer)))
            }
        };
        if all { Ok(()) } else { result }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    fn try_write_vectored(&self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(bytes),
            Self::Unix(stream) => stream.try_write_vectored(bytes),
        }
    }

    fn shutdown(&self) -> io::Result<()> {
        shutdown(self.as_fd(), Shutdown::Write)?;
        Ok(())
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }

    /// Writes once that is possible.
    fn poll_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&Self) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_write_ready(context))?;
            match write(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.stream.poll_read_ready(context))?;
            match self.0.stream.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn an_empty_socket_is_not_asked_again_until_there_is_more() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut socket = Socket::from(ours);
        let is_ready = |socket: &Socket| match &socket.0.stream {
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, || Ok(())).is_ok(),
            Stream::Tcp(_) => unreachable!("it is a Unix socket"),
        };
        let mut buffer = [0; 4];
        for _ in 0..3 {
            theirs.write_all(b"abc").await.unwrap();
            assert_eq!(socket.read(&mut buffer).await.unwrap(), 3);
            assert!(!is_ready(&socket));
        }
        theirs.write_all(b"abcdef").await.unwrap();
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 4);
        assert!(is_ready(&socket), "there may be more");
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 2);
        theirs.write_all(b"end").await.unwrap();
        drop(theirs);
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 0);
    }
}
