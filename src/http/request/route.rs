//! Which resource a path names, and what may be done with it. Pure.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::registration::Text;

/// A resource of the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// Whose registrations.
    pub(crate) realm: Whose,
    /// What of them.
    pub(crate) what: What,
}

/// Whose registrations a path names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// Everybody's.
    System,
    /// The account with this id.
    Account(String),
    /// The account of the caller.
    Own,
}

/// What of the registrations a path names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// All of them.
    List,
    /// Their number.
    Count,
    /// Those of one SIP user, as the path spells it.
    User(Text),
    /// What happened to them; to those of one SIP user, where one is named.
    History(Option<Text>),
    /// Why one SIP user was away.
    Why(Text),
    /// The phones that flap.
    Flapping,
    /// The phones of one SIP user, to be asked to act.
    Notify(Text),
    /// The phones of one device, to be asked to act.
    Sync(Text),
    /// The nodes of the fleet.
    Nodes,
    /// The node of the fleet with this name.
    Node(String),
}

impl Route {
    /// The resource that `path` names, if any.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let path = path
            .strip_prefix("/v2/")
            .or_else(|| path.strip_prefix("/v1/"))?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<_> = path.split('/').map(decode).collect();
        let segments: Vec<&[u8]> = segments.iter().map(AsRef::as_ref).collect();
        let (realm, rest) = match segments.as_slice() {
            [b"accounts", id, rest @ ..] if !id.is_empty() => {
                let id = String::from_utf8_lossy(id).into_owned();
                (Whose::Account(id), rest)
            }
            [b"account", rest @ ..] => (Whose::Own, rest),
            rest => (Whose::System, rest),
        };
        let is_system = realm == Whose::System;
        let what = match rest {
            [b"registrations"] => What::List,
            [b"registrations", b"count"] => What::Count,
            [b"history"] => What::History(None),
            [b"flapping"] => What::Flapping,
            [b"nodes"] if is_system => What::Nodes,
            [b"nodes", name] if is_system && !name.is_empty() => {
                What::Node(String::from_utf8_lossy(name).into_owned())
            }
            [b"registrations", b"" | b"count", ..] => return None,
            _ if is_system => return None,
            [b"registrations", user] => What::User((*user).into()),
            [b"registrations", user, b"history"] => What::History(Some((*user).into())),
            [b"registrations", user, b"why"] => What::Why((*user).into()),
            [b"registrations", user, b"notify"] => What::Notify((*user).into()),
            [b"devices", device, b"sync"] if !device.is_empty() => What::Sync((*device).into()),
            _ => return None,
        };
        Some(Self { realm, what })
    }

    /// The SIP user that it names.
    pub(crate) fn username(&self) -> Option<&[u8]> {
        match &self.what {
            What::User(user) | What::History(Some(user)) | What::Why(user) | What::Notify(user) => {
                Some(user.as_bytes())
            }
            What::List
            | What::Count
            | What::History(None)
            | What::Flapping
            | What::Sync(_)
            | What::Nodes
            | What::Node(_) => None,
        }
    }

    /// Whether it tells what happened: whoever has events is known to it.
    pub(crate) fn is_history(&self) -> bool {
        matches!(self.what, What::History(_) | What::Why(_))
    }

    /// Whether it is about the nodes of a fleet.
    pub(crate) fn is_of_nodes(&self) -> bool {
        matches!(self.what, What::Nodes | What::Node(_))
    }

    /// Whether a request with this method asks phones to act.
    pub(crate) fn notifies(&self, method: &Method) -> bool {
        *method == Method::POST && matches!(self.what, What::Notify(_) | What::Sync(_))
    }

    /// Whether a request with this method changes something, or disturbs a phone.
    pub(crate) fn acts(&self, method: &Method) -> bool {
        *method == Method::DELETE || self.notifies(method)
    }

    /// The methods that the resource has, for the `Allow` header. Of registrations POST is one only where it says that it is
    /// a DELETE.
    pub(crate) fn allow(&self) -> &'static str {
        match (&self.realm, &self.what) {
            (_, What::Notify(_) | What::Sync(_)) => "POST, OPTIONS",
            (_, What::Node(_)) => "DELETE, POST, OPTIONS",
            (_, What::List)
            | (Whose::Account(_) | Whose::Own, What::User(_) | What::History(Some(_))) => {
                "GET, HEAD, DELETE, POST, OPTIONS"
            }
            (Whose::System, _)
            | (
                _,
                What::Count | What::History(None) | What::Why(_) | What::Flapping | What::Nodes,
            ) => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether the resource has this method; a POST that means a DELETE is one here.
    pub(crate) fn allows(&self, method: &Method) -> bool {
        let mut allowed = self.allow().split(", ");
        (*method != Method::POST || self.notifies(method))
            && allowed.any(|allowed| allowed == method.as_str())
    }
}

fn decode(segment: &str) -> Cow<'_, [u8]> {
    percent_decode_str(segment).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> Option<(Whose, What)> {
        Route::parse(path).map(|route| (route.realm, route.what))
    }

    fn account(id: &str) -> Whose {
        Whose::Account(id.to_owned())
    }

    #[test]
    fn every_spelling_names_its_resource() {
        let list = Some((account("a"), What::List));
        assert_eq!(parsed("/v2/accounts/a/registrations"), list);
        assert_eq!(parsed("/v1/accounts/a/registrations/"), list);
        assert_eq!(
            parsed("/v2/account/registrations"),
            Some((Whose::Own, What::List))
        );
        assert_eq!(
            parsed("/v2/accounts/a%20b/registrations/count/"),
            Some((account("a b"), What::Count))
        );
        assert_eq!(
            parsed("/v2/registrations/count"),
            Some((Whose::System, What::Count))
        );
        assert_eq!(
            parsed("/v2/accounts/a/registrations/%2Fx%ff+"),
            Some((account("a"), What::User(b"/x\xff+".as_slice().into())))
        );
    }

    #[test]
    fn what_happened_has_paths_of_its_own() {
        let user = |name: &str| Some(Text::from(name));
        for (path, expected) in [
            ("/v2/history", (Whose::System, What::History(None))),
            ("/v2/flapping/", (Whose::System, What::Flapping)),
            (
                "/v2/accounts/a/history",
                (account("a"), What::History(None)),
            ),
            ("/v2/account/flapping", (Whose::Own, What::Flapping)),
            (
                "/v1/accounts/a/registrations/bob/history",
                (account("a"), What::History(user("bob"))),
            ),
            (
                "/v2/account/registrations/why/why",
                (Whose::Own, What::Why("why".into())),
            ),
            // A user may be called so.
            (
                "/v2/accounts/a/registrations/history",
                (account("a"), What::User("history".into())),
            ),
            (
                "/v2/accounts/a/registrations/history/history",
                (account("a"), What::History(user("history"))),
            ),
            // And an account.
            (
                "/v2/accounts/history/history",
                (account("history"), What::History(None)),
            ),
        ] {
            assert_eq!(parsed(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn phones_are_asked_to_act_by_their_user_or_device() {
        for (path, expected) in [
            (
                "/v2/accounts/a/registrations/b%6fb/notify/",
                (account("a"), What::Notify("bob".into())),
            ),
            (
                "/v1/account/devices/d1/sync",
                (Whose::Own, What::Sync("d1".into())),
            ),
        ] {
            let route = Route::parse(path).unwrap();
            assert_eq!((route.realm.clone(), route.what.clone()), expected);
            assert!(route.allows(&Method::POST) && route.acts(&Method::POST));
            assert!(!route.allows(&Method::GET) && !route.allows(&Method::DELETE));
        }
        let list = Route::parse("/v2/accounts/a/registrations").unwrap();
        assert!(!list.acts(&Method::POST) && !list.acts(&Method::GET));
        assert!(list.acts(&Method::DELETE));
    }

    #[test]
    fn other_paths_name_nothing() {
        for path in [
            "/",
            "/v2",
            "/v3/registrations",
            "/v2/accounts//registrations",
            "/v2/accounts/a",
            "/v2/accounts/a/devices",
            "/v2/accounts/a/registrations//",
            "/v2/accounts/a/registrations/u/x",
            "/v2/registrations/u",
            "/v2/registrations/u/history",
            "/v2/registrations/history",
            "/v2/why",
            "/v2/accounts/a/why",
            "/v2/accounts/a/registrations/count/history",
            "/v2/accounts/a/registrations//history",
            "/v2/history/x",
            "/v2/registrations/u/notify",
            "/v2/accounts/a/registrations/count/notify",
            "/v2/accounts/a/registrations/notify/u/x",
            "/v2/devices/d/sync",
            "/v2/accounts/a/devices//sync",
            "/v2/accounts/a/devices/d",
            "//v2/registrations",
        ] {
            assert_eq!(parsed(path), None, "{path}");
        }
    }
}
