//! The rows of a server's tables, as the server itself converts them.

use std::sync::Arc;

use super::{Engine, Server};
use crate::support::table::{self, Row};

impl Server {
    /// Starts a server with columns for `expires_type` 1.
    pub(crate) fn start_with_numbers(engine: Engine) -> Arc<Self> {
        let server = Self::prepare(engine, true);
        for (table, column) in [
            ("location", "expires"),
            ("location", "last_modified"),
            ("location_attrs", "last_modified"),
        ] {
            server.query(&match engine {
                Engine::Postgres => format!(
                    "alter table {table} alter {column} drop default; alter table {table} alter {column} type bigint using 0"
                ),
                Engine::MariaDb => {
                    format!("alter table {table} modify {column} bigint not null default 0")
                }
            });
        }
        Arc::new(server)
    }

    /// Starts a `PostgreSQL` whose columns of times have a zone, as some operators alter them.
    pub(crate) fn start_with_zones() -> Arc<Self> {
        let server = Self::prepare(Engine::Postgres, false);
        server.query(
            "alter table location alter expires type timestamptz, alter last_modified type timestamptz;
             alter table location_attrs alter last_modified type timestamptz",
        );
        Arc::new(server)
    }

    /// All rows of a usrloc table, as the server itself converts them; times as Julian days a little too early, as
    /// `db_sqlite` stores them. Kamailio's zone must be one without summer time:
    /// Asia/Kolkata.
    pub(in crate::support) fn rows_of(&self, name: &str) -> Vec<Row> {
        let text = |column: &&str| match self.engine {
            Engine::Postgres => {
                format!("coalesce(encode(convert_to({column}::text, 'UTF8'), 'hex'), '-')")
            }
            Engine::MariaDb => format!("coalesce(hex(convert({column} using utf8mb4)), '-')"),
        };
        let number = |column: &&str| {
            let is_time = matches!(*column, "expires" | "last_modified");
            match self.engine {
                _ if !is_time => format!("coalesce({column}, 0)"),
                _ if self.has_numbers => format!("({column} / 86400.0 + 2440587.4999970)"),
                Engine::Postgres => format!(
                    "extract(epoch from {column}::timestamp at time zone 'Asia/Kolkata')::float8 / 86400 + 2440587.4999970"
                ),
                Engine::MariaDb => format!(
                    "cast(timestampdiff(second, '1970-01-01 05:30:00', {column}) as double) / 86400 + 2440587.4999970"
                ),
            }
        };
        let columns: Vec<String> = table::TEXTS
            .iter()
            .map(text)
            .chain(table::NUMBERS.iter().map(number))
            .collect();
        let rows = format!(
            "select {} from {name} order by username, domain, contact, ruid",
            joined(&columns)
        );
        let attributes = ["ruid", "aname", "avalue"].map(|column| text(&column));
        let attributes = format!(
            "select {} from {name}_attrs order by id",
            joined(&attributes)
        );
        table::rows(&self.query(&rows), &self.query(&attributes))
    }
}

fn joined(columns: &[String]) -> String {
    format!("concat_ws('|', {})", columns.join(", "))
}
