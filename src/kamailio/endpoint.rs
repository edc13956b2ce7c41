//! Where Kamailio listens for JSON-RPC.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::document::without_secrets;

/// `sun_path` of a UNIX socket address, with its closing NUL (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

const DATAGRAM_SCHEME: &str = "unixgram:";

/// Kamailio's JSON-RPC endpoint.
#[derive(Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `xhttp` with `jsonrpc_dispatch()`, for instance `http://127.0.0.1:5060/RPC`.
    Http(http::Uri),
    /// The datagram socket of `jsonrpcs`, for instance `unixgram:/run/kamailio/kamailio_rpc.sock`.
    Unixgram(PathBuf),
}

/// What is wrong with the text of an endpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// Neither form.
    #[error("expected http://HOST:PORT/PATH or unixgram:/PATH")]
    Scheme,
    /// TLS is not spoken.
    #[error("https is not supported; use http on a loopback address")]
    Https,
    /// Not a URI with a host.
    #[error("expected a host after http://, as in http://127.0.0.1:5060/RPC")]
    Host,
    /// The port is invalid.
    #[error("expected a port from 1 to 65535 after the host")]
    Port,
    /// `user:password@` has no meaning to Kamailio.
    #[error("a user name before the host is not supported")]
    UserInfo,
    /// A relative path depends on who reads it.
    #[error("expected an absolute path after unixgram:")]
    Relative,
    /// Longer than the system allows for sockets.
    #[error("the path of a socket has at most {SOCKET_PATH_MAX} bytes")]
    Long,
}

impl FromStr for Endpoint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(path) = text.strip_prefix(DATAGRAM_SCHEME) {
            return match Path::new(path) {
                path if !path.is_absolute() => Err(Invalid::Relative),
                path if path.as_os_str().len() > SOCKET_PATH_MAX => Err(Invalid::Long),
                path => Ok(Self::Unixgram(path.to_path_buf())),
            };
        }
        if text.starts_with("https:") {
            return Err(Invalid::Https);
        }
        if !text.starts_with("http://") {
            return Err(Invalid::Scheme);
        }
        let uri: http::Uri = text.parse().map_err(|_| Invalid::Host)?;
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => Err(Invalid::UserInfo),
            Some(authority) if authority.host().is_empty() => Err(Invalid::Host),
            Some(authority) if authority.as_str() != authority.host() => match authority.port_u16()
            {
                None | Some(0) => Err(Invalid::Port),
                Some(_) => Ok(Self::Http(uri)),
            },
            Some(_) => Ok(Self::Http(uri)),
            None => Err(Invalid::Host),
        }
    }
}

/// As `Display`, which leaves out a query: it may hold a secret.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(uri) => f.write_str(&without_secrets(&uri.to_string())),
            Self::Unixgram(path) => write!(f, "{DATAGRAM_SCHEME}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_shown() {
        for text in [
            "http://127.0.0.1:5060/RPC",
            "http://[::1]:5060/RPC",
            "unixgram:/run/kamailio/kamailio_rpc.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, mistake) in [
            ("", Invalid::Scheme),
            ("127.0.0.1:5060", Invalid::Scheme),
            ("unix:/run/x", Invalid::Scheme),
            ("https://127.0.0.1/RPC", Invalid::Https),
            ("http://", Invalid::Host),
            ("http:///RPC", Invalid::Host),
            ("http://:5060/RPC", Invalid::Host),
            ("http://127.0.0.1:99999999/RPC", Invalid::Port),
            ("http://127.0.0.1:0/RPC", Invalid::Port),
            ("http://a:b@127.0.0.1/RPC", Invalid::UserInfo),
            ("unixgram:run/x", Invalid::Relative),
            ("unixgram:", Invalid::Relative),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(mistake), "{text}");
        }
        let long = format!("unixgram:/{}", "x".repeat(107));
        assert_eq!(long.parse::<Endpoint>(), Err(Invalid::Long));
    }
}
