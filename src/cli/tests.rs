use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

fn status_of(args: &[&str]) -> u8 {
    let program = std::iter::once("usrlocd").chain(args.iter().copied());
    let result = perform(program.map(OsString::from));
    result.map_or_else(|ending| ending.exit_status(), |()| 0)
}

#[test]
fn a_wrong_command_line_is_64_and_help_is_no_failure() {
    for usage in [
        &[][..],
        &["nonsense"],
        &["serve", "--nonsense"],
        &["token"],
        &["token", "new"],
        &["completions", "dos"],
    ] {
        assert_eq!(status_of(usage), 64, "{usage:?}");
    }
    for help in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["help", "serve"],
        &["token", "new", "--help"],
    ] {
        assert_eq!(status_of(help), 0, "{help:?}");
    }
}

#[test]
fn a_panic_is_a_defect_with_status_70() {
    let ending = guarded(|| panic!("as a defect does")).unwrap_err();
    assert_eq!(ending.exit_status(), 70);
    assert!(guarded(|| Ok(())).is_ok());
}

#[test]
fn a_tokens_file_that_cannot_be_used_has_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (new, list, revoke) = (
        ["token", "new", "--name", "n"],
        ["token", "list"],
        ["token", "revoke", "n"],
    );
    let status = |verb: &[&str], file: &str| status_of(&[verb, &["--file", file]].concat());
    let is_no_file = folder.path().display().to_string();
    for verb in [&new[..], &list, &revoke] {
        assert_eq!(status(verb, &is_no_file), 74, "{verb:?}");
    }
    assert_eq!(status(&new, &path("absent/tokens.toml")), 73);
    let broken = path("broken.toml");
    std::fs::write(&broken, "[[token]]\n").unwrap();
    for verb in [&new[..], &list, &revoke] {
        assert_eq!(status(verb, &broken), 78, "{verb:?}");
    }
    let good = path("good.toml");
    assert_eq!(status(&new, &good), 0);
    assert_eq!(status(&new, &good), 1, "the name is taken");
    assert_eq!(status(&["token", "revoke", "other"], &good), 1);
    assert_eq!(status(&list, &good), 0);
}

#[test]
fn a_wrong_configuration_is_78() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let config = path.to_str().unwrap();
    let tokens = format!(
        "[auth]\ntokens_file = \"{}/t.toml\"\n",
        folder.path().display()
    );
    std::fs::write(&path, &tokens).unwrap();
    assert_eq!(status_of(&["check-config", "--config", config]), 0);
    std::fs::write(folder.path().join("t.toml"), "[[token]]").unwrap();
    assert_eq!(status_of(&["check-config", "--config", config]), 78);
    std::fs::write(&path, "[http]\nwire = 1").unwrap();
    for verb in ["check-config", "serve"] {
        assert_eq!(status_of(&[verb, "--config", config]), 78, "{verb}");
    }
    assert_eq!(status_of(&["serve", "--config", "/nonexistent.toml"]), 78);
    assert_eq!(status_of(&["serve", "--log-level", "loud"]), 78);
}

#[test]
fn a_missing_or_private_key_is_78() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let pem = folder.path().join("k.pem");
    let text = format!(
        "[auth]\ntokens_file = \"\"\n[auth.jwt]\nkeys = [{{ kid = \"a\", pem_file = \"{}\" }}]",
        pem.display()
    );
    std::fs::write(&path, text).unwrap();
    let check = ["check-config", "--config", path.to_str().unwrap()];
    assert_eq!(status_of(&check), 78);
    std::fs::write(&pem, "-----BEGIN PUBLIC KEY-----\n").unwrap();
    assert_eq!(status_of(&check), 78, "a key without its rest");
    std::fs::write(&pem, include_str!("../http/tests/keys/public.pem")).unwrap();
    assert_eq!(status_of(&check), 0);
    std::fs::write(&pem, "-----BEGIN RSA PRIVATE KEY-----\n").unwrap();
    assert_eq!(status_of(&check), 78);
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    let token = |args: &[&str]| {
        let file = ["token", "--file", path.to_str().unwrap()];
        status_of(&[&file, args].concat())
    };
    assert_eq!(token(&["new", "--name", "ops", "--expires", "90d"]), 0);
    assert_eq!(token(&["new", "--name", "ops"]), 1, "the name is taken");
    assert_eq!(token(&["new", "--name", "a b"]), 64);
    assert_eq!(token(&["new", "--name", "x", "--rights", "write"]), 64);
    assert_eq!(token(&["new", "--name", "x", "--accounts", "*,a"]), 64);
    assert_eq!(
        token(&["new", "--name", "x", "--expires", "2001-01-01"]),
        64
    );
    assert_eq!(token(&["list"]), 0);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("rights   = [\"read\", \"flush\"]"), "{text}");
    assert_eq!(token(&["revoke", "ops"]), 0);
    assert_eq!(token(&["revoke", "ops"]), 1);
    std::fs::write(&path, "[[token]]").unwrap();
    assert_eq!(token(&["list"]), 78);
    assert_eq!(
        status_of(&["token", "new", "--name", "a", "--file", "/nonexistent/t"]),
        73
    );
}

#[test]
fn a_flag_overrides_each_key_that_it_names() {
    let args = [
        "usrlocd",
        "serve",
        "--database",
        "/d",
        "--jsonrpc",
        "http://h/RPC",
        "--store",
        "s.db",
        "--listen",
        "127.0.0.1:1",
        "--listen",
        "127.0.0.1:2",
        "--socket",
        "",
        "--tokens-file",
        "/t",
        "--log-level",
        "debug",
        "--log-format",
        "json",
    ];
    let Verb::Serve(serve) = Cli::try_parse_from(args).unwrap().verb else {
        panic!("serve is serve");
    };
    let config = serve.configuration().reload().unwrap();
    assert_eq!(config.kamailio.database, std::path::Path::new("/d"));
    assert_eq!(
        config.store.path,
        std::env::current_dir().unwrap().join("s.db")
    );
    assert_eq!(config.http.listen.len(), 2);
    assert_eq!(config.http.socket, None);
    assert_eq!(config.log.level, "debug");
    // With the store its neighbour, the history, is another one.
    assert_eq!(config.changes(&crate::config::Config::default()).len(), 9);
}

#[test]
fn every_verb_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    assert_eq!(status_of(&["man", "--directory", directory]), 0);
    let mut pages: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in ["usrlocd.8", "usrlocd-serve.8", "usrlocd-token-new.8"] {
        assert!(pages.contains(&page.to_owned()), "{pages:?}");
    }
    assert_eq!(status_of(&["man", "--directory", "/nonexistent"]), 73);
}

/// As scripts with an unset variable call it. Nobody is asked: a path with an empty piece is one of something else.
#[test]
fn an_empty_word_is_64() {
    for usage in [
        &["flush", "acme", "--user", "", "--yes"][..],
        &["flush", "acme", "--user=", "--dry-run"],
        &["flush", "", "--yes"],
        &["flush", "", "--user", "alice", "--yes"],
        &["flush", ".", "--yes"],
        &["flush", "..", "--yes"],
        &["flush", "acme", "--filter", "=x", "--yes"],
        &["flush", "acme", "--filter", "!=x", "--yes"],
        &["flush", "acme", "--filter", "", "--yes"],
        &[
            "flush",
            "acme",
            "--user",
            "..",
            "--keep-newest",
            "1",
            "--yes",
        ],
        &["show", ""],
        &["show", "alice", "--account", ""],
        &["list", ""],
        &["list", "..", "-f", "username=alice"],
        &["count", ""],
        &["count", "-f", "=x"],
        &["watch", ""],
        &["list", "--socket", "mysql://u:p@h/k"],
        &["token", "list", "--file", "mysql://u:p@h/k"],
        &[
            "token",
            "new",
            "--name",
            "",
            "--file",
            "/nonexistent/t.toml",
        ],
        &[
            "token",
            "new",
            "--name",
            "x",
            "--accounts",
            "",
            "--file",
            "/nonexistent/t.toml",
        ],
        &[
            "token",
            "new",
            "--name",
            "x",
            "--rights",
            "",
            "--file",
            "/nonexistent/t.toml",
        ],
    ] {
        assert_eq!(status_of(usage), 64, "{usage:?}");
    }
}
