//! The NOTIFY for a registration, and the way that it takes. Pure.
//!
//! Kamailio sends header lines as they are given. So names are percent-encoded, and whatever must stand as it is (URIs) is
//! refused where it has a byte that could end the URI or the line.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::Event;
use crate::kamailio::Uac;
use crate::registration::{Registration, Text};
use crate::sip::{Socket, Transport, UriAddress, next_hop_of_alias, route_set};

/// What is escaped in a user part: all but what no parser takes for anything else.
const USER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'+');

/// What is escaped in a host.
const HOST: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'[')
    .remove(b']')
    .remove(b':');

/// RFC 2606: the host of nobody.
const NOBODY: &str = "usrlocd.invalid";

/// Why no NOTIFY is sent to a contact.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsendable {
    /// The contact.
    #[error("not sent: the contact has characters that do not belong in a SIP request")]
    Contact,
    /// The address that its packets come from.
    #[error("not sent: `received` has characters that do not belong in a SIP request")]
    Received,
    /// The Path.
    #[error("not sent: the Path is not a list of SIP URIs in angle brackets")]
    Path,
    /// Kamailio's socket.
    #[error("not sent: `socket` does not name a socket of Kamailio's")]
    Socket,
}

/// Whether a NOTIFY can be sent to a registration's contact.
///
/// # Errors
/// Why it cannot.
pub fn check(one: &Registration) -> Result<(), Unsendable> {
    build(one, &Event::check_sync(false)).map(|_| ())
}

/// The NOTIFY for a registration.
pub(super) fn build(one: &Registration, event: &Event) -> Result<Uac, Unsendable> {
    let binding = &one.binding;
    let contact = binding.contact.as_bytes();
    if !is_plain(contact) {
        return Err(Unsendable::Contact);
    }
    let received = binding.received.as_ref();
    if received.is_some_and(|received| !is_plain(received.as_bytes())) {
        return Err(Unsendable::Received);
    }
    let route = binding.path.as_ref().map(route).transpose()?;
    let socket = binding.socket.as_ref().map(socket).transpose()?;
    let mut headers = fixed_headers(one, socket.as_ref(), event);
    // With a Path, `received` is the proxy's address, not the phone's.
    let next_hop = match route {
        Some(Route { value, first }) => {
            headers.extend_from_slice(b"Route: ");
            headers.extend_from_slice(&value);
            headers.extend_from_slice(b"\r\n");
            Some(first)
        }
        None => received
            .cloned()
            .or_else(|| next_hop_of_alias(contact).map(|hop| hop.as_str().into())),
    };
    Ok(Uac {
        method: "NOTIFY",
        uri: binding.contact.clone(),
        next_hop,
        socket: binding.socket.clone(),
        headers: headers.into(),
    })
}

/// The lines that every NOTIFY has. Kamailio adds the tag of From.
fn fixed_headers(one: &Registration, socket: Option<&Socket>, event: &Event) -> Vec<u8> {
    let own = socket.map(|socket| match socket.port {
        Some(port) => format!("{}:{port}", socket.address),
        None => socket.address.clone(),
    });
    let realm = one.common.realm.as_deref();
    let realm = realm.or(socket.map(|socket| &*socket.address));
    let realm = percent_encode(realm.unwrap_or(NOBODY).as_bytes(), HOST).to_string();
    let user = percent_encode(one.username.as_bytes(), USER).to_string();
    let at = if user.is_empty() { "" } else { "@" };
    let received = one.binding.received.as_ref();
    let received = received.and_then(|it| UriAddress::parse(it.as_bytes())?.transport);
    let transport = match socket.and_then(|socket| socket.transport_from(received)) {
        None | Some(Transport::Udp) => String::new(),
        Some(other) => format!(";transport={other}"),
    };
    format!(
        "From: <sip:{realm}>\r\nTo: <sip:{user}{at}{realm}>\r\nContact: <sip:{}{transport}>\r\nEvent: {event}\r\n\
         Subscription-State: terminated\r\n",
        own.as_deref().unwrap_or(NOBODY)
    )
    .into_bytes()
}

/// A Path, turned into the route to the phone.
struct Route {
    value: Vec<u8>,
    /// The URI of the proxy that is next to Kamailio.
    first: Text,
}

fn route(path: &Text) -> Result<Route, Unsendable> {
    let hops = route_set(path.as_bytes()).ok_or(Unsendable::Path)?;
    let mut value = Vec::new();
    for hop in &hops {
        let is_quoted = hop.uri.contains(&b'"') || hop.params.contains(&b'"');
        if is_quoted || !is_plain(hop.uri) || !(hop.params.is_empty() || is_plain(hop.params)) {
            return Err(Unsendable::Path);
        }
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        value.push(b'<');
        value.extend_from_slice(hop.uri);
        value.push(b'>');
        value.extend_from_slice(hop.params);
    }
    let first = hops.first().ok_or(Unsendable::Path)?;
    Ok(Route {
        value,
        first: first.uri.into(),
    })
}

fn socket(column: &Text) -> Result<Socket, Unsendable> {
    let plain = is_plain(column.as_bytes());
    let socket = Socket::parse(column.as_bytes()).filter(|_| plain);
    socket.ok_or(Unsendable::Socket)
}

/// Whether a URI can stand in a request as it is: nothing in it ends the URI, the line or the text.
fn is_plain(uri: &[u8]) -> bool {
    let is_bad = |byte: &u8| *byte <= b' ' || *byte == 0x7f || matches!(byte, b'<' | b'>');
    !uri.is_empty() && !uri.iter().any(is_bad)
}
