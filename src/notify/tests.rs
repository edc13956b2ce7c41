//! The NOTIFY of any registration: no bytes of the table make a header line of their own.

use proptest::prelude::*;

use super::message::build;
use super::{Event, Unsendable};
use crate::kamailio::Uac;
use crate::registration::testing::{any_binding, binding, registration};
use crate::registration::{Binding, Text};

const CONTACT: &str = "sip:bob@10.0.0.7:5062";

fn bob() -> Binding {
    binding("uloc-1", "bob", CONTACT, 1_000)
}

fn of(binding: Binding) -> Result<Uac, Unsendable> {
    build(&registration(binding, None), &Event::check_sync(true))
}

#[expect(clippy::unnecessary_wraps, reason = "most columns may be absent")]
fn text(text: &str) -> Option<Text> {
    Some(text.into())
}

/// The names of the header lines.
fn names(request: &Uac) -> Vec<String> {
    let headers = String::from_utf8_lossy(request.headers.as_bytes()).into_owned();
    let lines = headers.strip_suffix("\r\n").unwrap().split("\r\n");
    let name = |line: &str| {
        assert!(!line.contains(['\r', '\n', '\0']), "{headers:?}");
        line.split_once(": ").unwrap().0.to_owned()
    };
    lines.map(name).collect()
}

const FIXED: [&str; 5] = ["From", "To", "Contact", "Event", "Subscription-State"];

#[test]
fn a_plain_binding_is_asked_at_its_contact() {
    let request = of(bob()).unwrap();
    assert_eq!(request.uri, CONTACT.into());
    assert_eq!(request.next_hop, None);
    assert_eq!(request.socket, text("udp:10.0.0.5:5060"));
    assert_eq!(
        String::from_utf8_lossy(request.headers.as_bytes()),
        "From: <sip:acme.example.com>\r\nTo: <sip:bob@acme.example.com>\r\nContact: <sip:10.0.0.5:5060>\r\n\
         Event: check-sync;reboot=true\r\nSubscription-State: terminated\r\n"
    );
}

#[test]
fn each_binding_has_its_way() {
    let received = "sip:192.0.2.7:40001;transport=ws";
    let request = of(Binding {
        received: text(received),
        socket: text("tls:10.0.0.5:443"),
        ..bob()
    })
    .unwrap();
    assert_eq!(request.next_hop, text(received));
    let headers = String::from_utf8_lossy(request.headers.as_bytes()).into_owned();
    assert!(headers.contains("Contact: <sip:10.0.0.5:443;transport=wss>"));

    let request = of(Binding {
        received: text("sip:192.0.2.1:5060"),
        path: text("<sip:a@192.0.2.1;lr>,<sip:192.0.2.2:5061;lr>;ob"),
        ..bob()
    })
    .unwrap();
    assert_eq!(request.next_hop, text("sip:a@192.0.2.1;lr"));
    assert_eq!(names(&request)[5..], ["Route"]);
    let headers = String::from_utf8_lossy(request.headers.as_bytes()).into_owned();
    assert!(headers.ends_with("\r\nRoute: <sip:a@192.0.2.1;lr>, <sip:192.0.2.2:5061;lr>;ob\r\n"));

    let request = of(Binding {
        contact: "sip:bob@10.0.0.7;alias=192.0.2.7~40001~1".into(),
        ..bob()
    })
    .unwrap();
    assert_eq!(request.next_hop, text("sip:192.0.2.7:40001;transport=udp"));
}

#[test]
fn a_trunk_has_no_user_and_some_rows_no_realm() {
    let to = |binding| {
        let headers = of(binding).unwrap().headers;
        let headers = String::from_utf8_lossy(headers.as_bytes()).into_owned();
        headers.lines().nth(1).unwrap().to_owned()
    };
    let username = Text::default();
    assert_eq!(
        to(Binding { username, ..bob() }),
        "To: <sip:acme.example.com>"
    );
    let domain = None;
    assert_eq!(to(Binding { domain, ..bob() }), "To: <sip:bob@10.0.0.5>");
    let (domain, socket) = (None, None);
    assert_eq!(
        to(Binding {
            domain,
            socket,
            ..bob()
        }),
        "To: <sip:bob@usrlocd.invalid>"
    );
}

#[test]
fn what_would_end_a_line_is_refused() {
    for bad in ["sip:b@h\r\nX: 1", "sip:b@h X", "sip:b@h>", "sip:b\0@h", ""] {
        let contact = bad.into();
        assert_eq!(
            of(Binding { contact, ..bob() }),
            Err(Unsendable::Contact),
            "{bad:?}"
        );
        if !bad.is_empty() {
            let received = text(bad);
            let refused = of(Binding { received, ..bob() });
            assert_eq!(refused, Err(Unsendable::Received), "{bad:?}");
        }
        let paths = [format!("<{bad}>"), format!("<sip:h>;{bad}"), bad.to_owned()];
        // Parameters may be missing.
        for path in paths.iter().filter(|path| *path != "<sip:h>;") {
            let path = text(path);
            assert_eq!(
                of(Binding {
                    path: path.clone(),
                    ..bob()
                }),
                Err(Unsendable::Path),
                "{path:?}"
            );
        }
        let socket = text(bad);
        assert_eq!(
            of(Binding { socket, ..bob() }),
            Err(Unsendable::Socket),
            "{bad:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_header_line(
        row in any_binding(),
        path in proptest::option::of("(<sip:[a-z\\r\\n>\"]{0,6}>,? ?){1,3}"),
        contact in "sip:[a-z@\\r\\n\\t <>\\x00;=~0-9]{0,20}",
    ) {
        let path = path.map(|path| path.as_str().into());
        let whole = Binding { contact: contact.as_str().into(), path, received: None, socket: None, ..row.clone() };
        for row in [row, whole] {
            if let Ok(request) = of(row) {
                let names = names(&request);
                prop_assert_eq!(&names[..5], FIXED);
                prop_assert!(names.len() == 5 || names[5..] == ["Route"]);
                for uri in [Some(&request.uri), request.next_hop.as_ref()].into_iter().flatten() {
                    prop_assert!(uri.as_bytes().iter().all(|byte| *byte > b' ' && !b"<>".contains(byte)));
                }
            }
        }
    }
}
