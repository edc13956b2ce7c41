//! The fleet's SQL is what every database that speaks `PostgreSQL`'s protocol understands.

use std::fs;
use std::path::{Path, PathBuf};

/// What only `PostgreSQL` itself has, or what does not scale out.
const FORBIDDEN: &[&str] = &[
    "advisory",
    "bigserial",
    "create extension",
    "create function",
    "create sequence",
    "create trigger",
    "ctid",
    "generated always",
    "inherits",
    "lock table",
    "nextval",
    "serial primary",
    "set storage",
    "unlogged",
    "xmin",
];

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
}

/// The SQL of a text without its comments, in lower case and with single spaces.
fn sql(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default());
    let words = lines.flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

fn complaints(text: &str) -> Vec<&'static str> {
    let sql = sql(text);
    let found = FORBIDDEN.iter().filter(|word| sql.contains(**word));
    let mut found: Vec<_> = found.copied().collect();
    // As a statement: it may only ever be a hint.
    if sql
        .split(';')
        .any(|statement| statement.trim().starts_with("listen "))
    {
        found.push("listen");
    }
    found
}

#[test]
fn the_sql_of_the_fleet_is_portable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("sql/fleet"), "sql", &mut found);
    assert!(found.len() > 5, "{found:?}");
    files(&root.join("src/fleet"), "rs", &mut found);
    for file in found {
        let text = fs::read_to_string(&file).expect("it can be read");
        assert_eq!(complaints(&text), [""; 0], "{}", file.display());
    }
    assert_eq!(
        complaints("SELECT pg_advisory_lock(1); LISTEN x"),
        ["advisory", "listen"]
    );
}
