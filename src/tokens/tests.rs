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
