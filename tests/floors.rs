//! The floors of the house: imports go down only, between rooms and inside them, and driver crates stay in their room.

mod paths;

use std::collections::{BTreeMap, BTreeSet};
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
        "own_database",
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
    &[
        "accounts", "config", "kamailio", "registry", "sessions", "tokens",
    ],
    &["source", "consumers", "events"],
    &["event_log", "flush"],
    &["webhook", "fleet", "logging", "notify"],
    &["http"],
    &["daemon"],
    &["cli"],
    &["main", "lib"],
];

/// Driver crates, by the start of their paths, and the rooms that may use them.
const DRIVERS: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    ("clap", &["cli"]),
    ("governor", &["http"]),
    ("hyper", &["client", "http", "kamailio", "webhook"]),
    ("hyper_rustls", &["webhook"]),
    ("hyper_util", &["client", "http", "kamailio", "webhook"]),
    ("jsonwebtoken", &["http/auth", "http/tests"]),
    ("notify", &["daemon", "source/sqlite"]),
    ("prometheus_client", &["metrics"]),
    (
        "rustix",
        &[
            "cli",
            "daemon",
            "http/auth",
            "http/socket",
            "http/tests",
            "kamailio",
            "logging",
            "metrics",
            "own_thread",
            "source/sqlite",
            "sqlite_file",
        ],
    ),
    ("rustls", &["source/sql", "webhook"]),
    ("sd_notify", &["daemon"]),
    (
        "sqlx",
        &[
            "consumers/store",
            "event_log",
            "fleet",
            "own_database",
            "source/sql",
        ],
    ),
    (
        "tokio::net",
        &[
            "client",
            "daemon",
            "flush/tests",
            "http",
            "kamailio",
            "webhook/tests",
        ],
    ),
    ("toml", &["config", "document", "tokens"]),
    ("tower", &["http", "webhook"]),
    ("tower_http", &["http"]),
    ("tracing_subscriber", &["http/tests", "logging"]),
];

/// Rooms that may be taken out of the house: they import nothing of it.
const ALONE: &[&str] = &["client", "clock", "sip", "spreadsheet", "sqlite_file"];

/// A source file.
struct Source {
    /// Its path below `src` without `.rs`.
    name: String,
    /// Its module, by its segments.
    module: Vec<String>,
    text: String,
    /// The paths that it names; those of the crate are absolute.
    paths: BTreeSet<Vec<String>>,
}

impl Source {
    /// The source `name` with this text.
    fn new(name: &str, text: &str) -> Self {
        let module: Vec<String> = name.split('/').map(str::to_owned).collect();
        Self {
            name: name.to_owned(),
            paths: paths::of(text, &module),
            module,
            text: text.to_owned(),
        }
    }

    /// The module on the ground of the crate that the file belongs to.
    fn room(&self) -> &str {
        &self.module[0]
    }

    /// Whether this is one of the room's files.
    fn is_of(&self, room: &str) -> bool {
        self.name == room || self.name.starts_with(&format!("{room}/"))
    }

    fn is_test(&self) -> bool {
        self.module
            .iter()
            .any(|name| name == "tests" || name == "testing")
    }

    /// The paths below the crate's root.
    fn own_paths(&self) -> impl Iterator<Item = &[String]> {
        let paths = self.paths.iter();
        paths.filter_map(|path| {
            path.strip_prefix(&["crate".to_owned()])
                .filter(|rest| !rest.is_empty())
        })
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder of the source can be listed").path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    files_below(&root(), &mut found);
    let read = |path: PathBuf| {
        let below = path
            .strip_prefix(root())
            .expect("it was found there")
            .with_extension("");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Source::new(&below.to_string_lossy(), &text)
    };
    let sources: Vec<_> = found.into_iter().map(read).collect();
    let seen: usize = sources
        .iter()
        .map(|source| source.own_paths().count())
        .sum();
    assert!(
        seen > 1000,
        "only {seen} paths were found: has the test gone blind?"
    );
    sources
}

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("src/{module} has no floor yet; give it one in tests/floors.rs"))
}

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn imports_go_down_only() {
    let sources = sources();
    let rooms: BTreeSet<&str> = sources.iter().map(Source::room).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in &sources {
        let own = floor(source.room());
        for path in source.own_paths() {
            let imported = path[0].as_str();
            if imported == source.room() || !rooms.contains(imported) {
                continue;
            }
            seen += 1;
            if floor(imported) >= own {
                wrong.push(format!("src/{}.rs names {}", source.name, path.join("::")));
            }
            if ALONE.contains(&source.room()) {
                wrong.push(format!(
                    "src/{}.rs is to be alone, and names {}",
                    source.name,
                    path.join("::")
                ));
            }
        }
    }
    assert!(
        seen > 300,
        "only {seen} imports were found: has the test gone blind?"
    );
    assert_none("imports that do not go down", &wrong);
}

/// A reader of files that SQLite writes, which could be a crate of its own: it says nothing of whose tables it reads.
#[test]
fn sqlite_file_knows_no_kamailio() {
    let foreign = [
        "kamailio",
        "usrloc",
        "kazoo",
        "registration",
        "binding",
        "sip:",
    ];
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for source in sources() {
        if source.room() != "sqlite_file" || source.is_test() {
            continue;
        }
        seen += 1;
        for line in source.text.lines() {
            let lower = line.to_lowercase();
            for word in foreign.iter().filter(|word| lower.contains(**word)) {
                wrong.push(format!("src/{}.rs speaks of {word}: {line}", source.name));
            }
        }
    }
    assert!(
        seen > 15,
        "only {seen} files were found: has the test gone blind?"
    );
    assert_none("sqlite_file knows whose tables it reads", &wrong);
}

/// The architecture page shows the same floors.
#[test]
fn the_crates_documentation_has_the_same_floors() {
    let page = fs::read_to_string(root().join("lib.rs")).expect("the crate has a root");
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

/// What the architecture page names as `room::file::Type::function` is there. Its links are rustdoc's to check, which
/// sees nothing private.
#[test]
fn the_crates_documentation_names_what_there_is() {
    let sources = sources();
    let page = fs::read_to_string(root().join("lib.rs")).expect("the crate has a root");
    let pieces: Vec<&str> = page.split('`').collect();
    let code = pieces.windows(2).step_by(2);
    let names = code.filter(|pair| !pair[0].ends_with('[') && pair[1].contains("::"));
    let names: Vec<&str> = names.map(|pair| pair[1]).collect();
    let is_there = |name: &&str| {
        let path: Vec<&str> = name.split("::").collect();
        let file = |length| sources.iter().find(|it| it.module == path[..length]);
        let found = (1..=path.len()).rev().find_map(|it| Some((it, file(it)?)));
        found.is_some_and(|(length, file)| {
            let is_end = |c: char| !c.is_alphanumeric() && c != '_';
            let has = |part: &&str| file.text.split(is_end).any(|word| word == *part);
            path[length..].iter().all(has)
        })
    };
    let wrong: Vec<String> = names
        .iter()
        .filter(|name| !is_there(name))
        .map(ToString::to_string)
        .collect();
    assert!(
        names.len() > 8,
        "only {names:?} were found: has the test gone blind?"
    );
    assert_none("src/lib.rs names what is not there", &wrong);
}

#[test]
fn driver_crates_stay_in_their_room() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (driver, rooms) in DRIVERS {
        let start: Vec<&str> = driver.split("::").collect();
        let mut used = BTreeSet::new();
        for source in &sources {
            let names_it = |path: &Vec<String>| {
                path.len() > start.len() && path.iter().zip(&start).all(|(own, name)| own == name)
            };
            let Some(path) = source.paths.iter().find(|path| names_it(path)) else {
                continue;
            };
            match rooms.iter().find(|room| source.is_of(room)) {
                Some(room) => drop(used.insert(*room)),
                None => wrong.push(format!("src/{}.rs names {}", source.name, path.join("::"))),
            }
        }
        // A room that needs its driver no more shall not keep the right to it.
        for room in rooms.iter().filter(|room| !used.contains(*room)) {
            wrong.push(format!(
                "src/{room} does not use {driver}: has the test gone blind?"
            ));
        }
    }
    assert_none("driver crates outside their room", &wrong);
}

/// In each folder of a room, which of its modules name which others, whatever is below them; and one path of each.
type Arrows<'a> = BTreeMap<(Vec<String>, &'a str, &'a str), String>;

fn arrows<'a>(sources: &'a [Source], room: &str) -> Arrows<'a> {
    let modules: BTreeSet<&[String]> = sources.iter().map(|source| &*source.module).collect();
    let mut arrows = Arrows::new();
    let own = sources
        .iter()
        .filter(|source| source.room() == room && !source.is_test());
    for source in own {
        for path in source.own_paths() {
            let shared = path
                .iter()
                .zip(&source.module)
                .take_while(|(one, other)| one == other)
                .count();
            let is_module = |length| modules.contains(&path[..length]);
            // What a file names of the modules above it, or of those below, makes no circle.
            if let (Some(from), Some(to)) = (source.module.get(shared), path.get(shared))
                && shared > 0
                && is_module(shared + 1)
            {
                let arrow = (source.module[..shared].to_vec(), from.as_str(), to.as_str());
                arrows
                    .entry(arrow)
                    .or_insert_with(|| format!("src/{}.rs names {}", source.name, path.join("::")));
            }
        }
    }
    arrows
}

/// The arrows that are part of a circle.
fn circular(arrows: &Arrows<'_>) -> Vec<String> {
    let leads = |folder: &Vec<String>, from: &str, to: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(here) = next.pop() {
            let onward = arrows
                .keys()
                .filter(|(own, start, _)| own == folder && *start == here);
            next.extend(
                onward
                    .map(|(_, _, end)| *end)
                    .filter(|end| seen.insert(*end)),
            );
        }
        seen.contains(to)
    };
    let wrong = arrows
        .iter()
        .filter(|((folder, from, to), _)| leads(folder, to, from));
    wrong.map(|(_, shown)| shown.clone()).collect()
}

#[test]
fn no_room_imports_itself_in_a_circle() {
    let sources = sources();
    let rooms: BTreeSet<&str> = sources.iter().map(Source::room).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for room in rooms {
        let arrows = arrows(&sources, room);
        seen += arrows.len();
        wrong.extend(circular(&arrows));
    }
    assert!(
        seen > 200,
        "only {seen} imports were found: has the test gone blind?"
    );
    assert_none("circles of imports inside rooms", &wrong);
}

#[test]
fn a_circle_would_be_found() {
    let room = |below: &str| {
        vec![
            Source::new("room", "use self::a::A; pub struct Shared;"),
            Source::new("room/a", "use super::Shared; use super::b::B;"),
            Source::new("room/b", "mod below;"),
            Source::new("room/b/below", below),
        ]
    };
    for (below, length) in [
        ("use crate::room::{Shared, a::A};", 2),
        ("use super::super::a::A;", 2),
        ("use crate::room::b::C;", 0),
        ("use crate::other::X;", 0),
    ] {
        let sources = room(below);
        assert_eq!(circular(&arrows(&sources, "room")).len(), length, "{below}");
    }
}
