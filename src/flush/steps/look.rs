//! The looks of a flush at an address of record, and what to make of one that shows nothing.

use crate::flush::answers::lookup::lookup;
use crate::flush::answers::memory::Memory;
use crate::flush::failure::NotFlushed;
use crate::flush::steps::run::Run;
use crate::flush::target::Target;
use crate::kamailio::Fault;
use crate::registration::Text;

/// What a look shows.
#[derive(Debug)]
pub(in crate::flush) enum Sight {
    /// What Kamailio has.
    Seen(Memory),
    /// Nothing: the reply would be too long.
    TooLong,
}

impl Run<'_> {
    /// Looks before anything is removed. The name of an address of record without a row comes from the directory:
    /// Kamailio may have it in another case, or without the domain where that is the realm of rows without one.
    pub(in crate::flush) async fn look_first(
        &self,
        target: &mut Target,
    ) -> Result<Sight, NotFlushed> {
        let Some(memory) = self.ask(target).await? else {
            return Ok(Sight::TooLong);
        };
        let Some(read_as) = memory.read_as.clone() else {
            return Ok(Sight::Seen(memory));
        };
        if !target.picked.is_empty() {
            return Err(NotFlushed::Misread);
        }
        let domain = target.domain.as_ref().map(Text::as_bytes);
        let is_default = self
            .default_realm
            .zip(domain)
            .is_some_and(|(realm, domain)| domain.eq_ignore_ascii_case(realm.as_bytes()));
        if is_same(&read_as, &target.aor) {
            target.aor = read_as;
        } else if is_default && is_same(&read_as, &target.username) {
            target.username = read_as.clone();
            target.aor = read_as;
            target.domain = None;
        } else {
            return Err(NotFlushed::Misread);
        }
        self.look(target).await
    }

    /// Looks after all contacts were removed.
    pub(in crate::flush) async fn look_at_end(
        &self,
        target: &Target,
    ) -> Result<Memory, NotFlushed> {
        match self.look_again(target).await? {
            Sight::Seen(memory) => Ok(memory),
            Sight::TooLong => Err(self.too_long()),
        }
    }

    /// Looks after some contacts were removed: Kamailio has answered the same question before.
    pub(in crate::flush) async fn look_at_rest(
        &self,
        target: &Target,
    ) -> Result<Memory, NotFlushed> {
        match self.look_again(target).await {
            Ok(Sight::Seen(memory)) => Ok(memory),
            Ok(Sight::TooLong) | Err(NotFlushed::Misread) => Err(NotFlushed::Fault(
                Fault::Malformed("ul.lookup does not answer the same question twice".into()),
            )),
            Err(why) => Err(why),
        }
    }

    /// What a reply that is too long means for the caller.
    pub(in crate::flush) fn too_long(&self) -> NotFlushed {
        NotFlushed::TooLong {
            datagram: self.parts.kamailio.is_datagram(),
        }
    }

    /// Looks, and once more where there is no answer in time: one of Kamailio's workers may wait for a lock for as long,
    /// and what was removed should not be called a failure for that.
    async fn look_again(&self, target: &Target) -> Result<Sight, NotFlushed> {
        match self.look(target).await {
            Err(NotFlushed::Fault(Fault::Timeout)) => self.look(target).await,
            other => other,
        }
    }

    async fn look(&self, target: &Target) -> Result<Sight, NotFlushed> {
        match self.ask(target).await? {
            None => Ok(Sight::TooLong),
            Some(memory) if memory.read_as.is_some() => Err(NotFlushed::Misread),
            Some(memory) => Ok(Sight::Seen(memory)),
        }
    }

    /// Asks; `None` where the reply is too long.
    async fn ask(&self, target: &Target) -> Result<Option<Memory>, Fault> {
        let rows = || target.rows(self.parts);
        let permit = self.removals.turn_to_read().await;
        let memory = lookup(&self.parts.kamailio, &target.table, &target.aor, rows).await?;
        drop(permit);
        if let Some(memory) = &memory {
            self.credibility.saw(memory, &target.aor);
        }
        Ok(memory)
    }
}

/// Whether two names differ by the case of letters only.
fn is_same(one: &Text, other: &Text) -> bool {
    one.as_bytes().eq_ignore_ascii_case(other.as_bytes())
}
