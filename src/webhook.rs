//! Webhooks: events sent to HTTP receivers, from the log, at least once and in order.
