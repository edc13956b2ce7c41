//! Values as messages may show them: what may be a secret is left out. Pure.
//!
//! Messages go to terminals, to the journal and from there into tickets, and people write the wrong thing on the wrong
//! line: a database URL with its password, a token where its hash belongs. Line and column locate it.

use std::borrow::Cow;

/// Stands for what is left out.
const LEFT_OUT: &str = "…";

/// A run of letters and digits of this length is a key, a hash or a token, and no word.
const KEY: usize = 32;

/// How much of a long value is shown, in characters.
const SHOWN: usize = 120;

/// The beginnings of usrlocd's tokens and of JWTs.
const TOKENS: [&str; 2] = ["usrlocd_", "eyJ"];

/// What names a secret, with `=` or `:` behind it.
const NAMES: [&str; 9] = [
    "passw",
    "pwd",
    "pass",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "credential",
];

/// The text, without what may be a secret.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if let Some((scheme, rest)) = url(text) {
        return if rest.contains(['@', '?', '#']) || names_secret(rest) {
            format!("{scheme}://{LEFT_OUT}").into()
        } else {
            without_keys(text)
        };
    }
    let has_password = text
        .rsplit_once('@')
        .is_some_and(|(before, _)| before.contains(':'));
    if has_password || text.contains(['\n', '\r']) || names_secret(text) {
        return LEFT_OUT.into();
    }
    without_keys(text)
}

/// The text in quotes, without what may be a secret.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// A valid URL as shown to an operator, without user, password and query.
#[must_use]
pub fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = self::url(url) else {
        return shown(url).into_owned();
    };
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (place, further) = rest.split_at(end);
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let user = if host.len() < authority.len() {
        "…@"
    } else {
        ""
    };
    let mark = further.get(..1).unwrap_or_default();
    let further = if mark.is_empty() { "" } else { LEFT_OUT };
    format!("{scheme}://{user}{host}{path}{mark}{further}")
}

/// The scheme of a URL, and what stands behind its `://`.
fn url(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let good = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (!scheme.is_empty() && scheme.len() < KEY && scheme.chars().all(good)).then_some((scheme, rest))
}

/// Whether a secret is named, as in `host=db password=x`.
fn names_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    NAMES.iter().any(|name| {
        text.match_indices(name).any(|(at, _)| {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let behind = text[at..].trim_start_matches(word).trim_start();
            behind.starts_with(['=', ':'])
        })
    })
}

/// The text without keys, hashes and tokens, and not too long.
fn without_keys(text: &str) -> Cow<'_, str> {
    let part = |c: char| c.is_ascii_alphanumeric() || "_-+=~".contains(c);
    let is_key = |run: &str| {
        let is_token = |prefix: &&str| run.len() > prefix.len() + 4 && run.starts_with(*prefix);
        run.len() >= KEY || TOKENS.iter().any(is_token)
    };
    let mut left = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        left.push_str(if is_key(run) { LEFT_OUT } else { run });
        let other = behind.find(part).unwrap_or(behind.len());
        left.push_str(&behind[..other]);
        rest = &behind[other..];
    }
    if let Some((end, _)) = left.char_indices().nth(SHOWN) {
        left.truncate(end);
        left.push_str(LEFT_OUT);
    }
    if left == text {
        text.into()
    } else {
        left.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_left_out() {
        let hash = "0123456789abcdef".repeat(4);
        for (text, expected) in [
            ("postgres://kamailio:s3cr3t@db/kamailio", "postgres://…"),
            ("mysql://u:p@ss:w@rd@10.0.0.1:3306/k", "mysql://…"),
            ("mysql://u:a/b?c#d@10.0.0.1/k", "mysql://…"),
            ("http://127.0.0.1/RPC?key=s3cr3t", "http://…"),
            (
                "sqlite:////var/lib/kamailio.sqlite",
                "sqlite:////var/lib/kamailio.sqlite",
            ),
            ("http://127.0.0.1:99999/RPC", "http://127.0.0.1:99999/RPC"),
            ("kamailio:s3cr3t@tcp(db:3306)/kamailio", "…"),
            ("host=db user=k Password = s3cr3t", "…"),
            ("Bearer token: s3cr3t", "…"),
            (&hash, "…"),
            (&format!("/etc/{hash}/x"), "/etc/…/x"),
            ("usrlocd_abcdef", "…"),
            ("eyJhbGciOiJSUzI1NiJ9.e30.x", "….e30.x"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "…"),
            ("kamailio.sqlite", "kamailio.sqlite"),
            ("/etc/usrlocd/tokens.toml", "/etc/usrlocd/tokens.toml"),
            ("usrlocd_b", "usrlocd_b"),
            ("::1", "::1"),
            ("alice@acme.test", "alice@acme.test"),
            ("ä", "ä"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(shown(&"ab ".repeat(100)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn a_good_url_keeps_what_tells_where_it_leads() {
        for (url, expected) in [
            ("http://127.0.0.1:5060/RPC", "http://127.0.0.1:5060/RPC"),
            ("http://10.0.0.1/RPC?key=s3cr3t", "http://10.0.0.1/RPC?…"),
            ("http://u:p@10.0.0.1/RPC", "http://…@10.0.0.1/RPC"),
            (
                "unixgram:/run/kamailio/rpc.sock",
                "unixgram:/run/kamailio/rpc.sock",
            ),
        ] {
            assert_eq!(without_secrets(url), expected);
        }
    }
}
