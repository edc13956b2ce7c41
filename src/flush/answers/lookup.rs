//! One `ul.lookup`: what Kamailio has of an address of record, or that its reply is too long.

use std::sync::Arc;

use crate::flush::answers::memory::Memory;
use crate::kamailio::{Fault, Kamailio};
use crate::registration::{Binding, Registration, Text};

/// Bytes of `ul.lookup`'s reply for one contact, apart from its texts.
const BYTES_OF_A_CONTACT: usize = 380;

/// Asks for the contacts of an address of record, whose rows are these; `None` where the reply is too long.
///
/// Kamailio drops such a reply silently, which looks like a timeout. It is taken for a dropped reply where the rows
/// make a long one and Kamailio answers another question at once.
pub(in crate::flush) async fn lookup(
    kamailio: &Kamailio,
    table: &str,
    aor: &Text,
    rows: impl FnOnce() -> Vec<Arc<Registration>>,
) -> Result<Option<Memory>, Fault> {
    let fault = match kamailio.lookup(table, aor).await {
        Ok(lookup) => return Ok(Some(Memory::of(lookup))),
        Err(fault) => fault,
    };
    let expects_long = || {
        let expected: usize = rows().iter().map(|row| reply_bytes(&row.binding)).sum();
        expected.saturating_mul(2) >= kamailio.longest_reply()
    };
    let is_too_long = match fault {
        Fault::TooLarge => true,
        Fault::Timeout | Fault::Malformed(_) => expects_long() && kamailio.uptime().await.is_ok(),
        Fault::Unreachable { .. } | Fault::Unsendable(_) | Fault::Rpc { .. } => false,
    };
    if is_too_long { Ok(None) } else { Err(fault) }
}

/// Roughly how many bytes of the reply a row's contact takes.
fn reply_bytes(row: &Binding) -> usize {
    let texts = [
        &row.received,
        &row.path,
        &row.call_id,
        &row.user_agent,
        &row.socket,
        &row.instance,
    ];
    let texts = texts.into_iter().flatten();
    let texts: usize = texts.map(|text| text.as_bytes().len()).sum();
    BYTES_OF_A_CONTACT + texts + row.contact.as_bytes().len() + row.key.ruid.0.as_bytes().len()
}
