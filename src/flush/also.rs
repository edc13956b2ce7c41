//! The further calls of `[flush] also`, made for each address of record that was removed.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Failure;
use super::targets::Target;
use crate::config::{AlsoCall, Param as Configured};
use crate::kamailio::{Fault, Kamailio, Param};
use crate::registration::Text;

/// The code by which Kamailio says that there is nothing of that name; `htable.delete` does of a key.
const NOTHING_THERE: i64 = 404;

/// The further calls of one flush.
#[derive(Debug)]
pub(super) struct Further<'a> {
    calls: &'a [AlsoCall],
    warned: AtomicBool,
}

impl<'a> Further<'a> {
    pub(super) fn new(calls: &'a [AlsoCall]) -> Self {
        Self {
            calls,
            warned: AtomicBool::new(false),
        }
    }

    /// Makes the calls. That Kamailio refuses one is no failure of the flush: the binding is gone, and the same is
    /// refused next time.
    pub(super) async fn call(&self, target: &Target, kamailio: &Kamailio) -> Result<(), Failure> {
        for call in self.calls {
            let params: Vec<_> = call
                .params
                .iter()
                .map(|param| filled(param, target))
                .collect();
            match kamailio.call(&call.method, &params).await {
                Ok(_) => {}
                Err(Fault::Rpc { code, message }) => self.refused(call, code, &message),
                Err(fault) => {
                    let failure = target.failure(&fault);
                    let reason = format!(
                        "it is removed, but the further call {} failed: {}",
                        call.method, failure.reason
                    );
                    return Err(Failure { reason, ..failure });
                }
            }
        }
        Ok(())
    }

    /// Says once in a flush that a call is refused.
    fn refused(&self, call: &AlsoCall, code: i64, message: &str) {
        let method = &call.method;
        if code == NOTHING_THERE || self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                method,
                code,
                message,
                "Kamailio refuses a further call of a flush"
            );
        } else {
            tracing::warn!(
                method,
                code,
                message,
                "Kamailio refuses a further call of a flush; check [flush] also"
            );
        }
    }
}

fn filled(param: &Configured, target: &Target) -> Param {
    match param {
        Configured::Text(template) => Param::Text(fill(template, target)),
        Configured::Integer(number) => Param::Integer(*number),
    }
}

/// The template with the bytes of the address of record filled in.
fn fill(template: &str, target: &Target) -> Text {
    let realm = target.domain.as_ref().map_or(&[][..], Text::as_bytes);
    let values: [(&str, &[u8]); 3] = [
        ("{aor}", target.aor.as_bytes()),
        ("{username}", target.username.as_bytes()),
        ("{realm}", realm),
    ];
    let (mut filled, mut rest) = (Vec::with_capacity(template.len()), template);
    while !rest.is_empty() {
        if let Some((name, value)) = values.iter().find(|(name, _)| rest.starts_with(name)) {
            filled.extend_from_slice(value);
            rest = &rest[name.len()..];
        } else {
            let next = rest.chars().next().map_or(rest.len(), char::len_utf8);
            filled.extend_from_slice(&rest.as_bytes()[..next]);
            rest = &rest[next..];
        }
    }
    filled.into()
}
