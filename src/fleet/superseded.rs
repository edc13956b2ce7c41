//! The same phone on two nodes: the older registration names the newer one. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::registration::intern::Interner;
use crate::registration::{Common, Number, OnNode, Registration, Successor, Text};

/// What tells a phone from others: user, realm, and instance with reg-id (RFC 5626), else the contact.
#[derive(PartialEq, Eq, Hash)]
struct Phone {
    user: Vec<u8>,
    realm: Option<Arc<str>>,
    instance: Option<(Text, Option<Number>)>,
    contact: Option<Text>,
}

impl Phone {
    fn of(one: &Registration) -> Self {
        let binding = &one.binding;
        let realm = one.common.realm.as_deref();
        let instance = binding.instance.clone();
        Self {
            user: binding.user().to_ascii_lowercase(),
            realm: realm.map(|realm| realm.to_ascii_lowercase().into()),
            contact: instance.is_none().then(|| binding.contact.clone()),
            instance: instance.map(|instance| (instance, binding.reg_id)),
        }
    }
}

/// Marks those of which a newer one is on another node. All registrations of a user must be among them.
pub(super) fn mark(all: &mut [Registration], commons: &mut Interner<Arc<Common>>) {
    let name = |one: &Registration| one.common.node.as_ref().map(|node| Arc::clone(&node.name));
    let mut names = all.iter().map(name);
    let first = names.next().flatten();
    if names.all(|other| other == first) {
        return;
    }
    let rank = |one: &Registration| (one.binding.last_modified, name(one));
    let mut newest: HashMap<Phone, usize> = HashMap::new();
    for (place, one) in all.iter().enumerate() {
        let known = newest.entry(Phone::of(one)).or_insert(place);
        if rank(&all[*known]) < rank(one) {
            *known = place;
        }
    }
    let successor = |one: &Registration| {
        let newer = &all[*newest.get(&Phone::of(one))?];
        let node = name(newer).filter(|_| name(newer) != name(one))?;
        let ruid = newer.binding.key.ruid.0.lossy();
        Some(Successor {
            node,
            ruid: ruid.as_ref().into(),
        })
    };
    let successors: Vec<_> = all.iter().map(successor).collect();
    for (one, successor) in all.iter_mut().zip(successors) {
        if let (Some(successor), Some(node)) = (successor, &one.common.node) {
            let node = OnNode {
                superseded_by: Some(successor),
                ..node.clone()
            };
            let common = Common {
                node: Some(node),
                ..(*one.common).clone()
            };
            let common = commons.get(&common);
            *one = one.with_common(common);
        }
    }
}
