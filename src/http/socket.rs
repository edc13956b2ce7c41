//! A connection's socket, shared between whoever answers on it and an answer that never ends: that one has to learn when
//! its client has gone, and hyper does not look while there is nothing to send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

/// How often to look at a client that has sent more than a request, and may have gone.
const LOOK: Duration = Duration::from_secs(1);

/// A connection's socket.
#[derive(Clone, Debug)]
pub(crate) struct Socket(Arc<Stream>);

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Arc::new(Stream::Tcp(stream)))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(Arc::new(Stream::Unix(stream)))
    }
}

impl Socket {
    /// Waits until the client sends no more: it has gone, or has closed its side.
    pub(crate) async fn closed(&self) {
        loop {
            match self.0.ready(Interest::READABLE).await {
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
        let fd = match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        };
        shutdown(fd, Shutdown::Write)?;
        Ok(())
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
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_with(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0
            .poll_with(context, |stream| stream.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown())
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
        let is_ready = |socket: &Socket| match &*socket.0 {
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
