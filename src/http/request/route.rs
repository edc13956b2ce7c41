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
}

impl Route {
    /// The resource that `path` names, if any.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let path = path
            .strip_prefix("/v2/")
            .or_else(|| path.strip_prefix("/v1/"))?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/').map(decode);
        let realm = match segments.next()?.as_ref() {
            b"accounts" => {
                let id = segments.next().filter(|id| !id.is_empty())?;
                registrations(segments.next())?;
                Whose::Account(String::from_utf8_lossy(&id).into_owned())
            }
            b"account" => {
                registrations(segments.next())?;
                Whose::Own
            }
            b"registrations" => Whose::System,
            _ => return None,
        };
        let what = match (segments.next(), segments.next()) {
            (None, _) => What::List,
            (Some(last), None) => match last.as_ref() {
                b"" => return None,
                b"count" => What::Count,
                _ if realm == Whose::System => return None,
                username => What::User(username.into()),
            },
            (Some(_), Some(_)) => return None,
        };
        Some(Self { realm, what })
    }

    /// The methods that the resource has, for the `Allow` header. POST is one only where it says that it is a DELETE.
    pub(crate) fn allow(&self) -> &'static str {
        match (&self.realm, &self.what) {
            (Whose::System, _) | (_, What::Count) => "GET, HEAD, OPTIONS",
            (Whose::Account(_) | Whose::Own, What::List | What::User(_)) => {
                "GET, HEAD, DELETE, POST, OPTIONS"
            }
        }
    }

    /// Whether the resource has this method; a POST that means a DELETE is one here.
    pub(crate) fn allows(&self, method: &Method) -> bool {
        let mut allowed = self.allow().split(", ");
        *method != Method::POST && allowed.any(|allowed| allowed == method.as_str())
    }
}

fn registrations(segment: Option<Cow<'_, [u8]>>) -> Option<()> {
    (segment?.as_ref() == b"registrations").then_some(())
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
            "//v2/registrations",
        ] {
            assert_eq!(parsed(path), None, "{path}");
        }
    }
}
