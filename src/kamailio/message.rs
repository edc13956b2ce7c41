//! JSON-RPC 2.0 as Kamailio's `jsonrpcs` speaks it: bytes in, bytes out.
//!
//! Kamailio copies SIP texts into JSON as they are, so a reply need not be UTF-8, and a request may carry an AoR that
//! is not. [`decode`] gives each byte that is not UTF-8 a character of its own in the last private use plane, so
//! that the JSON can be read, and [`text`] turns them back.

use std::str;

use serde_json::Value;

use super::{Fault, Param};
use crate::registration::Text;

/// The character for byte 0 that is not UTF-8; byte `b` has the one `b` further on.
const ESCAPE: u32 = 0x0010_ff00;

/// A request. All of it but the texts is ASCII.
pub(super) fn encode(method: &str, params: &[Param], id: u64) -> Result<Vec<u8>, Fault> {
    let mut request = Vec::with_capacity(256);
    request.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
    push_string(&mut request, method.as_bytes())?;
    request.extend_from_slice(br#","params":["#);
    for (index, param) in params.iter().enumerate() {
        if index > 0 {
            request.push(b',');
        }
        match param {
            Param::Text(text) => push_string(&mut request, text.as_bytes())?,
            Param::Integer(number) => request.extend_from_slice(number.to_string().as_bytes()),
        }
    }
    request.extend_from_slice(format!(r#"],"id":{id}}}"#).as_bytes());
    Ok(request)
}

/// A JSON string with the bytes as they are; only what JSON must have escaped is.
fn push_string(request: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Fault> {
    request.push(b'"');
    for &byte in bytes {
        match byte {
            0 => {
                return Err(Fault::Unsendable(
                    "a NUL byte ends a text in Kamailio's JSON",
                ));
            }
            b'"' | b'\\' => request.extend_from_slice(&[b'\\', byte]),
            1..0x20 => request.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => request.push(byte),
        }
    }
    request.push(b'"');
    Ok(())
}

/// A reply's id and outcome; `None` if it is not a reply.
pub(super) struct Reply {
    pub(super) id: Option<u64>,
    pub(super) outcome: Result<Value, Fault>,
}

/// Reads a reply.
pub(super) fn decode(body: &[u8]) -> Result<Reply, Fault> {
    let value: Value = serde_json::from_str(&escaped(body))
        .map_err(|error| Fault::Malformed(format!("the reply is not valid JSON: {error}")))?;
    let Value::Object(mut reply) = value else {
        return Err(Fault::Malformed("the reply is not a JSON object".into()));
    };
    let id = reply.get("id").and_then(Value::as_u64);
    let outcome = match (reply.remove("result"), reply.remove("error")) {
        (Some(result), None) => Ok(result),
        (None, Some(error)) => Err(Fault::Rpc {
            code: error["code"].as_i64().unwrap_or_default(),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
        }),
        _ => Err(Fault::Malformed(
            "the reply has neither result nor error".into(),
        )),
    };
    Ok(Reply { id, outcome })
}

/// The bytes of a string of a decoded reply.
#[must_use]
pub fn text(string: &str) -> Text {
    let mut bytes = Vec::with_capacity(string.len());
    let mut buffer = [0; 4];
    for character in string.chars() {
        match escaped_byte(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    bytes.into()
}

/// The bytes as a string, with the characters described above. Such characters that come from Kamailio are taken for
/// four bytes each, so that nothing is mistaken for them.
fn escaped(bytes: &[u8]) -> String {
    let mut string = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for part in chunk.valid().split_inclusive(is_escape) {
            let character = part.chars().next_back().filter(|last| is_escape(*last));
            let plain = part.len() - character.map_or(0, char::len_utf8);
            string.push_str(&part[..plain]);
            string.extend(part.as_bytes()[plain..].iter().map(|byte| escape(*byte)));
        }
        string.extend(chunk.invalid().iter().map(|byte| escape(*byte)));
    }
    string
}

fn escape(byte: u8) -> char {
    char::from_u32(ESCAPE + u32::from(byte)).expect("U+10FF00 to U+10FFFF are characters")
}

fn escaped_byte(character: char) -> Option<u8> {
    u8::try_from(u32::from(character).checked_sub(ESCAPE)?).ok()
}

fn is_escape(character: char) -> bool {
    escaped_byte(character).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply_to(body: &[u8]) -> Result<Value, Fault> {
        decode(body).and_then(|reply| reply.outcome)
    }

    #[test]
    fn a_request_has_its_bytes_as_they_are() {
        let params = [
            Param::from("location"),
            Param::Text(b"a\"\\\n\xff@d"[..].into()),
            Param::Integer(-3),
        ];
        assert_eq!(
            encode("ul.rm", &params, 7).unwrap().escape_ascii().to_string(),
            b"{\"jsonrpc\":\"2.0\",\"method\":\"ul.rm\",\"params\":[\"location\",\"a\\\"\\\\\\u000a\xff@d\",-3],\"id\":7}"
                .escape_ascii()
                .to_string()
        );
    }

    #[test]
    fn a_nul_byte_cannot_be_sent() {
        let params = [Param::from("a\0b")];
        assert!(matches!(
            encode("ul.rm", &params, 7),
            Err(Fault::Unsendable(_))
        ));
    }

    #[test]
    fn what_is_no_reply_is_malformed() {
        for body in [
            &b""[..],
            b"{\"jsonrpc\":\"2.0\",\"result\":{",
            b"[]",
            b"\"result\"",
            b"{\"id\":1}",
            b"{\"id\":1,\"result\":1,\"error\":{}}",
            b"<html>",
        ] {
            assert!(
                matches!(reply_to(body), Err(Fault::Malformed(_))),
                "{body:?}"
            );
        }
    }

    #[test]
    fn an_error_has_code_and_message() {
        let fault = reply_to(br#"{"error":{"code":500,"message":"no"},"id":1}"#).unwrap_err();
        assert!(matches!(fault, Fault::Rpc { code: 500, message } if message == "no"));
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(text(&escaped(&bytes)), bytes.into());
        }

        #[test]
        fn escape_characters_come_back(string in "[a\u{10ff00}-\u{10ffff}]{0,9}") {
            prop_assert_eq!(text(&escaped(string.as_bytes())), string.as_str().into());
        }

        #[test]
        fn texts_go_through_json(bytes in proptest::collection::vec(1_u8.., 0..40)) {
            let request = encode("m", &[Param::Text(bytes.clone().into())], 1).unwrap();
            let value: Value = serde_json::from_str(&escaped(&request)).unwrap();
            prop_assert_eq!(text(value["params"][0].as_str().unwrap()), bytes.into());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
        }
    }
}
