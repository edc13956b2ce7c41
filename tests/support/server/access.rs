//! Whom a server lets in.

use super::{Engine, Server};

impl Server {
    /// Whether usrlocd's user may connect as often as it likes. Where not, `MariaDB` lets it connect once more.
    pub(crate) fn allow_connections(&self, are_allowed: bool) {
        self.query(match (self.engine, are_allowed) {
            (Engine::Postgres, true) => "alter role usrlocd connection limit -1",
            (Engine::Postgres, false) => "alter role usrlocd connection limit 0",
            (Engine::MariaDb, true) => {
                "alter user usrlocd@'127.0.0.1' with max_connections_per_hour 0"
            }
            (Engine::MariaDb, false) => {
                "alter user usrlocd@'127.0.0.1' with max_connections_per_hour 1"
            }
        });
    }

    /// Ends usrlocd's connections.
    pub(crate) fn end_connections(&self) {
        match self.engine {
            Engine::Postgres => {
                self.query(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'usrlocd'",
                );
            }
            Engine::MariaDb => {
                let ids = "select id from information_schema.processlist where user = 'usrlocd'";
                for id in self.query(ids).lines() {
                    // It may have ended by itself.
                    let _ended = self.try_query_in("kamailio", &format!("kill {id}"));
                }
            }
        }
    }

    /// Gives usrlocd's user another password.
    pub(crate) fn set_password(&self, password: &str) {
        self.query(&match self.engine {
            Engine::Postgres => format!("alter role usrlocd password '{password}'"),
            Engine::MariaDb => {
                format!("alter user usrlocd@'127.0.0.1' identified by '{password}'")
            }
        });
    }
}
