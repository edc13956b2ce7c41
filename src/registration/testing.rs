//! Bindings and registrations for tests.

use std::sync::Arc;

use super::{Attributes, Binding, Common, Details, Expiry, Key, Number, Registration, Ruid};

/// A plain binding of `username@acme.example.com` in `location` that ends at `end`.
pub(crate) fn binding(ruid: &str, username: &str, contact: &str, end: i64) -> Binding {
    Binding {
        key: Key {
            table: "location".into(),
            ruid: Ruid::from(ruid),
        },
        username: username.into(),
        domain: Some("acme.example.com".into()),
        contact: contact.into(),
        received: None,
        path: None,
        expiry: Expiry::At(end),
        last_modified: end - 600,
        q: None,
        call_id: Some("call@192.0.2.1".into()),
        cseq: Number::new(1),
        flags: Number::new(0),
        cflags: Number::new(0),
        user_agent: Some("Phone 1.0".into()),
        socket: Some("udp:10.0.0.5:5060".into()),
        methods: None,
        instance: None,
        reg_id: None,
        server_id: Number::new(0),
        attributes: Attributes::default(),
    }
}

/// The registration of this account that the binding is, with nothing else known.
pub(crate) fn registration(binding: Binding, account_id: Option<&str>) -> Registration {
    let common = Common {
        realm: binding.domain.as_ref().map(|domain| domain.lossy().into()),
        account_name: None,
        account_realm: None,
        authorizing_type: None,
        suppress_unregister_notify: true,
        register_overwrite_notify: false,
        proxy_address: None,
        proxy_protocol: None,
        proxy_path: None,
    };
    Registration::new(Details {
        account_id: account_id.map(Arc::from),
        username: binding.username.clone(),
        authorizing_id: None,
        owner_id: None,
        presence_id: None,
        contact_address: None,
        source: None,
        first_registration: binding.last_modified,
        binding: Arc::new(binding),
        common: Arc::new(common),
    })
}
