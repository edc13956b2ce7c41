//! usrloc's parameters that change the meaning of rows: from the running Kamailio's configuration, or, where that is
//! not known, what the rows show.

use super::findings::{Findings, Group};
use super::many;
use super::remedies::Site;
use super::rows::Counts;
use crate::config::kamailio_cfg::{KamailioCfg, Setting};

const GROUP: Group = Group::Tables;

/// Checks them. `cfg` is the running Kamailio's configuration, where it can be read.
pub(super) fn check(
    site: &Site,
    default_realm: Option<&str>,
    cfg: Option<&KamailioCfg>,
    counts: Counts,
    findings: &mut Findings,
) {
    expires_type(cfg, counts, findings);
    use_domain(site, default_realm, cfg, counts, findings);
    repeated(cfg, counts, findings);
    matching_mode(cfg, findings);
}

/// The line of `kamailio.cfg` that sets a parameter.
fn modparam(name: &str, value: i64) -> String {
    format!("modparam(\"usrloc\", \"{name}\", {value})")
}

/// The value that holds, whose default is 0, and where it is set.
fn value(cfg: &KamailioCfg, name: &str) -> (Option<i64>, String) {
    let setting = cfg.usrloc(name);
    (setting.map_or(Some(0), Setting::number), cfg.place(name))
}

fn expires_type(cfg: Option<&KamailioCfg>, counts: Counts, findings: &mut Findings) {
    let check = "expires_type";
    let rows = counts.epoch_times;
    let misread = "usrlocd can read them, but with SQLite Kamailio itself misreads them after a restart. In kamailio.cfg:";
    match cfg.map(|cfg| value(cfg, check)) {
        Some((Some(1), place)) => {
            let message =
                format!("usrloc writes times as seconds (expires_type 1, {place}). {misread}");
            findings.warn(GROUP, check, message, [modparam(check, 0)]);
        }
        Some((_, place)) if rows > 0 => {
            let message = format!(
                "{} times as seconds, from when expires_type was 1 (it is not now, {place}). They disappear as the phones register.",
                have(rows)
            );
            findings.note(GROUP, check, message);
        }
        None if rows > 0 => {
            let message = format!(
                "{} times as seconds (usrloc expires_type 1). {misread}",
                have(rows)
            );
            findings.warn(GROUP, check, message, [modparam(check, 0)]);
        }
        Some(_) | None => {}
    }
}

fn use_domain(
    site: &Site,
    default_realm: Option<&str>,
    cfg: Option<&KamailioCfg>,
    counts: Counts,
    findings: &mut Findings,
) {
    let check = "use_domain";
    let rows = counts.without_domain;
    let what = match cfg.map(|cfg| value(cfg, check)) {
        Some((Some(0), place)) => {
            format!(
                "usrloc stores no domain (use_domain 0, {place}): users with the same name in different realms are merged."
            )
        }
        Some((_, place)) if rows > 0 => {
            let message = format!(
                "{} no domain, although usrloc stores it (use_domain, {place}): older rows, or phones that register without one.",
                have(rows)
            );
            findings.note(GROUP, check, message);
            return;
        }
        None if rows > 0 => format!(
            "{rows} of {} no domain (usrloc use_domain 0): users with the same name in different realms are merged.",
            have(counts.rows)
        ),
        Some(_) | None => return,
    };
    if let Some(realm) = default_realm {
        let message = format!("{what} usrlocd puts them into {realm}, [kamailio] default_realm.");
        findings.note(GROUP, check, message);
        return;
    }
    let message = format!(
        "{what} With one realm, set it in {}; with several, have usrloc store the domain, in kamailio.cfg:",
        site.config.display()
    );
    let remedy = [
        site.configure("[kamailio]\ndefault_realm = \"sip.example.com\""),
        modparam(check, 1),
    ];
    findings.warn(GROUP, check, message, remedy);
}

/// Rows that repeat a contact of the same user.
fn repeated(cfg: Option<&KamailioCfg>, counts: Counts, findings: &mut Findings) {
    let check = "repeated";
    let parameter = "db_update_as_insert";
    let rows = counts.repeated;
    let repeat = format!(
        "{} a contact of the same user",
        if rows == 1 {
            "1 row repeats".to_owned()
        } else {
            format!("{rows} rows repeat")
        }
    );
    match cfg {
        Some(cfg) => match (value(cfg, parameter), value(cfg, "matching_mode")) {
            ((Some(1), place), _) => {
                let message = format!(
                    "usrloc inserts a row instead of updating one ({parameter} 1, {place}), which fails with SQLite: rows stay as they were at the first REGISTER. In kamailio.cfg:"
                );
                findings.warn(GROUP, check, message, [modparam(parameter, 0)]);
            }
            (_, (Some(mode @ 1..=3), place)) if rows > 0 => {
                let message = format!("{repeat}, as matching_mode {mode} implies ({place}).");
                findings.note(GROUP, check, message);
            }
            _ if rows > 0 => {
                let message = format!(
                    "{repeat}, although neither {parameter} nor matching_mode explains it. They date from other settings, or belong to phones that share a contact."
                );
                findings.note(GROUP, check, message);
            }
            _ => {}
        },
        None if rows > 0 => {
            let message = format!(
                "{repeat}. The cause is {parameter} 1, with which refreshes fail, or matching_mode 1 to 3. In kamailio.cfg:"
            );
            findings.warn(GROUP, check, message, [modparam(parameter, 0)]);
        }
        None => {}
    }
}

fn matching_mode(cfg: Option<&KamailioCfg>, findings: &mut Findings) {
    let check = "matching_mode";
    if let Some((Some(mode @ 1..=3), place)) = cfg.map(|cfg| value(cfg, check)) {
        let message = format!(
            "matching_mode {mode} ({place}): with it Kamailio cannot find single contacts, so flushes can only remove whole users. A flush whose filters select some contacts of a user fails and reports that."
        );
        findings.note(GROUP, check, message);
    }
}

/// `1 row has`, `2 rows have`.
fn have(rows: usize) -> String {
    let verb = if rows == 1 { "has" } else { "have" };
    format!("{} {verb}", many(rows, "row"))
}
