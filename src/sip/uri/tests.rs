//! URIs as phones send them, and as they should.

use proptest::prelude::*;
use sip_uri::SipUri;

use super::*;

/// Host and port.
fn told(uri: impl AsRef<[u8]>) -> Option<(String, Option<u16>)> {
    let address = UriAddress::parse(uri.as_ref())?;
    Some((
        String::from_utf8_lossy(address.host).into_owned(),
        address.port,
    ))
}

#[track_caller]
fn tells(cases: &[(&str, &str, u16)]) {
    for (uri, host, port) in cases {
        let port = (*port != 0).then_some(*port);
        assert_eq!(told(uri), Some(((*host).to_owned(), port)), "{uri}");
    }
}

#[test]
fn uris_as_they_should_be() {
    tells(&[
        ("sip:user_1@192.0.2.10:5062", "192.0.2.10", 5062),
        (
            "sip:user_2@192.168.1.20:5060;line=abc",
            "192.168.1.20",
            5060,
        ),
        ("sip:user_3@192.0.2.30;transport=tls", "192.0.2.30", 5061),
        ("sip:user_3@192.0.2.30;transport=Tls", "192.0.2.30", 5061),
        ("sip:u@192.0.2.30;ob;TRANSPORT=TLS;x", "192.0.2.30", 5061),
        ("sip:u@192.0.2.30:5070;transport=tls", "192.0.2.30", 5070),
        ("sip:u@192.0.2.30;transport=wss", "192.0.2.30", 5060),
        ("sips:user_4@phone4.example.net", "phone4.example.net", 5061),
        ("SIPS:user_4@phone4.example.net", "phone4.example.net", 5061),
        ("sip:user_5@[2001:db8::10]:5070", "[2001:db8::10]", 5070),
        ("sip:user_5@[2001:db8::10]", "[2001:db8::10]", 5060),
        (
            "sip:7jv9k2@df7jal23ls0d.invalid;transport=ws",
            "df7jal23ls0d.invalid",
            5060,
        ),
        (
            "SIP:user@10.0.0.1;TRANSPORT=TCP;alias=1.2.3.4~5060~2",
            "10.0.0.1",
            5060,
        ),
        ("SIP:A@Host.Example", "Host.Example", 5060),
        ("sip:a;b=c@10.0.0.1:5080;ob", "10.0.0.1", 5080),
        ("sip:a;transport=tls@10.0.0.1", "10.0.0.1", 5060),
        ("sip:alice;day=tuesday@atlanta.com", "atlanta.com", 5060),
        ("sip:*72#1@10.0.0.1:5080", "10.0.0.1", 5080),
        ("sip:us%20er@10.0.0.1", "10.0.0.1", 5060),
        ("sip:alice:secret@10.0.0.1:5080", "10.0.0.1", 5080),
        ("sip:u?a=b@10.0.0.1", "10.0.0.1", 5060),
        ("sip:u@10.0.0.1:5080?a=b&c=d", "10.0.0.1", 5080),
        ("sip:u@10.0.0.1?transport=tls", "10.0.0.1", 5060),
        (
            "sip:u@h.example;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "h.example",
            5060,
        ),
        ("sip:h.example;gr", "h.example", 5060),
        ("sip:10.0.0.1:05080", "10.0.0.1", 5080),
    ]);
}

#[test]
fn uris_as_phones_send_them() {
    tells(&[
        ("sip:100@voip_client_1:5062", "voip_client_1", 5062),
        (
            "sip:100@long_duration.example.com;timeout=60",
            "long_duration.example.com",
            5060,
        ),
        (
            "sip:192.0.2.11:443;transport=wss;thinfo=\"VG8+PoIUYHSD/sWAZZw/BCEaSdGA=\"",
            "192.0.2.11",
            443,
        ),
        (
            "sip:100@192.0.2.30:5060;thinfo=VG8+PoIU==",
            "192.0.2.30",
            5060,
        ),
        (
            "sip:u@10.9.8.7:5066;pn-type=firebase;pn-tok=dR3x:APA91bH==",
            "10.9.8.7",
            5066,
        ),
        ("sip:u@10.9.8.7:5066;rinstance={0a-1b}", "10.9.8.7", 5066),
        ("sip:u@10.9.8.7:5066;x=<sip:a@b>", "10.9.8.7", 5066),
        (
            "sip:u@10.9.8.7:5066;x=\"a;transport=tls@b\";y",
            "10.9.8.7",
            5066,
        ),
        ("sip:u@10.9.8.7;x=\"a;transport=tls", "10.9.8.7", 5061),
        (
            "sip:u@10.9.8.7;x=\"a;y\";transport=\"tls\"",
            "10.9.8.7",
            5061,
        ),
        ("sip:u@10.9.8.7; transport = tls", "10.9.8.7", 5061),
        ("sip:u@host.example.;x", "host.example.", 5060),
        ("sip:u@[fe80::1%25eth0]:5070", "[fe80::1%25eth0]", 5070),
        ("sip:u@[fe80::1%eth0]", "[fe80::1%eth0]", 5060),
        ("sip:u@2001:db8::10", "2001:db8::10", 5060),
        ("sip:u@fe80::1%eth0;x", "fe80::1%eth0", 5060),
        ("sip:u@h\u{e4}use.example:5070", "h\u{e4}use.example", 5070),
        ("sip: u@10.0.0.1 ", "10.0.0.1", 5060),
        ("sip:u ser@10.0.0.1:5070", "10.0.0.1", 5070),
        ("sip:u@10.0.0.1 :5070", "10.0.0.1", 5070),
        ("sip:u@10.0.0.1: 5070 ;transport=tcp", "10.0.0.1", 5070),
        ("sip://u@10.0.0.1:5070", "10.0.0.1", 5070),
        ("sip:@10.0.0.1:5070", "10.0.0.1", 5070),
        ("sip:;x=1@10.0.0.1", "10.0.0.1", 5060),
        ("sip:u@10.0.0.1/path", "10.0.0.1", 5060),
    ]);
}

#[test]
fn users_with_whatever_there_is() {
    tells(&[
        ("sip:user@example.com@192.0.2.28:5060", "192.0.2.28", 5060),
        ("sip:user@example.com:5070@192.0.2.28", "192.0.2.28", 5060),
        ("sip:a@b@c@192.0.2.28:5071;x=d@e", "192.0.2.28", 5071),
        ("sip:u@@192.0.2.28", "192.0.2.28", 5060),
        ("sip:u:p@ss@192.0.2.28", "192.0.2.28", 5060),
        ("sip:u:p@ss;word@192.0.2.28:5070", "192.0.2.28", 5070),
        ("sip:u:p@ss?word@192.0.2.28:5070", "192.0.2.28", 5070),
        ("sip:u:a;b?c:d@192.0.2.28", "192.0.2.28", 5060),
        ("sip:u:pass:word@192.0.2.28", "192.0.2.28", 5060),
        ("sip:[x@192.0.2.28", "192.0.2.28", 5060),
        ("sip:<u>@192.0.2.28", "192.0.2.28", 5060),
        ("sip:\"u v\"@192.0.2.28", "192.0.2.28", 5060),
        ("sip:u@192.0.2.28;a=b@c;d=e@f", "192.0.2.28", 5060),
        ("sip:u@192.0.2.28?Route=<sip:x;lr@y>", "192.0.2.28", 5060),
        (
            "sip:192.0.2.28:443;transport=wss;tok=a@b.example",
            "192.0.2.28",
            443,
        ),
        ("sip:[2001:db8::1];tok=a@b.example", "[2001:db8::1]", 5060),
    ]);
}

#[test]
fn a_bad_port_costs_the_port_alone() {
    tells(&[
        ("sip:alice@192.0.2.10:5060transport=udp", "192.0.2.10", 0),
        ("sip:alice@192.0.2.50:99999", "192.0.2.50", 0),
        ("sip:alice@192.0.2.50:65536;x", "192.0.2.50", 0),
        ("sip:alice@192.0.2.50:65535;x", "192.0.2.50", 65535),
        ("sip:alice@192.0.2.50:0", "192.0.2.50", 0),
        ("sip:alice@192.0.2.50:", "192.0.2.50", 0),
        ("sip:alice@192.0.2.50:;transport=tls", "192.0.2.50", 0),
        ("sip:alice@192.0.2.50:-1", "192.0.2.50", 0),
        ("sip:alice@192.0.2.50:+5060", "192.0.2.50", 0),
        ("sip:alice@192.0.2.50:sip", "192.0.2.50", 0),
        ("sip:alice@192.0.2.50:5060:5061", "192.0.2.50", 0),
        ("sip:alice@[2001:db8::1]:x", "[2001:db8::1]", 0),
        ("sip:alice@[2001:db8::1]5060", "[2001:db8::1]", 0),
        ("sip:alice@192.0.2.50:18446744073709551621", "192.0.2.50", 0),
    ]);
}

#[test]
fn uris_in_brackets_and_without_a_scheme() {
    tells(&[
        ("<sip:u@10.0.0.1:5070>", "10.0.0.1", 5070),
        (
            "\"A < B\" <sip:u@10.0.0.1:5070;transport=tcp>;expires=60",
            "10.0.0.1",
            5070,
        ),
        ("Alice <sips:u@10.0.0.1>", "10.0.0.1", 5061),
        ("<sip:u@10.0.0.1:5070", "10.0.0.1", 5070),
        ("sip:u@10.0.0.1;transport=tls>", "10.0.0.1", 5061),
        ("100@192.0.2.1:5062", "192.0.2.1", 5062),
        ("192.0.2.1:5062;x", "192.0.2.1", 5062),
        // Which port a scheme that we do not know has is not known.
        ("192.0.2.1", "192.0.2.1", 0),
        ("h323:u@192.0.2.1", "192.0.2.1", 0),
        ("https://host.example:8443/x", "host.example", 8443),
    ]);
}

#[test]
fn no_host_can_be_told() {
    for uri in [
        "",
        "*",
        "tel:+4420",
        "tel:+4420;phone-context=a@b",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "mailto:a@b.example",
        "not a uri",
        "not:a uri",
        "sip:",
        "sip:;x",
        "sip:?x=y",
        "sip::5060",
        "sip:u@",
        "sip:u@:5060",
        "sip:u@;transport=tcp",
        "sip:u@[::1",
        "<>",
    ] {
        assert_eq!(told(uri), None, "{uri}");
    }
}

#[test]
fn bytes_that_are_not_utf8_stay_as_they_are() {
    assert_eq!(
        told(b"sip:bin\xff@192.0.2.1:5062"),
        Some(("192.0.2.1".into(), Some(5062)))
    );
    let host = UriAddress::parse(b"sip:u@h\xffst:5062;x=\xfe").map(|it| (it.host, it.port));
    assert_eq!(host, Some((&b"h\xffst"[..], Some(5062))));
}

#[test]
fn parameters() {
    let uri = UriAddress::parse(b"sip:u@h;lr;A=1;b=\"x;y\";c=;d = e ?f=g").unwrap();
    let param = |name| {
        uri.param(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    for (name, value) in [("lr", ""), ("a", "1"), ("B", "x;y"), ("c", ""), ("d", "e")] {
        assert_eq!(param(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(param("f"), None);
    assert_eq!(param("r"), None);
}

/// URIs as RFC 3261 has them.
fn valid() -> impl Strategy<Value = String> {
    let user = prop_oneof![
        Just(String::new()),
        "[a-z0-9._~!*'()&=+$,;?/-]{1,8}@",
        "[a-z][a-z0-9]{0,4}:[a-z0-9&=+$,]{0,6}@",
        "(%2[0-9a-f]){1,3}@",
    ];
    let host = prop_oneof![
        "[a-z]([a-z0-9-]{0,5}[a-z0-9])?(\\.[a-z][a-z0-9]{0,4}){0,2}\\.?",
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ];
    let port = prop_oneof![
        Just(String::new()),
        (1..=u16::MAX).prop_map(|port| format!(":{port}"))
    ];
    let params = "(;[a-z0-9-]{1,6}(=[a-z0-9/:&+$.-]{1,6})?){0,3}";
    let transport = prop::sample::select(vec![
        "",
        ";transport=tls",
        ";transport=TCP",
        ";Transport=ws",
    ]);
    let headers = "(\\?[a-z]{1,4}=[a-z0-9/?:+$]{0,5}(&[a-z]{1,4}=[a-z0-9]{0,5})?)?";
    let scheme = prop::sample::select(vec!["sip:", "sips:", "SIP:", "Sips:"]);
    (scheme, user, host, port, params, transport, headers).prop_map(
        |(scheme, user, host, port, params, transport, headers)| {
            format!("{scheme}{user}{host}{port}{params}{transport}{headers}")
        },
    )
}

proptest! {
    #[test]
    fn agrees_with_a_strict_parser(uri in valid()) {
        let Ok(strict) = uri.parse::<SipUri>() else {
            // The generator is a little wider than the parser.
            return Err(TestCaseError::reject("not valid to the strict one"));
        };
        let tolerant = UriAddress::parse(uri.as_bytes());
        let transport = strict.param("transport").and_then(Option::as_deref).and_then(Transport::from_name);
        let is_secure = strict.scheme() == sip_uri::Scheme::Sips || transport == Some(Transport::Tls);
        let port = strict.port().or(Some(if is_secure { 5061 } else { 5060 }));
        let host = tolerant.map(|it| String::from_utf8_lossy(it.host).to_ascii_lowercase());
        prop_assert_eq!(host, Some(strict.host().to_string().to_ascii_lowercase()));
        prop_assert_eq!(tolerant.and_then(|it| it.port), port);
        prop_assert_eq!(tolerant.and_then(|it| it.transport), transport);
    }

    #[test]
    fn nothing_behind_the_host_costs_it(behind in "[;?][ -~]{0,40}", port in 1..=u16::MAX) {
        let uri = format!("sip:100@192.0.2.1:{port}{behind}");
        // A password may hold all of that too, up to its `@`.
        prop_assume!(!behind.contains('@'));
        prop_assert_eq!(told(uri), Some(("192.0.2.1".to_owned(), Some(port))));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), odd in "[<>\"@;:=?%\\[\\]a1 ]{0,30}") {
        let _ = UriAddress::parse(&bytes);
        let _ = UriAddress::parse(&[b"sip:".as_slice(), &bytes].concat());
        for prefix in ["", "sip:", "sip:u@", "\"", "x:"] {
            let uri = format!("{prefix}{odd}");
            if let Some(address) = UriAddress::parse(uri.as_bytes()) {
                prop_assert!(!address.host.is_empty());
                let _ = address.param("a");
            }
        }
    }
}
