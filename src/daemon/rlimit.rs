//! The limit of file descriptors: raised as far as the system allows, with a warning if that is too low.
//!
//! systemd's unit sets the limit. Started by hand, usrlocd usually gets one meant for programs that use `select`, which
//! connections alone could exhaust; then Kamailio's files could not be read.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is needed besides the connections that are served: files, store, Kamailio, and connections that are refused.
const OTHERS: u64 = 256;

/// Raises the limit, and warns where `connections` at a time may exceed it.
pub(super) fn raise(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If that is refused, the warning below shows it.
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
