//! What a server's own log says that usrlocd asked.

use std::collections::HashSet;

use super::{Engine, PASSWORD, Server};

/// How statements begin that only read, or only concern the session that sends them.
const HARMLESS: [&str; 2] = ["select ", "set "];

impl Server {
    /// How many statements usrlocd sent since the server's first start.
    ///
    /// # Panics
    ///
    /// When one of them does more than read, or the log shows the password.
    #[track_caller]
    pub(crate) fn only_reads(&self) -> usize {
        let log = self.log();
        let statements = match self.engine {
            Engine::Postgres => of_postgresql(&log),
            Engine::MariaDb => of_mariadb(&log),
        };
        for statement in &statements {
            let words = statement.trim_start().to_lowercase();
            assert!(
                HARMLESS.iter().any(|it| words.starts_with(it)) && !words.contains("for update"),
                "usrlocd sent: {statement}"
            );
            assert!(!words.contains(PASSWORD), "{statement}");
        }
        statements.len()
    }
}

/// The prefix of each line names the application, which usrlocd says.
fn of_postgresql(log: &str) -> Vec<String> {
    let own = log
        .lines()
        .filter_map(|line| line.strip_prefix("usrlocd: "));
    let statement = |line: &str| {
        let said = line.strip_prefix("LOG:")?.trim_start();
        let (kind, statement) = said.split_once(": ")?;
        let is_one = kind == "statement" || kind.starts_with("execute");
        is_one.then(|| statement.to_owned())
    };
    own.filter_map(statement).collect()
}

/// Each line has the number of its connection, which says at its start whose it is; the numbers begin anew with the
/// server.
fn of_mariadb(log: &str) -> Vec<String> {
    let (mut own, mut statements) = (HashSet::new(), Vec::new());
    for line in log.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let command = |field: &&str| {
            let (id, command) = field.trim().split_once(' ')?;
            // A time may come first: `261201  5:24:31`.
            let is_one = command.starts_with(|first: char| first.is_ascii_alphabetic());
            is_one.then_some((id.parse::<u32>().ok()?, command.to_owned()))
        };
        let found = fields.iter().enumerate();
        let mut found = found.filter_map(|(at, field)| Some((at, command(field)?)));
        let Some((at, (id, command))) = found.next() else {
            continue;
        };
        let said = fields[at + 1..].join("\t");
        match &*command {
            "Connect" if said.starts_with("usrlocd@") => drop(own.insert(id)),
            "Connect" => drop(own.remove(&id)),
            "Query" | "Execute" | "Prepare" if own.contains(&id) => statements.push(said),
            _ => {}
        }
    }
    statements
}
