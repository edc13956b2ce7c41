//! Phones: as much SIP as a registration takes, over UDP, or over a connection of TCP or TLS that is kept open.
//!
//! All that a phone sends is bytes, since phones send what is no UTF-8.

pub(crate) mod answering;
mod tls;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::account::Device;
use super::kamailio::Kamailio;

/// How long a phone waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first time after which a request over UDP is sent again: T1 of RFC 3261, 17.1.2.1.
const T1: Duration = Duration::from_millis(500);

static NEXT: AtomicU64 = AtomicU64::new(1);

/// How a phone talks to the registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// A phone with one contact of one user.
#[derive(Debug)]
pub(crate) struct Phone {
    registrar: SocketAddr,
    connection: Connection,
    user: Vec<u8>,
    realm: Vec<u8>,
    to: Option<Vec<u8>>,
    contact: Vec<u8>,
    contact_params: Vec<u8>,
    call_id: Vec<u8>,
    cseq: u32,
    expires: u32,
    user_agent: Vec<u8>,
    extra: Vec<(String, Vec<u8>)>,
}

#[derive(Debug)]
enum Connection {
    Udp(UdpSocket),
    Tcp(BufReader<TcpStream>),
    /// In plain, and the address from which it comes to the registrar.
    Tls(BufReader<TcpStream>, SocketAddr),
}

impl Phone {
    /// A phone of `user@realm` on a UDP port of its own; it asks for an hour.
    pub(crate) fn new(
        kamailio: &Kamailio,
        user: impl AsRef<[u8]>,
        realm: impl AsRef<[u8]>,
    ) -> Self {
        Self::with(kamailio.address(), Transport::Udp, user, realm)
    }

    /// A phone of `user@realm` that keeps a TCP connection open.
    pub(crate) fn tcp(
        kamailio: &Kamailio,
        user: impl AsRef<[u8]>,
        realm: impl AsRef<[u8]>,
    ) -> Self {
        Self::with(kamailio.address(), Transport::Tcp, user, realm)
    }

    /// A phone of `user@realm` that keeps a TLS connection open.
    pub(crate) fn tls(
        kamailio: &Kamailio,
        user: impl AsRef<[u8]>,
        realm: impl AsRef<[u8]>,
    ) -> Self {
        let registrar = kamailio.address_tls();
        let (stream, source) = tls::connect(registrar, &kamailio.certificate());
        Self::over(
            Connection::Tls(patient(stream), source),
            registrar,
            user,
            realm,
        )
    }

    /// The phone of a device of Kazoo's, on UDP, with its attributes.
    pub(crate) fn of(kamailio: &Kamailio, device: &Device) -> Self {
        Self::new(kamailio, &device.username, &device.account.realm).attributes(device)
    }

    /// A phone that talks to this address of a registrar.
    pub(crate) fn with(
        registrar: SocketAddr,
        transport: Transport,
        user: impl AsRef<[u8]>,
        realm: impl AsRef<[u8]>,
    ) -> Self {
        let connection = match transport {
            Transport::Udp => Connection::Udp(udp(registrar)),
            Transport::Tcp => Connection::Tcp(tcp(registrar)),
        };
        Self::over(connection, registrar, user, realm)
    }

    fn over(
        connection: Connection,
        registrar: SocketAddr,
        user: impl AsRef<[u8]>,
        realm: impl AsRef<[u8]>,
    ) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut phone = Self {
            registrar,
            connection,
            user: user.as_ref().to_vec(),
            realm: realm.as_ref().to_vec(),
            to: None,
            contact: Vec::new(),
            contact_params: Vec::new(),
            call_id: format!("{number:08x}@lab").into_bytes(),
            cseq: 0,
            expires: 3600,
            user_agent: b"Lab Phone 1.0".to_vec(),
            extra: Vec::new(),
        };
        let transport = match phone.connection {
            Connection::Udp(_) => "",
            Connection::Tcp(_) => ";transport=tcp",
            Connection::Tls(..) => ";transport=tls",
        };
        phone.contact = [
            b"sip:".as_slice(),
            &phone.user,
            format!("@{}{transport}", phone.source()).as_bytes(),
        ]
        .concat();
        phone
    }

    /// The address of record as a URI, for example `tel:+15550100`; else it is `sip:user@realm`.
    pub(crate) fn to(mut self, uri: impl AsRef<[u8]>) -> Self {
        self.to = Some(uri.as_ref().to_vec());
        self
    }

    /// The contact URI to register, without brackets; else it is the phone's own address.
    pub(crate) fn contact(mut self, uri: impl AsRef<[u8]>) -> Self {
        self.contact = uri.as_ref().to_vec();
        self
    }

    /// `;name=value` behind the contact's brackets.
    pub(crate) fn contact_param(mut self, param: impl AsRef<[u8]>) -> Self {
        self.contact_params.push(b';');
        self.contact_params.extend_from_slice(param.as_ref());
        self
    }

    /// The preference among the contacts of a user, for example `0.5`.
    pub(crate) fn q(self, q: &str) -> Self {
        self.contact_param(format!("q={q}"))
    }

    /// An instance with a flow of its own: RFC 5626.
    pub(crate) fn instance(mut self, urn: &str, reg_id: u32) -> Self {
        self.extra
            .push(("Supported".to_owned(), b"path, outbound, gruu".to_vec()));
        self.contact_param(format!("+sip.instance=\"<{urn}>\";reg-id={reg_id}"))
    }

    /// The proxies on the way: RFC 3327.
    pub(crate) fn path(self, value: &str) -> Self {
        self.header("Path", value)
    }

    /// Seconds that the registration is asked to last.
    pub(crate) fn expires(mut self, seconds: u32) -> Self {
        self.expires = seconds;
        self
    }

    pub(crate) fn call_id(mut self, call_id: impl AsRef<[u8]>) -> Self {
        self.call_id = call_id.as_ref().to_vec();
        self
    }

    pub(crate) fn user_agent(mut self, user_agent: impl AsRef<[u8]>) -> Self {
        self.user_agent = user_agent.as_ref().to_vec();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.extra.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// What the registrar stores with the registration as `token` and `custom_channel_vars`.
    pub(crate) fn attributes(self, device: &Device) -> Self {
        self.header("X-Token", device.token())
            .header("X-CCV", device.custom_channel_vars())
    }

    /// The address of record, as it was typed.
    pub(crate) fn aor(&self) -> Vec<u8> {
        [&self.user, b"@".as_slice(), &self.realm].concat()
    }

    /// The contact URI as it is sent.
    pub(crate) fn contact_uri(&self) -> &[u8] {
        &self.contact
    }

    /// The address from which it sends.
    pub(crate) fn source(&self) -> SocketAddr {
        match &self.connection {
            Connection::Udp(socket) => socket.local_addr(),
            Connection::Tcp(stream) => stream.get_ref().local_addr(),
            Connection::Tls(_, source) => Ok(*source),
        }
        .expect("an open socket has an address")
    }

    /// Registers, or refreshes with the same Call-ID and the next `CSeq`; the status code of the answer.
    pub(crate) fn try_register(&mut self) -> u16 {
        self.send(self.expires)
    }

    /// Registers or refreshes.
    ///
    /// # Panics
    ///
    /// When the registrar does not accept it.
    #[track_caller]
    pub(crate) fn register(&mut self) {
        let status = self.try_register();
        self.expect_ok("REGISTER", status);
    }

    /// Ends the registration of its contact.
    ///
    /// # Panics
    ///
    /// When the registrar does not accept it.
    #[track_caller]
    pub(crate) fn unregister(&mut self) {
        let status = self.send(0);
        self.expect_ok("un-REGISTER", status);
    }

    #[track_caller]
    fn expect_ok(&self, what: &str, status: u16) {
        assert_eq!(
            status,
            200,
            "{what} of {} with contact {}",
            self.aor().escape_ascii(),
            self.contact.escape_ascii()
        );
    }

    fn send(&mut self, expires: u32) -> u16 {
        self.cseq += 1;
        let request = self.request(expires);
        match &mut self.connection {
            Connection::Udp(socket) => ask_udp(socket, &request, self.cseq),
            Connection::Tcp(stream) | Connection::Tls(stream, _) => ask_tcp(stream, &request),
        }
        .unwrap_or_else(|error| {
            panic!(
                "no answer from {} to the REGISTER of {}: {error}",
                self.registrar,
                self.aor().escape_ascii()
            )
        })
    }

    fn request(&self, expires: u32) -> Vec<u8> {
        let protocol = match self.connection {
            Connection::Udp(_) => "UDP",
            Connection::Tcp(_) => "TCP",
            Connection::Tls(..) => "TLS",
        };
        let via = format!(
            "SIP/2.0/{protocol} {};branch=z9hG4bK{}.{};rport",
            self.source(),
            self.source().port(),
            self.cseq
        );
        let own = [b"sip:", self.user.as_slice(), b"@", &self.realm].concat();
        let aor = [b"<", self.to.as_ref().unwrap_or(&own).as_slice(), b">"].concat();
        let contact = [b"<", self.contact.as_slice(), b">", &self.contact_params].concat();
        let mut headers: Vec<(&str, Vec<u8>)> = vec![
            ("Via", via.into_bytes()),
            ("Max-Forwards", b"70".to_vec()),
            ("From", [aor.as_slice(), b";tag=lab"].concat()),
            ("To", aor),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{} REGISTER", self.cseq).into_bytes()),
            ("Contact", contact),
            ("Expires", expires.to_string().into_bytes()),
            ("User-Agent", self.user_agent.clone()),
        ];
        headers.extend(
            self.extra
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        headers.push(("Content-Length", b"0".to_vec()));

        let mut request = [b"REGISTER sip:", self.realm.as_slice(), b" SIP/2.0\r\n"].concat();
        for (name, value) in headers {
            request.extend_from_slice(name.as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(&value);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

/// Whether a SIP worker of the registrar answers.
pub(super) fn ping(registrar: SocketAddr) -> bool {
    let socket = udp(registrar);
    let source = socket.local_addr().expect("an open socket has an address");
    let request = format!(
        "OPTIONS sip:{registrar} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bKping;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:ping@lab>;tag=lab\r\nTo: <sip:ping@lab>\r\nCall-ID: ping@{source}\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    ask_udp(&socket, request.as_bytes(), 1).is_ok_and(|status| status == 200)
}

fn udp(registrar: SocketAddr) -> UdpSocket {
    let any: SocketAddr = match registrar.ip() {
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
        IpAddr::V6(own) => (own, 0).into(),
    };
    let socket = UdpSocket::bind(any).expect("loopback has a free UDP port");
    socket
        .connect(registrar)
        .expect("loopback reaches the registrar");
    socket
}

fn tcp(registrar: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(registrar)
        .unwrap_or_else(|error| panic!("no connection to {registrar}: {error}"));
    patient(stream)
}

fn patient(stream: TcpStream) -> BufReader<TcpStream> {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("the time is not zero");
    BufReader::new(stream)
}

/// Sends a request until its answer comes, as RFC 3261 wants it over UDP.
fn ask_udp(socket: &UdpSocket, request: &[u8], cseq: u32) -> io::Result<u16> {
    let mut pause = T1;
    let mut waited = Duration::ZERO;
    let mut buffer = vec![0; 65_536];
    while waited < PATIENCE {
        socket.send(request)?;
        socket.set_read_timeout(Some(pause))?;
        loop {
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let answer = String::from_utf8_lossy(&buffer[..length]);
                    if is_answer_to(&answer, cseq)
                        && let Some(status) = final_status(&answer)
                    {
                        return Ok(status);
                    }
                }
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error),
            }
        }
        waited += pause;
        pause = (pause * 2).min(Duration::from_secs(4));
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn ask_tcp(stream: &mut BufReader<TcpStream>, request: &[u8]) -> io::Result<u16> {
    stream.get_mut().write_all(request)?;
    loop {
        let mut head = String::new();
        let mut length = 0;
        loop {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("Content-Length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            head.push_str(line);
            head.push_str("\r\n");
        }
        stream.read_exact(&mut vec![0; length])?;
        if let Some(status) = final_status(&head) {
            return Ok(status);
        }
    }
}

/// Whether an answer has this `CSeq`, so that a late answer to an earlier request is not taken for it.
fn is_answer_to(answer: &str, cseq: u32) -> bool {
    answer
        .lines()
        .filter_map(|line| line.strip_prefix("CSeq:"))
        .any(|value| value.split_whitespace().next() == Some(&cseq.to_string()))
}

fn final_status(answer: &str) -> Option<u16> {
    let status = answer
        .strip_prefix("SIP/2.0 ")?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    (status >= 200).then_some(status)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
