//! Counts requests, by route and status, and the time until each answer began.

use std::time::Duration;

use http::StatusCode;

use crate::metrics::{Metrics, Template};

/// A request under way.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    metrics: &'a Metrics,
    /// The index of its route among the templates.
    route: usize,
    began: Duration,
}

impl<'a> Watch<'a> {
    /// Starts the clock for a request to `path`.
    pub(crate) fn start(metrics: &'a Metrics, path: &str) -> Self {
        Self {
            metrics,
            route: Template::of(path),
            began: metrics.now(),
        }
    }

    /// Counts the request: its answer begins, with this status.
    pub(crate) fn answered(self, status: StatusCode) {
        let took = self.metrics.since(self.began);
        let http = &self.metrics.http;
        http.answered(self.route, status.as_u16(), took);
    }
}
