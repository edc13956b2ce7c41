//! The API: requests by route and code, connections, and refusals.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Book, Labels};

/// Bounds of the time until an answer begins, in seconds.
const REQUEST: &[f64] = &[
    0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The codes that the API answers with, by name; others have the last.
const CODES: [(u16, &str); 22] = [
    (200, "200"),
    (204, "204"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (421, "421"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (501, "501"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
    (0, "other"),
];

/// A path as the API knows it, without the names in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Template(&'static str);

impl Template {
    /// All of them; the last stands for every other path.
    pub const ALL: [Self; 28] = [
        Self("/v2/accounts/{account}/registrations"),
        Self("/v2/accounts/{account}/registrations/count"),
        Self("/v2/accounts/{account}/registrations/{username}"),
        Self("/v2/accounts/{account}/registrations/{username}/history"),
        Self("/v2/accounts/{account}/registrations/{username}/why"),
        Self("/v2/accounts/{account}/history"),
        Self("/v2/accounts/{account}/flapping"),
        Self("/v2/accounts/{account}/registrations/{username}/notify"),
        Self("/v2/accounts/{account}/devices/{device}/sync"),
        Self("/v2/account/registrations"),
        Self("/v2/account/registrations/count"),
        Self("/v2/account/registrations/{username}"),
        Self("/v2/account/registrations/{username}/history"),
        Self("/v2/account/registrations/{username}/why"),
        Self("/v2/account/history"),
        Self("/v2/account/flapping"),
        Self("/v2/account/registrations/{username}/notify"),
        Self("/v2/account/devices/{device}/sync"),
        Self("/v2/registrations"),
        Self("/v2/registrations/count"),
        Self("/v2/history"),
        Self("/v2/flapping"),
        Self("/livez"),
        Self("/readyz"),
        Self("/metrics"),
        Self("/openapi.json"),
        Self("/ui/"),
        Self("other"),
    ];

    /// The place in [`ALL`](Self::ALL) of the template of `path`.
    #[must_use]
    pub fn of(path: &str) -> usize {
        const OTHER: usize = Template::ALL.len() - 1;
        const SYSTEM: usize = 18;
        match path.strip_suffix('/').unwrap_or(path) {
            "/livez" => return 22,
            "/readyz" => return 23,
            "/metrics" => return 24,
            "/openapi.json" => return 25,
            "/ui" => return 26,
            path if path.starts_with("/ui/") => return 26,
            _ => {}
        }
        let Some(path) = path
            .strip_prefix("/v2/")
            .or_else(|| path.strip_prefix("/v1/"))
        else {
            return OTHER;
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        let (first, path) = match path.split_once('/') {
            Some(("accounts", path)) => match path.split_once('/') {
                Some((id, path)) if !id.is_empty() => (0, path),
                _ => return OTHER,
            },
            Some(("account", path)) => (9, path),
            _ => (SYSTEM, path),
        };
        let mut segments = path.split('/');
        let names = [segments.next(), segments.next(), segments.next()];
        if segments.next().is_some() {
            return OTHER;
        }
        match names {
            [Some("registrations"), None, None] => first,
            [Some("registrations"), Some("count"), None] => first + 1,
            [Some("history"), None, None] if first == SYSTEM => first + 2,
            [Some("flapping"), None, None] if first == SYSTEM => first + 3,
            [Some("registrations"), Some(user), further]
                if first != SYSTEM && !matches!(user, "" | "count") =>
            {
                match further {
                    None => first + 2,
                    Some("history") => first + 3,
                    Some("why") => first + 4,
                    Some("notify") => first + 7,
                    Some(_) => OTHER,
                }
            }
            [Some("history"), None, None] => first + 5,
            [Some("flapping"), None, None] => first + 6,
            [Some("devices"), Some(device), Some("sync")]
                if first != SYSTEM && !device.is_empty() =>
            {
                first + 8
            }
            _ => OTHER,
        }
    }

    /// The text of the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// Why a caller is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no token.
    Missing,
    /// It is neither ours nor Kazoo's.
    Unknown,
    /// Its time is over.
    Expired,
    /// A JWT whose signature, issuer or claims are not good.
    Invalid,
}

/// Which of the token buckets is empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bucket {
    /// That of all requests.
    Requests,
    /// That of DELETE.
    Deletes,
    /// That of refused tokens.
    Failures,
}

/// What is counted of the API.
#[derive(Debug)]
pub struct Http {
    requests: Family<Labels, Counter>,
    /// By [`Template`], then by code; each made when it is first needed.
    counters: Vec<[OnceLock<Counter>; CODES.len()]>,
    /// By [`Template`].
    durations: Vec<Histogram>,
    connections: Gauge,
    connections_refused: Counter,
    refused: [Counter; 4],
    limited: [Counter; 3],
}

/// A connection, counted as open as long as this lives.
#[derive(Debug)]
pub struct Open(Gauge);

impl Http {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        let requests = book.counters(
            "http_requests",
            "Requests answered by route and status code",
        );
        let durations = book.histograms(
            "http_request_duration_seconds",
            "Time until the answer begins by route",
            || Histogram::new(REQUEST.iter().copied()),
        );
        let refused = book.counters("auth_refused", "Requests without a valid token by reason");
        let limited = book.counters("http_rate_limited", "Requests answered 429 by bucket");
        let duration =
            |template: Template| durations.get_or_create_owned(&vec![("route", template.as_str())]);
        Self {
            counters: Template::ALL
                .iter()
                .map(|_| std::array::from_fn(|_| OnceLock::new()))
                .collect(),
            durations: Template::ALL.into_iter().map(duration).collect(),
            requests,
            connections: book.gauge("http_connections", "Open connections"),
            connections_refused: book.counter(
                "http_connections_refused",
                "Connections refused because there were too many",
            ),
            refused: ["missing", "unknown", "expired", "invalid"]
                .map(|reason| refused.get_or_create_owned(&vec![("reason", reason)])),
            limited: ["requests", "deletes", "failures"]
                .map(|bucket| limited.get_or_create_owned(&vec![("bucket", bucket)])),
        }
    }

    /// A request for the template at `place` was answered with `code`, after this time.
    pub fn answered(&self, place: usize, code: u16, took: Duration) {
        let other = CODES.len() - 1;
        let index = CODES
            .iter()
            .position(|(known, _)| *known == code)
            .unwrap_or(other);
        let (Some(cells), Some(duration)) = (self.counters.get(place), self.durations.get(place))
        else {
            return;
        };
        duration.observe(took.as_secs_f64());
        let counter = cells[index].get_or_init(|| {
            let (route, code) = (Template::ALL[place].as_str(), CODES[index].1);
            self.requests
                .get_or_create_owned(&vec![("route", route), ("code", code)])
        });
        counter.inc();
    }

    /// A request whose head could not be read was answered with `code`.
    pub fn unreadable(&self, code: u16) {
        self.answered(Template::ALL.len() - 1, code, Duration::ZERO);
    }

    /// A connection is taken in.
    #[must_use]
    pub fn opened(&self) -> Open {
        self.connections.inc();
        Open(self.connections.clone())
    }

    /// A connection is refused.
    pub fn turned_away(&self) {
        self.connections_refused.inc();
    }

    /// A caller is refused.
    pub fn refused(&self, reason: Refusal) {
        self.refused[reason as usize].inc();
    }

    /// A request found a bucket empty.
    pub fn limited(&self, bucket: Bucket) {
        self.limited[bucket as usize].inc();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
