//! Parses the tokens file.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Accounts, RANDOM_BYTES, Rights, Token, TokenSet};
use crate::document::{self, Findings, Item, Problems, Reader, Value, quoted};

/// Stands for every account.
const ALL: &str = "*";

/// The tokens that `text` lists; `source` is its name in messages.
///
/// # Errors
/// Every mistake in it. No message shows a hash.
pub fn parse(text: &str, source: &str) -> Result<TokenSet, Problems> {
    let (document, problems) = document::parse(text, source);
    let mut findings = Findings {
        problems,
        ..Findings::default()
    };
    let mut names = BTreeSet::new();
    let mut digests = BTreeSet::new();
    let tokens = findings.read(&document, |root| {
        root.tables("token", |stanza| {
            token(stanza, &mut names, &mut digests).map(Arc::new)
        })
    });
    match Problems::of(findings.problems) {
        Some(problems) => Err(problems),
        None => Ok(TokenSet {
            tokens: tokens.flatten().unwrap_or_default(),
        }),
    }
}

fn token(
    stanza: &mut Reader<'_>,
    names: &mut BTreeSet<String>,
    digests: &mut BTreeSet<[u8; RANDOM_BYTES]>,
) -> Option<Token> {
    let name = stanza.required("name", |item| {
        let name = name(item.text()?)?;
        if names.insert(name.clone()) {
            Ok(name)
        } else {
            Err(format!("duplicate name {}; choose another", quoted(&name)))
        }
    });
    let digest = stanza.required("sha256", |item| {
        let digest = sha256(item)?;
        if digests.insert(digest) {
            Ok(digest)
        } else {
            Err(
                "this token is used in another stanza; create one with `usrlocd token new`"
                    .to_owned(),
            )
        }
    });
    let accounts = stanza.required("accounts", |item| accounts(&texts(item)?));
    let rights = stanza.required("rights", |item| rights(&texts(item)?));
    let expires = stanza.optional("expires", expires);
    Some(Token {
        name: name?,
        digest: digest?,
        accounts: accounts?,
        rights: rights?,
        expires,
    })
}

fn texts(item: &Item) -> Result<Vec<String>, String> {
    let elements = item.elements()?;
    let texts = elements
        .iter()
        .map(|element| element.text().map(str::to_owned));
    texts.collect()
}

/// A token's name: what fits into a log line.
pub(super) fn name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if text.starts_with(super::PREFIX) {
        return Err("this looks like a token, but names are public; choose another".to_owned());
    }
    if text.is_empty() || text.len() > 64 || !text.chars().all(good) {
        return Err(format!(
            "{} is not a name; use up to 64 letters, digits and . _ - @",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

/// The accounts of a token, or `*` alone.
pub(super) fn accounts(ids: &[String]) -> Result<Accounts, String> {
    let bad = |id: &&String| {
        id.is_empty() || id.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/')
    };
    match ids {
        [] => Err(
            "the list is empty, so the token has no access; list account ids, or [\"*\"] for all"
                .to_owned(),
        ),
        [id] if id == ALL => Ok(Accounts::All),
        ids if ids.iter().any(|id| id == ALL) => {
            Err("\"*\" means all accounts; remove it, or the others".to_owned())
        }
        ids => match ids.iter().find(bad) {
            Some(id) => Err(format!("{} is not an account id", quoted(id))),
            None => Ok(Accounts::List(ids.to_vec())),
        },
    }
}

/// The rights of a token.
pub(super) fn rights(words: &[String]) -> Result<Rights, String> {
    let mut rights = Rights {
        read: false,
        flush: false,
    };
    for word in words {
        match word.as_str() {
            "read" => rights.read = true,
            "flush" => rights.flush = true,
            other => {
                let other = quoted(other);
                return Err(format!(
                    "{other} is not a right; the rights are \"read\" and \"flush\""
                ));
            }
        }
    }
    if words.is_empty() {
        return Err(
            "the list is empty, so the token permits nothing; write for instance [\"read\"]"
                .to_owned(),
        );
    }
    Ok(rights)
}

fn sha256(item: &Item) -> Result<[u8; RANDOM_BYTES], String> {
    let text = item.text()?;
    let lower = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut digest = [0; RANDOM_BYTES];
    if text.chars().all(lower) && hex::decode_to_slice(text, &mut digest).is_ok() {
        return Ok(digest);
    }
    let hint = "`usrlocd token new` creates one, `printf %s TOKEN | sha256sum` computes it";
    Err(if text.starts_with(super::PREFIX) {
        format!("this is the token itself, not its SHA-256; revoke it and create another: {hint}")
    } else {
        format!("expected 64 lower-case hex digits, the SHA-256 of the token; {hint}")
    })
}

fn expires(item: &Item) -> Result<i64, String> {
    match &item.value {
        Value::Datetime(text) => moment(text),
        _ => Err(item.expected("a date-time without quotes, for instance 2027-01-01T00:00:00Z")),
    }
}

/// The Unix second of an RFC 3339 date-time.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    text.parse::<Timestamp>().map(Timestamp::as_second).map_err(|_| {
        format!(
            "{} is not a full date-time with its offset; write for instance 2027-01-01T00:00:00Z",
            quoted(text)
        )
    })
}

/// The Unix second that an operator means by `text` at `now`: a date-time with its offset, a date (its start in
/// UTC), or a number of hours or days from now on (`12h`, `90d`).
///
/// # Errors
/// When it is none of them, in words for the operator.
pub fn expiry(text: &str, now: i64) -> Result<i64, String> {
    let unit = |letter: char| match letter {
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    if let Some((number, seconds)) = text
        .char_indices()
        .next_back()
        .and_then(|(at, letter)| Some((text[..at].parse::<u32>().ok()?, unit(letter)?)))
    {
        return Ok(now.saturating_add(i64::from(number) * seconds));
    }
    moment(text)
        .or_else(|_| moment(&format!("{text}T00:00:00Z")))
        .map_err(|_| {
            format!(
                "{} is not a time; write for instance 90d, 12h, 2027-01-01 or 2027-01-01T12:00:00Z",
                quoted(text)
            )
        })
}
