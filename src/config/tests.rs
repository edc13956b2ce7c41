mod mistakes;
mod secrets;
mod webhooks;

use super::*;

const EXAMPLE: &str = include_str!("../../deploy/usrlocd.toml");

fn problems(text: &str) -> String {
    Config::parse(text, "f").unwrap_err().to_string()
}

fn lay(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, Problems> {
    let file = layers::FileText {
        name: "f".to_owned(),
        text: text.to_owned(),
    };
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let flags: Vec<_> = flags
        .iter()
        .map(|(key, value)| Override {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            source: format!("--{}", key.rsplit('.').next().unwrap()),
        })
        .collect();
    layers::lay(Some(&file), env, &flags).map(|(config, _)| config)
}

/// The example with every key in force: a key's line starts with `#` and no space.
fn uncommented() -> String {
    let key = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
            .map(str::to_owned)
    };
    let lines = EXAMPLE
        .lines()
        .map(|line| key(line).unwrap_or(line.to_owned()) + "\n");
    lines.collect()
}

#[test]
fn the_example_holds_the_defaults_commented_and_not() {
    assert_eq!(Config::parse(EXAMPLE, "f").unwrap(), Config::default());
    let mut expected = Config::default();
    expected.kamailio.database_given = true;
    assert_eq!(Config::parse(&uncommented(), "f").unwrap(), expected);
}

#[test]
fn the_example_names_every_key_in_order() {
    let file = layers::FileText {
        name: "f".to_owned(),
        text: uncommented(),
    };
    let (_, places) = layers::lay(Some(&file), [], &[]).unwrap();
    let vocabulary = defaults::vocabulary();
    let mut at = 0;
    for key in vocabulary {
        assert!(places.contains_key(key), "{key} is not in the example");
        let name = key.rsplit('.').next().unwrap();
        let section = key.rsplit_once('.').unwrap().0;
        let from = EXAMPLE.find(&format!("[{section}]\n")).unwrap();
        let here = from + EXAMPLE[from..].find(&format!("\n#{name} = ")).unwrap();
        assert!(here > at, "{key} is out of order");
        at = here;
    }
}

#[test]
fn the_defaults_are_the_contracts() {
    insta::assert_snapshot!(Config::default().to_string(), @r#"
    [kamailio]
    database = "/var/lib/kamailio/kamailio.sqlite"
    database_file = ""
    table = "location"
    jsonrpc = "http://127.0.0.1:5060/RPC"
    rpc_timeout = "2s"
    default_realm = ""
    advertise = {}
    timezone = "local"
    server_id = []
    max_load = 0.05
    proxy_path = ""

    [store]
    path = "/var/lib/usrlocd/usrlocd.db"

    [history]
    enabled = true
    path = "/var/lib/usrlocd/history.db"
    keep = "7d"
    size = "1GiB"

    [history.flap]
    half_life = "30m"
    loss = 1000
    moved = 500
    replaced = 250
    ceiling = 6000
    on = 3000
    off = 750
    back_within = "5s"
    unstable = 6

    [history.burst]
    losses = 20
    share = 0.2
    within = "1m"

    [http]
    listen = ["127.0.0.1:8000"]
    socket = "/run/usrlocd/usrlocd.sock"
    hosts = []
    public_url = ""
    ui = true
    wire = "document"
    max_lag = "10s"
    cors_origins = []

    [auth]
    tokens_file = "/etc/usrlocd/tokens.toml"

    [auth.jwt]
    keys = []
    issuer = "kazoo"

    [directory]
    file = ""

    [flush]
    also = []
    concurrency = 1

    [notify]
    events = []
    timeout = "5s"

    [fleet]
    url = ""
    url_file = ""
    node = ""
    publish = true
    history = "7d"

    [limits]
    requests = { burst = 2000, per_second = 1000 }
    deletes = { burst = 50, per_second = 5 }
    failures = { burst = 10, per_second = 0.2 }
    connections = 1024
    body_bytes = 131072
    header_timeout = "10s"
    streams = 64
    streams_per_token = 8

    [metrics]
    accounts = 0

    [log]
    level = "info"
    format = "auto"
    "#);
}

#[test]
fn every_pinned_key_is_accepted() {
    let text = r#"
        [kamailio]
        database = "postgres://h/k"
        timezone = "UTC"
        server_id = [1]
        max_load = 0.1
        table = ["location", "other"]
        jsonrpc = "unixgram:/run/k.sock"
        rpc_timeout = "500ms"
        default_realm = "sip.example.com"
        advertise = { "10.0.0.5" = "203.0.113.5", "[fd00::1]" = "edge.example.com" }
        proxy_path = "sip:{ip}:{port};transport={proto}"
        [store]
        path = "/s.db"
        [history]
        enabled = false
        path = "/h.db"
        keep = "30d"
        size = "500MiB"
        [history.flap]
        half_life = "15m"
        loss = 1
        moved = 0
        replaced = 0
        ceiling = 10
        on = 9
        off = 0
        back_within = "1s"
        unstable = 1
        [history.burst]
        losses = 2
        share = 1
        within = "10s"
        [http]
        listen = ["127.0.0.1:0", "[::1]:8000"]
        socket = ""
        hosts = ["Sip.Example.com."]
        public_url = "https://sip.example.com:8443/x"
        ui = false
        wire = "kazoo-4.3"
        max_lag = "1m30s"
        cors_origins = ["https://panel.example.com"]
        [auth]
        tokens_file = ""
        [auth.jwt]
        keys = [{ kid = "k1", pem_file = "/k1.pem" }, { kid = "k2", pem_file = "/k2.pem" }]
        issuer = "other"
        [directory]
        file = "/d.json"
        [flush]
        also = [{ method = "htable.delete", params = ["auth_cache", "{aor}"] }, { method = "core.echo", params = [5] }]
        concurrency = 2
        [notify]
        events = ["resync"]
        timeout = "1s"
        [fleet]
        url = "postgres://h/fleet"
        node = "k1"
        publish = false
        history = "2d"
        [limits]
        requests = { burst = 1, per_second = 1 }
        deletes = { per_second = 0 }
        failures = { burst = 3, per_second = 0.5 }
        connections = 1
        body_bytes = 1
        header_timeout = "1s"
        streams = 1
        streams_per_token = 1
        [metrics]
        accounts = 20
        [log]
        level = "warn,usrlocd::http=debug"
        format = "json"
    "#;
    let config = Config::parse(text, "f").unwrap();
    assert_eq!(config.kamailio.tables, ["location", "other"]);
    assert_eq!(config.kamailio.advertise["10.0.0.5"], "203.0.113.5");
    assert_eq!(config.http.socket, None);
    assert_eq!(config.http.hosts, ["sip.example.com"]);
    let public_url = config.http.public_url.as_deref();
    assert_eq!(public_url, Some("https://sip.example.com:8443/x"));
    assert!(config.http.is_https() && config.http.is_below_path());
    assert!(!config.http.ui);
    assert_eq!(config.http.wire, Wire::Kazoo43);
    assert_eq!(config.auth.tokens_file, None);
    assert_eq!(config.flush.also[1].params, [Param::Integer(5)]);
    let deletes = Bucket {
        burst: 50,
        per_second: 0.0,
    };
    assert_eq!(config.limits.deletes, deletes);
    assert_eq!(Config::parse(&config.to_string(), "shown").unwrap(), config);
    // All but database_file, which stands for database, and url_file, which stands for url.
    assert_eq!(
        Config::default().changes(&config).len(),
        defaults::vocabulary().len() - 2
    );
}

#[test]
fn flags_win_over_environment_over_file() {
    let text = "[http]\nwire = \"kazoo-4.3\"\n[log]\nlevel = \"warn\"\n[store]\npath = \"/f\"";
    let env = [
        ("USRLOCD_LOG__LEVEL", "error"),
        ("USRLOCD_STORE__PATH", "/e"),
    ];
    let config = lay(text, &env, &[("store.path", "/flag")]).unwrap();
    assert_eq!(config.http.wire, Wire::Kazoo43);
    assert_eq!(config.log.level, "error");
    assert_eq!(config.store.path, Path::new("/flag"));
}

#[test]
fn the_environment_takes_toml_and_bare_strings() {
    let env = [
        ("USRLOCD_KAMAILIO__DATABASE", "/var/lib/x y.db"),
        ("USRLOCD_KAMAILIO__TABLE", "location, other"),
        ("USRLOCD_KAMAILIO__DEFAULT_REALM", "2026"),
        (
            "USRLOCD_KAMAILIO__ADVERTISE",
            r#"{ "10.0.0.5" = "203.0.113.5" }"#,
        ),
        ("USRLOCD_HTTP__LISTEN", "127.0.0.1:1,127.0.0.1:2"),
        ("USRLOCD_HTTP__SOCKET", ""),
        ("USRLOCD_HTTP__WIRE", "\"kazoo-4.3\""),
        ("USRLOCD_HTTP__CORS_ORIGINS", "[\"*\"]"),
        ("USRLOCD_AUTH__JWT__ISSUER", "other"),
        ("USRLOCD_LIMITS__REQUESTS", "{ burst = 1, per_second = 2 }"),
        ("USRLOCD_LIMITS__DELETES__BURST", "7"),
        ("USRLOCD_FLUSH__CONCURRENCY", "2"),
        ("USRLOCD_CONFIG", "/not/a/key"),
        ("USRLOCD", "nor this"),
        ("HOME", "/root"),
    ];
    let config = lay("", &env, &[]).unwrap();
    assert_eq!(config.kamailio.database, Path::new("/var/lib/x y.db"));
    assert_eq!(config.kamailio.tables, ["location", "other"]);
    assert_eq!(config.kamailio.default_realm.as_deref(), Some("2026"));
    assert_eq!(config.kamailio.advertise.len(), 1);
    assert_eq!(config.http.listen.len(), 2);
    assert_eq!(config.http.socket, None);
    assert_eq!(config.http.wire, Wire::Kazoo43);
    assert_eq!(config.http.cors_origins, ["*"]);
    assert_eq!(config.auth.jwt.issuer, "other");
    assert_eq!(config.limits.requests.burst, 1);
    assert_eq!(config.limits.deletes.burst, 7);
    assert_eq!(config.flush.concurrency, 2);
}

#[test]
fn an_absent_file_matters_only_when_it_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.toml");
    assert!(layers::read(&path, false).unwrap().is_none());
    let message = Config::load(Some(&path), [], &[]).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: cannot be read: ", path.display())));
    std::fs::write(&path, b"[http]\nwire = \"\xff\"").unwrap();
    let message = Config::load(Some(&path), [], &[]).unwrap_err().to_string();
    assert!(
        message.ends_with("line 2 is not UTF-8; save the file as UTF-8"),
        "{message}"
    );
}

#[test]
fn origins_are_shown_beside_the_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(
        &path,
        "[limits]\ndeletes.burst = 7\n[log]\nlevel = \"warn\"\n",
    )
    .unwrap();
    let env = [("USRLOCD_HTTP__WIRE".to_owned(), "kazoo-4.3".to_owned())];
    let shown = Loaded::load(Some(&path), env, &[]).unwrap().to_string();
    let path = path.display();
    for line in [
        "wire = \"kazoo-4.3\"  # USRLOCD_HTTP__WIRE\n".to_owned(),
        format!("deletes = {{ burst = 7, per_second = 5 }}  # {path}:2:1\n"),
        format!("level = \"warn\"  # {path}:4:9\n"),
        "concurrency = 1\n".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line} is not in {shown}");
    }
}

#[test]
fn changes_say_whether_a_restart_is_needed() {
    let old = Config::default();
    let mut new = old.clone();
    assert_eq!(old.changes(&new), []);
    new.directory.file = Some("/d.json".into());
    new.limits.requests.burst = 1;
    new.log.level = "debug".to_owned();
    new.log.format = LogFormat::Json;
    new.http.listen.clear();
    new.limits.connections = 5;
    let changes: Vec<_> = old.changes(&new).iter().map(ToString::to_string).collect();
    let expected = [
        "http.listen [\"127.0.0.1:8000\"] -> [] (needs a restart)",
        "directory.file \"\" -> \"/d.json\"",
        "limits.requests { burst = 2000, per_second = 1000 } -> { burst = 1, per_second = 1000 }",
        "limits.connections 1024 -> 5",
        "log.level \"info\" -> \"debug\"",
        "log.format \"auto\" -> \"json\" (needs a restart)",
    ];
    assert_eq!(changes, expected);
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived(text in ".{0,200}") {
        Config::parse(&text, "f").ok();
    }

    #[test]
    fn any_toml_like_text_is_survived(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "[http]", "[[http]]", "[limits]", "\n", "\n", "listen", "wire", "=", "=", "[", "]", "{", "}", "\"x\"",
            "5", "1.5", "1979-05-27", "requests", ".", "burst", ",", "'", "\"\"\"", "# ä", "auth", "jwt", "keys", "kid",
        ]), 0..40)
    ) {
        Config::parse(&words.join(" "), "f").ok();
    }
}

#[test]
fn the_history_is_beside_the_store() {
    let path = |text: &str| Config::parse(text, "f").unwrap().history.path;
    let store = "[store]\npath = \"/srv/a/b.db\"\n";
    assert_eq!(path(store), Path::new("/srv/a/history.db"));
    let own = format!("{store}[history]\npath = \"/srv/h.db\"\n");
    assert_eq!(path(&own), Path::new("/srv/h.db"));
}

#[test]
fn how_much_history_is_kept() {
    let parse = |keys: &str| Config::parse(&format!("[history]\n{keys}"), "f");
    let config = parse("enabled = false\nkeep = \"30d12h\"\nsize = \"500MiB\"").unwrap();
    assert!(!config.history.enabled);
    assert_eq!(config.history.keep, Duration::from_hours(732));
    assert_eq!(config.history.size, 500 << 20);
    for (keys, message) in [
        (
            "size = \"1GB\"",
            "f:2:8: \"1GB\" is not a size; write for instance \"1GiB\" or \"500MiB\"",
        ),
        (
            "size = \"15MiB\"",
            "f:2:8: \"15MiB\" is out of range; use \"16MiB\" to \"1TiB\"",
        ),
        (
            "size = \"99999999999999999TiB\"",
            "f:2:8: \"99999999999999999TiB\" is out of range; use \"16MiB\" to \"1TiB\"",
        ),
        (
            "keep = \"3651d\"",
            "f:2:8: \"3651d\" is longer than ten years; use at most \"3650d\"",
        ),
        (
            "keep = \"0s\"",
            "f:2:8: the duration must be more than zero",
        ),
        (
            "enabled = \"maybe\"",
            "f:2:11: expected true or false, found a string",
        ),
        (
            "path = \"/var/lib/usrlocd/usrlocd.db-wal\"",
            "f:2:8: the history has the same path as the store; choose another path",
        ),
        (
            "path = \"/var/lib/kamailio/kamailio.sqlite\"",
            "f:2:8: /var/lib/kamailio/kamailio.sqlite belongs to Kamailio's database, which is never written; choose another path",
        ),
    ] {
        let problems = parse(keys).expect_err(keys);
        assert_eq!(problems.to_string(), message, "{keys}");
    }
}

#[test]
fn a_public_url_tells_how_browsers_come() {
    let is = |url: &str| {
        let http = Config::parse(&format!("[http]\npublic_url = {url:?}\n"), "f")
            .unwrap()
            .http;
        (http.is_https(), http.is_below_path())
    };
    assert_eq!(is(""), (false, false));
    assert_eq!(is("http://pbx.example.com"), (false, false));
    assert_eq!(is("https://pbx.example.com:8443/"), (true, false));
    assert_eq!(is("https://pbx.example.com/voice"), (true, true));
    assert_eq!(is("http://[2001:db8::1]:80/a/b/"), (false, true));
}
