//! `GET /metrics`: what is counted, and how things stand now.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use crate::fleet::nodes::Nodes;
use crate::http::{Answers, App};
use crate::metrics::{Accounts, EventFigures, Figures, FleetFigures, Format, NodeFigures};
use crate::registration::NodeState;
use crate::registry::SourceState;
use crate::sip::Transport;

/// Prometheus' text format.
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `OpenMetrics`, for a scraper that asks for it.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The states of the source, each a series of `usrlocd_source_state`.
const STATES: [SourceState; 4] = [
    SourceState::Live,
    SourceState::CatchingUp,
    SourceState::Stale,
    SourceState::Unavailable,
];

/// `GET /metrics`.
pub(crate) fn respond(app: &App, headers: &HeaderMap) -> Response {
    let format = format(headers);
    let text = app.metrics.text(format, &figures(app));
    let mut response = Response::new(text.into());
    let kind = match format {
        Format::Prometheus => PROMETHEUS,
        Format::OpenMetrics => OPEN_METRICS,
    };
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `OpenMetrics` for a scraper that names it, as Prometheus does.
fn format(headers: &HeaderMap) -> Format {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    let asks = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        value.contains("application/openmetrics-text")
    };
    if accepted.any(asks) {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}

fn figures(app: &App) -> Figures {
    let (source, counts) = (app.registry.source(), app.registry.counts());
    let transports = Transport::ALL.map(Transport::as_str);
    let transports = transports.into_iter().chain(["unknown"]);
    Figures {
        states: match app.settings.answers {
            Answers::OfNode => STATES
                .map(|state| (state.as_str(), state == source.state))
                .to_vec(),
            // There is no source here.
            Answers::OfFleet => Vec::new(),
        },
        as_of: source.as_of,
        lag: source.lag,
        listed: transports.zip(counts.listed).collect(),
        hidden: counts.hidden,
        superseded: counts.superseded,
        rows: counts.rows,
        accounts: match app.settings.metrics_accounts {
            0 => None,
            most => Some(accounts(app, most)),
        },
        events: events(app),
        fleet: fleet(app),
    }
}

fn events(app: &App) -> EventFigures {
    let (flapping, unstable) = app.flaps.count();
    let history = app.events.history();
    EventFigures {
        flapping,
        unstable,
        kept: history.map_or(0, |history| history.events()),
        bytes: history.map_or(0, |history| history.bytes()),
        streams: app.streams.count(),
        oldest: history.and_then(|it| it.oldest_at()).unwrap_or(0) / 1000,
    }
}

/// The fleet; a node leaves that to those who answer for the fleet.
fn fleet(app: &App) -> Option<FleetFigures> {
    let fleet = app.fleet.as_ref();
    let fleet = fleet.filter(|_| app.settings.answers == Answers::OfFleet)?;
    let nodes = fleet.last_nodes().unwrap_or_default();
    Some(FleetFigures {
        states: NodeState::ALL
            .map(|state| (state.as_str(), in_state(&nodes, state)))
            .to_vec(),
        nodes: nodes
            .all()
            .iter()
            .map(|node| NodeFigures {
                name: node.row.name.to_string(),
                rows: node.row.rows,
                silent: node.row.silent.as_secs(),
                is_live: node.is_live(),
            })
            .collect(),
        is_reachable: fleet.trouble().is_none() && fleet.last_nodes().is_some(),
        is_suspect: nodes.is_suspect(),
        failures: fleet.failures(),
        unreadable: fleet.unreadable(),
    })
}

fn in_state(nodes: &Nodes, state: NodeState) -> usize {
    let all = nodes.all().iter();
    all.filter(|node| node.state == state).count()
}

/// The accounts with the most registrations.
fn accounts(app: &App, most: usize) -> Accounts {
    let mut accounts = app.registry.accounts();
    accounts.sort_by(|(a, left), (b, right)| right.cmp(left).then_with(|| a.cmp(b)));
    Accounts {
        left_out: accounts.len().saturating_sub(most),
        largest: accounts
            .into_iter()
            .take(most)
            .map(|(id, count)| (id.to_string(), count))
            .collect(),
    }
}
