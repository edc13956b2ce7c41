//! A connection whose client may take nothing for a while.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::{Socket, Stream};

/// How long an answer waits for a client that takes nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the last words wait for their room.
const AT_LAST: Duration = Duration::from_secs(5);

/// A connection that fails where its client takes nothing for too long.
#[derive(Debug)]
pub(crate) struct Patient {
    socket: Socket,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl From<Socket> for Patient {
    fn from(socket: Socket) -> Self {
        Self {
            socket,
            stalled: None,
        }
    }
}

impl Patient {
    fn poll_with(
        &mut self,
        context: &mut Context<'_>,
        write: impl Fn(&Stream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = self.socket.0.stream.poll_with(context, &write);
            if written.is_ready() {
                self.stalled = None;
                return written;
            }
            let patience = if self.socket.is_slow() {
                AT_LAST
            } else {
                PATIENCE
            };
            let stalled = self
                .stalled
                .get_or_insert_with(|| Box::pin(sleep(patience)));
            ready!(stalled.as_mut().poll(context));
            self.stalled = None;
            if !self.socket.use_room() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, |stream| stream.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.0.stream.shutdown())
    }
}
