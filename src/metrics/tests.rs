use super::*;
use crate::clock::ManualClock;

fn metrics() -> Arc<Metrics> {
    Metrics::new(Arc::new(ManualClock::at(1_700_000_000)), "1.2.3", "abc")
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(
        text.lines().any(|own| own == line),
        "{line} is not in\n{text}"
    );
}

#[test]
fn says_what_is_known_and_nothing_of_what_is_not() {
    let metrics = metrics();
    let text = metrics.text(Format::Prometheus, &Figures::default());
    assert!(!text.contains("usrlocd_source_lag_seconds "), "{text}");
    assert!(!text.contains("usrlocd_account_registrations{"), "{text}");
    let figures = Figures {
        fleet: None,
        states: vec![("live", false), ("stale", true)],
        as_of: Some(Duration::from_millis(1_699_999_998_500)),
        lag: Some(Duration::from_millis(1500)),
        listed: vec![("udp", 3), ("tls", 1)],
        hidden: 2,
        superseded: 4,
        rows: 11,
        accounts: Some(Accounts {
            largest: vec![("a\"b".to_owned(), 3)],
            left_out: 4,
        }),
        events: EventFigures {
            flapping: 2,
            unstable: 3,
            kept: 12,
            bytes: 4096,
            oldest: 1_700_000_000,
            streams: 5,
        },
    };
    let text = metrics.text(Format::Prometheus, &figures);
    for line in [
        concat!(
            "usrlocd_build_info{version=\"1.2.3\",revision=\"abc\",rustc=\"",
            env!("USRLOCD_RUSTC"),
            "\"} 1"
        ),
        "usrlocd_source_state{state=\"stale\"} 1",
        "usrlocd_source_state{state=\"live\"} 0",
        "usrlocd_flapping 2",
        "usrlocd_unstable 3",
        "usrlocd_history_events 12",
        "usrlocd_history_bytes 4096",
        "usrlocd_history_oldest_timestamp_seconds 1700000000",
        "usrlocd_event_streams 5",
        "usrlocd_registration_terminated_total{reason=\"expired\"} 0",
        "usrlocd_bursts_total{group=\"source\"} 0",
        "usrlocd_source_lag_seconds 1.5",
        "usrlocd_source_last_success_timestamp_seconds 1699999998.5",
        "usrlocd_registrations{state=\"active\",transport=\"udp\"} 3",
        "usrlocd_registrations{state=\"hidden\",transport=\"\"} 2",
        "usrlocd_registrations{state=\"superseded\",transport=\"\"} 4",
        "usrlocd_registrations{state=\"unlisted\",transport=\"\"} 1",
        "usrlocd_ghost_rows 7",
        "usrlocd_account_registrations{account=\"a\\\"b\"} 3",
        "usrlocd_account_series_truncated 4",
    ] {
        has(&text, line);
    }
}

#[test]
fn each_format_names_counters_in_its_own_way() {
    let metrics = metrics();
    metrics.store.wrote(5, Duration::from_millis(3));
    let open = metrics.text(Format::OpenMetrics, &Figures::default());
    has(&open, "# TYPE usrlocd_store_rows counter");
    has(&open, "usrlocd_store_rows_total 5");
    assert!(open.ends_with("# EOF\n"), "{open}");
    let text = metrics.text(Format::Prometheus, &Figures::default());
    has(&text, "# TYPE usrlocd_store_rows_total counter");
    has(&text, "usrlocd_store_rows_total 5");
    has(
        &text,
        "# TYPE usrlocd_store_batch_duration_seconds histogram",
    );
    has(
        &text,
        "usrlocd_store_batch_duration_seconds_bucket{le=\"0.001\"} 0",
    );
    has(
        &text,
        "usrlocd_store_batch_duration_seconds_bucket{le=\"0.005\"} 1",
    );
    has(
        &text,
        "usrlocd_store_batch_duration_seconds_bucket{le=\"+Inf\"} 1",
    );
    has(&text, "usrlocd_store_batch_duration_seconds_sum 0.003");
    assert!(!text.contains("# EOF"), "{text}");
}

#[test]
fn every_path_has_one_of_the_templates() {
    for (path, template) in [
        (
            "/v2/accounts/a/registrations",
            "/v2/accounts/{account}/registrations",
        ),
        (
            "/v1/accounts/a/registrations/",
            "/v2/accounts/{account}/registrations",
        ),
        (
            "/v2/accounts/a/registrations/count",
            "/v2/accounts/{account}/registrations/count",
        ),
        (
            "/v2/accounts/a/registrations/bob",
            "/v2/accounts/{account}/registrations/{username}",
        ),
        (
            "/v2/account/registrations/bob",
            "/v2/account/registrations/{username}",
        ),
        ("/v2/registrations", "/v2/registrations"),
        ("/v2/registrations/count", "/v2/registrations/count"),
        ("/v2/registrations/bob", "other"),
        ("/v2/accounts//registrations", "other"),
        ("/v2/accounts/a/devices", "other"),
        ("/v2/accounts/a/registrations/bob/x", "other"),
        ("/metrics", "/metrics"),
        ("/ui/", "/ui/"),
        ("/ui/data/session", "/ui/"),
        ("/uix", "other"),
        ("/", "other"),
    ] {
        assert_eq!(
            Template::ALL[Template::of(path)].as_str(),
            template,
            "{path}"
        );
    }
}

#[test]
fn the_process_is_looked_at() {
    let text = metrics().text(Format::Prometheus, &Figures::default());
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    assert!(value("usrlocd_process_resident_memory_bytes ") > Some(1e6));
    assert!(value("usrlocd_process_open_fds ") > Some(2.0));
    assert!(value("usrlocd_process_cpu_seconds_total ") > Some(0.0));
    assert_eq!(value("usrlocd_process_start_time_seconds "), Some(1.7e9));
}
