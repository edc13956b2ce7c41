//! File descriptors: as many as the system lets this process have, and a word where those are too few.
//!
//! systemd's unit says how many. Whoever starts usrlocd by hand mostly has a limit for programs that use `select`,
//! which connections alone could use up; then Kamailio's files could not be read for want of one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is needed beside the connections that are served: files, store, Kamailio, and those who are turned away.
const OTHERS: u64 = 256;

/// Takes as many as are allowed, and says so where `connections` at a time may be too many.
pub(super) fn take(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // What is refused shows in the limit that is left.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        );
    }
    let wanted = u64::try_from(connections).map_or(u64::MAX, |it| it.saturating_add(OTHERS));
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < wanted
    {
        tracing::warn!(
            allowed,
            wanted,
            "fewer file descriptors than [limits] connections may need; raise LimitNOFILE= or lower connections"
        );
    }
}
