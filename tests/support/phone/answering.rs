//! A phone that answers requests, as long as this value lives.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Connection, Phone, is_timeout};

/// How long it waits for a request before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// A phone that answers; no REGISTER is to be sent by it meanwhile.
#[derive(Debug)]
pub(crate) struct Answering {
    heard: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a phone hears by.
enum Line {
    Udp(UdpSocket),
    Tcp(BufReader<TcpStream>),
}

impl Phone {
    /// Answers each request with this status line, for example `200 OK`; one that is `None` hears and is mute.
    pub(crate) fn answering(&self, status: Option<&str>) -> Answering {
        let mut line = match &self.connection {
            Connection::Udp(socket) => Line::udp(socket),
            Connection::Tcp(stream) | Connection::Tls(stream, _) => Line::tcp(stream.get_ref()),
        };
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let ends = Arc::new(AtomicBool::default());
        let (noted, over) = (Arc::clone(&heard), Arc::clone(&ends));
        let status = status.map(str::to_owned);
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match line.hear() {
                    Ok(request) => {
                        if let Some(status) = &status {
                            line.say(&answer(&request, status));
                        }
                        noted
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(request);
                    }
                    Err(error) if is_timeout(&error) => {}
                    // The registrar is gone.
                    Err(_) => return,
                }
            }
        });
        Answering {
            heard,
            ends,
            thread: Some(thread),
        }
    }
}

impl Answering {
    /// The requests that came so far, retransmissions included.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Line {
    fn udp(socket: &UdpSocket) -> Self {
        let socket = socket.try_clone().expect("a socket can be shared");
        let timeout = socket.set_read_timeout(Some(LOOK));
        timeout.expect("the time is not zero");
        Self::Udp(socket)
    }

    fn tcp(stream: &TcpStream) -> Self {
        let stream = stream.try_clone().expect("a connection can be shared");
        let timeout = stream.set_read_timeout(Some(LOOK));
        timeout.expect("the time is not zero");
        Self::Tcp(BufReader::new(stream))
    }

    /// The next request.
    fn hear(&mut self) -> io::Result<String> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer)?;
                Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
            }
            Self::Tcp(stream) => {
                // Only the beginning of a request may keep it waiting.
                stream.fill_buf()?;
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    request.push(byte[0]);
                }
                Ok(String::from_utf8_lossy(&request).into_owned())
            }
        }
    }

    fn say(&mut self, answer: &str) {
        let said = match self {
            Self::Udp(socket) => socket.send(answer.as_bytes()).map(|_| ()),
            Self::Tcp(stream) => stream.get_mut().write_all(answer.as_bytes()),
        };
        said.expect("the registrar is there");
    }
}

/// The answer to a request: RFC 3261, 8.2.6.
fn answer(request: &str, status: &str) -> String {
    let copied = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
    let mut answer = format!("SIP/2.0 {status}\r\n");
    for line in request.lines() {
        let name = line.split(':').next().unwrap_or_default();
        if copied.iter().any(|one| name.eq_ignore_ascii_case(one)) {
            let tag = if name.eq_ignore_ascii_case("To") {
                ";tag=phone"
            } else {
                ""
            };
            answer.push_str(line);
            answer.push_str(tag);
            answer.push_str("\r\n");
        }
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    answer
}
