//! From a binding to a registration: who owns it, and what its columns say about addresses.

mod vars;

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use self::vars::{Token, Vars};
use super::directory::{Account, Device, Directory};
use crate::parallel;
use crate::registration::intern::Interner;
use crate::registration::{
    Address, Binding, Common, Details, Life, Registration, SourceAddress, Stored, Text,
};
use crate::sip::{Socket, Source, SourceFrom, Transport, UriAddress};

/// The rules by which accounts own rows; to be changed with them, so that what was kept under others is decided anew.
const RULES: &str = "realms from the last @, domains in any case";

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
    shared: Arc<Mutex<Shared>>,
    /// Whether vars that cannot be read have been reported.
    has_reported: Arc<AtomicBool>,
}

/// What kept registrations are now.
#[derive(Debug)]
pub struct Resolved {
    /// All of them, in their order.
    pub rows: Vec<Arc<Registration>>,
    /// Those that belong to another account than the one they were kept with.
    pub moved: Vec<Arc<Registration>>,
}

/// What many registrations have in common, each kept once.
#[derive(Debug, Default)]
struct Shared {
    /// Accounts, realms and addresses.
    texts: Interner<Arc<str>>,
    common: Interner<Arc<Common>>,
}

/// Fewer registrations than this are not worth a thread.
const WORTH_A_THREAD: usize = 4096;

impl Resolver {
    /// Over this configuration and directory.
    #[must_use]
    pub fn new(naming: Arc<Naming>, directory: Arc<Directory>) -> Self {
        Self {
            naming,
            directory,
            shared: Arc::default(),
            has_reported: Arc::default(),
        }
    }

    /// The registration that `binding` is.
    #[must_use]
    pub fn registration(&self, binding: Arc<Binding>, life: Life) -> Registration {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        self.resolve(binding, life, &mut shared)
    }

    /// The registrations that these are.
    #[must_use]
    pub fn registrations(&self, stored: Vec<Stored>) -> Resolved {
        self.restoring()(stored)
    }

    /// Makes registrations of stored ones, a portion at a time. A thread had better have one of its own: waiting for
    /// each other costs more than a few texts.
    pub fn restoring(&self) -> impl FnMut(Vec<Stored>) -> Resolved + Send + use<> {
        let (resolver, mut shared) = (self.clone(), Shared::default());
        move |stored| {
            let mut moved = Vec::new();
            let one = |stored: Stored| {
                let life = Life {
                    first_registration: stored.first_registration,
                    refreshes: stored.refreshes,
                };
                let one = Arc::new(resolver.resolve(stored.binding, life, &mut shared));
                if one.account_id != stored.account {
                    moved.push(Arc::clone(&one));
                }
                one
            };
            let rows = stored.into_iter().map(one).collect();
            Resolved { rows, moved }
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
        // Another version may decide in another way, and so may the next build of this one.
        add(env!("CARGO_PKG_VERSION"));
        add(RULES);
        add(&self.naming.default_realm);
        for (realm, account) in self.directory.realms() {
            add(realm);
            add(account);
        }
        for (domain, account) in self.directory.domains() {
            add(domain);
            add(account);
        }
        hash.digest()
    }

    /// Those of the registrations that are others now, worked out on all cores.
    #[must_use]
    pub fn again(&self, former: Vec<Arc<Registration>>) -> Vec<Arc<Registration>> {
        let portions = parallel::portions(former, WORTH_A_THREAD, |portion| {
            let mut shared = Shared::default();
            let again = |former: Arc<Registration>| {
                let binding = Arc::clone(&former.binding);
                let again = self.resolve(binding, former.life(), &mut shared);
                (again != *former).then(|| Arc::new(again))
            };
            portion.into_iter().filter_map(again).collect::<Vec<_>>()
        });
        parallel::joined(portions)
    }

    fn resolve(&self, binding: Arc<Binding>, life: Life, shared: &mut Shared) -> Registration {
        let vars = Vars::of(&binding).unwrap_or_else(|error| {
            self.report(&binding, &error);
            Vars::default()
        });
        // As a rule the vars say it all.
        let token = LazyCell::new(|| Token::of(&binding));
        let name = binding.name();
        let domain = match name.realm {
            Some(realm) => Some(String::from_utf8_lossy(realm)),
            None => self.default_realm().map(Cow::Borrowed),
        };
        let username = vars.username(&binding, &name);
        let account_id = self.owner(&vars, &token, domain.as_deref(), shared);
        let account = account_id
            .as_deref()
            .and_then(|id| self.directory.account(id));
        let device = account_id
            .as_deref()
            .and_then(|id| self.directory.device(id, &username.lossy()));
        let of_device = |part: fn(&Device) -> Option<Text>| device.and_then(part);
        let authorizing_id = vars
            .text("Authorizing-ID")
            .or_else(|| Some(binding.attributes.part(token.authorizing()?)))
            .or_else(|| of_device(|device| Some(device.id.clone())));
        let facts = Facts {
            vars: &vars,
            realm: domain
                .as_deref()
                .map(|domain| vars.original("Realm", domain)),
            account,
            device,
            authorized: authorizing_id.is_some(),
            received: binding
                .received
                .as_ref()
                .and_then(|received| UriAddress::parse(received.as_bytes())?.transport),
        };
        Registration::new(Details {
            common: self.common(&facts, &binding, shared),
            account_id,
            username,
            authorizing_id,
            owner_id: vars
                .text("Owner-ID")
                .or_else(|| of_device(|device| device.owner_id.clone())),
            presence_id: vars
                .text("Presence-ID")
                .or_else(|| of_device(|device| device.presence_id.clone())),
            contact_address: contact_address(&binding.contact),
            source: source_address(&binding),
            first_registration: life.first_registration,
            refreshes: life.refreshes,
            binding,
        })
    }

    /// The realm of rows without a domain.
    fn default_realm(&self) -> Option<&str> {
        let realm = self.naming.default_realm.as_str();
        (!realm.is_empty()).then_some(realm)
    }

    /// Reports vars that cannot be read: the first as a warning, for there may be very many.
    fn report(&self, binding: &Binding, error: &serde_json::Error) {
        let (table, ruid) = (&*binding.key.table, binding.key.ruid.0.lossy());
        if self.has_reported.swap(true, Ordering::Relaxed) {
            tracing::debug!(table, %ruid, %error, "custom_channel_vars cannot be read");
        } else {
            tracing::warn!(table, %ruid, %error, "custom_channel_vars cannot be read; the registration is listed without them");
        }
    }

    /// The id of the account that owns the row: the first of these that is known.
    fn owner<'a>(
        &self,
        vars: &Vars<'_>,
        token: &LazyCell<Token<'a>, impl FnOnce() -> Token<'a>>,
        domain: Option<&str>,
        shared: &mut Shared,
    ) -> Option<Arc<str>> {
        if let Some(id) = vars.str("Account-ID") {
            return Some(shared.texts.get(id));
        }
        if let Some(id) = token.account() {
            return Some(shared.texts.get(&String::from_utf8_lossy(id)));
        }
        let domain = domain?;
        let account = self.directory.account_of_realm(domain);
        Some(match account {
            Some(account) => shared.texts.get(&account.id),
            // A domain is one in any case (RFC 4343), and so is its account.
            None => shared.texts.get(&domain.to_ascii_lowercase()),
        })
    }

    /// What the registration has in common with others.
    fn common(&self, facts: &Facts<'_>, binding: &Binding, shared: &mut Shared) -> Arc<Common> {
        let Facts {
            vars,
            realm,
            account,
            device,
            authorized,
            received,
        } = facts;
        let Shared { texts, common } = shared;
        let socket = binding
            .socket
            .as_ref()
            .and_then(|socket| Socket::parse(socket.as_bytes()));
        let no_notice = vars
            .flag("Suppress-Unregister-Notifications")
            .or_else(|| vars.flag("Suppress-Unregister-Notify"))
            .or_else(|| device.and_then(|device| device.suppress_unregister_notify));
        let account_name = account
            .and_then(|account| account.name.as_deref())
            .or_else(|| vars.str("Account-Name"));
        let account_realm = account
            .and_then(|account| account.realm.as_deref())
            .or_else(|| vars.str("Account-Realm"))
            .or(realm.as_deref());
        let authorizing_type = vars
            .str("Authorizing-Type")
            .or_else(|| device.and_then(|device| device.kind.as_deref()))
            .or(authorized.then_some(DEVICE));
        let proxy_path = socket.as_ref().and_then(|socket| self.proxy_path(socket));
        let mut text = |text: &str| texts.get(text);
        let made = Common {
            realm: realm.as_deref().map(&mut text),
            account_name: account_name.map(&mut text),
            account_realm: account_realm.map(&mut text),
            authorizing_type: authorizing_type.map(&mut text),
            suppress_unregister_notify: no_notice.unwrap_or(true),
            register_overwrite_notify: vars.flag("Register-Overwrite-Notify").unwrap_or(false),
            proxy_address: socket
                .as_ref()
                .map(|socket| (text(&self.advertised(&socket.address)), socket.port)),
            proxy_protocol: socket
                .as_ref()
                .and_then(|socket| socket.transport_from(*received)),
            proxy_path: proxy_path.map(|path| text(&path)),
            node: None,
        };
        common.get(&made)
    }

    /// The address that the world knows `address` by; IPv6 in brackets either way.
    fn advertised<'a>(&'a self, address: &'a str) -> Cow<'a, str> {
        let bare = address.trim_matches(['[', ']']);
        // An IPv6 address has several spellings.
        let same_ip = || {
            let ip: Ipv6Addr = bare.parse().ok()?;
            let mut all = self.naming.advertise.iter();
            all.find(|(own, _)| own.trim_matches(['[', ']']).parse() == Ok(ip))
                .map(|(_, advertised)| advertised)
        };
        let known = &self.naming.advertise;
        match known
            .get(address)
            .or_else(|| known.get(bare))
            .or_else(same_ip)
        {
            Some(advertised) if advertised.contains(':') && !advertised.starts_with('[') => {
                format!("[{advertised}]").into()
            }
            Some(advertised) => advertised.into(),
            None => address.into(),
        }
    }

    fn proxy_path(&self, socket: &Socket) -> Option<String> {
        let template = self.naming.proxy_path.as_str();
        if template.is_empty() {
            return None;
        }
        Some(
            template
                .replace("{ip}", &socket.address)
                .replace("{port}", &socket.port?.to_string())
                .replace("{proto}", socket.transport?.as_str()),
        )
    }
}

/// What [`Common`] follows from, besides the columns.
struct Facts<'a> {
    vars: &'a Vars<'a>,
    realm: Option<Cow<'a, str>>,
    account: Option<&'a Account>,
    device: Option<&'a Device>,
    /// Whether it is known what the phone authenticated as.
    authorized: bool,
    /// The transport that `received` names.
    received: Option<Transport>,
}

/// Host and port of a contact, which stand in its own text.
pub(crate) fn contact_address(contact: &Text) -> Option<Address> {
    let address = UriAddress::parse(contact.as_bytes())?;
    Some(Address {
        host: contact.part(address.host),
        port: address.port,
    })
}

/// Where the phone is. The host stands in the column that it was read from, as a rule.
pub(crate) fn source_address(binding: &Binding) -> Option<SourceAddress> {
    let (path, received) = (binding.path.as_ref(), binding.received.as_ref());
    let contact = &binding.contact;
    let source = Source::of(
        path.map(Text::as_bytes),
        received.map(Text::as_bytes),
        contact.as_bytes(),
    )?;
    let column = match source.from {
        SourceFrom::Path => path,
        SourceFrom::Received => received,
        SourceFrom::Alias => Some(contact),
    };
    let host = column.unwrap_or(contact).part(&source.host);
    Some(SourceAddress {
        address: Address {
            host,
            port: source.port,
        },
        from: source.from,
    })
}

#[cfg(test)]
mod tests;
