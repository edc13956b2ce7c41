//! What is kept of events: by this node, or for all nodes in the fleet's database.

use std::sync::Arc;

use super::asked::Asked;
use super::subject::Subject;
use crate::event_log::{self, History, Query};
use crate::events::json::Style;
use crate::fleet::history::Place;
use crate::fleet::log::{Log, Told};
use crate::http::App;
use crate::http::error::{Error, NoHistory, Problem};

/// What is kept.
pub(crate) enum Kept<'a> {
    /// This node's history, and its log.
    Own(&'a History, Arc<Log>),
    /// The fleet's database.
    Fleet(&'a Asked),
}

impl<'a> Kept<'a> {
    /// Where the events of `subject` are.
    pub(crate) fn of(app: &'a App, subject: Subject<'a>) -> Result<Self, Error> {
        if let Some(asked) = subject.fleet {
            return Ok(Self::Fleet(asked));
        }
        let history = kept(app)?;
        let log = Log {
            node: Arc::default(),
            id: app.events.id(),
            name: app.settings.node.as_str().into(),
            newest: 0,
            pruned: 0,
        };
        Ok(Self::Own(history, Arc::new(log)))
    }

    /// The events that `query` asks for, its `before` aside, the latest first: of these nodes of a fleet, before the event at
    /// this place.
    pub(crate) async fn query(
        &self,
        mut query: Query,
        nodes: Option<&[String]>,
        before: Option<&[u8]>,
    ) -> Result<Vec<Told>, Error> {
        let bad = || Error::parameter("start_key", Problem::BadCursor);
        match self {
            Self::Own(..) if nodes.is_some() => {
                Err(Error::parameter("node", Problem::UnknownParameter))
            }
            Self::Own(history, log) => {
                let seq = before.map(|it| it.try_into().map_err(|_| bad()));
                query.before = seq.transpose()?.map(u64::from_be_bytes);
                let found = history.query(&query).await;
                let found = found.map_err(|error| unreadable(&error))?.into_iter();
                let told = |event| Told {
                    log: Arc::clone(log),
                    event,
                };
                Ok(found.map(told).collect())
            }
            Self::Fleet(asked) => {
                let place = before.map(|it| Place::from_bytes(it).ok_or_else(bad));
                let place = place.transpose()?;
                let found = asked.fleet.events(&query, nodes, place.as_ref()).await;
                found.map_err(|error| asked.away(&error))
            }
        }
    }

    /// The place of an event.
    pub(crate) fn place(&self, told: &Told) -> Vec<u8> {
        match self {
            Self::Own(..) => told.event.seq.to_be_bytes().to_vec(),
            Self::Fleet(_) => Place::of(told).to_bytes(),
        }
    }

    /// When the oldest event that is kept was seen, in milliseconds since the Unix epoch.
    pub(crate) async fn oldest_at(&self) -> Result<Option<u64>, Error> {
        match self {
            Self::Own(history, _) => Ok(history.oldest_at()),
            Self::Fleet(asked) => {
                let oldest = asked.fleet.oldest_event_at().await;
                oldest.map_err(|error| asked.away(&error))
            }
        }
    }

    /// Whether it is of many nodes.
    pub(crate) fn is_of_fleet(&self) -> bool {
        matches!(self, Self::Fleet(_))
    }
}

/// How an event is written.
pub(crate) fn style<'a>(app: &App, log: &'a Log) -> Style<'a> {
    Style {
        wire: app.settings.wire,
        node: &log.name,
        log: log.id,
        id: None,
        fields: None,
    }
}

/// The history that is kept.
pub(crate) fn kept(app: &App) -> Result<&History, Error> {
    let history = app.events.history();
    let history = history.ok_or(Error::NoHistory(NoHistory::Off))?;
    Ok(history)
}

/// Why it cannot be read: the cause is for the log.
pub(crate) fn unreadable(error: &event_log::Error) -> Error {
    tracing::warn!(%error, "cannot read the history");
    Error::NoHistory(NoHistory::Unreadable)
}
