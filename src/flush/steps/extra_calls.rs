//! The extra calls of `[flush] also`, made for each address of record, or each realm, that was removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::{AlsoCall, Param as Configured};
use crate::flush::Failure;
use crate::flush::failure;
use crate::flush::target::Target;
use crate::kamailio::{Fault, Kamailio, Param};
use crate::registration::{Name, Text};

/// The code by which Kamailio reports that there is nothing of that name, for instance `htable.delete` about a key.
const NOTHING_THERE: i64 = 404;

/// A call with one of these is made for each address of record; one without is the same for many, and is made once, at
/// the end.
const PER_AOR: [&str; 2] = ["{aor}", "{username}"];

/// A call with everything filled in: its place in the configuration, and its parameters.
type Filled = (usize, Vec<Param>);

/// The extra calls of one flush; each is made once, however many addresses of record ask for it.
#[derive(Debug)]
pub(in crate::flush) struct ExtraCalls<'a> {
    calls: &'a [AlsoCall],
    warned: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Those that were made, or are being made.
    made: BTreeSet<Filled>,
    /// Those that wait for the end, with the first address of record that asked for each.
    waiting: BTreeMap<Filled, Text>,
}

impl<'a> ExtraCalls<'a> {
    pub(in crate::flush) fn new(calls: &'a [AlsoCall]) -> Self {
        Self {
            calls,
            warned: AtomicBool::new(false),
            progress: Mutex::default(),
        }
    }

    /// Makes the calls of this address of record, and remembers those for the end. A refused call does not fail the
    /// flush: the binding is gone, and the call would be refused next time as well.
    pub(in crate::flush) async fn call(
        &self,
        target: &Target,
        kamailio: &Kamailio,
    ) -> Result<(), Failure> {
        for (place, call) in self.calls.iter().enumerate() {
            let params = call.params.iter().map(|param| filled(param, target));
            let filled = (place, params.collect());
            if !is_per_aor(call) {
                let mut progress = self.progress();
                progress
                    .waiting
                    .entry(filled)
                    .or_insert_with(|| target.aor.clone());
            } else if self.progress().made.insert(filled.clone()) {
                self.make(&filled, &target.aor, kamailio).await?;
            }
        }
        Ok(())
    }

    /// Makes the calls that are the same for many, once all is removed.
    pub(in crate::flush) async fn finish(&self, kamailio: &Kamailio) -> Vec<Failure> {
        let waiting = std::mem::take(&mut self.progress().waiting);
        let mut failures = Vec::new();
        for (filled, aor) in waiting {
            failures.extend(self.make(&filled, &aor, kamailio).await.err());
        }
        failures
    }

    async fn make(&self, filled: &Filled, aor: &Text, kamailio: &Kamailio) -> Result<(), Failure> {
        let (place, params) = filled;
        let call = &self.calls[*place];
        match kamailio.call(&call.method, params).await {
            Ok(_) => Ok(()),
            Err(Fault::Rpc { code, message }) => {
                self.refused(call, code, &message);
                Ok(())
            }
            Err(fault) => {
                let method = &call.method;
                tracing::debug!(method, %fault, cause = fault.cause(), "an extra call of a flush failed");
                let failure = failure::of_fault(aor, &fault);
                let reason = format!(
                    "removed, but the extra call {method} failed: {}",
                    failure.reason
                );
                Err(Failure { reason, ..failure })
            }
        }
    }

    /// Logs that a call is refused, once in a flush.
    fn refused(&self, call: &AlsoCall, code: i64, message: &str) {
        let method = &call.method;
        if code == NOTHING_THERE || self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                method,
                code,
                message,
                "Kamailio refused an extra call of a flush"
            );
        } else {
            tracing::warn!(
                method,
                code,
                message,
                "Kamailio refused an extra call of a flush; check [flush] also"
            );
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_per_aor(call: &AlsoCall) -> bool {
    let names_it = |text: &str| PER_AOR.iter().any(|name| text.contains(name));
    call.params.iter().any(|param| match param {
        Configured::Text(template) => names_it(template),
        Configured::Integer(_) => false,
    })
}

fn filled(param: &Configured, target: &Target) -> Param {
    match param {
        Configured::Text(template) => Param::Text(fill(template, target)),
        Configured::Integer(number) => Param::Integer(*number),
    }
}

/// The template with the bytes of the address of record filled in.
fn fill(template: &str, target: &Target) -> Text {
    let domain = target.domain.as_ref().map(Text::as_bytes);
    let Name { user, realm } = Name::of_columns(target.username.as_bytes(), domain);
    let values: [(&str, &[u8]); 3] = [
        ("{aor}", target.aor.as_bytes()),
        ("{username}", &user),
        ("{realm}", realm.unwrap_or_default()),
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
