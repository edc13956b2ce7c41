//! This node in the fleet's database: its epoch, which fences older processes and copies of the machine, and its beats.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::Error;
use super::connection::answered;
use crate::registry::Freshness;
use crate::source::sql;

const CLAIM: &str = include_str!("../../sql/fleet/claim.sql");
const ENTER: &str = include_str!("../../sql/fleet/enter.sql");
const KNOWN: &str = "SELECT epoch, seq FROM usrlocd.node WHERE id = $1::uuid";
const RESUME: &str = include_str!("../../sql/fleet/resume.sql");
const BEAT: &str = include_str!("../../sql/fleet/beat.sql");
const SYNCED: &str =
    "UPDATE usrlocd.node SET synced_epoch = epoch WHERE id = $1::uuid AND epoch = $2";
const STOPPED: &str = "UPDATE usrlocd.node SET stopped_at = now(), beat_at = now() WHERE id = $1::uuid AND epoch = $2";

/// Two rows have the same value where none may.
const UNIQUE_VIOLATION: &str = "23505";

/// Who this node is, and how far it has published.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) name: String,
    version: String,
    /// Raised at the start of each process; 0 before that.
    pub(super) epoch: i64,
    /// The number of the last transaction that was tried.
    pub(super) sequence: u64,
    /// The number of the last one that is known to be committed.
    committed: u64,
}

/// What a beat says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) rows: usize,
    pub(super) source: Freshness,
    /// Our clock minus that of the database.
    pub(super) clock_offset_ms: i64,
}

/// How the database compares with what this process has published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Nothing was published by this process.
    Unread,
    /// It may lack what was under way.
    Followed,
    /// It lacks what was committed: it was restored from a copy, or a standby that had not everything took over.
    Behind,
}

impl Node {
    pub(super) fn new(id: String, name: String, version: &str) -> Self {
        Self {
            id,
            name,
            version: version.to_owned(),
            epoch: 0,
            sequence: 0,
            committed: 0,
        }
    }

    /// Takes this node's place in the database, or finds it as this process has left it.
    pub(super) async fn enter(&mut self, connection: &mut PgConnection) -> Result<Found, Error> {
        let entered = answered(async {
            if self.epoch == 0 {
                self.claim(connection).await.map(|()| Found::Unread)
            } else {
                self.resume(connection).await
            }
        });
        match entered.await {
            Err(Error::Server(sql::Error::Refused(code))) if code == UNIQUE_VIOLATION => {
                Err(Error::NameTaken(self.name.clone()))
            }
            entered => entered,
        }
    }

    /// Begins a new epoch.
    async fn claim(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        let claimed = sqlx::query(CLAIM)
            .bind(&self.id)
            .bind(&self.name)
            .bind(&self.version)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(row) = claimed {
            self.epoch = row.try_get(0)?;
            let sequence: i64 = row.try_get(1)?;
            self.sequence = self.sequence.max(sequence.cast_unsigned());
        } else {
            self.insert(connection, 1).await?;
            self.epoch = 1;
        }
        self.committed = self.sequence;
        Ok(())
    }

    async fn insert(&self, connection: &mut PgConnection, epoch: i64) -> Result<(), Error> {
        let entering = sqlx::query(ENTER)
            .bind(&self.id)
            .bind(&self.name)
            .bind(epoch)
            .bind(self.sequence.cast_signed())
            .bind(&self.version);
        Ok(entering.execute(connection).await.map(drop)?)
    }

    async fn resume(&mut self, connection: &mut PgConnection) -> Result<Found, Error> {
        let known = sqlx::query(KNOWN)
            .bind(&self.id)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(known) = known else {
            self.insert(connection, self.epoch).await?;
            return Ok(Found::Behind);
        };
        let (epoch, sequence): (i64, i64) = (known.try_get(0)?, known.try_get(1)?);
        if epoch > self.epoch {
            return Err(Error::Fenced);
        }
        let is_behind = epoch < self.epoch || sequence.cast_unsigned() < self.committed;
        if is_behind {
            let resuming = sqlx::query(RESUME).bind(&self.id).bind(epoch);
            let resumed = resuming.bind(self.epoch).execute(connection).await?;
            if resumed.rows_affected() == 0 {
                return Err(Error::Fenced);
            }
        }
        self.sequence = self.sequence.max(sequence.cast_unsigned());
        Ok(if is_behind {
            Found::Behind
        } else {
            Found::Followed
        })
    }

    /// Begins a transaction, or is one: says that this node lives, unless another process has its place. Returns the
    /// database's clock, in milliseconds since the Unix epoch.
    pub(super) async fn beat(
        &self,
        connection: &mut PgConnection,
        report: &Report,
    ) -> Result<i64, Error> {
        let as_of = report.source.as_of.map(|as_of| as_of.as_secs_f64());
        let lag = report.source.lag.as_ref().map_or(0, Duration::as_millis);
        let beat = sqlx::query(BEAT)
            .bind(&self.id)
            .bind(self.epoch)
            .bind(self.sequence.cast_signed())
            .bind(i32::try_from(report.rows).unwrap_or(i32::MAX))
            .bind(report.source.state.as_str())
            .bind(as_of)
            .bind(i32::try_from(lag).unwrap_or(i32::MAX))
            .bind(i32::try_from(report.clock_offset_ms).unwrap_or(i32::MAX))
            .fetch_optional(connection)
            .await?;
        Ok(beat.ok_or(Error::Fenced)?.try_get(0)?)
    }

    /// What was tried last is committed.
    pub(super) fn committed(&mut self) {
        self.committed = self.sequence;
    }

    /// Says that the database equals what is shown here.
    pub(super) async fn synced(&self, connection: &mut PgConnection) -> Result<(), Error> {
        self.say(connection, SYNCED).await
    }

    /// Says that this node ends.
    pub(super) async fn stopped(&self, connection: &mut PgConnection) -> Result<(), Error> {
        self.say(connection, STOPPED).await
    }

    async fn say(&self, connection: &mut PgConnection, sql: &'static str) -> Result<(), Error> {
        answered(async {
            let saying = sqlx::query(sql).bind(&self.id).bind(self.epoch);
            match saying.execute(connection).await?.rows_affected() {
                0 => Err(Error::Fenced),
                _ => Ok(()),
            }
        })
        .await
    }
}
