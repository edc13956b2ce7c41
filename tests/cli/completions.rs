//! Completions as shells ask for them, on a terminal, with the Tab key.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{ID, Lab, lab};
use crate::support::tools;

/// How each shell is started without its owner's configuration, and how it takes the completions from `FILE`.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "bash --norc --noprofile -i", ". FILE"),
    (
        "zsh",
        "zsh -f -i",
        "fpath=(FOLDER $fpath); autoload -Uz compinit; compinit -u -D",
    ),
    ("fish", "fish --no-config -i", "source FILE"),
];

/// What a terminal shows when `typed` is typed in this shell.
fn terminal(lab: &Lab, shell: &(&str, &str, &str), typed: &str) -> String {
    let (name, command, setup) = *shell;
    tools::program(name);
    let usrlocd = tools::usrlocd();
    let script = Command::new(&usrlocd).args(["completions", name]).output();
    let script = script.expect("usrlocd can be run").stdout;
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let file = folder.path().join("_usrlocd");
    std::fs::write(&file, script).expect("it is ours");
    let setup = setup
        .replace("FILE", &file.display().to_string())
        .replace("FOLDER", &folder.path().display().to_string());
    let bin = usrlocd.parent().expect("it is in a directory").display();
    let path = std::env::var("PATH").expect("there is one");
    let mut child = Command::new(tools::program("script"))
        .args(["-qec", command, "/dev/null"])
        .env("PATH", format!("{bin}:{path}"))
        .env("HOME", folder.path())
        .env("TERM", "dumb")
        .env("USRLOCD_CONFIG", lab.daemon.config_file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script can be run");
    let text = format!("{setup}\nstty cols 200\n{typed}\nexit\n");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn accounts_and_users_of_the_running_daemon_are_offered() {
    let lab = lab();
    for shell in &SHELLS {
        let seen = terminal(&lab, shell, "usrlocd count ac0\t\n");
        assert!(seen.contains(&format!("usrlocd count {ID}")), "{seen}");
        let seen = terminal(&lab, shell, "usrlocd show al\t--columns realm\n");
        assert!(seen.contains("usrlocd show alice "), "{seen}");
        assert!(seen.contains("\nacme.example.com"), "it runs: {seen}");
    }
}

#[test]
fn without_a_daemon_nothing_is_said() {
    let mut lab = lab();
    lab.daemon.stop();
    let output = Command::new(tools::usrlocd())
        .env("_USRLOCD_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "2")
        .env("USRLOCD_CONFIG", lab.daemon.config_file())
        .args(["--", "usrlocd", "count", "ac"])
        .output()
        .expect("usrlocd can be run");
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn keys_verbs_and_options_are_offered() {
    let offers = |words: &[&str]| {
        let index = words.len() - 1;
        let output = Command::new(tools::usrlocd())
            .env("_USRLOCD_COMPLETE", "bash")
            .env("_CLAP_IFS", " ")
            .env("_CLAP_COMPLETE_INDEX", index.to_string())
            .arg("--")
            .args(words)
            .output()
            .expect("usrlocd can be run");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(offers(&["usrlocd", "acc"]), "accounts");
    assert_eq!(offers(&["usrlocd", "list", "--colu"]), "--columns");
    let columns = offers(&["usrlocd", "list", "--columns", "username,call"]);
    assert_eq!(columns, "username,call_id");
    assert_eq!(offers(&["usrlocd", "accounts", "--sort", "-c"]), "-count");
    assert_eq!(
        offers(&["usrlocd", "list", "--filter", "user_a"]),
        "user_agent="
    );
}
