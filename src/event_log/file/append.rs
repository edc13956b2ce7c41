//! Writing events.
//!
//! A call into SQLite's thread and back costs more than the statement that it runs, so what a batch needs is looked up
//! together, and written together.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::code::Code;
use super::phones::{Known, Sought};
use super::places::{MOMENT, NO_PHONE, insert, last_place, places_of, seq_at};
use super::record::{Times, write_happening, write_moving, write_other};
use crate::events::{Event, Happening, What};

/// A row to be written.
#[derive(Debug)]
struct NewRow {
    place: u64,
    code: Code,
    after: u64,
    phone: i64,
    back: u64,
    body: Vec<u8>,
    state: Option<Vec<u8>>,
}

/// What is being written.
#[derive(Debug)]
struct Writing {
    known: Known,
    /// The beginning of the newest moment.
    moment: Option<u64>,
    moments: Vec<(u64, u64)>,
    rows: Vec<NewRow>,
}

/// Writes the events that are not there yet; the caller's transaction is around it. Returns the newest number.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    events: &[Arc<Event>],
) -> Result<u64, sqlx::Error> {
    let ends = sqlx::query(include_str!("../../../sql/history/ends.sql"))
        .fetch_one(&mut *connection)
        .await?;
    let newest = number(&ends, 0)?.map_or(0, seq_at);
    let newest = newest.max(number(&ends, 1)?.unwrap_or_default());
    let is_new = |event: &&Arc<Event>| event.seq > newest;
    let new: Vec<_> = events.iter().filter(is_new).collect();
    let Some(last) = new.last() else {
        return Ok(newest);
    };
    let sought = Sought::by(new.iter().map(|event| &***event));
    let next = |column: usize| {
        let greatest = number(&ends, column)?.unwrap_or_default();
        Ok::<_, sqlx::Error>(greatest.cast_signed() + 1)
    };
    let next = [next(3)?, next(4)?];
    let mut writing = Writing {
        known: Known::look_up(connection, &sought, next).await?,
        moment: number(&ends, 2)?,
        moments: Vec::new(),
        rows: Vec::with_capacity(new.len()),
    };
    for event in &new {
        writing.add(event);
    }
    writing.write(connection).await?;
    Ok(last.seq)
}

impl Writing {
    fn add(&mut self, event: &Event) {
        let place = last_place(event.seq);
        let after = self.after(event.at, place - 1);
        let times = Times {
            seq: event.seq,
            at: event.at,
            commit: event.commit,
        };
        match &event.what {
            What::Registration(happening) => self.add_happening(happening, times, after),
            other => {
                let mut body = Vec::new();
                write_other(other, times, &mut body);
                let back = self.known.follow_no_phone(place);
                self.rows.push(NewRow {
                    place,
                    code: Code::of(other),
                    after,
                    phone: NO_PHONE,
                    back,
                    body,
                    state: None,
                });
            }
        }
    }

    fn add_happening(&mut self, it: &Happening, times: Times, after: u64) {
        let [former_place, place] = places_of(times.seq);
        let (phone, state) = self.known.phone_of(&it.registration);
        let mut is_former_before = false;
        if let Some(former) = &it.former {
            let (of, former_state) = self.known.phone_of(former);
            // A state that is not written is one that stands in the row just before.
            is_former_before = of == phone && former_state.is_none() && state.is_some();
            if !is_former_before {
                let mut body = Vec::new();
                write_moving(former, times.at, &mut body);
                self.push(former_place, Code::FORMER, after, of, body, former_state);
            }
        }
        // What stands in the row before may have changed by that.
        let (phone, state) = if it.former.is_some() && !is_former_before {
            self.known.phone_of(&it.registration)
        } else {
            (phone, state)
        };
        let mut body = Vec::new();
        write_happening(it, times, is_former_before, &mut body);
        self.push(place, Code::of_happening(it), after, phone, body, state);
    }

    /// Adds a row of a phone.
    fn push(
        &mut self,
        place: u64,
        code: Code,
        after: u64,
        phone: usize,
        body: Vec<u8>,
        state: Option<Vec<u8>>,
    ) {
        let back = self.known.follow_phone(phone, place, state.as_deref());
        self.rows.push(NewRow {
            place,
            code,
            after,
            phone: self.known.phones[phone].id,
            back,
            body,
            state,
        });
    }

    /// How long after the newest moment `at` is. A new one begins where it is too long, or the clock was set back.
    fn after(&mut self, at: u64, place: u64) -> u64 {
        let after = self.moment.and_then(|moment| at.checked_sub(moment));
        if let Some(after) = after.filter(|after| *after < MOMENT) {
            return after;
        }
        self.moment = Some(at);
        self.moments.push((place, at));
        0
    }

    async fn write(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        const MOMENTS: &str = "INSERT INTO moment (place, at) ";
        const EVENTS: &str = "INSERT INTO event (place, kind, after, phone, back, body, state) ";
        insert(connection, MOMENTS, self.moments, |values, (place, at)| {
            values
                .push_bind(place.cast_signed())
                .push_bind(at.cast_signed());
        })
        .await?;
        self.known.write(connection).await?;
        insert(connection, EVENTS, self.rows, |values, row| {
            values
                .push_bind(row.place.cast_signed())
                .push_bind(i64::from(row.code.0))
                .push_bind(row.after.cast_signed())
                .push_bind(row.phone)
                .push_bind(row.back.cast_signed())
                .push_bind(row.body)
                .push_bind(row.state);
        })
        .await
    }
}

fn number(row: &SqliteRow, column: usize) -> Result<Option<u64>, sqlx::Error> {
    let number: Option<i64> = row.try_get(column)?;
    Ok(number.map(i64::cast_unsigned))
}
