//! `q=`: the words of a search box. Pure.

use std::str::FromStr;

use ipnet::IpNet;

use crate::http::error::Problem;
use crate::http::request::reach::Reach;
use crate::registration::item::search::{Bound, Part, Search, Term, Whole, parse_ip};
use crate::sip::Transport;

/// How many words there may be, over all parameters: each costs time for each registration.
const MOST: usize = 32;

/// Adds what `text` says to a search.
pub(crate) fn parse(text: &str, reach: Reach<'_>, search: &mut Search) -> Result<(), Problem> {
    for word in text.split_whitespace() {
        match term(word, reach) {
            Some(term) => search.term(term?),
            None => search.word(word),
        }
    }
    if search.len() > MOST {
        return Err(Problem::TooManyWords);
    }
    Ok(())
}

/// The condition that a word states; `None` where it is a word only.
fn term(word: &str, reach: Reach<'_>) -> Option<Result<Term, Problem>> {
    let (prefix, value) = word.split_once(':')?;
    let term = match prefix.to_ascii_lowercase().as_str() {
        "user" => Ok(Term::User(Whole::new(value))),
        "realm" => Ok(Term::Realm(Whole::new(value))),
        "account" => Ok(Term::Account(Whole::new(value))),
        "ua" => Ok(Term::UserAgent(Part::new(value))),
        "ip" => network(value).map(Term::Ip).ok_or(Problem::NotANetwork),
        "transport" => {
            let transport = Transport::from_name(value);
            transport.map(Term::Transport).ok_or(Problem::NotATransport)
        }
        "expires" => remaining(value).ok_or(Problem::NotASpan),
        "flapping" if reach == Reach::Fleet => Err(Problem::NotOfFleet),
        "flapping" => match value.to_ascii_lowercase().as_str() {
            "yes" => Ok(Term::Flapping(true)),
            "no" => Ok(Term::Flapping(false)),
            _ => Err(Problem::NotYesOrNo),
        },
        "node" => Ok(match reach {
            // Every registration is of this machine.
            Reach::Node(node) => Term::Node(Whole::new(value).is(node.as_bytes(), &mut Vec::new())),
            Reach::Fleet => Term::OnNode(Whole::new(value)),
        }),
        _ => return None,
    };
    // An empty value may be a script's variable that is not set, and would choose other phones than are meant.
    Some(if value.is_empty() {
        Err(Problem::NoValue)
    } else {
        term
    })
}

/// `203.0.113.0/24`, `2001:db8::1`, `[2001:db8::1]`.
fn network(text: &str) -> Option<IpNet> {
    match parse_ip(text) {
        Some(address) => Some(address.into()),
        None => IpNet::from_str(text).ok(),
    }
}

/// `<60`, `<=60`, `>60`, `>=60`.
fn remaining(text: &str) -> Option<Term> {
    let bounds = [
        ("<=", Bound::AtMost),
        (">=", Bound::AtLeast),
        ("<", Bound::Below),
        (">", Bound::Above),
    ];
    bounds.into_iter().find_map(|(sign, bound)| {
        let seconds = text.strip_prefix(sign)?;
        let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
        // A number that does not fit is more than any phone has.
        is_number.then(|| Term::Expires(bound, seconds.parse().unwrap_or(i64::MAX)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<Problem> {
        parse(text, Reach::Node("node-1"), &mut Search::default()).err()
    }

    #[test]
    fn a_value_that_cannot_be_one_is_refused() {
        for (text, expected) in [
            ("user:", Problem::NoValue),
            ("alice realm:", Problem::NoValue),
            ("ua: yealink", Problem::NoValue),
            ("node:", Problem::NoValue),
            ("IP:", Problem::NoValue),
            ("ip:203.0.113", Problem::NotANetwork),
            ("ip:203.0.113.0/33", Problem::NotANetwork),
            ("ip:203.0.113.256", Problem::NotANetwork),
            ("ip:phone.example.com", Problem::NotANetwork),
            ("ip:2001:db8::/129", Problem::NotANetwork),
            ("transport:sip", Problem::NotATransport),
            ("expires:60", Problem::NotASpan),
            ("expires:<", Problem::NotASpan),
            ("expires:<-1", Problem::NotASpan),
            ("expires:<1.5", Problem::NotASpan),
            ("expires:<60s", Problem::NotASpan),
            ("expires:=60", Problem::NotASpan),
            ("flapping:maybe", Problem::NotYesOrNo),
        ] {
            assert_eq!(problem(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn all_else_is_read() {
        for text in [
            "",
            " \u{a0}\t",
            ":",
            "sip:alice",
            "username:alice",
            "10.0.0.1:5060",
            "user:*",
            "ip:203.0.113.7",
            "ip:203.0.113.7/24",
            "ip:[2001:db8::1]",
            "ip:2001:DB8::/32",
            "ip:fe80::1%eth0",
            "transport:WSS",
            "expires:<=60 expires:>0 expires:>=1",
            "expires:<99999999999999999999999",
            "Flapping:YES",
            "node:elsewhere",
        ] {
            assert_eq!(problem(text), None, "{text}");
        }
    }

    #[test]
    fn there_are_not_too_many_words() {
        assert_eq!(problem(&"a ".repeat(MOST)), None);
        assert_eq!(problem(&"a ".repeat(MOST + 1)), Some(Problem::TooManyWords));
    }
}
