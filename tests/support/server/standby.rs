//! A `PostgreSQL` that follows another one.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::{Engine, Server};
use crate::support::ports;

impl Server {
    /// Starts a hot standby of this `PostgreSQL`, to which its changes are streamed.
    pub(crate) fn standby(&self) -> Arc<Self> {
        let standby = Self {
            engine: Engine::Postgres,
            has_numbers: self.has_numbers,
            is_written: false,
            process: Mutex::new(None),
            port: ports::free(),
            folder: TempDir::with_prefix("usrlocd-standby-").expect("a temporary directory"),
        };
        standby.own(standby.folder.path());
        let mut backup = standby.as_its_user(&self.program("pg_basebackup"));
        backup
            .args(["-U", "postgres", "-p", &self.port.to_string(), "-h"])
            .arg(self.folder.path())
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .arg("-D")
            .arg(standby.file("data"));
        let output = backup.output().expect("it can be started");
        assert!(output.status.success(), "{backup:?}: {output:?}");
        standby.resume();
        Arc::new(standby)
    }
}
