//! What is known of Kamailio's versions: which are tested, and what they do differently.

use std::cmp::Ordering;
use std::fmt;

use super::findings::{Findings, Group};

const GROUP: Group = Group::Kamailio;

/// The oldest and the newest version that usrlocd is tested with.
const OLDEST: (u32, u32) = (5, 5);
const NEWEST: (u32, u32) = (6, 1);

/// Private memory that the preload takes for a row: with less, Kamailio was seen to lose attributes or not to start.
const LEAST_BYTES_A_ROW: u64 = 2200;

/// The same from Kamailio 5.8 on.
const LEAST_BYTES_A_ROW_5_8: u64 = 2600;

/// The version of a Kamailio.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Reads what `core.version` answers: `kamailio 5.6.3 (x86_64/linux)`, `kamailio 6.2.0-dev1 (x86_64/Linux)`.
    pub(super) fn parse(answer: &str) -> Option<Self> {
        let number = answer.split_whitespace().nth(1)?;
        let mut parts = number.splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let end = part.find(|c: char| !c.is_ascii_digit());
            part[..end.unwrap_or(part.len())].parse().ok()
        };
        Some(Self {
            major: next()?,
            minor: next()?,
            patch: next().unwrap_or_default(),
        })
    }

    fn is_at_least(self, major: u32, minor: u32, patch: u32) -> bool {
        (self.major, self.minor, self.patch) >= (major, minor, patch)
    }

    /// Whether `db_sqlite` has the parameter `db_set_busy_timeout`; an older one does not start with it.
    pub(super) fn has_busy_timeout(self) -> bool {
        self.is_at_least(6, 0, 0)
    }

    /// Whether `handle_lost_tcp` in write-back mode keeps contacts whose connection is lost (GH 3479, commit
    /// 45d2983a46). No fixed release is known.
    pub(super) fn keeps_lost_tcp(self) -> bool {
        self.is_at_least(6, 1, 3)
    }

    /// Whether a flush in `db_mode` 3 leaves the attributes of a contact in the table.
    pub(super) fn leaves_attributes(self) -> bool {
        !self.is_at_least(5, 7, 5)
    }

    /// Bytes of private memory that a row takes at the least when the table is loaded.
    pub(super) fn least_bytes_a_row(version: Option<Self>) -> u64 {
        match version {
            Some(version) if version.is_at_least(5, 8, 0) => LEAST_BYTES_A_ROW_5_8,
            Some(_) | None => LEAST_BYTES_A_ROW,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Whether usrlocd is tested with the Kamailio that gave this answer.
pub(super) fn check(answer: &str, findings: &mut Findings) {
    let check = "kamailio_version";
    let Some(version) = Version::parse(answer) else {
        let message = format!("Cannot read the version {answer:?}.");
        findings.note(GROUP, check, message);
        return;
    };
    let tested = format!(
        "Kamailio {}.{} to {}.{}",
        OLDEST.0, OLDEST.1, NEWEST.0, NEWEST.1
    );
    let line = (version.major, version.minor);
    match (line.cmp(&OLDEST), line.cmp(&NEWEST)) {
        (Ordering::Less, _) => {
            let message = format!(
                "usrlocd is tested with {tested}; this version is older. Lists are correct if the columns above are present; test a flush of one user, and upgrade when you can:"
            );
            let remedy = ["apt-get install --only-upgrade kamailio".to_owned()];
            findings.warn(GROUP, check, message, remedy);
        }
        (_, Ordering::Greater) => {
            let message = format!(
                "usrlocd is tested with {tested}; this version is newer. Lists are correct if the columns above are present; test a flush of one user before you rely on it."
            );
            findings.note(GROUP, check, message);
        }
        _ => findings.ok(
            GROUP,
            check,
            format!("usrlocd is tested with {tested}; this is {version}."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: &str) -> Version {
        Version::parse(&format!("kamailio {number} (x86_64/linux)")).unwrap()
    }

    #[test]
    fn versions_are_read() {
        let version = |major, minor, patch| Version {
            major,
            minor,
            patch,
        };
        for (answer, expected) in [
            ("kamailio 5.6.3 (x86_64/linux)", version(5, 6, 3)),
            ("kamailio 6.1.5 (x86_64/Linux)", version(6, 1, 5)),
            ("kamailio 6.2.0-dev1 (x86_64/linux)", version(6, 2, 0)),
            ("kamailio 5.10.0-pre0 (aarch64/linux)", version(5, 10, 0)),
            ("kamailio 6.1", version(6, 1, 0)),
        ] {
            assert_eq!(Version::parse(answer), Some(expected), "{answer}");
        }
        for answer in ["", "OpenSIPS", "kamailio", "kamailio x.y", "kamailio 6"] {
            assert_eq!(Version::parse(answer), None, "{answer}");
        }
    }

    #[test]
    fn versions_are_judged() {
        let judged = |answer: &str| {
            let mut findings = Findings::default();
            check(answer, &mut findings);
            (findings.counts(), findings.text("x"))
        };
        for number in ["5.5.0", "5.6.3", "5.8.8", "6.0.1", "6.1.5"] {
            let (_, text) = judged(&format!("kamailio {number} (x86_64/linux)"));
            assert!(
                text.contains("ok  ") && text.contains("5.5 to 6.1"),
                "{text}"
            );
        }
        for number in ["6.2.0-dev1", "7.0.0", "6.10.0"] {
            let (counts, text) = judged(&format!("kamailio {number} (x86_64/Linux)"));
            assert_eq!(counts, (0, 0), "{text}");
            assert!(text.contains("is newer"), "{text}");
        }
        assert_eq!(judged("kamailio 5.4.4 (x86_64/linux)").0, (0, 1));
        assert_eq!(judged("kamailio 4.4.7 (x86_64/linux)").0, (0, 1));
        assert!(judged("OpenSIPS").1.contains("Cannot read the version"));
    }

    #[test]
    fn what_versions_do_changes_where_it_changed() {
        let first = |does: fn(Version) -> bool, before: &str, from: &str| {
            assert_ne!(does(of(before)), does(of(from)), "{before}, {from}");
        };
        first(Version::has_busy_timeout, "5.8.8", "6.0.0");
        first(Version::keeps_lost_tcp, "6.1.2", "6.1.3");
        first(Version::leaves_attributes, "5.7.4", "5.7.5");
        assert!(of("6.1.5").has_busy_timeout() && of("6.2.0-dev1").keeps_lost_tcp());
        assert!(!of("5.8.0").leaves_attributes() && of("5.5.4").leaves_attributes());
        assert!(!of("6.0.7").keeps_lost_tcp() && !of("5.6.3").keeps_lost_tcp());
        let least = |number| Version::least_bytes_a_row(Some(of(number)));
        assert_eq!((least("5.7.4"), least("5.8.0")), (2200, 2600));
        assert_eq!(Version::least_bytes_a_row(None), 2200);
    }
}
