//! No message shows a secret, whatever is written wherever.

use super::*;

/// What must not be seen.
const SECRET: &str = "s3cr3t";

/// The SHA-256 of something: no secret, but what a token was made of may be guessed from it.
const HASH: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

/// One of our own tokens, which must not be shown either.
fn token() -> String {
    format!("usrlocd_{}", "0123456789abcdef".repeat(4))
}

/// Values with a secret in them, as people paste them into the wrong line.
fn values() -> Vec<String> {
    let mut values: Vec<String> = [
        "postgres://kamailio:s3cr3t@db.example.com/kamailio",
        "postgresql://kamailio:p@s3cr3t:w@db/kamailio?sslmode=require",
        "mysql://kamailio:s3cr3t@10.0.0.1:3306/kamailio",
        "MYSQL://kamailio:s3cr3t@10.0.0.1",
        "mysql://s3cr3t@10.0.0.1",
        "mysql:kamailio:s3cr3t@tcp(10.0.0.1)/kamailio",
        "kamailio:s3cr3t@tcp(10.0.0.1)/kamailio",
        "host=10.0.0.1 user=kamailio password=s3cr3t",
        "redis://:s3cr3t@10.0.0.1:6379/0",
        "http://root:s3cr3t@127.0.0.1:5060/RPC",
        "http://root:s3cr3t@127.0.0.1:99999/RPC",
        "https://root:s3cr3t@127.0.0.1/",
        "https://127.0.0.1/RPC?token=s3cr3t",
        "http://127.0.0.1:0/RPC?token=s3cr3t",
        "ftp://127.0.0.1/RPC#s3cr3t",
        "http://[::1/RPC?token=s3cr3t",
        "sqlite://kamailio:s3cr3t@/var/lib/kamailio.sqlite",
        "sqlite:////var/lib/kamailio.sqlite?key=s3cr3t",
        "file:/var/lib/kamailio.sqlite?password=s3cr3t",
        "password: s3cr3t",
    ]
    .map(str::to_owned)
    .into();
    values.extend([
        token(),
        format!("/etc/{}", token()),
        HASH.to_owned(),
        HASH.to_uppercase(),
    ]);
    values
}

fn assert_none(shown: &str, what: &str) {
    let lower = shown.to_lowercase();
    for secret in [SECRET, &token(), HASH] {
        assert!(!lower.contains(secret), "{what}:\n{shown}");
    }
}

/// Every key with every value, as a string, in a list, in a table, as a key, without quotes, and from outside the file.
#[test]
fn no_refusal_shows_one() {
    let mut refused = 0;
    for key in defaults::vocabulary() {
        let (section, name) = key.rsplit_once('.').unwrap();
        for value in values() {
            for text in [
                format!("[{section}]\n{name} = \"{value}\"\n"),
                format!("[{section}]\n{name} = [\"{value}\", \"{value}\"]\n"),
                format!("[{section}]\n{name} = {{ \"{value}\" = \"{value}\" }}\n"),
                format!("[{section}]\n\"{value}\" = 1\n"),
                format!("[{section}]\n{name} = {value}\n"),
                format!("[{section}]\n{name} = \"{value}\n"),
                format!("[\"{value}\"]\n{name} = 1\n"),
            ] {
                match Config::parse(&text, "f") {
                    Err(problems) => {
                        refused += 1;
                        assert_none(&problems.to_string(), &text);
                    }
                    // What is taken is shown by `check-config --print`, by a reload and by `Debug`.
                    Ok(config) if key == "kamailio.jsonrpc" || config.kamailio.server.is_some() => {
                        assert_none(&config.to_string(), &text);
                        assert_none(&format!("{config:?}"), &text);
                    }
                    Ok(_) => {}
                }
            }
            let name = key.to_uppercase().replace('.', "__");
            let name = format!("USRLOCD_{name}");
            if let Err(problems) = lay("", &[(&name, &value)], &[]) {
                refused += 1;
                assert_none(&problems.to_string(), &format!("{name}={value}"));
            }
        }
    }
    assert!(refused > 1000, "only {refused}: has the test gone blind?");
}

#[test]
fn a_good_address_is_shown_without_its_query() {
    let of = |query: &str| {
        let address = format!("http://127.0.0.1:5060/RPC?token={query}");
        Config::parse(&format!("[kamailio]\njsonrpc = \"{address}\""), "f").unwrap()
    };
    let (old, new) = (of("s3cr3t"), of("s3cr3t2"));
    let changes = old.changes(&new);
    assert_eq!(changes.len(), 1, "the change is noticed");
    for shown in [
        old.to_string(),
        changes[0].to_string(),
        format!("{changes:?}"),
        format!("{old:?}"),
    ] {
        assert_none(&shown, "shown");
        assert!(shown.contains("http://127.0.0.1:5060/RPC?…"), "{shown}");
    }
}

/// Kamailio's `db_url` is not a path; the refusal says what to write, and shows no more of a server's URL than its scheme.
#[test]
fn an_address_in_database_is_told_what_to_write() {
    let wrong = [
        "sqlite:////var/lib/kamailio/kamailio.sqlite",
        "sqlite:///var/lib/kamailio/k.db",
        "SQLite://var/lib/k.db",
        "sqlite:/var/lib/k.db",
        "sqlite3:///k.db",
        "file:/var/lib/k.db",
        "file:///var/lib/k.db?mode=ro",
        "sqlite://k.db",
        "sqlite:k.db",
        "mysql://kamailio:s3cr3t@localhost",
        "mariadb:localhost/kamailio",
        "postgres://kamailio:s3/cr3t@localhost/kamailio",
        "oracle://kamailio:s3cr3t@localhost/kamailio",
        "redis://localhost",
        "unixodbc:dsn",
        "text:///etc/kamailio/dbtext",
        "kamailio.sqlite",
        "a:b",
    ];
    let all: Vec<_> = wrong
        .iter()
        .map(|value| problems(&format!("[kamailio]\ndatabase = \"{value}\"\n")))
        .collect();
    insta::assert_snapshot!(all.join("\n"));
}
