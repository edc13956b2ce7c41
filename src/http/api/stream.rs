//! A list's changes, as they come: server-sent events, or lines of JSON.
//!
//! A stream is a cursor into the log: it reads on when its client has taken what it read before. It holds nothing but
//! what is being sent, so a slow client costs nothing, and no client waits for another.

mod frames;
pub(crate) mod of_fleet;
pub(crate) mod seats;
mod who;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Method, header};
use tokio::sync::watch;
use tokio::time::Instant;

use self::frames::Frames;
use self::seats::Seat;
use self::who::{Changes, Who};
use super::select::{select, turn};
use super::subject::Subject;
use crate::event_log::{Attendance, Cursor, LogId, Logged, Missed};
use crate::events::json::Style;
use crate::events::{Event, GapCause, Type, Viewer, What};
use crate::http::App;
use crate::http::auth::grant::Grant;
use crate::http::auth::peer::Peer;
use crate::http::error::Error;
use crate::http::request::call::Call;
use crate::http::request::filter::Filters;
use crate::http::request::stream_params::{Framing, From, StreamParams};
use crate::http::response::view::View;
use crate::http::socket::Socket;
use crate::registration::Registration;
use crate::registration::item::Field;

/// How often a client is told how far it is, while nothing else is sent.
const MARK: Duration = Duration::from_secs(15);

/// After so many events that were withheld the client is told how far it is: the log does not keep events forever.
const WITHHELD: usize = 1000;

/// How often to look whether the token has expired.
const LOOK: Duration = Duration::from_secs(2);

/// How often the rows are read to have them as they are at one moment; with very many changes there is none.
const LISTS: usize = 3;

/// More rows than this are not read again for that.
const FEW: usize = 10_000;

/// How many events are read at a time.
const EVENTS: usize = 256;

/// The pause between two pieces, for each stream that is open, up to [`LONGEST_PAUSE`]: the more clients there are, the
/// more is sent to each at a time. One client waits for nothing.
const PAUSE: Duration = Duration::from_micros(480);

/// The longest pause between two pieces.
const LONGEST_PAUSE: Duration = Duration::from_millis(30);

/// About as much is sent at a time.
const PIECE: usize = 64 << 10;

/// When a client may try again for which there was no room.
const RETRY_AFTER: Duration = Duration::from_secs(10);

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The stream that the caller asks for.
pub(crate) fn open(
    app: &Arc<App>,
    call: &Call,
    client: (Peer, Option<Socket>),
    grant: &Grant,
    subject: Subject<'_>,
    params: StreamParams,
) -> Result<Response, Error> {
    let filters = Filters::parse(&call.params, app.reach())?;
    filters.check_for_stream()?;
    let framing = params.framing;
    let body = if call.method == Method::HEAD {
        Body::empty()
    } else {
        let seat = seat(app, grant)?;
        let stream = Stream::new(app, call, client, subject, params, filters, seat);
        let pieces = stream::unfold(stream, |mut stream| async move {
            let piece = stream.next().await?;
            Some((Ok::<_, Infallible>(piece), stream))
        });
        Body::from_stream(pieces)
    };
    Ok(response(framing, body))
}

/// A place for one more stream of the caller.
fn seat(app: &App, grant: &Grant) -> Result<Seat, Error> {
    let limits = Arc::clone(&app.limits.borrow());
    let seat = app.streams.take(
        grant.caller.to_string(),
        limits.streams,
        limits.streams_per_token,
    );
    seat.ok_or(Error::TooManyStreams {
        retry_after: RETRY_AFTER,
    })
}

/// An answer that goes on.
fn response(framing: Framing, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let kind = match framing {
        Framing::Sse => "text/event-stream",
        Framing::Lines => "application/x-ndjson",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// What is being sent to one client.
struct Stream {
    app: Arc<App>,
    who: Who,
    types: Vec<Type>,
    fields: Option<Vec<Field>>,
    filters: Filters,
    frames: Frames,
    phase: Phase,
    /// Whether the rows of now are sent again where events are missing.
    is_initial: bool,
    /// Whether events are missing, and the rows have not been sent again yet.
    has_gap: bool,
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
    _attendance: Attendance,
    /// While refreshes are wanted.
    _refreshes: Option<watch::Receiver<()>>,
    _seat: Seat,
}

/// How far a stream is.
enum Phase {
    Begin(From),
    /// The rows of now are to be sent.
    List,
    /// These are still to be sent; then it goes on at the cursor.
    Present(VecDeque<Arc<Registration>>, Cursor),
    Live(Cursor),
    Over,
}

impl Stream {
    fn new(
        app: &Arc<App>,
        call: &Call,
        (peer, socket): (Peer, Option<Socket>),
        subject: Subject<'_>,
        params: StreamParams,
        filters: Filters,
        seat: Seat,
    ) -> Self {
        let wants_refreshes = params.types.contains(&Type::Refreshed);
        if let Some(socket) = &socket {
            socket.leave_room();
        }
        Self {
            who: Who::new(app, call, peer, subject),
            types: params.types,
            fields: params.fields,
            filters,
            frames: Frames::new(params.framing),
            phase: Phase::Begin(params.from),
            is_initial: params.is_initial,
            has_gap: false,
            withheld: 0,
            sent: Instant::now(),
            checked: Some(Instant::now()),
            changes: Changes::of(app),
            socket,
            is_gone: false,
            _attendance: app.events.attend(),
            _refreshes: wants_refreshes.then(|| app.events.with_refreshes()),
            _seat: seat,
            app: Arc::clone(app),
        }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let phase = std::mem::replace(&mut self.phase, Phase::Over);
            let is_slow = self.socket.as_ref().is_some_and(Socket::is_slow);
            match phase {
                Phase::Over if self.frames.len() == 0 => return None,
                Phase::Over => {}
                _ if is_slow => self.frames.bye("slow"),
                Phase::Begin(from) => self.begin(from).await,
                Phase::List => self.list().await,
                Phase::Present(rows, cursor) => self.present(rows, cursor),
                Phase::Live(cursor) => self.live(cursor).await,
            }
            if self.frames.len() > 0 {
                self.sent = Instant::now();
                return Some(self.frames.take().into());
            }
        }
    }

    async fn begin(&mut self, from: From) {
        let log = &self.app.events;
        if from == From::Now {
            // What a list has by now is not told again.
            log.has_followed(self.app.registry.last_entry()).await;
        }
        let (id, range) = (log.id(), (log.oldest(), log.newest()));
        let source = self.app.registry.source_of_answers();
        let style = style(&self.app, id, None);
        let version = &self.app.settings.version;
        self.frames.hello(&style, version, range, source);
        self.phase = match from {
            From::Now => Phase::Live(log.end()),
            From::Initial => Phase::List,
            From::Event(log, seq) => self.resume(Some((log, seq))),
            From::OfFleet(_) | From::Unknown => self.resume(None),
        };
    }

    /// Takes the rows of now; what happens from now on comes after them.
    async fn list(&mut self) {
        let log = &self.app.events;
        for _ in 0..LISTS {
            // What the rows show by now is not told again.
            let entry = self.app.registry.last_entry();
            log.has_followed(entry).await;
            // Before the list: what comes meanwhile may be told twice, and nothing is missed.
            let cursor = log.end();
            let rows = self.rows().await;
            let is_enough = rows.len() > FEW || self.app.registry.last_entry() == entry;
            self.phase = Phase::Present(rows, cursor);
            if is_enough {
                return;
            }
        }
    }

    /// Goes on after an event, or says what is missing.
    fn resume(&mut self, event: Option<(LogId, u64)>) -> Phase {
        let log = &self.app.events;
        let found = event.map_or(Err(Missed::OtherLog), |(id, seq)| log.after(id, seq));
        match found {
            Ok(cursor) => Phase::Live(cursor),
            Err(missed) => {
                let from = event.map(|(id, seq)| id.id(seq));
                let cursor = self.miss(from.as_deref(), missed);
                self.go_on(cursor)
            }
        }
    }

    /// Tells the client what it missed: it goes on with what happens from now on.
    fn miss(&mut self, from: Option<&str>, missed: Missed) -> Cursor {
        let cause = match missed {
            Missed::TooOld => GapCause::TooOld,
            Missed::OtherLog => GapCause::OtherLog,
        };
        let cursor = self.app.events.end();
        let to = cursor.log().id(cursor.seq());
        self.frames.gap(from, &to, cause, &self.app.settings.node);
        self.has_gap = true;
        cursor
    }

    /// What comes after what was read: first the rows, if they are wanted and events are missing.
    fn go_on(&mut self, cursor: Cursor) -> Phase {
        if std::mem::take(&mut self.has_gap) && self.is_initial {
            Phase::List
        } else {
            Phase::Live(cursor)
        }
    }

    /// The registrations that are listed now.
    async fn rows(&self) -> VecDeque<Arc<Registration>> {
        let subject = self.who.subject();
        let _turn = turn(&self.app, subject, self.who.peer()).await;
        let listing = select(&self.app, subject, &self.filters, &View::now(&self.app)).await;
        listing.registrations.into()
    }

    fn present(&mut self, mut rows: VecDeque<Arc<Registration>>, cursor: Cursor) {
        let style = style(&self.app, cursor.log(), self.fields.as_deref());
        while self.frames.len() < PIECE
            && let Some(one) = rows.pop_front()
        {
            self.frames.present(&one, &style);
        }
        if !self.may_go_on() {
            return;
        }
        self.phase = if rows.is_empty() {
            let node = &self.app.settings.node;
            self.frames
                .synced(cursor.log(), cursor.seq(), self.now(), node);
            Phase::Live(cursor)
        } else {
            Phase::Present(rows, cursor)
        };
    }

    /// Sends what happened, or waits until something happens.
    async fn live(&mut self, mut cursor: Cursor) {
        let before = cursor.log().id(cursor.seq());
        match self.app.events.read(&mut cursor, EVENTS).await {
            Ok(events) if events.is_empty() => self.wait(&cursor).await,
            Ok(events) => {
                for event in &events {
                    self.event(event, cursor);
                }
            }
            Err(missed) => cursor = self.miss(Some(&before), missed),
        }
        if self.withheld >= WITHHELD {
            self.mark(&cursor);
        }
        if !self.is_gone && self.may_go_on() {
            self.phase = self.go_on(cursor);
        }
    }

    fn event(&mut self, event: &Logged, cursor: Cursor) {
        let viewer = self.who.viewer();
        if let What::Gap(gap) = &event.event().what {
            self.has_gap |= gap.cause.asks_for_lists();
        }
        if self.wants(event.event(), viewer) {
            let style = style(&self.app, cursor.log(), self.fields.as_deref());
            self.frames.event(event, viewer, &style);
            self.withheld = 0;
        } else {
            self.withheld += 1;
        }
    }

    /// Whether the client has asked for this event.
    fn wants(&self, event: &Event, viewer: Viewer<'_>) -> bool {
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
    async fn wait(&mut self, cursor: &Cursor) {
        let mark = tokio::time::sleep_until(self.sent + MARK);
        let gone = async {
            match &self.socket {
                Some(socket) => socket.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.app.events.news(cursor) => return self.pause().await,
            () = mark => self.mark(cursor),
            () = tokio::time::sleep_until(self.checked.unwrap_or(self.sent) + LOOK) => {}
            () = self.changes.any() => {}
            () = self.app.draining.cancelled() => {}
            () = gone => {
                self.is_gone = true;
                return;
            }
        }
        self.checked = None;
    }

    /// Lets more come together where there are many clients.
    async fn pause(&self) {
        let others = self.app.streams.count().saturating_sub(1);
        let pause = PAUSE.saturating_mul(u32::try_from(others).unwrap_or(u32::MAX));
        tokio::time::sleep_until(self.sent + pause.min(LONGEST_PAUSE)).await;
    }

    fn mark(&mut self, cursor: &Cursor) {
        let source = self.app.registry.source_of_answers();
        let node = &self.app.settings.node;
        self.frames
            .mark(cursor.log(), cursor.seq(), self.now(), node, source);
        self.withheld = 0;
    }

    /// Whether the stream goes on: it does not when the program ends, nor when the caller may no longer read.
    fn may_go_on(&mut self) -> bool {
        let is_fresh = self.checked.is_some_and(|at| at.elapsed() < LOOK);
        if is_fresh && !self.changes.are_any() && !self.app.draining.is_cancelled() {
            return true;
        }
        self.checked = Some(Instant::now());
        let reason = if self.app.draining.is_cancelled() {
            "shutting_down"
        } else {
            match self.who.check(&self.app) {
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

fn style<'a>(app: &'a App, log: LogId, fields: Option<&'a [Field]>) -> Style<'a> {
    Style {
        wire: app.settings.wire,
        node: &app.settings.node,
        log,
        id: None,
        fields,
    }
}
