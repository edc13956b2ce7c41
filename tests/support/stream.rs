//! A reader of a stream of changes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::daemon::Daemon;

/// How long something may take that is to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream of changes that is being read.
#[derive(Debug)]
pub(crate) struct Stream {
    reader: BufReader<TcpStream>,
    /// What has been read of a chunk and is not a whole line yet.
    line: Vec<u8>,
    /// What is left of the chunk.
    chunk: usize,
}

impl Stream {
    /// Opens `target` with the token of the operator, and reads the head of the answer.
    ///
    /// # Panics
    /// When the answer is not 200.
    #[track_caller]
    pub(crate) fn open(daemon: &Daemon, target: &str) -> Self {
        Self::with(daemon, target, &[("X-Auth-Token", Daemon::TOKEN)])
    }

    /// The same with these headers.
    #[track_caller]
    pub(crate) fn with(daemon: &Daemon, target: &str, headers: &[(&str, &str)]) -> Self {
        let address = daemon.address();
        let mut stream = TcpStream::connect(address).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n");
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).expect("an answer");
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            if line == "\r\n" {
                break;
            }
        }
        Self {
            reader,
            line: Vec::new(),
            chunk: 0,
        }
    }

    /// The next line, without its end; `None` at the end of the stream, or when nothing comes in time.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.chunk == 0 {
                self.chunk = self.next_chunk()?;
            }
            let mut piece = vec![0; self.chunk];
            let read = self.reader.read(&mut piece).ok().filter(|read| *read > 0)?;
            self.line.extend_from_slice(&piece[..read]);
            self.chunk -= read;
            if self.chunk == 0 {
                // The end of a chunk.
                self.reader.read_exact(&mut [0; 2]).ok()?;
            }
        }
    }

    /// The size of the next chunk; nothing is lost where it does not come in time.
    fn next_chunk(&mut self) -> Option<usize> {
        let head = self.reader.fill_buf().ok()?;
        if head.is_empty() {
            return None;
        }
        let mut size = String::new();
        self.reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        (size > 0).then_some(size)
    }

    /// The next frame of lines of JSON.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        self.try_next().expect("a frame comes in time")
    }

    /// The same; `None` at the end.
    pub(crate) fn try_next(&mut self) -> Option<Value> {
        let line = self.line()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")))
    }

    /// The next frame, if one comes within a moment.
    pub(crate) fn at_once(&mut self) -> Option<Value> {
        let socket = self.reader.get_ref();
        let moment = Some(Duration::from_millis(200));
        socket.set_read_timeout(moment).expect("a time-out");
        let frame = self.try_next();
        let socket = self.reader.get_ref();
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        frame
    }

    /// The next frame that is not about the stream itself.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Value {
        loop {
            let frame = self.next();
            if !["hello", "mark", "source"].contains(&type_of(&frame)) {
                return frame;
            }
        }
    }

    /// The next frame of this type; others are left out.
    #[track_caller]
    pub(crate) fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next();
            if type_of(&frame) == kind {
                return frame;
            }
        }
    }
}

/// The type of a frame.
pub(crate) fn type_of(frame: &Value) -> &str {
    frame["type"].as_str().expect("a frame has a type")
}
