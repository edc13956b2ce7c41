//! `/metrics` of a real daemon; the dashboard, the alert rules and the operations page speak of nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet_answers::Site;
use crate::oracle::{PATIENCE, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// Words of queries that look like the name of a metric or of a label.
const PROMQL: [&str; 29] = [
    "abs",
    "sum",
    "rate",
    "increase",
    "by",
    "without",
    "max",
    "min",
    "avg",
    "count",
    "time",
    "offset",
    "and",
    "or",
    "unless",
    "histogram_quantile",
    "on",
    "ignoring",
    "max_over_time",
    "min_over_time",
    "avg_over_time",
    "changes",
    "absent",
    "clamp_min",
    "topk",
    "delta",
    "deriv",
    "group_left",
    "up",
];

/// Labels that Prometheus itself adds.
const PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

/// The names of the labels, by the name of the metric.
type Exported = BTreeMap<String, BTreeSet<String>>;

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

/// What the text has; of a histogram the names of its samples, as queries use them.
fn exported(text: &str) -> Exported {
    let mut found = Exported::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).expect("a sample has a value");
        let labels = found.entry(line[..end].to_owned()).or_default();
        if let Some((_, rest)) = line.split_once('{') {
            let (inner, _) = rest.rsplit_once('}').expect("labels end");
            let names = inner.split("\",").filter_map(|one| one.split_once('='));
            labels.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
    // A metric that nothing has been counted of yet has its description alone.
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type has a name and a kind");
            if kind != "histogram" {
                found.entry(name.to_owned()).or_default();
            }
        }
    }
    found
}

/// The names that the page has to explain: without the suffixes of histograms.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|rest| rest.split(' ').next().map(ToOwned::to_owned))
        .collect()
}

fn read(name: &str) -> String {
    read_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
}

fn read_file(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of `/metrics`.
fn scrape(daemon: &Daemon) -> String {
    let answer = daemon.request("GET", "/metrics", &[], b"");
    assert_eq!(answer.status, 200);
    answer.text()
}

/// A daemon after all kinds of traffic: phones, a flush, an unreadable database before them, refused tokens.
fn lived() -> (Kamailio, Daemon, String) {
    let kamailio = Kamailio::builder().start();
    let mut daemon = Daemon::builder(&kamailio)
        .sections("[metrics]\naccounts = 1\n")
        .prepare();
    let (config, secret) = (daemon.config_file(), daemon.file("secret"));
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("ours");
    // Port 9 is where nobody listens.
    let hook = format!(
        "\n[[webhook]]\nname = \"crm\"\nurl = \"http://127.0.0.1:9/\"\nsecret_file = \"{}\"\nallow_private = true\n",
        secret.display()
    );
    std::fs::write(&config, read_file(&config) + &hook).expect("ours");
    daemon.start();
    let mut alice = Phone::of(&kamailio, &acme().device("alice", 1));
    let mut bob = Phone::tcp(&kamailio, "bob", "acme.example.com");
    alice.register();
    bob.register();
    let (a, b) = (alice.contact_uri().to_vec(), bob.contact_uri().to_vec());
    lists(&daemon, "/v2/registrations", &[&a, &b]);
    assert_eq!(daemon.get("/v2/accounts/nobody/registrations").status, 404);
    let refused = daemon.request(
        "GET",
        "/v2/registrations",
        &[("X-Auth-Token", "wrong")],
        b"",
    );
    assert_eq!(refused.status, 401);
    assert_eq!(daemon.delete(&format!("{}/alice", of(&acme()))).status, 200);
    let text = eventually("the store has the rows", PATIENCE, || {
        let text = scrape(&daemon);
        let written = value(&text, "usrlocd_store_rows_total") >= Some(2.0);
        holds(written, || text.clone()).map(|()| text)
    });
    (kamailio, daemon, text)
}

/// The value of the sample with this name and these labels.
fn value(text: &str, sample: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(sample)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn counts_what_happens() {
    let (kamailio, daemon, text) = lived();
    let list = "route=\"/v2/accounts/{account}/registrations\"";
    for (sample, expected) in [
        (
            "usrlocd_registrations{state=\"active\",transport=\"udp\"}".to_owned(),
            0.0,
        ),
        (
            "usrlocd_registrations{state=\"active\",transport=\"tcp\"}".to_owned(),
            1.0,
        ),
        (
            "usrlocd_flushes_total{scope=\"user\",result=\"ok\"}".to_owned(),
            1.0,
        ),
        ("usrlocd_flushed_bindings_total".to_owned(), 1.0),
        (
            "usrlocd_kamailio_rpc_calls_total{method=\"ul.rm\",outcome=\"ok\"}".to_owned(),
            1.0,
        ),
        (
            "usrlocd_auth_refused_total{reason=\"unknown\"}".to_owned(),
            1.0,
        ),
        (
            format!("usrlocd_http_requests_total{{{list},code=\"404\"}}"),
            1.0,
        ),
        ("usrlocd_source_state{state=\"live\"}".to_owned(), 1.0),
        ("usrlocd_kamailio_up".to_owned(), 1.0),
        (
            "usrlocd_kamailio_rpc_duration_seconds_count{method=\"ul.rm\",outcome=\"ok\"}"
                .to_owned(),
            1.0,
        ),
        ("usrlocd_tail_audit_misses_total".to_owned(), 0.0),
        ("usrlocd_webhook_off{hook=\"crm\"}".to_owned(), 0.0),
    ] {
        assert_eq!(value(&text, &sample), Some(expected), "{sample} in\n{text}");
    }
    for sample in [
        "usrlocd_tail_read_bytes_total",
        "usrlocd_tail_step_duration_seconds_count",
        "usrlocd_process_resident_memory_bytes",
        "usrlocd_flush_duration_seconds_sum",
        // At least the one that asks: others may be closing still.
        "usrlocd_http_connections",
    ] {
        assert!(value(&text, sample) > Some(0.0), "{sample} in\n{text}");
    }
    for secret in ["alice", "bob", "127.0.0.1", "nobody", Daemon::TOKEN] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    kamailio.signal(Signal::STOP);
    eventually("the silence shows", PATIENCE * 3, || {
        let text = scrape(&daemon);
        holds(value(&text, "usrlocd_kamailio_up") == Some(0.0), || {
            text.clone()
        })
    });
    kamailio.signal(Signal::CONT);
    std::fs::remove_file(kamailio.database()).expect("it is there");
    eventually("the loss is counted", PATIENCE, || {
        let text = scrape(&daemon);
        let counted = value(&text, "usrlocd_source_errors_total{kind=\"missing\"}");
        holds(counted == Some(1.0), || text.clone())
    });
}

/// The metrics that `usrlocd fleet` has beside those of every process.
fn of_fleet() -> String {
    let site = Site::new();
    site.node("k1", 0);
    let text = scrape(&site.fleet());
    let is_own = |line: &&str| line.contains("usrlocd_fleet_");
    assert_eq!(
        value(&text, "usrlocd_source_state{state=\"unavailable\"}"),
        None
    );
    text.lines()
        .filter(is_own)
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// Every query of the dashboard and the rules.
fn queries() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/usrlocd.json")).expect("the dashboard is JSON");
    let mut panels: Vec<&Value> = dashboard["panels"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    panels.retain(|panel| panel["type"] != "row");
    for panel in &panels {
        let title = panel["title"].as_str().expect("a panel has a title");
        let targets = panel["targets"].as_array().expect("a panel has queries");
        for target in targets {
            let expression = target["expr"].as_str().expect("a query has an expression");
            found.push((title.to_owned(), expression.to_owned()));
        }
    }
    assert!(
        found.len() > 15,
        "only {} queries: has the test gone blind?",
        found.len()
    );
    let variable = dashboard["templating"]["list"][1]["query"]["query"].as_str();
    found.push((
        "instance".to_owned(),
        variable.expect("there is one").to_owned(),
    ));
    let rules = rules();
    assert!(rules.len() >= 9, "{rules:?}");
    found.extend(
        rules
            .into_iter()
            .map(|rule| (rule["alert"].clone(), rule["expr"].clone())),
    );
    found
}

/// The alerts: their keys with their values, each of which stands on one line.
fn rules() -> Vec<BTreeMap<String, String>> {
    let text = read("deploy/prometheus/usrlocd.rules.yml");
    let mut rules: Vec<BTreeMap<String, String>> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (line, starts) = match line.strip_prefix("- alert:") {
            Some(name) => (format!("alert:{name}"), true),
            None => (line.to_owned(), false),
        };
        if starts {
            rules.push(BTreeMap::new());
        }
        if let (Some((key, value)), Some(rule)) = (line.split_once(": "), rules.last_mut()) {
            rule.insert(key.to_owned(), value.trim_matches('\'').trim().to_owned());
        }
    }
    rules
}

/// The values that each label of each metric has in the text.
fn values(text: &str) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut found: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((metric, rest)) = line.split_once('{') else {
            continue;
        };
        let (inner, _) = rest.rsplit_once('}').expect("labels end");
        for (label, value) in inner.split("\",").filter_map(|one| one.split_once("=\"")) {
            let key = (metric.to_owned(), label.to_owned());
            let value = value.trim_end_matches('"').to_owned();
            found.entry(key).or_default().insert(value);
        }
    }
    found
}

/// What an expression asks of labels: metric, label, and each value that it names. Patterns with a dot name none.
fn asked(expression: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices('{') {
        let before = &expression[..at];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let start = before.rfind(|c| !is_name(c)).map_or(0, |end| end + 1);
        let metric = &before[start..];
        let rest = &expression[at + 1..];
        let inner = &rest[..rest.find('}').expect("it ends")];
        for one in inner.split(',') {
            let Some((label, value)) = one.split_once(['=', '!']) else {
                continue;
            };
            let value = value.trim_start_matches(['=', '~']).trim_matches('"');
            for value in value.split('|').filter(|it| !it.contains(['$', '.'])) {
                let [metric, label] = [metric, label.trim()].map(str::to_owned);
                found.push((metric, label, value.to_owned()));
            }
        }
    }
    found
}

#[test]
fn dashboard_and_rules_ask_for_values_that_exist() {
    let (_kamailio, _daemon, text) = lived();
    let values = values(&text);
    let mut seen = 0;
    for (title, expression) in queries() {
        for (metric, label, value) in asked(&expression) {
            if metric == "up" {
                continue;
            }
            seen += 1;
            let known = values.get(&(metric.clone(), label.clone()));
            let is_known = known.is_some_and(|known| known.contains(&value));
            assert!(
                is_known,
                "{title}: {metric} has no {label} {value:?}: {known:?}"
            );
        }
    }
    assert!(seen > 5, "only {seen} values: has the test gone blind?");
}

/// The names in an expression: those before, and those of labels.
fn names(expression: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut quoted = false;
    let mut word = String::new();
    for c in expression.chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            c if c.is_ascii_alphanumeric() || c == '_' || c == '$' || c == ':' => word.push(c),
            _ => {
                if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    out.push(word.clone());
                }
                word.clear();
            }
        }
    }
    out
}

#[test]
fn dashboard_and_rules_use_what_exists() {
    let (_kamailio, _daemon, text) = lived();
    let text = text + &of_fleet();
    let exported = exported(&text);
    for (title, expression) in queries() {
        let names = names(&expression);
        let (metrics, others): (Vec<_>, Vec<_>) =
            names.iter().partition(|name| name.starts_with("usrlocd_"));
        let mut labels: BTreeSet<&str> = PROMETHEUS.into_iter().collect();
        for metric in &metrics {
            let known = exported.get(*metric);
            let known = known.unwrap_or_else(|| panic!("{title}: no {metric} in {expression}"));
            labels.extend(known.iter().map(String::as_str));
        }
        assert!(
            !metrics.is_empty() || expression.contains("up{"),
            "{title}: {expression}"
        );
        for other in others {
            let known = PROMQL.contains(&other.as_str())
                || labels.contains(other.as_str())
                || other == "label_values";
            assert!(known, "{title}: {other} is no label in {expression}");
        }
    }
}

#[test]
fn the_dashboard_has_all_of_webhooks_and_of_phones_asked_to_act() {
    let (_kamailio, _daemon, text) = lived();
    let shown: String = queries().into_iter().map(|(_, query)| query).collect();
    let subjects = ["usrlocd_webhook_", "usrlocd_notify_"];
    let of_these = |name: &String| subjects.iter().any(|subject| name.starts_with(subject));
    let families: Vec<String> = families(&text).into_iter().filter(of_these).collect();
    assert!(families.len() >= 5, "{families:?}");
    for family in families {
        assert!(shown.contains(&family), "{family} is on no panel");
    }
}

#[test]
fn every_metric_is_explained_and_no_other() {
    let (_kamailio, _daemon, text) = lived();
    let text = text + &of_fleet();
    let page = read("deploy/OPERATIONS.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `usrlocd_"));
    let explained: BTreeSet<String> = rows
        .filter_map(|rest| rest.split('`').next())
        .map(|name| format!("usrlocd_{name}"))
        .collect();
    assert_eq!(explained, families(&text));
}

#[test]
fn every_alert_is_explained() {
    let page = read("deploy/OPERATIONS.md");
    for rule in rules() {
        let name = &rule["alert"];
        for key in ["expr", "severity", "summary", "description", "runbook_url"] {
            assert!(rule.contains_key(key), "{name} has no {key}: {rule:?}");
        }
        assert!(
            page.contains(&format!("\n### {name}\n")),
            "{name} is not explained"
        );
        let anchor = format!("#{}", name.to_lowercase());
        assert!(rule["runbook_url"].ends_with(&anchor), "{rule:?}");
    }
}
