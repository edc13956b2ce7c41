//! What `PostgreSQL` and `MySQL` or `MariaDB` spell differently.

/// Gives a session the zone that Kamailio's sessions have, in whose local time a `timestamptz` is text: that of the role or
/// the database, where it is set, else the server's. The driver asks for UTC, which hides the server's `TimeZone`;
/// `log_timezone` is the same unless somebody changed one of them.
const ZONE: &str = "select set_config('TimeZone', coalesce((\
    select split_part(setting, '=', 2) from pg_catalog.pg_db_role_setting, unnest(setconfig) as setting \
    where lower(setting) like 'timezone=%' \
    and setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database())) \
    and setrole in (0, (select oid from pg_catalog.pg_roles where rolname = current_user)) \
    order by setrole = 0, setdatabase = 0 limit 1), current_setting('log_timezone')), false)";

/// The SQL of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    Postgres,
    MySql,
}

impl Dialect {
    /// That of the server that `url` names.
    pub(super) fn of(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once("://")?;
        match &*scheme.to_ascii_lowercase() {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::MySql),
            _ => None,
        }
    }

    /// What a session begins with: it only reads, on one core, holds up nobody, and the server ends what takes too long.
    pub(super) fn settings(self, version: &str) -> &'static [&'static str] {
        match self {
            Self::Postgres => &[
                "set default_transaction_read_only = on",
                "set statement_timeout = '5s'",
                "set lock_timeout = '1s'",
                "set max_parallel_workers_per_gather = 0",
                ZONE,
            ],
            Self::MySql if version.contains("MariaDB") => &[
                "set session transaction read only",
                "set session transaction isolation level read committed",
                "set session max_statement_time = 5",
                "set session lock_wait_timeout = 1",
            ],
            Self::MySql => &[
                "set session transaction read only",
                "set session transaction isolation level read committed",
                "set session max_execution_time = 5000",
                "set session lock_wait_timeout = 1",
            ],
        }
    }

    /// A name of a table or column, as the server takes it in any case.
    pub(super) fn quoted(self, name: &str) -> String {
        match self {
            Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// Asks for the columns of a table (name and type); no rows where there is no such table.
    pub(super) fn columns_of(self, table: &str) -> String {
        match self {
            Self::Postgres => format!(
                "select a.attname, t.typname from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid \
                 where a.attrelid = to_regclass('{}') and not a.attisdropped and (a.attnum > 0 or a.attname = 'xmin')",
                self.quoted(table)
            ),
            Self::MySql => format!(
                "select column_name, data_type from information_schema.columns \
                 where table_schema = database() and table_name = '{table}'"
            ),
        }
    }

    /// Asks for the columns that an index of a table begins with.
    pub(super) fn indexed(self, table: &str) -> String {
        match self {
            Self::Postgres => format!(
                "select a.attname from pg_catalog.pg_index i join pg_catalog.pg_attribute a \
                 on a.attrelid = i.indrelid and a.attnum = i.indkey[0] \
                 where i.indrelid = to_regclass('{}') and i.indisvalid and i.indpred is null",
                self.quoted(table)
            ),
            Self::MySql => format!(
                "select column_name from information_schema.statistics \
                 where table_schema = database() and table_name = '{table}' and seq_in_index = 1"
            ),
        }
    }

    /// An expression that changes when any of these columns of a row changes: those that every row needs, and the others.
    pub(super) fn version(self, (needed, others): (&[&str], &[&str]), has_xmin: bool) -> String {
        let quoted = |columns: &[&str]| -> Vec<String> {
            columns.iter().map(|column| self.quoted(column)).collect()
        };
        match self {
            // The transaction that wrote the row as it is.
            Self::Postgres if has_xmin => "xmin".to_owned(),
            Self::Postgres => {
                let row = quoted(&[needed, others].concat()).join(", ");
                format!("('x' || substr(md5(row({row})::text), 1, 15))::bit(60)::bigint")
            }
            Self::MySql => {
                // A refresh changes columns of both halves (expires; last_modified, cseq or callid), so that 64 bits
                // would have to agree for it to be missed; a change of up to four bytes never is. This costs as much as
                // one CRC of the whole row; MD5 costs twice as much, and fails where only FIPS algorithms are allowed.
                let halves = [needed, others].into_iter().filter(|half| !half.is_empty());
                let halves = halves.map(|half| {
                    // What stands between columns stays where one is NULL, which concat_ws leaves out. (quote() would
                    // do as well, and takes twice as long.)
                    format!("crc32(concat_ws(',', {}))", quoted(half).join(", '', "))
                });
                halves.collect::<Vec<_>>().join(" << 32 | ")
            }
        }
    }

    /// A time a little before `moment`, which a column of this type has; `None` where that is not a time.
    pub(super) fn before(self, kind: &str, moment: &str) -> Option<String> {
        let good = |c: char| c.is_ascii_digit() || "-:. +".contains(c);
        if moment.is_empty() || !moment.chars().all(good) {
            return None;
        }
        match (self, kind) {
            (Self::Postgres, "timestamp" | "timestamptz") => {
                Some(format!("'{moment}'::{kind} - interval '2 seconds'"))
            }
            (Self::MySql, "datetime" | "timestamp") => {
                Some(format!("'{moment}' - interval 2 second"))
            }
            _ => moment.parse().ok().map(|unix: i64| (unix - 2).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_dialect() {
        for (url, dialect) in [
            ("postgres://u@h/d", Some(Dialect::Postgres)),
            ("PostgreSQL://u@h/d", Some(Dialect::Postgres)),
            ("mysql://u@h/d", Some(Dialect::MySql)),
            ("mariadb://u@h/d", Some(Dialect::MySql)),
            ("sqlite:///x", None),
            ("/var/lib/kamailio.sqlite", None),
        ] {
            assert_eq!(Dialect::of(url), dialect, "{url}");
        }
    }

    #[test]
    fn a_version_is_of_all_columns() {
        let version = |others: &[&str]| Dialect::MySql.version((&["a", "b"], others), false);
        assert_eq!(version(&[]), "crc32(concat_ws(',', `a`, '', `b`))");
        assert_eq!(
            version(&["c"]),
            "crc32(concat_ws(',', `a`, '', `b`)) << 32 | crc32(concat_ws(',', `c`))"
        );
    }

    #[test]
    fn a_time_before_is_a_time() {
        let before = |dialect: Dialect, kind: &str, moment: &str| dialect.before(kind, moment);
        assert_eq!(
            before(Dialect::Postgres, "timestamp", "2026-11-30 01:02:03").as_deref(),
            Some("'2026-11-30 01:02:03'::timestamp - interval '2 seconds'")
        );
        assert_eq!(
            before(Dialect::MySql, "datetime", "2026-11-30 01:02:03").as_deref(),
            Some("'2026-11-30 01:02:03' - interval 2 second")
        );
        assert_eq!(
            before(Dialect::MySql, "bigint", "1796000523").as_deref(),
            Some("1796000521")
        );
        assert_eq!(before(Dialect::Postgres, "timestamp", "x'; drop"), None);
        assert_eq!(before(Dialect::Postgres, "timestamp", "infinity"), None);
    }
}
