use super::*;

/// A stanza with all that is required, and more.
fn stanza(more: &str) -> String {
    format!(
        "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example.com/x\"\nsecret_file = \"/s\"\n{more}\n"
    )
}

fn hook(more: &str) -> Webhook {
    Config::parse(&stanza(more), "f")
        .unwrap()
        .webhooks
        .remove(0)
}

#[test]
fn a_stanza_has_defaults() {
    let hook = hook("");
    assert_eq!(
        (&*hook.name, hook.batch, hook.allow_private),
        ("crm", 1, false)
    );
    assert_eq!(
        (&hook.accounts, hook.format),
        (&None, WebhookFormat::Standard)
    );
    assert_eq!(hook.events, WEBHOOK_EVENTS);
    assert_eq!(hook.origin(), "https://crm.example.com");
}

#[test]
fn events_are_those_that_the_log_keeps() {
    use crate::registration::item::Field;
    let hook = hook(
        "accounts = [\"a\", \"b\"]\nevents = [\"moved\"]\nfilters = { user_agent = \"X\", reg_id = 1 }\nbatch = 500",
    );
    assert_eq!(hook.accounts, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(hook.events, ["moved"]);
    let filters = [
        (Field::RegId, "1".to_owned()),
        (Field::UserAgent, "X".to_owned()),
    ];
    assert_eq!(hook.filters, filters);
    let kazoo = self::hook("format = \"kazoo\"");
    assert_eq!(kazoo.events, ["registered", "terminated"]);
}

#[test]
fn mistakes_are_reported_with_a_remedy() {
    for (more, expected) in [
        ("events = [\"refreshed\"]", "refreshes are not recorded"),
        ("events = [\"gap\"]", "always sent"),
        ("events = [\"terminate\"]", "did you mean \"terminated\"?"),
        ("events = []", "`events` is empty"),
        (
            "format = \"kazoo\"\nevents = [\"moved\"]",
            "Kazoo has no webhook for \"moved\"",
        ),
        (
            "format = \"kazoo\"\nbatch = 2",
            "Kazoo sends each event by itself",
        ),
        ("accounts = []", "`accounts` is empty"),
        ("accounts = [\"*\", \"a\"]", "stands for all accounts"),
        (
            "filters = { user_agnet = \"X\" }",
            "did you mean `user_agent`?",
        ),
        ("filters = { flap = \"x\" }", "events do not have `flap`"),
        ("batch = 0", "out of range"),
        ("allow_private = \"yes\"", "expected true or false"),
        ("secrets = 1", "unknown key `secrets`"),
    ] {
        let problems = problems(&stanza(more));
        assert!(problems.contains(expected), "{more}: {problems}");
    }
    let twice = stanza("") + &stanza("");
    assert!(problems(&twice).contains("two webhooks called \"crm\""));
    assert!(problems("[[webhook]]\n").contains("`name` is missing"));
    for url in [
        "crm.example.com/hidden",
        "ftp://crm.example.com/hidden",
        "https://user:hidden@crm.example.com/",
        "https://crm.example.com:0/hidden",
        "https:///hidden",
    ] {
        let text = stanza("").replace("https://crm.example.com/x", url);
        let problems = problems(&text);
        assert!(problems.starts_with("f:3:7: "), "{url}: {problems}");
        assert!(!problems.contains("hidden"), "{problems}");
    }
}

#[test]
fn the_path_of_a_url_is_not_shown() {
    let config = Config::parse(&stanza("").replace("/x", "/hidden?key=hidden"), "f").unwrap();
    let shown = format!("{config}{config:?}");
    assert!(
        shown.contains("url = \"https://crm.example.com/…\""),
        "{shown}"
    );
    assert!(!shown.contains("hidden"), "{shown}");
    let changes = Config::default().changes(&config);
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert!(!changes.concat().contains("hidden"), "{changes:?}");
    assert!(!changes.concat().contains("restart"), "{changes:?}");
}

#[test]
fn what_is_printed_is_read_again() {
    let config = Config::parse(&stanza("filters = { username = \"a\" }"), "f").unwrap();
    let printed = config.to_string().replace("/…", "/x");
    let mut again = Config::parse(&printed, "f").unwrap();
    again.kamailio.database_given = false;
    assert_eq!(again, config);
}

/// The commented stanza of the example file.
#[test]
fn the_example_is_right() {
    let (_, stanza) = EXAMPLE.split_once("\n# [[webhook]]\n").unwrap();
    let lines = stanza.lines().map(|line| line.trim_start_matches("# "));
    let text: Vec<&str> = ["[[webhook]]"].into_iter().chain(lines).collect();
    let config = Config::parse(&text.join("\n"), "f").unwrap();
    assert_eq!(config.webhooks.len(), 1);
}
