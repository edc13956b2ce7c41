//! The stream of a fleet: what happens on all nodes, from the database where they publish.
//!
//! As that of a node, it is a place in the logs, here in all of them. The database is looked at once a second for all
//! streams; while it is away they wait.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::frames::Frames;
use super::seats::Seat;
use super::who::{Changes, Who};
use super::{EVENTS, LOOK, MARK, PIECE, WITHHELD, response, seat};
use crate::events::json::{LogId, Style, moment, write_present};
use crate::events::{Event, GapCause, Type, What};
use crate::fleet::cursor::Cursor;
use crate::fleet::tail::{Item, Missed, Next, Point};
use crate::fleet::{Error as Away, Fleet};
use crate::http::App;
use crate::http::api::asked::Asked;
use crate::http::api::subject::Subject;
use crate::http::auth::grant::Grant;
use crate::http::auth::peer::Peer;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::filter::Filters;
use crate::http::request::reach::Reach;
use crate::http::request::stream_params::{From, StreamParams};
use crate::http::response::fleet::source;
use crate::http::response::view::View;
use crate::http::socket::Socket;
use crate::registration::Registration;
use crate::registration::item::Field;

/// The stream that the caller asks for.
pub(crate) fn open(
    app: &Arc<App>,
    call: &Call,
    client: (Peer, Option<Socket>),
    grant: &Grant,
    (subject, asked): (Subject<'_>, &Asked),
    params: StreamParams,
) -> Result<Response, Error> {
    let filters = Filters::parse(&call.params, Reach::Fleet)?;
    filters.check_for_stream()?;
    let framing = params.framing;
    if call.method == Method::HEAD {
        return Ok(response(framing, Body::empty()));
    }
    let (peer, socket) = client;
    if let Some(socket) = &socket {
        socket.leave_room();
    }
    let stream = Stream {
        who: Who::new(app, call, peer, subject),
        fleet: Arc::clone(&asked.fleet),
        types: params.types,
        fields: params.fields,
        filters,
        frames: Frames::new(framing),
        phase: Phase::Begin(params.from),
        is_initial: params.is_initial,
        withheld: 0,
        sent: Instant::now(),
        checked: Some(Instant::now()),
        changes: Changes::of(app),
        socket,
        is_gone: false,
        _seat: seat(app, grant)?,
        app: Arc::clone(app),
    };
    let pieces = stream::unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<_, Infallible>(piece), stream))
    });
    Ok(response(framing, Body::from_stream(pieces)))
}

/// What is being sent to one client.
struct Stream {
    app: Arc<App>,
    fleet: Arc<Fleet>,
    who: Who,
    types: Vec<Type>,
    fields: Option<Vec<Field>>,
    filters: Filters,
    frames: Frames,
    phase: Phase,
    /// Whether the rows of now are sent again where events are missing.
    is_initial: bool,
    /// Events that came since the client was last told how far it is, and were not for it.
    withheld: usize,
    /// When it was last sent something.
    sent: Instant,
    /// When the caller's rights were last looked at; `None` where they are to be looked at again.
    checked: Option<Instant>,
    changes: Changes,
    socket: Option<Socket>,
    /// Whether the client has gone.
    is_gone: bool,
    _seat: Seat,
}

/// How far a stream is.
#[derive(Clone)]
enum Phase {
    Begin(From),
    /// The rows of now are to be sent.
    List,
    /// These are still to be sent; then it goes on at the point.
    Present(VecDeque<Arc<Registration>>, Point),
    /// What is between is read from the database; then it goes on at the point.
    CatchUp(Cursor, Point),
    Live(Point),
    Over,
}

impl Stream {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let phase = std::mem::replace(&mut self.phase, Phase::Over);
            let is_over = matches!(phase, Phase::Over);
            if is_over && self.frames.len() == 0 {
                return None;
            }
            if self.socket.as_ref().is_some_and(Socket::is_slow) {
                self.frames.bye("slow");
            } else if !is_over {
                self.phase = match phase {
                    Phase::Present(rows, point) => self.present(rows, point),
                    // What could not be read is tried again.
                    phase => match self.step(phase.clone()).await {
                        Ok(next) => next,
                        Err(_) => self.wait_for_database(phase).await,
                    },
                };
                if self.is_gone {
                    return None;
                }
                if !self.may_go_on().await {
                    self.phase = Phase::Over;
                }
            }
            if self.frames.len() > 0 {
                self.sent = Instant::now();
                return Some(self.frames.take().into());
            }
        }
    }

    async fn step(&mut self, phase: Phase) -> Result<Phase, Away> {
        match phase {
            Phase::Begin(from) => self.begin(from).await,
            Phase::List => self.list().await,
            Phase::CatchUp(cursor, point) => self.catch_up(cursor, point).await,
            Phase::Live(point) => self.live(point).await,
            phase @ (Phase::Present(..) | Phase::Over) => Ok(phase),
        }
    }

    async fn begin(&mut self, from: From) -> Result<Phase, Away> {
        let (end, beginning) = (self.fleet.end().await?, self.fleet.beginning().await?);
        let hello = json!({
            "type": "hello",
            "log": "fleet",
            "oldest": beginning.id(),
            "newest": end.cursor.id(),
            "node": self.app.settings.node,
            "source": self.source().await?,
            "version": self.app.settings.version,
        });
        let missed = match &from {
            From::OfFleet(cursor) => self.missed(cursor, &end).await?,
            // Of another log than any that is followed here.
            From::Event(..) | From::Unknown => Some(GapCause::OtherLog),
            From::Now | From::Initial => None,
        };
        self.frames.control(hello, None);
        Ok(match (from, missed) {
            (From::OfFleet(cursor), Some(cause)) => self.miss(Some(&cursor), cause, end),
            (_, Some(cause)) => self.miss(None, cause, end),
            (From::OfFleet(cursor), None) => Phase::CatchUp(cursor, end),
            (From::Initial, None) => Phase::List,
            (_, None) => Phase::Live(end),
        })
    }

    /// Why the client cannot go on after a cursor, if it cannot.
    async fn missed(&self, from: &Cursor, end: &Point) -> Result<Option<GapCause>, Away> {
        let found = self.fleet.can_go_on(from, &end.cursor).await?;
        Ok(found.err().map(|missed| match missed {
            Missed::TooOld => GapCause::TooOld,
            Missed::OtherLog => GapCause::OtherLog,
        }))
    }

    /// Tells the client that it missed something: it goes on at this point, with the rows of now where it wants them.
    fn miss(&mut self, from: Option<&Cursor>, cause: GapCause, point: Point) -> Phase {
        self.gap(from, cause, &point.cursor);
        if self.is_initial {
            Phase::List
        } else {
            Phase::Live(point)
        }
    }

    fn gap(&mut self, from: Option<&Cursor>, cause: GapCause, to: &Cursor) {
        let (from, to) = (from.map(Cursor::id), to.id());
        let node = &self.app.settings.node;
        self.frames.gap(from.as_deref(), &to, cause, node);
    }

    /// Takes the rows of now; what happens from now on comes after them.
    async fn list(&mut self) -> Result<Phase, Away> {
        // Before the list: what comes meanwhile may be told twice, and nothing is missed.
        let point = self.fleet.end().await?;
        let asked = Asked {
            fleet: Arc::clone(&self.fleet),
            nodes: self.fleet.nodes().await?,
            known: Arc::default(),
        };
        let subject = Subject {
            fleet: Some(&asked),
            ..self.who.subject()
        };
        let view = View::of_fleet(&self.app);
        let selected = asked.select(subject.of_fleet(), &self.filters, &view).await;
        match selected {
            Ok(listing) => Ok(Phase::Present(listing.registrations.into(), point)),
            Err(Error::FleetUnreachable { .. }) => Ok(self.wait_for_database(Phase::List).await),
            Err(_) => {
                self.frames.bye("too_many_rows");
                Ok(Phase::Over)
            }
        }
    }

    fn present(&mut self, mut rows: VecDeque<Arc<Registration>>, point: Point) -> Phase {
        while self.frames.len() < PIECE
            && let Some(one) = rows.pop_front()
        {
            let node = one.common.node.as_ref().map(|node| Arc::clone(&node.name));
            let node = node.as_deref().unwrap_or_default();
            let style = style(&self.app, node, LogId(0), self.fields.as_deref());
            let mut text = Vec::with_capacity(2048);
            write_present(&one, &style, &mut text);
            self.frames.frame("present", None, &text);
        }
        if !rows.is_empty() {
            return Phase::Present(rows, point);
        }
        self.tell("synced", &point.cursor, None);
        Phase::Live(point)
    }

    /// Sends what is between.
    async fn catch_up(&mut self, mut cursor: Cursor, point: Point) -> Result<Phase, Away> {
        if cursor == point.cursor {
            return Ok(Phase::Live(point));
        }
        let before = cursor.clone();
        let items = self.fleet.between(&mut cursor, &point.cursor).await?;
        for item in &items {
            self.event(item);
        }
        if items.is_empty() && cursor == before {
            return Ok(Phase::Live(point));
        }
        Ok(Phase::CatchUp(cursor, point))
    }

    /// Sends what happened, or waits until something happens.
    async fn live(&mut self, mut point: Point) -> Result<Phase, Away> {
        let before = point.cursor.clone();
        let Some(found) = self.fleet.follow(&mut point, EVENTS) else {
            let end = self.fleet.end().await?;
            return Ok(match self.missed(&before, &end).await? {
                Some(cause) => self.miss(Some(&before), cause, end),
                None => Phase::CatchUp(before, end),
            });
        };
        if found.is_empty() {
            self.wait(&point).await?;
        }
        let mut is_missed = false;
        for next in &found {
            match next {
                Next::Event(item) => self.event(item),
                Next::Missed(cursor) => {
                    self.gap(Some(&before), GapCause::OtherLog, cursor);
                    is_missed = true;
                }
            }
        }
        if self.withheld >= WITHHELD {
            self.mark(&point).await;
        }
        Ok(if is_missed && self.is_initial {
            Phase::List
        } else {
            Phase::Live(point)
        })
    }

    fn event(&mut self, item: &Item) {
        let event = item.logged.event();
        if !self.wants(event) {
            self.withheld += 1;
            return;
        }
        let style = Style {
            id: Some(&item.id),
            ..style(
                &self.app,
                &item.log.name,
                item.log.id,
                self.fields.as_deref(),
            )
        };
        self.frames.event(&item.logged, self.who.viewer(), &style);
        self.withheld = 0;
    }

    /// Whether the client has asked for this event.
    fn wants(&self, event: &Event) -> bool {
        let viewer = self.who.viewer();
        let Some(kind) = event.type_for(viewer) else {
            return false;
        };
        if kind != Type::Gap && !self.types.contains(&kind) {
            return false;
        }
        let What::Registration(happening) = &event.what else {
            return true;
        };
        let Some(seen) = happening.seen_by(viewer) else {
            return false;
        };
        let now = i64::try_from(event.at / 1000).unwrap_or(i64::MAX);
        let matches = |one: &Arc<Registration>| {
            self.who.is_about(one) && self.filters.match_one(one, self.app.settings.wire, now)
        };
        matches(seen.registration) || seen.former.is_some_and(matches)
    }

    /// Waits until something happens, or the client is to be told that nothing did.
    async fn wait(&mut self, point: &Point) -> Result<(), Away> {
        let mark = tokio::time::sleep_until(self.sent + MARK);
        let fleet = Arc::clone(&self.fleet);
        tokio::select! {
            found = fleet.news(point) => return found,
            () = mark => {
                self.mark(point).await;
                return Ok(());
            }
            () = tokio::time::sleep_until(self.checked.unwrap_or(self.sent) + LOOK) => {}
            () = self.changes.any() => {}
            () = self.app.draining.cancelled() => {}
            () = gone(self.socket.as_ref()) => self.is_gone = true,
        }
        self.checked = None;
        Ok(())
    }

    /// Waits a moment before the database is asked again.
    async fn wait_for_database(&mut self, phase: Phase) -> Phase {
        tokio::select! {
            () = tokio::time::sleep(LOOK / 2) => {}
            () = self.app.draining.cancelled() => {}
            () = gone(self.socket.as_ref()) => self.is_gone = true,
        }
        self.checked = None;
        phase
    }

    async fn mark(&mut self, point: &Point) {
        let source = self.source().await.ok();
        self.tell("mark", &point.cursor, source.as_ref());
        self.withheld = 0;
    }

    /// How far the stream is.
    fn tell(&mut self, kind: &str, cursor: &Cursor, source: Option<&Value>) {
        let id = cursor.id();
        let frame = json!({
            "id": id,
            "type": kind,
            "at": moment(self.now()),
            "node": self.app.settings.node,
            "source": source,
        });
        self.frames.control(frame, Some(&id));
    }

    async fn source(&self) -> Result<Value, Away> {
        Ok(source(&*self.fleet.nodes().await?))
    }

    /// Whether the stream goes on: it does not when the program ends, nor when the caller may no longer read.
    async fn may_go_on(&mut self) -> bool {
        let is_fresh = self.checked.is_some_and(|at| at.elapsed() < LOOK);
        if is_fresh && !self.changes.are_any() && !self.app.draining.is_cancelled() {
            return true;
        }
        self.checked = Some(Instant::now());
        let reason = if self.app.draining.is_cancelled() {
            "shutting_down"
        } else {
            match self.who.check_in_fleet(&self.app, &self.fleet).await {
                Ok(()) => return true,
                Err(reason) => reason,
            }
        };
        self.frames.bye(reason);
        false
    }

    fn now(&self) -> u64 {
        u64::try_from(self.app.clock.unix().as_millis()).unwrap_or(u64::MAX)
    }
}

fn style<'a>(app: &App, node: &'a str, log: LogId, fields: Option<&'a [Field]>) -> Style<'a> {
    Style {
        wire: app.settings.wire,
        node,
        log,
        id: None,
        fields,
    }
}

/// Waits until the client has gone.
async fn gone(socket: Option<&Socket>) {
    match socket {
        Some(socket) => socket.closed().await,
        None => std::future::pending().await,
    }
}
