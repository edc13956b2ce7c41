//! The sections of a manual page that clap does not make: examples, exit status, files, environment, see also.

use clap::Command;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::{SECTION, name};

/// Files by the option that names another in their place.
const FILES: [(&str, &str, &str); 6] = [
    (
        "config",
        "/etc/usrlocd/usrlocd.toml",
        "The configuration; if absent, defaults for Debian's Kamailio.",
    ),
    (
        "database",
        "/var/lib/kamailio/kamailio.sqlite",
        "Kamailio's database, unless it is on a server. It is only read.",
    ),
    (
        "store",
        "/var/lib/usrlocd/usrlocd.db",
        "usrlocd's own database: the known registrations (for the next start), the audit of flushes, and the page's sessions.",
    ),
    (
        "store",
        "/var/lib/usrlocd/history.db",
        "The events of the last days; see [history].",
    ),
    (
        "tokens_file",
        "/etc/usrlocd/tokens.toml",
        "The API tokens, as hashes.",
    ),
    (
        "socket",
        "/run/usrlocd/usrlocd.sock",
        "The API without tokens, for root and the socket's group.",
    ),
];

/// The sections after the options; `above` are the commands that `command` belongs to.
pub(super) fn of(command: &Command, above: &[&Command]) -> Roff {
    let mut page = Roff::new();
    let help = command.get_after_long_help().map(ToString::to_string);
    let mut notes = Vec::new();
    for (heading, lines) in parts(help.as_deref().unwrap_or_default()) {
        match heading {
            "" => notes.extend(lines),
            "Exit status" => exit_status(&mut page, &lines.join(" ")),
            // Made of the options, for all pages alike.
            "Files" | "Environment" => {}
            _ => as_it_stands(&mut page, heading, &lines),
        }
    }
    files(&mut page, command);
    environment(&mut page, command);
    if !notes.is_empty() {
        page.control("SH", ["NOTES"]);
        for note in notes {
            match note.trim() {
                "" => page.control("PP", []),
                note => page.text([roman(note)]),
            };
        }
    }
    see_also(&mut page, command, above);
    page
}

/// The text by its headings, which stand alone and end with a colon; without heading what has none.
fn parts(help: &str) -> Vec<(&str, Vec<&str>)> {
    let mut parts: Vec<(&str, Vec<&str>)> = vec![("", Vec::new())];
    for line in help.lines() {
        let begins = !line.is_empty() && !line.starts_with(' ');
        match line.strip_suffix(':') {
            Some(heading) if begins => parts.push((heading, Vec::new())),
            _ => {
                if begins && parts.last().is_some_and(|(heading, _)| !heading.is_empty()) {
                    parts.push(("", Vec::new()));
                }
                parts.last_mut().expect("it begins with one").1.push(line);
            }
        }
    }
    for (_, lines) in &mut parts {
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
    }
    parts.retain(|(_, lines)| !lines.is_empty());
    parts
}

/// Commands with explanations, or a text that is laid out already.
fn as_it_stands(page: &mut Roff, heading: &str, lines: &[&str]) {
    page.control("SH", [heading.to_uppercase().as_str()]);
    page.control("nf", []);
    for line in lines {
        page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    page.control("fi", []);
}

/// `0 done, 1 failed; 64 usage`, as a list.
fn exit_status(page: &mut Roff, text: &str) {
    page.control("SH", ["EXIT STATUS"]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = &*text;
    while !rest.is_empty() {
        let is_end = |at: &usize| {
            let after = &rest[*at..];
            (after.starts_with(", ") || after.starts_with("; "))
                && after[2..].starts_with(|c: char| c.is_ascii_digit())
        };
        let end = rest
            .char_indices()
            .map(|(at, _)| at)
            .find(is_end)
            .unwrap_or(rest.len());
        let (status, meaning) = rest[..end].split_once(' ').unwrap_or((&rest[..end], ""));
        item(page, status, meaning);
        rest = rest.get(end + 2..).unwrap_or_default();
    }
}

fn files(page: &mut Roff, command: &Command) {
    let has = |option: &str| is_root(command) || has(command, option);
    let mut named = FILES.iter().filter(|(option, _, _)| has(option)).peekable();
    if named.peek().is_some() {
        page.control("SH", ["FILES"]);
    }
    for (_, file, meaning) in named {
        page.control("TP", []);
        page.text([italic(*file)]);
        page.text([roman(*meaning)]);
    }
}

/// The variables that stand for options, and those that everything obeys.
fn environment(page: &mut Roff, command: &Command) {
    let variables: Vec<(String, String)> = command
        .get_arguments()
        .filter_map(|option| {
            let variable = option.get_env()?.to_string_lossy().into_owned();
            Some((variable, format!("As --{}.", option.get_long()?)))
        })
        .collect();
    let has = |option: &str| has(command, option);
    let is_root = is_root(command);
    if variables.is_empty() && !is_root {
        return;
    }
    page.control("SH", ["ENVIRONMENT"]);
    for (variable, meaning) in &variables {
        item(page, variable, meaning);
    }
    // Not clap's: it is only read if no flag overrides it.
    if has("url") {
        item(page, "USRLOCD_URL", "As --url; --socket overrides it.");
    }
    if is_root || has("config") {
        item(
            page,
            "USRLOCD_SECTION__KEY",
            "Overrides a key of the configuration, for instance USRLOCD_LOG__LEVEL=debug.",
        );
    }
    if is_root || has("watch") || has("refreshes") || command.get_name() == "doctor" {
        item(
            page,
            "NO_COLOR",
            "If set and not empty: no colours on a terminal.",
        );
    }
}

fn has(command: &Command, option: &str) -> bool {
    command.get_arguments().any(|it| it.get_id() == option)
}

/// Whether it is the program itself.
fn is_root(command: &Command) -> bool {
    command.has_subcommands() && !has(command, "config")
}

fn item(page: &mut Roff, term: &str, meaning: &str) {
    page.control("TP", []);
    page.text([bold(term)]);
    page.text([roman(meaning)]);
}

/// The pages above and below, those beside a verb of a verb, and the configuration's.
fn see_also(page: &mut Roff, command: &Command, above: &[&Command]) {
    page.control("SH", ["SEE ALSO"]);
    let visible = |command: &&Command| !command.is_hide_set();
    let own = command.get_subcommands().filter(visible).map(name);
    let mut pages: Vec<(&str, &str)> = above
        .iter()
        .map(|command| name(command))
        .chain(own)
        .map(|page| (page, SECTION))
        .collect();
    if let [_, .., parent] = above {
        let beside = parent.get_subcommands().filter(visible).map(name);
        let others = beside.filter(|it| *it != name(command));
        pages.extend(others.map(|page| (page, SECTION)));
    }
    pages.push(("usrlocd.toml", "5"));
    pages.push(("kamailio", "8"));
    let last = pages.len() - 1;
    for (at, (name, section)) in pages.into_iter().enumerate() {
        let comma = if at == last { "" } else { "," };
        page.text([bold(name), roman(format!("({section}){comma}"))]);
    }
}
