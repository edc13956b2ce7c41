//! Replies of Kamailio's that are longer than what carries them.

use serde_json::json;

use super::{flushed, refused};
use crate::oracle::{PATIENCE, list, lists};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

const PATH: &str = "/v2/accounts/many.test/registrations";

/// Kamailio drops a datagram of more than 128 KiB, which these many contacts make.
const MANY: usize = 300;

fn add(kamailio: &Kamailio, user: &str, number: usize) {
    for n in 0..number {
        let aor = format!("{user}@many.test");
        let contact = format!("sip:{user}{n}@192.0.2.1:{}", 1024 + n);
        let params = json!([
            "location",
            aor,
            contact,
            3600,
            1.0,
            "0",
            0,
            0,
            4_294_967_295_u32
        ]);
        let answer = kamailio.rpc("ul.add", &params);
        assert!(answer["error"].is_null(), "{answer}");
    }
}

fn counts(daemon: &Daemon, number: usize) {
    eventually("they are listed", PATIENCE, || {
        let count = daemon.get(&format!("{PATH}/count")).json();
        holds(count["data"]["count"] == number, || count.to_string())
    });
}

#[test]
fn a_user_whose_contacts_fit_no_datagram_is_flushed() {
    for db_mode in [1, 2] {
        let kamailio = Kamailio::builder().db_mode(db_mode).datagram(true).start();
        let socket = kamailio.datagram_socket().expect("it was built so");
        let address = format!("unixgram:{}", socket.display());
        let daemon = Daemon::builder(&kamailio).rpc(&address).start();
        add(&kamailio, "many", MANY);
        let mut bob = Phone::new(&kamailio, "bob", "many.test");
        bob.register();
        counts(&daemon, MANY + 1);

        // One of them cannot be had without a look at all.
        let one = format!("{PATH}?filter_contact=sip:many7@192.0.2.1:1031");
        let answer = daemon.delete(&one);
        refused(&answer, 502, "flush_incomplete");
        let failed = &answer.json()["data"]["failed"][0];
        assert_eq!(failed["aor"], "many@many.test");
        let reason = failed["reason"].as_str().expect("a reason");
        assert!(
            reason.contains("datagram") && reason.contains("HTTP"),
            "{reason}"
        );
        assert_eq!(kamailio.lookup("many@many.test").len(), MANY);
        counts(&daemon, MANY + 1);

        flushed(&daemon.delete(&format!("{PATH}/many")), 300);
        assert!(kamailio.lookup("many@many.test").is_empty());
        lists(&daemon, PATH, &[bob.contact_uri()]);

        // With the whole account nobody else is held up.
        add(&kamailio, "more", MANY);
        counts(&daemon, MANY + 1);
        flushed(&daemon.delete(PATH), 301);
        assert!(kamailio.lookup("more@many.test").is_empty());
        assert!(kamailio.lookup("bob@many.test").is_empty());
        assert!(list(&daemon, PATH).is_empty());
    }
}
