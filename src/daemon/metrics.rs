//! The text of `/metrics`, in Prometheus' exposition format: what is known at the moment it is asked for.

use std::fmt::Write;
use std::sync::Arc;

use crate::clock::Clock;
use crate::view::{Scope, SourceState, View};

/// The states of the source, each a series of `usrlocd_source_state`.
const STATES: [SourceState; 4] = [
    SourceState::Live,
    SourceState::CatchingUp,
    SourceState::Stale,
    SourceState::Unavailable,
];

/// What is known of the registrations and of their source.
pub(super) fn text(view: &Arc<View>, clock: &Arc<dyn Clock>) -> String {
    let source = view.source();
    let mut text = String::with_capacity(1024);
    let mut gauge = |name: &str, help: &str, samples: &[(String, String)]| {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "# HELP usrlocd_{name} {help}\n# TYPE usrlocd_{name} gauge"
        );
        for (labels, value) in samples {
            let _ = writeln!(text, "usrlocd_{name}{labels} {value}");
        }
    };
    let one = |value: String| [(String::new(), value)];
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    gauge(
        "build_info",
        "Always 1; the version is in the label.",
        &[(version, "1".to_owned())],
    );
    let listed = view.count(Scope::System).0;
    gauge(
        "registrations",
        "Registrations that are listed now.",
        &one(listed.to_string()),
    );
    let hidden = view.hidden().len();
    gauge(
        "hidden_rows",
        "Rows that a flush hides until Kamailio's table loses them.",
        &one(hidden.to_string()),
    );
    let state = |state: SourceState| {
        (
            format!("{{state=\"{}\"}}", state.as_str()),
            u8::from(state == source.state).to_string(),
        )
    };
    gauge(
        "source_state",
        "1 for the state that the source is in.",
        &STATES.map(state),
    );
    if let (Some(lag), Some(as_of)) = (source.lag(clock.unix()), source.as_of) {
        let lag = lag.as_secs_f64().to_string();
        gauge(
            "source_lag_seconds",
            "How long ago the registrations were last known to equal the tables.",
            &one(lag),
        );
        let as_of = as_of.as_secs_f64().to_string();
        gauge(
            "source_last_success_timestamp_seconds",
            "When they were last known to equal the tables.",
            &one(as_of),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::view::Source;

    #[test]
    fn says_what_is_known() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000));
        let view = Arc::new(View::new(Arc::clone(&clock)));
        assert!(
            !text(&view, &clock).contains("source_lag_seconds"),
            "nothing is known of the lag yet"
        );
        let as_of = Some(std::time::Duration::from_millis(1_699_999_998_500));
        view.set_source(Source {
            state: SourceState::Stale,
            as_of,
        });
        let text = text(&view, &clock);
        for line in [
            "usrlocd_registrations 0",
            "usrlocd_source_state{state=\"stale\"} 1",
            "usrlocd_source_state{state=\"live\"} 0",
            "usrlocd_source_lag_seconds 1.5",
            "usrlocd_source_last_success_timestamp_seconds 1699999998.5",
        ] {
            assert!(
                text.lines().any(|own| own == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
