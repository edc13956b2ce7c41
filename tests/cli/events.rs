//! The verbs about what happened: their help, one good and some wrong inputs each.

use std::process::{Command, Output, Stdio};

use super::{ID, Lab, ends, lab, out};
use crate::oracle::PATIENCE;
use crate::support::{eventually, holds, tools};

#[test]
fn each_has_a_help_with_examples() {
    let lab = lab();
    for (verb, words) in [
        (&["history"][..], "usrlocd history alice"),
        (&["history", "forget"], "usrlocd history forget alice"),
        (&["why"], "usrlocd why alice@acme.example.com"),
        (&["flaps"], "usrlocd flaps --by source"),
        (&["watch"], "usrlocd watch"),
        (&["webhook", "test"], "usrlocd webhook test crm"),
    ] {
        let output = run(&lab, &[verb, &["--help"]].concat());
        assert!(output.status.success(), "{verb:?}: {output:?}");
        let help = out(&output);
        for part in ["Usage: usrlocd ", "Examples:\n", "Exit status:\n", words] {
            assert!(help.contains(part), "{verb:?} has no {part:?}: {help}");
        }
    }
}

fn run(lab: &Lab, args: &[&str]) -> Output {
    let mut command = Command::new(tools::usrlocd());
    command.args(args).arg("--config");
    command.arg(lab.daemon.config_file()).stdin(Stdio::null());
    command.output().expect("usrlocd can be run")
}

#[test]
fn wrong_inputs_are_refused_in_words() {
    let lab = lab();
    let refused = |args: &[&str], status: i32, words: &str| {
        ends(&run(&lab, args), status, words);
    };
    refused(&["history", "--since", "nonsense"], 64, "24h or 30m");
    refused(&["history", "--reason", "nonsense"], 64, "reason");
    refused(&["history", "--events", "nonsense"], 64, "events");
    refused(&["history", "--account", "nowhere"], 1, "`nowhere`");
    refused(&["history", "nobody", "--account", ID], 1, "nobody");
    refused(&["history", "forget"], 64, "<USER>");
    refused(&["history", "forget", "nobody", "-a", ID], 1, "nobody");
    refused(&["why"], 64, "<USER>");
    refused(&["why", "alice", "--at", "nonsense"], 64, "24h or 30m");
    refused(&["why", "nobody", "--account", ID], 1, "nobody");
    refused(&["flaps", "--by", "nonsense"], 64, "user_agent");
    refused(&["flaps", "nowhere"], 1, "`nowhere`");
    refused(&["webhook", "test"], 64, "<NAME>");
    refused(
        &["webhook", "test", "nope"],
        1,
        "there is no webhook called nope",
    );
}

#[test]
fn good_inputs_are_answered() {
    let lab = lab();
    eventually("the history has alice", PATIENCE, || {
        let text = lab.prints(&["history", "-o", "csv"]);
        holds(text.contains("registered,,alice"), || text)
    });
    let table = lab.prints(&["history", "alice", "-a", ID, "-o", "table"]);
    assert!(table.lines().count() == 2, "{table}");
    assert!(table.contains("registered"), "{table}");
    let why = lab.prints(&["why", "alice@acme.example.com", "-o", "json"]);
    let why: serde_json::Value = serde_json::from_str(&why).expect("JSON");
    assert!(why["sentence"].is_string(), "{why}");
    for by in ["source", "user_agent", "proxy"] {
        let counts = lab.prints(&["flaps", "--by", by, "-o", "json"]);
        assert_eq!(counts.trim(), "[]", "{by}");
    }
}
