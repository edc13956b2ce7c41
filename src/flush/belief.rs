//! Whether "not found" is believed.
//!
//! Kamailio says so of a binding that is gone, but also of every one while it still loads its table, and a Kamailio
//! that has nothing to do with the table says so always.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;

use super::Parts;
use super::look::{has_capitals, lookup};
use super::memory::Memory;
use super::targets::Target;
use super::turns::Place;
use crate::kamailio::{Fault, Uptime};
use crate::registration::Text;
use crate::registry::Scope;

/// How long Kamailio must have been up: until then it may still be loading.
pub(super) const LOADED_AFTER: Duration = Duration::from_secs(30);

/// How many other registrations Kamailio is asked about, to see that the table is its own.
const SAMPLES: usize = 8;

/// So many rows that were written since Kamailio started, and that it knows nothing of, were not written by it.
const SEVERAL: usize = 2;

/// In the first second of its life a Kamailio cannot be told from one that takes its place within that second: it is
/// asked again, so often and after such a pause.
const FIRST_SECOND: usize = 8;
const PAUSE: Duration = Duration::from_millis(150);

/// A Kamailio takes longer than this to end and to start again: one with few modules and rows does it in 60 ms.
const RESTART: Duration = Duration::from_millis(15);

const LOADING: &str =
    "Kamailio does not know the contact but has just started and may still be loading";
const SINCE_WHEN: &str = "Kamailio does not know the contact and does not say since when it is up; it may still be loading";
const STRANGE: &str = "Kamailio knows nothing of the table that is read; is [kamailio] jsonrpc that of another Kamailio? \
     Nothing is hidden; if it has just registered, ask again";
const RESTARTED: &str =
    "Kamailio was started anew during the flush and may have loaded the contact again; ask again";
const UNSURE: &str = "Kamailio stopped answering before it was sure that it is the same as at the beginning; ask again";

/// What is known about a Kamailio, asked once for each flush and only when it matters.
#[derive(Debug)]
pub(super) struct Belief<'a> {
    parts: &'a Parts,
    flushed: BTreeSet<Place>,
    /// Since when it is up, and our own monotonic time when it said so; `None` where it refuses to say.
    up: Option<(Uptime, Duration)>,
    /// Whether it has known something of the table.
    knows: AtomicBool,
    makes_sense: OnceCell<bool>,
    /// Whether it has known a name with capitals.
    keeps_capitals: AtomicBool,
    /// Whether it says that it is case-sensitive.
    case_sensitive: OnceCell<bool>,
    /// When it was last seen to be the same (monotonic).
    same_at: Mutex<Duration>,
}

impl<'a> Belief<'a> {
    /// Asks who it is that will be asked.
    pub(super) async fn begin(parts: &'a Parts, targets: &[Target]) -> Result<Self, Fault> {
        let mut up = since_when(parts).await?;
        for _ in 0..FIRST_SECOND {
            if up.as_ref().is_none_or(|(up, _)| !up.lasted.is_zero()) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            up = since_when(parts).await?;
        }
        let same_at = Mutex::new(parts.clock.monotonic());
        Ok(Self {
            parts,
            same_at,
            flushed: targets.iter().map(Target::place).collect(),
            up,
            knows: AtomicBool::new(false),
            makes_sense: OnceCell::new(),
            keeps_capitals: AtomicBool::new(false),
            case_sensitive: OnceCell::new(),
        })
    }

    /// The moment since which it is up, in its own words.
    pub(super) fn since(&self) -> Option<&str> {
        self.up.as_ref().map(|(up, _)| &*up.since)
    }

    /// Whether another Kamailio has taken the place of the one that was asked at the beginning, so that a removal would
    /// be one from contacts that nobody has looked at. It is asked only where it could have been restarted meanwhile.
    pub(super) async fn was_restarted(&self) -> Result<bool, Fault> {
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

    /// Why what was seen since [`Belief::begin`] is not believed after all: another Kamailio has taken the place of
    /// the one that was asked. `None` where it is the same.
    pub(super) async fn end(&self) -> Option<&'static str> {
        let (began, _) = self.up.as_ref()?;
        match self.parts.kamailio.uptime().await {
            Ok(now) if now.since == began.since => None,
            Ok(_) => Some(RESTARTED),
            Err(fault) => {
                tracing::debug!(%fault, cause = fault.cause(), "a flush ends without Kamailio's last word");
                Some(UNSURE)
            }
        }
    }

    /// Takes note of what Kamailio said of an address of record.
    pub(super) fn saw(&self, memory: &Memory, aor: &Text) {
        if memory.is_known {
            self.knows.store(true, Ordering::Relaxed);
        }
        if !memory.contacts.is_empty() && has_capitals(aor) {
            self.keeps_capitals.store(true, Ordering::Relaxed);
        }
    }

    /// Whether Kamailio tells names apart that differ by case alone: it has known one with capitals, or says so.
    pub(super) async fn is_case_sensitive(&self) -> Result<bool, Fault> {
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

    /// Why "not found" is not believed; `None` where it is.
    pub(super) async fn doubt(&self) -> Result<Option<&'static str>, Fault> {
        let Some((up, asked)) = &self.up else {
            return Ok(Some(SINCE_WHEN));
        };
        let since = self.parts.clock.monotonic().saturating_sub(*asked);
        if up.lasted + since < LOADED_AFTER {
            return Ok(Some(LOADING));
        }
        if self.knows.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let sense = || async { Ok(self.knows_others().await? || self.may_be_empty(up).await?) };
        let sense = *self.makes_sense.get_or_try_init(sense).await?;
        Ok((!sense).then_some(STRANGE))
    }

    /// Whether Kamailio knows one of the registrations that are not flushed.
    async fn knows_others(&self) -> Result<bool, Fault> {
        let mut others = self.parts.registry.list(Scope::System).registrations;
        others.retain(|one| {
            let aor = one.binding.address_of_record();
            let place = (one.binding.key.table.clone(), aor.name().clone());
            aor.for_rpc().is_ok() && !self.flushed.contains(&place)
        });
        others.sort_by_key(|one| std::cmp::Reverse(one.binding.last_modified));
        for one in others.iter().take(SAMPLES) {
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

    /// Whether Kamailio has nothing in memory, and the rows do not speak against it: those that came since it started
    /// were its own, and it would know them.
    async fn may_be_empty(&self, up: &Uptime) -> Result<bool, Fault> {
        let lasted = i64::try_from(up.lasted.as_secs()).unwrap_or(i64::MAX);
        let start = self.parts.clock.unix_seconds().saturating_sub(lasted);
        let rows = self.parts.registry.list(Scope::System).registrations;
        let is_fresh = |last_modified: i64| last_modified > start;
        let fresh = rows
            .iter()
            .filter(|one| is_fresh(one.binding.last_modified));
        Ok(fresh.count() < SEVERAL && self.has_none().await?)
    }

    /// Whether Kamailio counts no contact in memory.
    async fn has_none(&self) -> Result<bool, Fault> {
        Ok(contacts_in_memory(self.parts).await? == Some(0))
    }
}

/// How many contacts Kamailio counts in memory, in all of its tables; none where it keeps them in the database alone.
/// `None` where it does not say: that does not mean that there is none.
pub(super) async fn contacts_in_memory(parts: &Parts) -> Result<Option<u64>, Fault> {
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

/// Since when Kamailio is up, unless it refuses to say.
async fn since_when(parts: &Parts) -> Result<Option<(Uptime, Duration)>, Fault> {
    match parts.kamailio.uptime().await {
        Ok(up) => Ok(Some((up, parts.clock.monotonic()))),
        Err(Fault::Rpc { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}
