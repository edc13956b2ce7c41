//! A fleet for the page: a node beside the lab's Kamailio, others of which the database alone tells, and a `usrlocd fleet`.

use serde_json::{Value, json};

use crate::fleet_answers::{Site, phone};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::unix_now;

/// What a page must show as text.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}k9";

/// The database, and who answers for it.
pub(super) struct Fleet {
    site: Site,
    reader: Daemon,
    node: Daemon,
}

impl Fleet {
    pub(super) fn start(kamailio: &Kamailio) -> Self {
        let site = Site::new();
        let section = format!("[fleet]\nurl = \"{}\"\nnode = \"k1\"\n", site.server.url());
        let node = Daemon::builder(kamailio).sections(&section).start();
        for (name, contact, modified) in [
            ("k2", "sip:moved@192.0.2.1", 300),
            ("k3", "sip:moved@192.0.2.1", 10),
            (HOSTILE, "sip:moved@192.0.2.9", 20),
        ] {
            site.node(name, 0);
            site.set(name, "beat_at = now() + interval '1 hour'");
            let now = unix_now();
            let ruid = format!("same{}", contact.len());
            let moved = phone(
                "moved",
                "fleet.test",
                contact,
                &ruid,
                now - modified,
                now + 3600,
            );
            site.publish(name, &moved);
        }
        let reader = site.fleet();
        Self { site, reader, node }
    }

    /// Where the two answer.
    pub(super) fn told(&self) -> Value {
        let origin = |daemon: &Daemon| format!("http://{}", daemon.address());
        json!({"reader": origin(&self.reader), "node": origin(&self.node), "hostile": HOSTILE})
    }

    /// A node was heard of so many seconds ago.
    pub(super) fn silence(&self, name: &str, seconds: i64) {
        self.site.set(
            name,
            &format!("beat_at = now() - interval '{seconds} seconds'"),
        );
    }
}
