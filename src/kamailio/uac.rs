//! Requests that Kamailio sends to a phone by itself, by JSON-RPC of its module `tm` (`tm/rpc_uac.c`).
//!
//! `tm.t_uac_wait` answers once the phone has, and holds nobody meanwhile; it works over HTTP only. Its sibling
//! `tm.t_uac_wait_block` holds the worker that reads the call: over HTTP a few mute phones would stop every flush, and the
//! answers of phones on TCP are read by those very workers. Over a datagram socket nothing else works.

use serde_json::Value;

use super::{Alone, Fault, Kamailio, Param};
use crate::registration::Text;

/// Stands for what Kamailio is to choose.
const ANY: &str = ".";

/// A request to a phone. Kamailio adds Via, Call-ID, `CSeq`, Max-Forwards, Content-Length and the tag of From.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uac {
    /// The method.
    pub method: &'static str,
    /// The Request-URI.
    pub uri: Text,
    /// The URI to which it is really sent; `None` for the Request-URI.
    pub next_hop: Option<Text>,
    /// Kamailio's socket (`udp:127.0.0.1:5060`); `None` for any.
    pub socket: Option<Text>,
    /// Header lines, each with its CRLF; From and To must be among them. Kamailio sends them as they are.
    pub headers: Text,
}

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The phone's final answer.
    Phone {
        /// Its status code.
        code: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// Nothing, until Kamailio's own timer ran out.
    Nothing,
    /// Kamailio's own answer: it could not send the request.
    Kamailio {
        /// Its status code.
        code: u16,
        /// Its reason phrase.
        reason: String,
    },
}

impl Kamailio {
    /// Waits for the moment in which [`send`](Self::send) is in nobody's way.
    pub async fn turn_to_send(&self) -> Option<Alone> {
        self.alone().await
    }

    /// Has Kamailio send a request, and waits for what comes back, for as long as Kamailio's timer runs; `turn` is what
    /// [`turn_to_send`](Self::turn_to_send) gave. Once it is sent, dropping this takes nothing back.
    ///
    /// # Errors
    /// Each [`Fault`].
    pub async fn send(&self, request: &Uac, turn: Option<&Alone>) -> Result<Heard, Fault> {
        let or_any = |text: &Option<Text>| text.as_ref().map_or_else(|| ANY.into(), Param::from);
        let params = [
            request.method.into(),
            (&request.uri).into(),
            or_any(&request.next_hop),
            or_any(&request.socket),
            (&request.headers).into(),
        ];
        let method = match turn {
            Some(_) => "tm.t_uac_wait_block",
            None => "tm.t_uac_wait",
        };
        let result = self.counted_exchange(method, &params).await?;
        heard(&result).ok_or_else(|| Fault::Malformed(format!("{method} answers without a code")))
    }
}

/// Reads `[200, "OK", "", "", "", "headers"]`, or `{"code": 200, "text": "OK"}`.
fn heard(result: &Value) -> Option<Heard> {
    let (code, reason, is_own) = match result {
        Value::Array(parts) => {
            // Kamailio's own answers have no headers.
            let has_none = |part: &Value| part.as_str().is_none_or(str::is_empty);
            let is_own = parts.iter().skip(2).all(has_none);
            (parts.first()?, parts.get(1)?, is_own)
        }
        _ => (&result["code"], &result["text"], false),
    };
    let code = u16::try_from(code.as_u64()?).ok()?;
    let reason = reason.as_str().unwrap_or_default().to_owned();
    Some(match code {
        // Without headers it cannot be told whose a 408 is, and phones hardly ever send one.
        408 if is_own || result.is_object() => Heard::Nothing,
        _ if is_own => Heard::Kamailio { code, reason },
        _ => Heard::Phone { code, reason },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_phones_answers_and_kamailios_are_told_apart() {
        let phone = |code, reason: &str| Heard::Phone {
            code,
            reason: reason.to_owned(),
        };
        let via = "Via: SIP/2.0/UDP 127.0.0.1\r\n";
        for (result, expected) in [
            (json!([200, "OK", "", "", "", via]), Some(phone(200, "OK"))),
            (
                json!([408, "Later", "", "", "", via]),
                Some(phone(408, "Later")),
            ),
            (
                json!([408, "Request Timeout", "", "", "", ""]),
                Some(Heard::Nothing),
            ),
            (
                json!([477, "Unfortunately error", "", "", "", ""]),
                Some(Heard::Kamailio {
                    code: 477,
                    reason: "Unfortunately error".to_owned(),
                }),
            ),
            (
                json!({"code": 486, "text": "Busy Here"}),
                Some(phone(486, "Busy Here")),
            ),
            (
                json!({"code": 408, "text": "Request Timeout"}),
                Some(Heard::Nothing),
            ),
            (json!({}), None),
            (json!([]), None),
            (json!("200"), None),
            (json!([99_999, "x"]), None),
        ] {
            assert_eq!(heard(&result), expected, "{result}");
        }
    }
}
