//! Rows of the file, made events again.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::code::Code;
use super::common::{Decoder, Shared};
use super::places::{json, last_place, places_of, seq_at};
use super::record::{Moving, Told, read_other};
use super::state::State;
use crate::events::{Event, What};
use crate::registration::{
    Attributes, Bytes, Cell, Cells, Column, Details, Registration, Text, Texts,
};

const ROWS: &str = include_str!("../../../sql/history/rows.sql");

/// A row makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("event {0} cannot be read")]
struct Malformed(u64);

/// The number of the oldest event in the file and at most `limit` events after `after`, ascending; `None` where nothing
/// follows.
pub(super) async fn after(
    connection: &mut SqliteConnection,
    after: u64,
    limit: usize,
) -> Result<Option<(u64, Vec<Event>)>, sqlx::Error> {
    // A number has one row or two.
    let sql = format!("{ROWS}WHERE event.place > ?1 ORDER BY event.place LIMIT 2 * ?2");
    let mut maker = Maker::default();
    let mut oldest = None;
    let mut events = Vec::new();
    let mut rows = sqlx::query(AssertSqlSafe(sql))
        .bind(last_place(after).cast_signed())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX / 2))
        .fetch(connection);
    while events.len() < limit
        && let Some(row) = rows.try_next().await?
    {
        oldest = oldest.or_else(|| number(&row, 0).map(seq_at));
        events.extend(maker.take(&row)?);
    }
    Ok(oldest.map(|oldest| (oldest, events)))
}

/// The events of these numbers, ascending; those that are not there are left out.
pub(super) async fn of(
    connection: &mut SqliteConnection,
    numbers: &[u64],
) -> Result<Vec<Event>, sqlx::Error> {
    let sql = format!(
        "{ROWS}WHERE event.place IN (SELECT value FROM json_each(?1)) ORDER BY event.place"
    );
    let places = numbers.iter().flat_map(|seq| places_of(*seq));
    let mut maker = Maker::default();
    let mut events = Vec::with_capacity(numbers.len());
    let mut rows = sqlx::query(AssertSqlSafe(sql))
        .bind(json(places))
        .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        events.extend(maker.take(&row)?);
    }
    Ok(events)
}

/// Makes events of rows, which come ascending.
#[derive(Debug, Default)]
struct Maker {
    decoder: Decoder,
    texts: Texts,
    former: Option<(u64, Arc<Registration>)>,
}

impl Maker {
    /// The event that this row ends, if it does.
    fn take(&mut self, row: &SqliteRow) -> Result<Option<Event>, sqlx::Error> {
        let place = row.try_get::<i64, _>(1)?.cast_unsigned();
        let event = self.event(row, place);
        event.ok_or_else(|| sqlx::Error::Decode(Malformed(seq_at(place)).into()))
    }

    #[expect(
        clippy::option_option,
        reason = "a row that ends no event, and one that makes no sense"
    )]
    fn event(&mut self, row: &SqliteRow, place: u64) -> Option<Option<Event>> {
        let seq = seq_at(place);
        let code = Code(u8::try_from(number(row, 2)?).ok()?);
        if code == Code::FORGOTTEN {
            return Some(None);
        }
        let at = number(row, 3)?;
        let mut body = Bytes(bytes(row, 4)?);
        if code == Code::FORMER {
            let moving = Moving::read(&mut body, at)?;
            self.former = Some((seq, self.registration(row, bytes(row, 7)?, &moving)?));
            return Some(None);
        }
        let (commit, what) = if code.kind().is_some() {
            let told = Told::read(&mut body, seq, at)?;
            let registration = self.registration(row, bytes(row, 7)?, &told.moving)?;
            let former = match &told.former {
                Some(moving) => Some(self.registration(row, bytes(row, 8)?, moving)?),
                None => self
                    .former
                    .take()
                    .filter(|(of, _)| *of == seq)
                    .map(|(_, it)| it),
            };
            let commit = told.commit;
            let happening = told.happening(code, at, registration, former)?;
            (commit, What::Registration(Box::new(happening)))
        } else {
            read_other(&mut body, code, seq, &mut self.decoder)?
        };
        Some(Some(Event {
            seq,
            at,
            commit,
            what,
        }))
    }

    /// The registration of the row's phone in this state.
    fn registration(
        &mut self,
        row: &SqliteRow,
        state: &[u8],
        moving: &Moving,
    ) -> Option<Arc<Registration>> {
        let base = State::from_difference(bytes(row, 6)?, &State::usual())?;
        let state = State::from_difference(state, &base)?;
        let shared = self.decoder.shared(bytes(row, 9)?)?;
        let agent = match bytes(row, 10) {
            Some(bytes) => Some(Decoder::agent(bytes)?),
            None => None,
        };
        let account_id = match bytes(row, 5) {
            Some(id) => Some(self.decoder.account(id)?),
            None => None,
        };
        let binding = Arc::new(self.binding(&shared, agent.as_ref(), &state, moving));
        let rest = state.complete(&binding, shared.common.realm.as_deref())?;
        Some(Arc::new(Registration::new(Details {
            first_registration: moving.life.first_registration,
            refreshes: moving.life.refreshes,
            account_id,
            username: rest.username,
            authorizing_id: rest.authorizing_id,
            owner_id: rest.owner_id,
            presence_id: rest.presence_id,
            contact_address: rest.contact_address,
            source: rest.source,
            common: shared.common,
            binding,
        })))
    }

    fn binding(
        &mut self,
        shared: &Shared,
        agent: Option<&Text>,
        state: &State<'_>,
        moving: &Moving,
    ) -> crate::registration::Binding {
        let mut cells = Cells::default();
        for (column, cell) in state.columns() {
            cells.set(column, cell.clone());
        }
        for (column, cell) in moving.cells() {
            cells.set(column, cell);
        }
        let texts = [
            (Column::Domain, shared.domain.as_ref()),
            (Column::Socket, shared.socket.as_ref()),
            (Column::UserAgent, agent),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                cells.set(column, Cell::Text(text.as_bytes().into()));
            }
        }
        cells.binding(&shared.table, Attributes::default(), &mut self.texts)
    }
}

fn bytes(row: &SqliteRow, column: usize) -> Option<&[u8]> {
    row.try_get::<Option<&[u8]>, _>(column).ok()?
}

fn number(row: &SqliteRow, column: usize) -> Option<u64> {
    let number: Option<i64> = row.try_get(column).ok()?;
    number.map(i64::cast_unsigned)
}
