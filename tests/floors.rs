//! The floors of the house: imports go down only, and driver crates stay in their room.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by floor, from the ground up.
const FLOORS: &[&[&str]] = &[
    &[
        "cfg_lexer",
        "client",
        "clock",
        "document",
        "heartbeat",
        "own_thread",
        "parallel",
        "progress",
        "rate_limited",
        "sip",
        "spreadsheet",
        "sqlite_file",
        "terminal",
    ],
    &["registration", "metrics"],
    &["accounts", "config", "kamailio", "registry", "tokens"],
    &["source", "consumers"],
    &["flush"],
    &["http", "logging"],
    &["daemon"],
    &["cli"],
    &["main", "lib"],
];

/// Driver crates and the rooms that may use them.
const DRIVERS: &[(&str, &[&str])] = &[
    ("sqlx", &["consumers/store", "sqlite_file/tests"]),
    ("axum", &["http"]),
    ("prometheus_client", &["metrics"]),
    ("notify", &["daemon", "source/sqlite"]),
    ("clap", &["cli"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder of the source can be listed").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each source file as its path below `src` without `.rs`, with its text.
fn files() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let named = |path: PathBuf| {
        let below = path
            .strip_prefix(&root)
            .expect("it was found there")
            .with_extension("");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (below.to_string_lossy().into_owned(), text)
    };
    found.into_iter().map(named).collect()
}

/// The lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
}

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("src/{module} has no floor yet; give it one in tests/floors.rs"))
}

fn imports(line: &str) -> impl Iterator<Item = &str> {
    let name = |rest: &str| {
        rest.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len())
    };
    line.match_indices("crate::").map(move |(at, found)| {
        let rest = &line[at + found.len()..];
        &rest[..name(rest)]
    })
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (file, text) in files() {
        let room = file.split('/').next().expect("split yields one at least");
        for line in code(&text) {
            for imported in
                imports(line).filter(|imported| !imported.is_empty() && *imported != room)
            {
                seen += 1;
                if floor(imported) >= floor(room) {
                    wrong.push(format!("src/{file}.rs imports {imported}: {line}"));
                }
            }
        }
    }
    assert!(
        seen > 50,
        "only {seen} imports were found: has the test gone blind?"
    );
    assert!(
        wrong.is_empty(),
        "imports that do not go down:\n{}",
        wrong.join("\n")
    );
}

/// The architecture page shows the same floors.
#[test]
fn the_crates_documentation_has_the_same_floors() {
    let page = &files()["lib"];
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rows = rows.filter(|row| row.starts_with(|first: char| first.is_ascii_digit()));
    let shown: Vec<Vec<&str>> = rows
        .map(|row| row.split(['[', ']']).skip(1).step_by(2))
        .map(|names| names.map(|name| name.trim_matches('`')).collect())
        .collect();
    // The program's two files are above all of them.
    let (_, floors) = FLOORS.split_last().expect("there are some");
    assert_eq!(shown, floors);
}

#[test]
fn driver_crates_stay_in_their_room() {
    let mut wrong = Vec::new();
    for (file, text) in files() {
        for (driver, rooms) in DRIVERS {
            let at_home = rooms
                .iter()
                .any(|room| file == *room || file.starts_with(&format!("{room}/")));
            let path = format!("{driver}::");
            let names_it = |line: &&str| {
                line.match_indices(&path).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                })
            };
            for line in code(&text).filter(names_it).filter(|_| !at_home) {
                wrong.push(format!("src/{file}.rs uses {driver}: {line}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "driver crates outside their room:\n{}",
        wrong.join("\n")
    );
}
