//! An event with what has been written of it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::events::json::{Style, write_event};
use crate::events::{Event, Type, Viewer, What};

/// An event of the log. Its JSON is written once for all readers who see the same.
#[derive(Debug)]
pub struct Logged {
    event: Arc<Event>,
    whole: OnceLock<Bytes>,
}

impl AsRef<Event> for Logged {
    fn as_ref(&self) -> &Event {
        &self.event
    }
}

impl Logged {
    /// An event of which nothing has been written yet.
    #[must_use]
    pub fn new(event: Arc<Event>) -> Self {
        Self {
            event,
            whole: OnceLock::new(),
        }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The event, for those who keep it.
    #[must_use]
    pub fn shared(&self) -> Arc<Event> {
        Arc::clone(&self.event)
    }

    /// The event as one JSON object, as `viewer` sees it; `None` where it is not for him.
    #[must_use]
    pub fn json(&self, viewer: Viewer<'_>, style: &Style<'_>) -> Option<(Type, Bytes)> {
        let kind = self.event.type_for(viewer)?;
        let write = || {
            let mut out = Vec::new();
            write_event(&self.event, viewer, style, &mut out);
            Bytes::from(out)
        };
        let text = if style.fields.is_none() && self.is_alike_for_all() {
            self.whole.get_or_init(write).clone()
        } else {
            write()
        };
        Some((kind, text))
    }

    /// Whether all who see it see the same.
    fn is_alike_for_all(&self) -> bool {
        !matches!(&self.event.what, What::Registration(one) if one.is_new_owner())
    }
}
