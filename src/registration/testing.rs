//! Bindings and registrations for tests.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    Attributes, Binding, Cell, Cells, Column, Common, Decoded, Details, Expiry, Key, Kind, Number,
    Registration, Ruid, Text, Texts,
};

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
        node: None,
    };
    Registration::new(Details {
        account_id: account_id.map(Arc::from),
        refreshes: 0,
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

/// The same binding, its own texts in one piece of memory as a source and the store make it.
pub(crate) fn packed(binding: &Binding) -> Binding {
    let mut bytes = Vec::new();
    binding.encode(&mut bytes);
    let Decoded {
        cells, attributes, ..
    } = Decoded::of(&bytes).expect("it was encoded");
    let mut texts = Texts::default();
    let attributes = texts.attributes(attributes);
    cells.binding(&binding.key.table, attributes, &mut texts)
}

/// Any binding in `location`, with any attributes.
pub(crate) fn any_binding() -> impl Strategy<Value = Binding> {
    let text = || prop::collection::vec(any::<u8>(), 0..12).prop_map(Text::from);
    let attributes = prop::collection::vec((text(), text()), 0..4);
    let cells: Vec<_> = Column::ALL.iter().copied().map(any_cell).collect();
    (cells, attributes).prop_map(|(filled, attributes)| {
        let mut cells = Cells::default();
        for (column, cell) in Column::ALL.iter().zip(filled) {
            cells.set(*column, cell);
        }
        let attributes = attributes.into_iter().collect();
        cells.binding(&"location".into(), attributes, &mut Texts::default())
    })
}

/// Anything that a binding may have in this column.
pub(crate) fn any_cell(column: Column) -> BoxedStrategy<Cell<'static>> {
    let text = prop::collection::vec(any::<u8>(), 0..12).prop_map(|text| Cell::Text(text.into()));
    let number = (i64::MIN..i64::MAX).prop_map(Cell::Integer);
    let present = match column.kind() {
        Kind::Name => return text.boxed(),
        Kind::Moment => return number.boxed(),
        Kind::Domain | Kind::Text | Kind::Agent => text.boxed(),
        Kind::Expiry | Kind::Number | Kind::FlowId => number.boxed(),
        Kind::Preference => (0..=1000_u16)
            .prop_map(|q| Cell::Real(f64::from(q) / 1e3))
            .boxed(),
    };
    prop_oneof![1 => Just(Cell::Absent), 3 => present].boxed()
}
