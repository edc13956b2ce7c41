//! From a binding to a registration: who owns it, and what its columns say about addresses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use crate::directory::{Account, Device, Directory};
use crate::parallel;
use crate::registration::intern::Interner;
use crate::registration::{Binding, Registration, Text};
use crate::sip::{Socket, Transport, UriAddress};
use crate::store::Stored;

/// The attribute in which Kazoo keeps a JSON object about the phone's device.
const CHANNEL_VARS: &[u8] = b"custom_channel_vars";

/// The attribute `AUTHORIZING@ACCOUNT`.
const TOKEN: &[u8] = b"token";

/// What `authorizing_type` is where only the id is known.
const DEVICE: &str = "device";

/// What an operator has configured about addresses and realms.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Naming {
    /// The realm of rows without a domain; none where empty.
    pub default_realm: String,
    /// Local address to advertised address.
    pub advertise: BTreeMap<String, String>,
    /// Template over `{ip}`, `{port}`, `{proto}` of the receiving socket; none where empty.
    pub proxy_path: String,
}

/// Makes registrations of bindings.
#[derive(Clone, Debug)]
pub struct Resolver {
    naming: Arc<Naming>,
    directory: Arc<Directory>,
    /// Accounts, realms and addresses, which many registrations have in common.
    shared: Arc<Mutex<Shared>>,
}

/// What kept registrations are now.
#[derive(Debug)]
pub struct Resolved {
    /// All of them, in their order.
    pub rows: Vec<Arc<Registration>>,
    /// Those that belong to another account than the one they were kept with.
    pub moved: Vec<Arc<Registration>>,
}

/// Accounts, realms and addresses, each kept once.
type Shared = Interner<Arc<str>>;

/// Fewer registrations than this are not worth a thread.
const WORTH_A_THREAD: usize = 4096;

/// The custom channel vars of a binding.
struct Vars(Map<String, Value>);

impl Resolver {
    /// Over this configuration and directory.
    #[must_use]
    pub fn new(naming: Arc<Naming>, directory: Arc<Directory>) -> Self {
        Self {
            naming,
            directory,
            shared: Arc::default(),
        }
    }

    /// The registration that `binding` is, first seen at `first_registration` (Unix seconds).
    #[must_use]
    pub fn registration(&self, binding: Arc<Binding>, first_registration: i64) -> Registration {
        let one = self.resolve(binding, first_registration);
        share(
            one,
            &mut self.shared.lock().unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The registrations that these are, worked out on all cores.
    #[must_use]
    pub fn registrations(&self, stored: Vec<Stored>) -> Resolved {
        let portions = parallel::portions(stored, WORTH_A_THREAD, |portion| {
            // One of its own, because waiting for each other costs more than a few texts.
            let mut shared = Shared::default();
            let mut moved = Vec::new();
            let one = |stored: Stored| {
                let one = self.resolve(stored.binding, stored.first_registration);
                let one = Arc::new(share(one, &mut shared));
                if one.account_id != stored.account {
                    moved.push(Arc::clone(&one));
                }
                one
            };
            let rows = portion.into_iter().map(one).collect::<Vec<_>>();
            (rows, moved)
        });
        let (rows, moved): (_, Vec<_>) = portions.into_iter().unzip();
        Resolved {
            rows: parallel::joined(rows),
            moved: moved.concat(),
        }
    }

    /// A hash, the same in every run, of what decides which account owns a row of which the store knows an owner.
    #[must_use]
    pub fn owners(&self) -> u64 {
        let mut hash = Xxh3::new();
        let mut add = |text: &str| {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        // Another version may decide in another way.
        add(env!("CARGO_PKG_VERSION"));
        add(&self.naming.default_realm);
        for (realm, account) in self.directory.realms() {
            add(realm);
            add(account);
        }
        hash.digest()
    }

    /// The registration, with texts of its own.
    fn resolve(&self, binding: Arc<Binding>, first_registration: i64) -> Registration {
        let vars = Vars::of(&binding);
        let token = binding.attributes.get(TOKEN).and_then(parse_token);
        let domain = binding
            .domain
            .as_ref()
            .filter(|domain| !domain.is_empty())
            .map(Text::lossy);
        let default = (!self.naming.default_realm.is_empty())
            .then(|| self.naming.default_realm.as_str().into());
        let domain = domain.or(default);
        let realm = domain
            .as_deref()
            .map(|domain| vars.original("Realm", domain));
        let username = vars.original("Username", &binding.username.lossy());
        let by_token = || token.as_ref().and_then(|(_, account)| account.clone());
        let account_id = vars.text("Account-ID").or_else(by_token).or_else(|| {
            let domain = domain.as_deref()?;
            Some(
                self.directory
                    .account_of_realm(domain)
                    .map_or_else(|| domain.into(), |one| Arc::clone(&one.id)),
            )
        });
        let account = account_id
            .as_deref()
            .and_then(|id| self.directory.account(id));
        let device = account_id
            .as_deref()
            .and_then(|id| self.directory.device(id, &username));
        let of_account = |part: fn(&Account) -> Option<Arc<str>>| account.and_then(part);
        let of_device = |part: fn(&Device) -> Option<Arc<str>>| device.and_then(part);
        let authorizing_id = vars
            .text("Authorizing-ID")
            .or_else(|| {
                token
                    .as_ref()
                    .and_then(|(authorizing, _)| authorizing.clone())
            })
            .or_else(|| of_device(|device| Some(Arc::clone(&device.id))));
        let authorizing_type = vars
            .text("Authorizing-Type")
            .or_else(|| of_device(|device| device.kind.clone()))
            .or_else(|| authorizing_id.is_some().then(|| DEVICE.into()));
        let silent = vars
            .flag("Suppress-Unregister-Notifications")
            .or_else(|| vars.flag("Suppress-Unregister-Notify"))
            .or_else(|| device.and_then(|device| device.suppress_unregister_notify));
        let received = binding
            .received
            .as_ref()
            .and_then(|received| UriAddress::parse(received.as_bytes()));
        let socket = binding
            .socket
            .as_ref()
            .and_then(|socket| Socket::parse(socket.as_bytes()));
        Registration {
            account_name: of_account(|account| account.name.clone())
                .or_else(|| vars.text("Account-Name")),
            account_realm: of_account(|account| account.realm.clone())
                .or_else(|| vars.text("Account-Realm"))
                .or_else(|| realm.clone()),
            account_id,
            username,
            realm,
            authorizing_id,
            authorizing_type,
            owner_id: vars
                .text("Owner-ID")
                .or_else(|| of_device(|device| device.owner_id.clone())),
            presence_id: vars
                .text("Presence-ID")
                .or_else(|| of_device(|device| device.presence_id.clone())),
            suppress_unregister_notify: silent.unwrap_or(true),
            register_overwrite_notify: vars.flag("Register-Overwrite-Notify").unwrap_or(false),
            contact_address: UriAddress::parse(binding.contact.as_bytes())
                .map(|contact| (contact.uri_host().into(), contact.port)),
            network_address: received
                .as_ref()
                .map(|received| (received.bare_host().into(), received.port)),
            proxy_address: socket
                .as_ref()
                .map(|socket| (self.advertised(&socket.address), socket.port)),
            proxy_protocol: socket
                .as_ref()
                .map(|socket| socket.transport_from(received.as_ref())),
            proxy_path: socket.as_ref().and_then(|socket| self.proxy_path(socket)),
            first_registration,
            binding,
        }
    }

    /// The address that the world knows `address` by; IPv6 in brackets either way.
    fn advertised(&self, address: &str) -> Arc<str> {
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let known = |address: &str| self.naming.advertise.get(address);
        match known(address).or_else(|| known(bare)) {
            Some(advertised) if advertised.contains(':') && !advertised.starts_with('[') => {
                format!("[{advertised}]").into()
            }
            Some(advertised) => advertised.as_str().into(),
            None => address.into(),
        }
    }

    fn proxy_path(&self, socket: &Socket) -> Option<Arc<str>> {
        let template = (!self.naming.proxy_path.is_empty()).then_some(&self.naming.proxy_path)?;
        let path = template
            .replace("{ip}", &socket.address)
            .replace("{port}", &socket.port.to_string())
            .replace("{proto}", Transport::as_str(socket.transport));
        Some(path.into())
    }
}

/// The registration, with texts that it has in common with others.
fn share(mut one: Registration, shared: &mut Shared) -> Registration {
    let texts = [
        &mut one.account_id,
        &mut one.realm,
        &mut one.account_name,
        &mut one.account_realm,
        &mut one.authorizing_type,
        &mut one.proxy_path,
    ];
    let addresses = [
        &mut one.contact_address,
        &mut one.network_address,
        &mut one.proxy_address,
    ];
    let hosts = addresses.into_iter().flatten().map(|(host, _)| host);
    for text in texts.into_iter().flatten().chain(hosts) {
        *text = shared.get(text);
    }
    one
}

impl Vars {
    fn of(binding: &Binding) -> Self {
        let text = binding.attributes.get(CHANNEL_VARS);
        Self(
            text.and_then(|text| serde_json::from_str(&text.lossy()).ok())
                .unwrap_or_default(),
        )
    }

    fn text(&self, name: &str) -> Option<Arc<str>> {
        self.0
            .get(name)?
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Arc::from)
    }

    /// Kazoo writes booleans as such or as text.
    fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }

    /// The var, where it is `lowered` (as usrloc stores it) in its original case; else `lowered`.
    fn original(&self, name: &str, lowered: &str) -> Arc<str> {
        let original = self
            .text(name)
            .filter(|text| text.to_lowercase() == lowered.to_lowercase());
        original.unwrap_or_else(|| lowered.into())
    }
}

/// An id of Kazoo's, where there is one.
type Id = Option<Arc<str>>;

/// The parts of `AUTHORIZING@ACCOUNT`, each absent where empty; `None` where there is no `@`.
fn parse_token(token: &Text) -> Option<(Id, Id)> {
    let token = token.lossy();
    let (authorizing, account) = token.split_once('@')?;
    let filled = |part: &str| (!part.is_empty()).then(|| Arc::from(part));
    Some((filled(authorizing), filled(account)))
}

#[cfg(test)]
mod tests;
