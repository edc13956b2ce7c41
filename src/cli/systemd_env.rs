//! The environment of the systemd unit, which a command on a terminal does not see: variables of `/etc/default/usrlocd`
//! and of drop-ins (`systemctl edit usrlocd`). They make the daemon's configuration differ from the command's.

use std::fs;
use std::path::{Path, PathBuf};

/// The file that the unit's `EnvironmentFile=` names.
const DEFAULTS: &str = "etc/default/usrlocd";

/// Where drop-ins are.
const DROP_INS: [&str; 2] = [
    "etc/systemd/system/usrlocd.service.d",
    "run/systemd/system/usrlocd.service.d",
];

/// Where the unit may be.
const UNITS: [&str; 3] = [
    "etc/systemd/system/usrlocd.service",
    "usr/lib/systemd/system/usrlocd.service",
    "lib/systemd/system/usrlocd.service",
];

/// The prefix of usrlocd's variables.
const PREFIX: &str = "USRLOCD_";

/// What `%d` stands for.
const CREDENTIALS: &str = "/run/credentials/usrlocd.service";

/// The unit as it is installed on the machine whose root directory is `root`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Unit {
    /// Whether there is one.
    pub(super) is_there: bool,
    /// Its variables for usrlocd.
    pub(super) variables: Vec<Variable>,
    /// Whether a drop-in allows addresses.
    pub(super) opens_addresses: bool,
}

/// A variable that the daemon gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// Where it is set.
    pub(super) file: PathBuf,
}

impl Unit {
    /// Reads its files.
    pub(super) fn read(root: &Path) -> Self {
        let mut unit = Self {
            is_there: UNITS.iter().any(|file| root.join(file).exists()),
            ..Self::default()
        };
        for file in drop_ins(root) {
            for line in lines(&file) {
                if let Some(rest) = line.strip_prefix("Environment=") {
                    for word in words(rest) {
                        unit.take(&word, &file);
                    }
                }
                unit.opens_addresses |=
                    line.starts_with("IPAddressAllow=") || line.starts_with("IPAddressDeny=");
            }
        }
        // systemd lets files win over `Environment=`.
        let file = root.join(DEFAULTS);
        for line in lines(&file) {
            for word in words(&line) {
                unit.take(&word, &file);
            }
        }
        unit
    }

    /// The variables that this process has not, or with another value.
    pub(super) fn unseen(&self) -> Vec<&Variable> {
        let is_unseen = |it: &&Variable| {
            std::env::var_os(&it.name).is_none_or(|own| own.to_string_lossy() != it.value)
        };
        self.variables.iter().filter(is_unseen).collect()
    }

    fn take(&mut self, word: &str, file: &Path) {
        let Some((name, value)) = word.split_once('=') else {
            return;
        };
        if !name.starts_with(PREFIX) {
            return;
        }
        self.variables.retain(|it| it.name != name);
        self.variables.push(Variable {
            name: name.to_owned(),
            value: value.replace("%d", CREDENTIALS),
            file: file.to_owned(),
        });
    }
}

/// The warning about variables that a command does not see; `None` if there are none.
pub(super) fn warning(unseen: &[&Variable]) -> Option<String> {
    if unseen.is_empty() {
        return None;
    }
    let named: Vec<String> = unseen
        .iter()
        .map(|it| format!("{} in {}", it.name, it.file.display()))
        .collect();
    Some(format!(
        "the daemon's unit sets {}, which this command does not see",
        named.join(", ")
    ))
}

/// All of them, in the order in which systemd reads them.
fn drop_ins(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = DROP_INS
        .iter()
        .filter_map(|folder| fs::read_dir(root.join(folder)).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|it| it == "conf"))
        .collect();
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    files
}

/// The lines that are not comments; none of a file that cannot be read.
fn lines(file: &Path) -> Vec<String> {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    code.map(str::to_owned).collect()
}

/// The words of a line, whose spaces quotes may protect.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in line.chars().chain([' ']) {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            Some(_) | None => word.push(c),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_drop_ins_and_of_the_file() {
        let root = tempfile::TempDir::new().unwrap();
        assert_eq!(Unit::read(root.path()), Unit::default());
        let write = |name: &str, text: &str| {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write(UNITS[1], "[Service]\n");
        let drop_in = "[Service]\nLoadCredential=tokens.toml:/x\n# Environment=USRLOCD_NO=1\n\
            Environment=USRLOCD_AUTH__TOKENS_FILE=%d/tokens.toml \"USRLOCD_LOG__LEVEL=a b\" OTHER=1\n";
        write("etc/systemd/system/usrlocd.service.d/a.conf", drop_in);
        write(
            "etc/systemd/system/usrlocd.service.d/b.swp",
            "IPAddressAllow=any\n",
        );
        write(DEFAULTS, "#USRLOCD_X=1\nUSRLOCD_LOG__LEVEL='debug'\n");
        let unit = Unit::read(root.path());
        assert!(unit.is_there && !unit.opens_addresses);
        let found: Vec<(&str, &str)> = unit
            .unseen()
            .iter()
            .map(|it| (&*it.name, &*it.value))
            .collect();
        let tokens = "/run/credentials/usrlocd.service/tokens.toml";
        assert_eq!(
            found,
            [
                ("USRLOCD_AUTH__TOKENS_FILE", tokens),
                ("USRLOCD_LOG__LEVEL", "debug")
            ]
        );
        let said = warning(&unit.unseen()).unwrap();
        assert!(said.contains("etc/default/usrlocd"), "{said}");
        assert_eq!(warning(&[]), None);
        write(
            "etc/systemd/system/usrlocd.service.d/c.conf",
            "IPAddressAllow=192.0.2.0/24\n",
        );
        assert!(Unit::read(root.path()).opens_addresses);
    }
}
