use super::*;

const FILE: &str = r#"# Who may ask; keep this file secret.

# The operators.
[[token]]
name     = "ops"   # Ann's
sha256   = "HASH_A"
accounts = ["*"]
rights   = ["read", "flush"]
expires  = 2027-01-01T00:00:00Z
# after ops

# A dashboard.
[[token]]
name = "dashboard"
sha256 = "HASH_B"
accounts = [
    "acme.example.com",
    "a1",
]
rights = ["read"]
"#;

fn text() -> String {
    FILE.replace("HASH_A", &sha256_hex("a"))
        .replace("HASH_B", &sha256_hex("b"))
}

#[test]
fn a_presented_token_is_found_by_its_hash() {
    let set = parse(&text(), "t.toml").unwrap();
    let ops = set.verify("a", 0).unwrap();
    assert_eq!(ops.name, "ops");
    assert_eq!(ops.accounts, Accounts::All);
    assert_eq!(ops.expires, Some(1_798_761_600));
    let dashboard = set.verify("b", i64::MAX).unwrap();
    assert_eq!(
        dashboard.accounts,
        Accounts::List(vec!["acme.example.com".into(), "a1".into()])
    );
    assert_eq!(
        dashboard.rights,
        Rights {
            read: true,
            flush: false
        }
    );
    for stranger in ["", "c", "aa", &sha256_hex("a")] {
        assert_eq!(set.verify(stranger, 0), Err(Refused::Unknown));
    }
}

#[test]
fn a_token_is_refused_from_its_end_on() {
    let set = parse(&text(), "t.toml").unwrap();
    assert!(set.verify("a", 1_798_761_599).is_ok());
    let expired = Refused::Expired { name: "ops".into() };
    assert_eq!(set.verify("a", 1_798_761_600), Err(expired));
    assert_eq!(TokenSet::default().verify("a", 0), Err(Refused::Unknown));
}

#[test]
fn nothing_secret_is_shown() {
    let set = parse(&text(), "t.toml").unwrap();
    let shown = format!("{set:?}");
    assert!(shown.contains("ops") && shown.contains("dashboard"));
    for secret in ["a", "b"] {
        assert!(!shown.contains(&sha256_hex(secret)[..16]));
        assert!(!shown.contains(&format!("{:?}", digest(secret))));
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = r#"
[[token]]
name = "a b"
sha256 = "ABCDEF"
accounts = []
rights = ["read", "write"]
expires = "2027-01-01"

[[token]]
name = "twice"
sha256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
accounts = ["*", "a"]
rights = []
expires = 2027-01-01

[[token]]
name = "twice"
sha256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
account = ["a"]
rights = "read"
expires = 2027-01-01T00:00:00

[[token]]
name = "pasted"
sha256 = "usrlocd_ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
accounts = "a1"
rights = ["read"]

[[token]]
name = "usrlocd_ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"

[[tokens]]
"#;
    let problems = parse(text, "t.toml").unwrap_err().to_string();
    insta::assert_snapshot!(problems, @r#"
    t.toml:3:8: "a b" is not a name; use up to 64 letters, digits and . _ - @
    t.toml:4:10: expected 64 lower-case hex digits, the SHA-256 of the token; `usrlocd token new` creates one, `printf %s TOKEN | sha256sum` computes it
    t.toml:5:12: the list is empty, so the token has no access; list account ids, or ["*"] for all
    t.toml:6:10: "write" is not a right; the rights are "read" and "flush"
    t.toml:7:11: expected a date-time without quotes, for instance 2027-01-01T00:00:00Z, found a string
    t.toml:12:12: "*" means all accounts; remove it, or the others
    t.toml:13:10: the list is empty, so the token permits nothing; write for instance ["read"]
    t.toml:14:11: "2027-01-01" is not a full date-time with its offset; write for instance 2027-01-01T00:00:00Z
    t.toml:16:1: `accounts` is missing
    t.toml:17:8: duplicate name "twice"; choose another
    t.toml:18:10: this token is used in another stanza; create one with `usrlocd token new`
    t.toml:19:1: unknown key `account`; did you mean `accounts`?
    t.toml:21:11: "2027-01-01T00:00:00" is not a full date-time with its offset; write for instance 2027-01-01T00:00:00Z
    t.toml:25:10: this is the token itself, not its SHA-256; revoke it and create another: `usrlocd token new` creates one, `printf %s TOKEN | sha256sum` computes it
    t.toml:29:1: `sha256` is missing
    t.toml:29:1: `accounts` is missing
    t.toml:29:1: `rights` is missing
    t.toml:30:8: this looks like a token, but names are public; choose another
    t.toml:32:3: unknown key `tokens`; did you mean `token`?
    "#);
    assert!(
        !problems.contains("ca978112"),
        "no hash and no token is shown"
    );
}

#[test]
fn an_empty_file_holds_no_token() {
    assert!(parse("", "t.toml").unwrap().is_empty());
    assert!(parse("# nobody yet\n", "t.toml").unwrap().is_empty());
}

#[test]
fn new_tokens_differ_and_are_plain_words() {
    let (one, other) = (new_token().unwrap(), new_token().unwrap());
    assert_ne!(one, other);
    assert_eq!(one.len(), PREFIX.len() + 64);
    assert!(one.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
}

#[test]
fn operators_say_when_a_token_ends() {
    let now = 1_000_000_000;
    assert_eq!(expiry("90d", now), Ok(now + 90 * 86_400));
    assert_eq!(expiry("12h", now), Ok(now + 12 * 3600));
    assert_eq!(expiry("2027-01-01", now), Ok(1_798_761_600));
    assert_eq!(expiry("2027-01-01T01:00:00+01:00", now), Ok(1_798_761_600));
    for wrong in [
        "",
        "d",
        "-1d",
        "soon",
        "90",
        "2027-13-01",
        "2027-01-01T00:00:00",
        "9é",
    ] {
        assert!(expiry(wrong, now).is_err(), "{wrong}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived(text in ".{0,200}") {
        parse(&text, "t.toml").ok();
        expiry(&text, 0).ok();
    }
}

mod on_disk {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use super::*;

    fn stanza(name: &str) -> Stanza {
        let accounts = vec!["a1".to_owned(), "acme.example.com".to_owned()];
        let rights = vec!["read".to_owned()];
        Stanza::new(name.to_owned(), accounts, rights, Some(1_798_761_600)).unwrap()
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn names(path: &Path) -> Vec<String> {
        let loaded = load(path).unwrap();
        loaded
            .tokens
            .iter()
            .map(|token| token.name.clone())
            .collect()
    }

    #[test]
    fn a_new_file_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let token = new_token().unwrap();
        add(&path, &stanza("first"), &token).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        let found = loaded.tokens.verify(&token, 0).unwrap();
        assert_eq!(found.name, "first");
        assert_eq!(found.rights.to_string(), "read");
        assert_eq!(found.accounts.to_string(), "a1,acme.example.com");
        assert_eq!(found.expires, Some(1_798_761_600));
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn a_change_keeps_text_mode_and_links() {
        let (folder, path) = file(text().trim_end());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link.toml");
        symlink(&path, &link).unwrap();
        add(&link, &stanza("third"), "c").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        let changed = fs::read_to_string(&path).unwrap();
        assert!(changed.starts_with(&text()), "{changed}");
        assert_eq!(names(&path), ["ops", "dashboard", "third"]);
        revoke(&path, "third").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap().trim_end(),
            text().trim_end()
        );
    }

    #[test]
    fn revoking_removes_the_stanza_and_nothing_else() {
        let (_folder, path) = file(&text());
        revoke(&path, "ops").unwrap();
        let left = fs::read_to_string(&path).unwrap();
        let expected = format!(
            "# Who may ask; keep this file secret.\n\n# The operators.\n# after ops\n\n{}",
            &text()[text().find("# A dashboard.").unwrap()..]
        );
        assert_eq!(left, expected);
        revoke(&path, "dashboard").unwrap();
        let left = fs::read_to_string(&path).unwrap();
        assert!(left.ends_with("# A dashboard.\n"), "{left}");
        assert_eq!(names(&path), Vec::<String>::new());
    }

    #[test]
    fn other_spellings_are_removed_or_left_alone() {
        let (a, b) = (sha256_hex("a"), sha256_hex("b"));
        let stanza = |name, hash: &str| {
            format!(
                "{{ name = \"{name}\", sha256 = \"{hash}\", accounts = [\"*\"], rights = [\"read\"] }}"
            )
        };
        let (_folder, path) = file(&format!(
            "token = [\n  {},\n  {},\n]\n",
            stanza("a", &a),
            stanza("b", &b)
        ));
        revoke(&path, "a").unwrap();
        assert_eq!(names(&path), ["b"]);
        let one_line = format!("token = [{}, {}]\n", stanza("a", &a), stanza("b", &b));
        let (_folder, path) = file(&one_line);
        let refused = revoke(&path, "a").unwrap_err();
        assert!(
            matches!(refused, TokenFileError::Unusual { .. }),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), one_line);
    }

    #[test]
    fn a_change_that_cannot_be_right_changes_nothing() {
        let (_folder, path) = file(&text());
        let taken = add(&path, &stanza("ops"), "c").unwrap_err();
        assert!(matches!(taken, TokenFileError::Taken { .. }), "{taken}");
        let missing = revoke(&path, "nobody").unwrap_err();
        assert!(
            matches!(missing, TokenFileError::Missing { .. }),
            "{missing}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text());
        let (_folder, broken) = file("[[token]\n");
        let refused = add(&broken, &stanza("new"), "c").unwrap_err();
        assert!(matches!(refused, TokenFileError::Problems(_)), "{refused}");
        let refused = add(Path::new("/nonexistent/tokens.toml"), &stanza("new"), "c").unwrap_err();
        assert!(matches!(refused, TokenFileError::Io { .. }), "{refused}");
    }

    #[test]
    fn an_absent_or_open_file_is_worth_a_warning() {
        let (folder, path) = file(&text());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let warnings = load(&path).unwrap().warnings;
        assert!(warnings[0].contains("chmod o-rwx"), "{warnings:?}");
        let absent = load(&folder.path().join("none.toml")).unwrap();
        assert!(absent.tokens.is_empty());
        assert!(absent.warnings[0].contains("usrlocd token new"));
        let unreadable = load(folder.path()).unwrap_err().to_string();
        assert!(unreadable.contains("cannot be read"), "{unreadable}");
    }
}

/// Whatever is pasted on the wrong line, no message shows it.
#[test]
fn no_mistake_in_the_file_shows_a_secret() {
    let token = format!("usrlocd_{}", "0123456789abcdef".repeat(4));
    let hash = sha256_hex("x");
    for secret in [
        token.clone(),
        token.to_uppercase(),
        hash.clone(),
        hash.to_uppercase(),
        hash[1..].to_owned(),
        "eyJhbGciOiJSUzI1NiJ9.eyJhY2NvdW50X2lkIjoiMSJ9.c2lnbmF0dXJl".to_owned(),
        "postgres://kamailio:s3cr3t@db/kamailio".to_owned(),
    ] {
        for key in ["name", "sha256", "accounts", "rights", "expires"] {
            for value in [
                format!("\"{secret}\""),
                format!("[\"{secret}\"]"),
                secret.clone(),
            ] {
                let stanza = format!("[[token]]\n{key} = {value}\n\"{secret}\" = 1\n");
                let problems = parse(&stanza, "tokens.toml").unwrap_err().to_string();
                for part in [&*secret, "s3cr3t", "0123456789abcdef"] {
                    assert!(!problems.contains(part), "{stanza}{problems}");
                }
            }
        }
    }
}
