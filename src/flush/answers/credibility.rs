//! Whether Kamailio's "not found" is credible.
//!
//! Kamailio says so of a binding that is gone, but also of any binding while it is still loading its table; and a
//! Kamailio that does not use the table says so every time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::flush::Parts;
use crate::flush::answers::lookup::lookup;
use crate::flush::answers::memory::Memory;
use crate::flush::target::Target;
use crate::flush::turn::aor_lock::TableAor;
use crate::kamailio::{Fault, Uptime};
use crate::registration::{Registration, Text};

/// How long Kamailio must have been up: until then it may still be loading.
pub(in crate::flush) const LOADED_AFTER: Duration = Duration::from_secs(30);

/// How many other registrations Kamailio is asked about to find out whether the table is its own.
const SAMPLES: usize = 8;

/// This many rows written since Kamailio started, none of which it knows, were not written by it.
const SEVERAL: usize = 2;

/// In its first second a Kamailio cannot be told from one that replaces it within that second: it is asked again, up
/// to so many times and after such a pause.
const FIRST_SECOND: usize = 8;
const PAUSE: Duration = Duration::from_millis(150);

/// A Kamailio takes longer than this to stop and start again: one with few modules and rows does it in 60 ms.
const RESTART: Duration = Duration::from_millis(15);

const LOADING: &str =
    "Kamailio does not know the contact but has just started and may still be loading";
const NO_UPTIME: &str =
    "Kamailio does not know the contact and does not report its uptime, so it may still be loading";
const OTHER_TABLE: &str = "Kamailio knows none of the registrations in the table; does [kamailio] jsonrpc point to a different Kamailio? \
     Nothing was hidden; if the phone has only just registered, try again";
const RESTARTED: &str =
    "Kamailio was restarted during the flush and may have loaded the contact again; try again";
const UNSURE: &str = "Kamailio stopped answering before it was certain that it had not been restarted during the flush; try again";

/// What a flush has learned about Kamailio; asked once, and only when it matters.
#[derive(Debug)]
pub(in crate::flush) struct Credibility<'a> {
    parts: &'a Parts,
    flushed: BTreeSet<TableAor>,
    /// Its uptime, and our monotonic time when it reported it; `None` where it refuses to.
    up: Option<(Uptime, Duration)>,
    /// Whether it has known a binding of the table.
    knows_table: AtomicBool,
    /// Whether the table may be its own although it has known nothing of it so far.
    same_table: OnceCell<bool>,
    /// Whether it knows registrations that are not flushed.
    knows_others: OnceCell<bool>,
    /// Whether it has known a name with capitals.
    keeps_capitals: AtomicBool,
    /// Whether it is configured to be case-sensitive.
    case_sensitive: OnceCell<bool>,
    /// When it was last seen not to have been restarted (monotonic).
    same_at: Mutex<Duration>,
}

impl<'a> Credibility<'a> {
    /// Finds out which Kamailio it is.
    pub(in crate::flush) async fn begin(
        parts: &'a Parts,
        targets: &[Target],
    ) -> Result<Self, Fault> {
        let mut up = uptime(parts).await?;
        for _ in 0..FIRST_SECOND {
            if up.as_ref().is_none_or(|(up, _)| !up.lasted.is_zero()) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            up = uptime(parts).await?;
        }
        let same_at = Mutex::new(parts.clock.monotonic());
        Ok(Self {
            parts,
            same_at,
            flushed: targets.iter().map(Target::table_aor).collect(),
            up,
            knows_table: AtomicBool::new(false),
            same_table: OnceCell::new(),
            knows_others: OnceCell::new(),
            keeps_capitals: AtomicBool::new(false),
            case_sensitive: OnceCell::new(),
        })
    }

    /// When it was started, in its own words.
    pub(in crate::flush) fn since(&self) -> Option<&str> {
        self.up.as_ref().map(|(up, _)| &*up.since)
    }

    /// Whether Kamailio was restarted since [`Self::begin`], so that a removal would concern contacts that nobody has
    /// looked at. It is asked only where there was time for a restart.
    pub(in crate::flush) async fn was_restarted(&self) -> Result<bool, Fault> {
        let Some(began) = self.since() else {
            return Ok(false);
        };
        let now = self.parts.clock.monotonic();
        let same_at = || self.same_at.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*same_at()) < RESTART {
            return Ok(false);
        }
        let is_same = self.parts.kamailio.uptime().await?.since == began;
        if is_same {
            *same_at() = now;
        }
        Ok(!is_same)
    }

    /// Why nothing seen since [`Self::begin`] is credible: Kamailio was restarted, or may have been. `None` where it
    /// was not.
    pub(in crate::flush) async fn objection_at_end(&self) -> Option<&'static str> {
        let (began, _) = self.up.as_ref()?;
        match self.parts.kamailio.uptime().await {
            Ok(now) if now.since == began.since => None,
            Ok(_) => Some(RESTARTED),
            Err(fault) => {
                tracing::debug!(%fault, cause = fault.cause(), "could not confirm that Kamailio was not restarted during the flush");
                Some(UNSURE)
            }
        }
    }

    /// Records what Kamailio answered about an address of record.
    pub(in crate::flush) fn saw(&self, memory: &Memory, aor: &Text) {
        if memory.is_known {
            self.knows_table.store(true, Ordering::Relaxed);
        }
        if !memory.contacts.is_empty() && has_capitals(aor) {
            self.keeps_capitals.store(true, Ordering::Relaxed);
        }
    }

    /// Whether Kamailio, which does not know this name, may have it in lower case.
    pub(in crate::flush) async fn may_be_lowered(&self, aor: &Text) -> Result<bool, Fault> {
        Ok(has_capitals(aor) && !self.is_case_sensitive().await?)
    }

    /// Whether Kamailio tells apart names that differ by case only: it has known one with capitals, or is configured
    /// to.
    async fn is_case_sensitive(&self) -> Result<bool, Fault> {
        if self.keeps_capitals.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let ask = || async {
            let params = ["registrar".into(), "case_sensitive".into()];
            match self.parts.kamailio.call("cfg.get", &params).await {
                Ok(value) => Ok(value.as_i64().is_some_and(|value| value != 0)),
                // Its module cfg_rpc is not loaded.
                Err(Fault::Rpc { .. }) => Ok(false),
                Err(fault) => Err(fault),
            }
        };
        self.case_sensitive.get_or_try_init(ask).await.copied()
    }

    /// Why "not found" is not credible; `None` where it is.
    pub(in crate::flush) async fn objection(&self) -> Result<Option<&'static str>, Fault> {
        let Some((up, asked)) = &self.up else {
            return Ok(Some(NO_UPTIME));
        };
        let since = self.parts.clock.monotonic().saturating_sub(*asked);
        if up.lasted + since < LOADED_AFTER {
            return Ok(Some(LOADING));
        }
        if self.knows_table.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let ask = || async { Ok(self.knows_others().await? || self.may_be_empty(up).await?) };
        let same_table = *self.same_table.get_or_try_init(ask).await?;
        Ok((!same_table).then_some(OTHER_TABLE))
    }

    /// Whether Kamailio knows any of the registrations.
    pub(in crate::flush) async fn knows_any(&self) -> Result<bool, Fault> {
        if self.knows_table.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let ask = || self.knows_others();
        self.knows_others.get_or_try_init(ask).await.copied()
    }

    /// Whether Kamailio knows one of the registrations that are not flushed.
    async fn knows_others(&self) -> Result<bool, Fault> {
        let others = self.parts.registry.newest(SAMPLES, |one| {
            let aor = one.binding.address_of_record();
            let place = (one.binding.key.table.clone(), aor.name().clone());
            self.parts.is_own(one) && aor.for_rpc().is_ok() && !self.flushed.contains(&place)
        });
        for one in &others {
            let (binding, aor) = (&one.binding, one.binding.address_of_record());
            let rows = || {
                self.parts
                    .registry
                    .rows_of(&binding.username, binding.domain.as_ref())
            };
            let kamailio = &self.parts.kamailio;
            let memory = lookup(kamailio, &binding.key.table, aor.name(), rows).await?;
            if memory.is_some_and(|memory| memory.is_known) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether Kamailio may rightly have nothing in memory: it would know rows that were written since it started.
    async fn may_be_empty(&self, up: &Uptime) -> Result<bool, Fault> {
        let lasted = i64::try_from(up.lasted.as_secs()).unwrap_or(i64::MAX);
        let start = self.parts.clock.unix_seconds().saturating_sub(lasted);
        let is_fresh =
            |one: &Registration| self.parts.is_own(one) && one.binding.last_modified > start;
        let fresh = self.parts.registry.newest(SEVERAL, is_fresh);
        Ok(fresh.len() < SEVERAL && contacts_in_memory(self.parts).await? == Some(0))
    }
}

/// How many contacts Kamailio has in memory, in all of its tables; 0 in database-only mode. `None` where it does not
/// report it, which does not mean 0.
pub(in crate::flush) async fn contacts_in_memory(parts: &Parts) -> Result<Option<u64>, Fault> {
    let every_table = ["usrloc:".into()];
    let counts = match parts.kamailio.call("stats.fetchn", &every_table).await {
        Err(Fault::Rpc { .. }) => return Ok(None),
        other => other?,
    };
    let counts = counts.as_object().into_iter().flatten();
    let contacts: Option<Vec<u64>> = counts
        .filter(|(name, _)| name.ends_with("_contacts"))
        .map(|(_, count)| Value::as_u64(count))
        .collect();
    let contacts = contacts.filter(|counts| !counts.is_empty());
    Ok(contacts.map(|counts| counts.iter().sum()))
}

/// Kamailio's uptime, unless it refuses to report it.
async fn uptime(parts: &Parts) -> Result<Option<(Uptime, Duration)>, Fault> {
    match parts.kamailio.uptime().await {
        Ok(up) => Ok(Some((up, parts.clock.monotonic()))),
        Err(Fault::Rpc { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn has_capitals(aor: &Text) -> bool {
    aor.as_bytes().iter().any(u8::is_ascii_uppercase)
}
