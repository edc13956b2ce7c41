//! A look at what Kamailio has of an address of record, and what to make of one that shows nothing.

use std::sync::Arc;

use super::memory::Memory;
use super::targets::Target;
use super::work::Round;
use super::{Failure, FailureKind};
use crate::kamailio::{Fault, Kamailio};
use crate::registration::{Binding, Registration, Text};

const MISREAD: &str = "not removed: Kamailio reads this address of record as another one (the use_domain of its \
     usrloc, or the case_sensitive of its registrar, was another when the row was written)";
const TOO_LONG_FOR_A_DATAGRAM: &str = "Kamailio's reply about this user is longer than the 128 KiB that a datagram \
     carries, so Kamailio drops it; set [kamailio] jsonrpc to its HTTP address (http://...), or flush the whole user";
const TOO_LONG_FOR_HTTP: &str = "Kamailio's reply about this user is too long for its private memory or for usrlocd \
     (8 MiB); start Kamailio with more private memory (-M), or flush the whole user";

/// Bytes of `ul.lookup`'s reply for one contact, beside its texts.
const BYTES_OF_A_CONTACT: usize = 380;

/// What a look shows.
#[derive(Debug)]
pub(super) enum Sight {
    /// What Kamailio has.
    Seen(Memory),
    /// What it has of another address of record, for which it takes this one.
    Misread,
    /// Nothing: the reply would be longer than the way to us allows.
    TooLong,
}

impl Target {
    /// Looks before anything is removed. An address of record that no row shows is as the directory has it: Kamailio may
    /// keep it in another case, or without the domain where that is the realm of rows without one.
    pub(super) async fn look_first(&mut self, round: &Round<'_>) -> Result<Sight, Fault> {
        let Some(memory) = self.ask(round).await? else {
            return Ok(Sight::TooLong);
        };
        let Some(read_as) = memory.read_as.clone() else {
            return Ok(Sight::Seen(memory));
        };
        if !self.picked.is_empty() {
            return Ok(Sight::Misread);
        }
        if is_same(&read_as, &self.aor) {
            self.aor = read_as;
            return self.look(round).await;
        }
        let domain = self.domain.as_ref().map(Text::as_bytes);
        let is_default = round
            .default_realm
            .zip(domain)
            .is_some_and(|(realm, domain)| domain.eq_ignore_ascii_case(realm.as_bytes()));
        if is_default && is_same(&read_as, &self.username) {
            self.username = read_as.clone();
            self.aor = read_as;
            self.domain = None;
            return self.look(round).await;
        }
        Ok(Sight::Misread)
    }

    /// Looks.
    pub(super) async fn look(&self, round: &Round<'_>) -> Result<Sight, Fault> {
        Ok(match self.ask(round).await? {
            None => Sight::TooLong,
            Some(memory) if memory.read_as.is_some() => Sight::Misread,
            Some(memory) => Sight::Seen(memory),
        })
    }

    /// Looks after some contacts were removed: Kamailio has answered the same question before.
    pub(super) async fn look_at_rest(&self, round: &Round<'_>) -> Result<Memory, Fault> {
        match self.look(round).await? {
            Sight::Seen(memory) => Ok(memory),
            Sight::Misread | Sight::TooLong => Err(Fault::Malformed(
                "ul.lookup does not answer the same question twice".into(),
            )),
        }
    }

    /// Asks; `None` where the reply is too long.
    async fn ask(&self, round: &Round<'_>) -> Result<Option<Memory>, Fault> {
        let rows = || self.rows(&round.parts.registry);
        let permit = round.turn_to_read().await;
        let memory = lookup(round.kamailio(), &self.table, &self.aor, rows).await?;
        drop(permit);
        if let Some(memory) = &memory {
            round.belief.saw(memory, &self.aor);
        }
        Ok(memory)
    }

    /// Whether Kamailio, which does not know this name, may have it and read it in lower case.
    pub(super) async fn may_be_lowered(&self, round: &Round<'_>) -> Result<bool, Fault> {
        Ok(has_capitals(&self.aor) && !round.belief.is_case_sensitive().await?)
    }

    pub(super) fn misread(&self) -> Failure {
        self.unconfirmed(MISREAD)
    }

    pub(super) fn too_long(&self, round: &Round<'_>) -> Failure {
        let reason = if round.kamailio().is_datagram() {
            TOO_LONG_FOR_A_DATAGRAM
        } else {
            TOO_LONG_FOR_HTTP
        };
        Failure {
            kind: FailureKind::Unconfirmed,
            ..self.unconfirmed(reason)
        }
    }
}

/// Asks for the contacts of an address of record, whose rows are these; `None` where the reply is too long.
///
/// Kamailio drops such a reply without a word, so it is told from a timeout as well as may be: the rows make a long
/// reply, and Kamailio answers something else at once.
pub(super) async fn lookup(
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

/// About how much of the reply a row's contact takes.
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

/// Whether two names differ by the case of letters alone.
fn is_same(one: &Text, other: &Text) -> bool {
    one.as_bytes().eq_ignore_ascii_case(other.as_bytes())
}

pub(super) fn has_capitals(aor: &Text) -> bool {
    aor.as_bytes().iter().any(u8::is_ascii_uppercase)
}
