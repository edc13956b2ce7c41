use proptest::prelude::*;

use super::*;
use crate::registration::Number;
use crate::registration::testing::{any_binding, binding, registration};

fn any_text() -> impl Strategy<Value = Text> {
    prop::collection::vec(any::<u8>(), 0..12).prop_map(Text::from)
}

fn any_name() -> impl Strategy<Value = Option<Arc<str>>> {
    proptest::option::of(".{0,8}").prop_map(|name| name.as_deref().map(Arc::from))
}

fn any_address() -> impl Strategy<Value = Address> {
    (any_text(), any::<Option<u16>>()).prop_map(|(host, port)| Address { host, port })
}

fn any_source() -> impl Strategy<Value = SourceAddress> {
    let from = prop::sample::select(vec![
        SourceFrom::Path,
        SourceFrom::Received,
        SourceFrom::Alias,
    ]);
    (any_address(), from).prop_map(|(address, from)| SourceAddress { address, from })
}

fn any_common() -> impl Strategy<Value = Common> {
    let names = prop::array::uniform5(any_name());
    let proxy = proptest::option::of((".{0,8}", any::<Option<u16>>()));
    let protocol = proptest::option::of(prop::sample::select(Transport::ALL.to_vec()));
    (names, proxy, protocol, any::<[bool; 2]>()).prop_map(
        |(names, proxy, proxy_protocol, flags)| {
            let [
                realm,
                account_name,
                account_realm,
                authorizing_type,
                proxy_path,
            ] = names;
            Common {
                realm,
                account_name,
                account_realm,
                authorizing_type,
                suppress_unregister_notify: flags[0],
                register_overwrite_notify: flags[1],
                proxy_address: proxy.map(|(host, port)| (Arc::from(host), port)),
                proxy_protocol,
                proxy_path,
                node: None,
            }
        },
    )
}

fn any_details() -> impl Strategy<Value = Details> {
    let ids = prop::array::uniform3(proptest::option::of(any_text()));
    let addresses = (
        proptest::option::of(any_address()),
        proptest::option::of(any_source()),
    );
    let numbers = (any::<i64>(), any::<u32>());
    let who = (any_name(), proptest::option::of(any_text()));
    (any_binding(), numbers, who, ids, addresses, any_common()).prop_map(
        |(
            binding,
            (first_registration, refreshes),
            (account_id, username),
            ids,
            addresses,
            common,
        )| {
            let [authorizing_id, owner_id, presence_id] = ids;
            Details {
                username: username.unwrap_or_else(|| binding.username.clone()),
                binding: Arc::new(binding),
                first_registration,
                refreshes,
                account_id,
                authorizing_id,
                owner_id,
                presence_id,
                contact_address: addresses.0,
                source: addresses.1,
                common: Arc::new(common),
            }
        },
    )
}

proptest! {
    #[test]
    fn a_registration_is_what_it_was_encoded_from(all in prop::collection::vec(any_details(), 1..4)) {
        let mut decoder = Decoder::default();
        for row in all {
            let decoded = decoder.decode(&encode(&row)).expect("it was encoded");
            prop_assert_eq!(Registration::new(decoded), Registration::new(row));
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Decoder::default().decode(&[&[VERSION], &bytes[..]].concat());
    }

    #[test]
    fn a_mere_refresh_is_not_visible_and_is_laid_over(row in any_details(), later in any_details()) {
        let refresh = Refresh::of(&later.binding);
        let fresh = refreshed(row.clone(), refresh);
        prop_assert_eq!(Refresh::of(&fresh.binding), refresh);
        prop_assert_eq!(visible(&fresh), visible(&row));
        prop_assert_eq!(refreshed((*fresh).clone(), Refresh::of(&row.binding)), Registration::new(row));
    }

    #[test]
    fn what_differs_otherwise_is_visible(one in any_details(), other in any_details()) {
        let other = refreshed(other, Refresh::of(&one.binding));
        let other = Details { refreshes: one.refreshes, ..(*other).clone() };
        prop_assert_eq!(visible(&one) == visible(&other), one == other);
    }
}

#[test]
fn entries_of_a_newer_version_are_passed_over_and_another_version_is_refused() {
    let row = registration(
        binding("u-1", "bob", "sip:bob@192.0.2.1", 100),
        Some("acme"),
    );
    let record = encode(&row);
    let newer = [&[VERSION, 200, 3], &b"new"[..], &record[1..]].concat();
    let decoded = Decoder::default()
        .decode(&newer)
        .expect("it is passed over");
    assert_eq!(Registration::new(decoded), row);
    let other = [&[VERSION + 1], &record[1..]].concat();
    assert_eq!(Decoder::default().decode(&other), Err(Malformed));
}

/// What an older version wrote must be read by the next one: a change here needs a migration.
#[test]
fn the_bytes_stay_as_they_are() {
    let row = registration(
        Binding {
            cseq: Number::new(300),
            ..binding("u-1", "bob", "b", 100)
        },
        Some("acme"),
    );
    insta::assert_snapshot!(encode(&row).escape_ascii(), @r"\x01\x01\x08location\x02\x08\xff\xff\xff\xff\xff\xff\xfe\x0c\x04\x04acme\x0e\x10acme.example.com\x12\x00\x00\x04\x03u-1\x08\x03bob\x0c\x10acme.example.com\x10\x01b\x1d\xc8\x01!\xe7\x07(\x0ecall@192.0.2.1-\xd8\x041\x005\x008\tPhone 1.0<\x11udp:10.0.0.5:5060M\x00");
}
