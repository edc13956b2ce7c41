//! One address of record: remove, and confirm.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{Failure, FailureKind, LOADED_AFTER};
use crate::config::{self, AlsoCall};
use crate::kamailio::{Contact, Fault, Kamailio, Lookup, Param, Removed};
use crate::registration::{Registration, Text};

/// An address of record in one table, with the registrations of it that were picked.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) table: Arc<str>,
    pub(super) aor: Text,
    pub(super) username: Text,
    pub(super) domain: Option<Text>,
    /// In any order; none where only Kamailio's memory may have a contact.
    pub(super) picked: Vec<Arc<Registration>>,
    /// Whether these are all that the address of record has.
    pub(super) whole: bool,
}

/// What became of a target.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// What Kamailio does not have any more, and is to be hidden.
    pub(super) gone: Vec<Arc<Registration>>,
    /// How many were removed as well, but came back by a REGISTER in between; they stay listed.
    pub(super) back: u64,
    pub(super) failure: Option<Failure>,
}

/// Whether Kamailio is up for long enough to be believed; asked once for each flush, when it matters.
#[derive(Debug)]
pub(super) struct WellUp<'a> {
    kamailio: &'a Kamailio,
    answer: OnceCell<bool>,
}

impl<'a> WellUp<'a> {
    pub(super) fn new(kamailio: &'a Kamailio) -> Self {
        Self {
            kamailio,
            answer: OnceCell::new(),
        }
    }

    async fn get(&self) -> Result<bool, Fault> {
        let ask = || async { Ok(self.kamailio.uptime().await? >= LOADED_AFTER) };
        self.answer.get_or_try_init(ask).await.copied()
    }
}

impl Target {
    pub(super) fn new(table: Arc<str>, aor: Text, registration: &Registration) -> Self {
        let binding = &registration.binding;
        let (username, domain) = (binding.username.clone(), binding.domain.clone());
        Self {
            table,
            aor,
            username,
            domain,
            picked: Vec::new(),
            whole: true,
        }
    }

    pub(super) fn without_row(table: Arc<str>, username: Text, domain: Option<Text>) -> Self {
        let mut aor = username.as_bytes().to_vec();
        if let Some(domain) = &domain {
            aor.push(b'@');
            aor.extend_from_slice(domain.as_bytes());
        }
        Self {
            table,
            aor: aor.into(),
            username,
            domain,
            picked: Vec::new(),
            whole: true,
        }
    }

    /// Removes what was picked from Kamailio and finds out whether it is gone.
    pub(super) async fn flush(
        &self,
        kamailio: &Kamailio,
        well_up: &WellUp<'_>,
        also: &[AlsoCall],
    ) -> Flushed {
        match self.attempt(kamailio, well_up).await {
            Ok(mut flushed) => {
                if let Err(fault) = self.call_also(kamailio, also).await {
                    flushed.failure.get_or_insert_with(|| self.failure(&fault));
                }
                flushed
            }
            Err(fault) => Flushed {
                gone: Vec::new(),
                back: 0,
                failure: Some(self.failure(&fault)),
            },
        }
    }

    async fn attempt(&self, kamailio: &Kamailio, well_up: &WellUp<'_>) -> Result<Flushed, Fault> {
        let before = contacts(kamailio.lookup(&self.table, &self.aor).await?);
        let mut unfound = Vec::new();
        if self.whole {
            kamailio.remove(&self.table, &self.aor).await?;
        } else {
            for one in &self.picked {
                let contact = &one.binding.contact;
                if kamailio
                    .remove_contact(&self.table, &self.aor, contact)
                    .await?
                    != Removed::Done
                {
                    unfound.push(contact);
                }
            }
        }
        let after = contacts(kamailio.lookup(&self.table, &self.aor).await?);
        if self.picked.is_empty() {
            return Ok(self.nothing_picked(&before, &after));
        }
        let mut flushed = Flushed::default();
        for one in &self.picked {
            let ruid = &one.binding.key.ruid.0;
            let problem = match (before.get(ruid), after.get(ruid)) {
                // It was there, and if it is there again then by a REGISTER that came in between.
                (Some(before), Some(after))
                    if unfound.contains(&&one.binding.contact) || !is_newer(after, before) =>
                {
                    if unfound.contains(&&one.binding.contact) {
                        Some(
                            "Kamailio cannot remove a single contact (matching_mode 1 or 3?); flush the whole user",
                        )
                    } else {
                        Some("Kamailio still has the contact after removing it")
                    }
                }
                (Some(_), _) => None,
                (None, Some(_)) => {
                    Some("the contact appeared while it was being flushed; flush it again")
                }
                (None, None) if well_up.get().await? => None,
                (None, None) => Some(
                    "Kamailio does not know the contact but has just started and may still be loading",
                ),
            };
            match problem {
                None if after.contains_key(ruid) => flushed.back += 1,
                None => flushed.gone.push(Arc::clone(one)),
                Some(reason) => flushed.failure = Some(self.unconfirmed(reason)),
            }
        }
        Ok(flushed)
    }

    /// The outcome for an address of record without a row: nothing to count, but what Kamailio had must be gone.
    fn nothing_picked(
        &self,
        before: &BTreeMap<Text, Contact>,
        after: &BTreeMap<Text, Contact>,
    ) -> Flushed {
        let left = after.iter().any(|(ruid, after)| {
            before
                .get(ruid)
                .is_some_and(|before| !is_newer(after, before))
        });
        let failure =
            left.then(|| self.unconfirmed("Kamailio still has the contact after removing it"));
        Flushed {
            gone: Vec::new(),
            back: 0,
            failure,
        }
    }

    /// Makes the further calls. That Kamailio has nothing to remove there is no failure.
    async fn call_also(&self, kamailio: &Kamailio, also: &[AlsoCall]) -> Result<(), Fault> {
        for call in also {
            let params: Vec<_> = call.params.iter().map(|param| self.param(param)).collect();
            match kamailio.call(&call.method, &params).await {
                Err(Fault::Rpc { code, message }) => {
                    tracing::debug!(
                        method = call.method,
                        code,
                        message,
                        "a further call of a flush was refused"
                    );
                }
                other => drop(other?),
            }
        }
        Ok(())
    }

    fn param(&self, param: &config::Param) -> Param {
        match param {
            config::Param::Text(template) => Param::Text(self.fill(template)),
            config::Param::Integer(number) => Param::Integer(*number),
        }
    }

    /// The template with the bytes of this address of record filled in.
    fn fill(&self, template: &str) -> Text {
        let values: [(&str, &[u8]); 3] = [
            ("{aor}", self.aor.as_bytes()),
            ("{username}", self.username.as_bytes()),
            ("{realm}", self.domain.as_ref().map_or(&[], Text::as_bytes)),
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

    fn failure(&self, fault: &Fault) -> Failure {
        let kind = if fault.is_unreachable() {
            FailureKind::Unreachable
        } else if fault.is_timeout() {
            FailureKind::Timeout
        } else {
            FailureKind::Unconfirmed
        };
        Failure {
            aor: self.aor.clone(),
            reason: fault.to_string(),
            kind,
        }
    }

    fn unconfirmed(&self, reason: &str) -> Failure {
        Failure {
            aor: self.aor.clone(),
            reason: reason.to_owned(),
            kind: FailureKind::Unconfirmed,
        }
    }
}

/// The contacts that are in force, by ruid.
pub(super) fn contacts(lookup: Lookup) -> BTreeMap<Text, Contact> {
    match lookup {
        Lookup::Found(contacts) => contacts
            .into_iter()
            .filter(Contact::is_live)
            .map(|contact| (contact.ruid.0.clone(), contact))
            .collect(),
        Lookup::NoContacts | Lookup::NotFound => BTreeMap::new(),
    }
}

/// Whether `after` comes from another REGISTER than `before`.
fn is_newer(after: &Contact, before: &Contact) -> bool {
    (&after.call_id, after.cseq) != (&before.call_id, before.cseq)
}
