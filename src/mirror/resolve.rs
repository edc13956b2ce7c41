//! From a binding to a registration: who owns it, and what its columns say about addresses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::directory::{Account, Device, Directory};
use crate::registration::intern::Interner;
use crate::registration::{Binding, Registration, Text};
use crate::sip::{Socket, Transport, UriAddress};

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
    shared: Arc<Mutex<Interner<str>>>,
}

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
        let mut one = self.resolve(binding, first_registration);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registration::Attributes;
    use crate::registration::item::Wire;
    use crate::registration::testing::binding;

    const NOW: i64 = 1_700_000_300;

    fn resolver(directory: &str) -> Resolver {
        let naming = Naming {
            default_realm: String::new(),
            advertise: [("10.0.0.5".to_owned(), "203.0.113.5".to_owned())].into(),
            proxy_path: "sip:{ip}:{port};transport={proto}".to_owned(),
        };
        Resolver::new(
            Arc::new(naming),
            Arc::new(Directory::parse(directory).unwrap()),
        )
    }

    fn row(
        contact: &str,
        received: Option<&str>,
        socket: &str,
        attributes: &[(&str, &str)],
    ) -> Arc<Binding> {
        let attributes: Attributes = attributes
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Arc::new(Binding {
            received: received.map(Text::from),
            socket: Some(socket.into()),
            last_modified: 1_700_000_000,
            attributes,
            ..binding("uloc-1", "user_1", contact, 1_700_000_600)
        })
    }

    fn item(resolver: &Resolver, binding: Arc<Binding>) -> Value {
        let mut json = Vec::new();
        resolver
            .registration(binding, 1_700_000_000)
            .write_json(Wire::Kazoo43, NOW, &mut json);
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn a_phone_of_kazoos_with_every_key() {
        let vars = json!({"Account-ID": "a1", "Account-Realm": "acme.example.com", "Account-Name": "Acme",
            "Authorizing-ID": "d1", "Authorizing-Type": "device", "Owner-ID": "u1", "Username": "User_1",
            "Realm": "Acme.Example.com", "Suppress-Unregister-Notifications": "false",
            "Register-Overwrite-Notify": true, "Presence-ID": "user_1@acme.example.com"});
        let attributes = [
            ("custom_channel_vars", &*vars.to_string()),
            ("token", "d1@a1"),
        ];
        let row = row(
            "sip:user_1@192.0.2.10:5062",
            Some("sip:192.0.2.10:5062"),
            "udp:10.0.0.5:5060",
            &attributes,
        );
        assert_eq!(
            item(&resolver("{}"), row),
            json!({"username": "User_1", "from_user": "User_1", "to_user": "User_1",
                "realm": "Acme.Example.com", "from_host": "Acme.Example.com", "to_host": "Acme.Example.com",
                "account_name": "Acme", "account_realm": "acme.example.com", "authorizing_id": "d1",
                "authorizing_type": "device", "owner_id": "u1", "presence_id": "user_1@acme.example.com",
                "suppress_unregister_notify": false, "register_overwrite_notify": true,
                "call_id": "call@192.0.2.1", "user_agent": "Phone 1.0",
                "contact": "sip:user_1@192.0.2.10:5062", "original_contact": "sip:user_1@192.0.2.10:5062",
                "contact_ip": "192.0.2.10", "contact_port": 5062,
                "network_ip": "192.0.2.10", "network_port": "5062", "source_ip": "192.0.2.10", "source_port": "5062",
                "proxy_ip": "203.0.113.5", "proxy_port": 5060, "proxy_protocol": "udp",
                "proxy_path": "sip:10.0.0.5:5060;transport=udp",
                "event_timestamp": 63_867_219_200_i64, "last_registration": 63_867_219_200_i64,
                "initial_registration": 63_867_219_200_i64, "first_registration": false,
                "expires": 300, "expires_at": 1_700_000_600, "granted_expires": 600,
                "ruid": "uloc-1", "flags": 0, "cflags": 0, "cseq": 1, "server_id": 0})
        );
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let bare = item(
            &resolver("{}"),
            row(
                "*",
                None,
                "udp:garbage",
                &[("custom_channel_vars", "{broken")],
            ),
        );
        for key in [
            "contact_ip",
            "contact_port",
            "source_ip",
            "network_ip",
            "proxy_ip",
            "proxy_path",
            "owner_id",
        ] {
            assert_eq!(bare.get(key), None, "{key}");
        }
        assert_eq!(bare["account_realm"], "acme.example.com");
        assert_eq!(bare["suppress_unregister_notify"], true);
    }

    #[test]
    fn addresses_of_ipv6_and_websockets() {
        let row = row(
            "sip:u@[2001:db8::10]:5070",
            Some("sip:[2001:db8::10]:5070;transport=ws"),
            "tls:[2001:db8::5]:7001",
            &[],
        );
        let item = item(&resolver("{}"), row);
        assert_eq!(item["contact_ip"], "[2001:db8::10]");
        assert_eq!(item["source_ip"], "2001:db8::10");
        assert_eq!(item["proxy_ip"], "[2001:db8::5]");
        assert_eq!(item["proxy_protocol"], "wss");
    }

    #[test]
    fn the_owner_is_found_in_this_order() {
        let directory = r#"{"accounts": [{"id": "acme", "realm": "ACME.example.com", "name": "Acme"}],
            "devices": [{"id": "d7", "account_id": "acme", "username": "USER_1", "owner_id": "u7"}]}"#;
        let (with, without) = (resolver(directory), resolver("{}"));
        let owner = |resolver: &Resolver, attributes: &[(&str, &str)]| {
            let one = resolver.registration(row("sip:a@b", None, "", attributes), 0);
            (
                one.account_id.unwrap().to_string(),
                one.authorizing_id.map(|id| id.to_string()),
            )
        };
        let vars = ("custom_channel_vars", r#"{"Account-ID": "by-vars"}"#);
        assert_eq!(
            owner(&with, &[vars, ("token", "d1@by-token")]),
            ("by-vars".into(), Some("d1".into()))
        );
        assert_eq!(
            owner(&with, &[("token", "d1@by-token")]),
            ("by-token".into(), Some("d1".into()))
        );
        assert_eq!(
            owner(&with, &[("token", "@")]),
            ("acme".into(), Some("d7".into()))
        );
        assert_eq!(
            owner(&without, &[("token", "alone")]),
            ("acme.example.com".into(), None)
        );
    }

    #[test]
    fn vars_of_another_user_do_not_rename_the_row() {
        let vars = [(
            "custom_channel_vars",
            r#"{"Username": "someone", "Realm": "else.example.com"}"#,
        )];
        let item = item(&resolver("{}"), row("sip:a@b", None, "", &vars));
        assert_eq!(
            (&item["username"], &item["realm"]),
            (&json!("user_1"), &json!("acme.example.com"))
        );
    }
}
