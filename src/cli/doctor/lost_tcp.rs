//! Whether phones whose TCP connection is lost are removed from the table: usrloc's `handle_lost_tcp`, which Kazoo sets, does not
//! do what it claims in some versions.

use super::findings::{Findings, Group};
use super::version::Version;
use crate::config::kamailio_cfg::{KamailioCfg, Setting};

const GROUP: Group = Group::Kamailio;

/// The parameter of usrloc, and the name of the check.
const PARAMETER: &str = "handle_lost_tcp";

/// Checks it. `mode` is usrloc's `db_mode`; `version` is absent where Kamailio does not answer.
pub(super) fn check(
    cfg: &KamailioCfg,
    mode: Option<i64>,
    version: Option<Version>,
    findings: &mut Findings,
) {
    let Some(setting) = cfg.usrloc(PARAMETER) else {
        return;
    };
    // What is not a number is a word whose meaning the doctor cannot see, so it may be on.
    let is_off = setting.number() == Some(0);
    if is_off || mode != Some(2) {
        return;
    }
    match version {
        Some(version) if version.keeps_lost_tcp() => {
            let value = setting.number();
            findings.fail(
                GROUP,
                PARAMETER,
                keeps(setting, value, version),
                [format!("modparam(\"usrloc\", \"{PARAMETER}\", 0)")],
            );
        }
        Some(version) => {
            let message = format!(
                "Phones whose TCP connection is lost are removed from the table ({PARAMETER}, {setting}). Kamailio {version} does that; from 6.1.3 they stay, so set it to 0 before you upgrade beyond 6.1.2."
            );
            findings.note(GROUP, PARAMETER, message);
        }
        None => {
            let message = format!(
                "{PARAMETER} is on ({setting}). With it, in Kamailio 6.1.3 or newer phones that hung up stay in the table; check again when Kamailio answers."
            );
            findings.note(GROUP, PARAMETER, message);
        }
    }
}

fn keeps(setting: &Setting, value: Option<i64>, version: Version) -> String {
    let value = value.map_or(String::new(), |value| format!(" {value}"));
    format!(
        "{PARAMETER}{value} ({setting}) is harmful in db_mode 2 with Kamailio {version}: a phone whose TCP connection is lost, or that unregisters and hangs up, stays in the table and is listed until it expires, Kamailio's memory grows, and after a restart it is registered again, even if it was flushed. Turn it off and restart Kamailio, or stay on 6.0 or 6.1.2:"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn judged(line: &str, mode: i64, version: Option<&str>) -> ((usize, usize), String) {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("kamailio.cfg");
        fs::write(&file, line).unwrap();
        let cfg = KamailioCfg::read(&file, &[]).unwrap();
        let version = version.map(|it| Version::parse(&format!("kamailio {it} (x)")).unwrap());
        let mut findings = Findings::default();
        check(&cfg, Some(mode), version, &mut findings);
        (findings.counts(), findings.text("x"))
    }

    #[test]
    fn it_is_an_error_from_6_1_3_on_in_write_back_alone() {
        let on = "modparam(\"usrloc\", \"handle_lost_tcp\", 1)";
        for version in ["6.1.3", "6.1.5", "6.2.0-dev1", "7.0.0"] {
            let (counts, text) = judged(on, 2, Some(version));
            assert_eq!(counts, (1, 0), "{text}");
            assert!(text.contains("\"handle_lost_tcp\", 0)"), "{text}");
            for mode in [0, 1, 3] {
                assert_eq!(judged(on, mode, Some(version)).0, (0, 0));
            }
            let off = on.replace("1)", "0)");
            assert_eq!(judged(&off, 2, Some(version)).1, judged("", 2, None).1);
            assert_eq!(judged("", 2, Some(version)).0, (0, 0));
        }
        for version in ["5.5.4", "5.6.3", "6.0.7", "6.1.2"] {
            let (counts, text) = judged(on, 2, Some(version));
            assert_eq!(counts, (0, 0), "{text}");
            assert!(text.contains("are removed from the table"), "{text}");
        }
        assert!(judged(on, 2, None).1.contains("6.1.3 or newer"));
    }

    #[test]
    fn a_word_for_it_may_be_on() {
        let defined = "#!define LOST 1\nmodparam(\"usrloc\", \"handle_lost_tcp\", LOST)";
        assert_eq!(judged(defined, 2, Some("6.1.4")).0, (1, 0));
        let off = defined.replace("LOST 1", "LOST 0");
        assert_eq!(judged(&off, 2, Some("6.1.4")).0, (0, 0));
        let unknown = "modparam(\"usrloc\", \"handle_lost_tcp\", ELSEWHERE)";
        assert_eq!(judged(unknown, 2, Some("6.1.4")).0, (1, 0));
    }
}
