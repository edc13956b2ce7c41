//! Who a phone is, and what was seen of it.

use std::sync::Arc;

use crate::events::group::By;
use crate::registration::Registration;

/// Addresses and user agents that are remembered of a phone.
const VALUES: usize = 16;

/// Who a phone is, and what was seen of it while its score was not low.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Phone {
    /// The account that it belongs to.
    pub account_id: Option<Arc<str>>,
    /// Its user.
    pub username: String,
    /// The user's realm.
    pub realm: Option<Arc<str>>,
    /// Its `+sip.instance`.
    pub instance: Option<String>,
    /// Its addresses, the latest last.
    pub addresses: Vec<String>,
    /// Its user agents, the latest last.
    pub user_agents: Vec<String>,
    /// The sockets of the proxies that it used, the latest last.
    pub proxies: Vec<String>,
}

impl Phone {
    /// Adds what a registration of it says.
    pub(super) fn note(&mut self, one: &Registration) {
        self.account_id.clone_from(&one.account_id);
        self.username = one.username.lossy().into_owned();
        self.realm.clone_from(&one.common.realm);
        let instance = one
            .binding
            .instance
            .as_ref()
            .filter(|text| !text.is_empty());
        self.instance = instance.map(|text| text.lossy().into_owned());
        let address = one
            .source
            .as_ref()
            .map(|source| source.address.host.lossy().into_owned());
        note_value(&mut self.addresses, address);
        note_value(&mut self.user_agents, By::UserAgent.value(one));
        note_value(&mut self.proxies, By::Proxy.value(one));
    }
}

fn note_value(values: &mut Vec<String>, value: Option<String>) {
    let Some(value) = value else { return };
    values.retain(|known| *known != value);
    values.push(value);
    if values.len() > VALUES {
        values.remove(0);
    }
}
