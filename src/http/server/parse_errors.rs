//! Requests that hyper cannot parse: it answers them itself, with a status and an empty body. This holds that answer back, so
//! that an error envelope can be sent in its place.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// hyper's own answer is not longer than this: a status line, a length, a date and the like.
const BARE: usize = 256;

/// The statuses of its own answers.
const STATUSES: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::URI_TOO_LONG,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
];

/// A stream that swallows hyper's own answer. It is the last thing that hyper writes, and no answer of the API looks like
/// it: those have a body, or to HEAD the length of one.
#[derive(Debug)]
pub(crate) struct ParseErrors<S> {
    stream: S,
    swallowed: Option<StatusCode>,
}

impl<S> ParseErrors<S> {
    /// Watches what is written to `stream`.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            swallowed: None,
        }
    }

    /// The stream, and the status that still has to be sent.
    pub(crate) fn into_parts(self) -> (S, Option<StatusCode>) {
        (self.stream, self.swallowed)
    }
}

/// Where in `bytes` hyper's own answer starts, if they end with it.
fn bare_answer(bytes: &[u8]) -> Option<(usize, StatusCode)> {
    // Nearly all answers end with their body, which is not like this.
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let tail = bytes.len().saturating_sub(BARE);
    let version = b"HTTP/1.";
    let start = tail
        + bytes[tail..]
            .windows(version.len())
            .rposition(|window| window == version)?;
    let head = std::str::from_utf8(&bytes[start..]).ok()?;
    let mut lines = head.strip_suffix("\r\n\r\n")?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let is_bare = STATUSES.contains(&status) && lines.any(|line| line == "content-length: 0");
    is_bare.then_some((start, status))
}

impl<S: AsyncRead + Unpin> AsyncRead for ParseErrors<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ParseErrors<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match bare_answer(bytes) {
            Some((0, status)) => {
                self.swallowed = Some(status);
                Poll::Ready(Ok(bytes.len()))
            }
            Some((start, _)) => Pin::new(&mut self.stream).poll_write(context, &bytes[..start]),
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let last = slices.iter().rposition(|slice| !slice.is_empty());
        match last.filter(|last| bare_answer(&slices[*last]).is_some()) {
            Some(last) if slices[..last].iter().all(|slice| slice.is_empty()) => {
                self.poll_write(context, &slices[last])
            }
            Some(last) => Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..last]),
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const ALL: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                       date: Thu, 26 Nov 2026 06:00:00 GMT\r\n\r\n";

    async fn written(pieces: &[&str]) -> (String, Option<StatusCode>) {
        let mut stream = ParseErrors::new(Vec::new());
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
        }
        let (bytes, status) = stream.into_parts();
        (String::from_utf8(bytes).unwrap(), status)
    }

    #[tokio::test]
    async fn a_bare_answer_is_kept_back_and_what_comes_before_it_is_not() {
        let too_large = Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(written(&[ALL]).await, (String::new(), too_large));
        let before = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let both = format!("{before}{ALL}");
        assert_eq!(written(&[&both]).await, (before.to_owned(), too_large));
    }

    #[tokio::test]
    async fn everything_else_passes() {
        for answer in [
            "HTTP/1.1 204 No Content\r\nallow: GET\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 512\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nx-request-id: HTTP/1.1 400 \r\ncontent-length: 7\r\n\r\n",
            "{\"a\": \"\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(written(&[answer]).await, (answer.to_owned(), None));
        }
    }
}
