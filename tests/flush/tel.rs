//! `tel:` addresses of record: they have no domain, and `default_realm` gives them one.

use super::flushed;
use crate::oracle::{list, lists};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

#[test]
fn numbers_belong_to_the_default_realm() {
    for use_domain in [true, false] {
        let kamailio = Kamailio::builder().use_domain(use_domain).start();
        let mut phones = [("tel:+15550100", "a"), ("tel:+15550101", "b")]
            .map(|(uri, user)| Phone::new(&kamailio, user, "tel.example.com").to(uri));
        phones.iter_mut().for_each(Phone::register);
        let [a, b] = [0, 1].map(|place: usize| phones[place].contact_uri());

        // Without one they are in no account.
        let stray = Daemon::builder(&kamailio).start();
        lists(&stray, "/v2/registrations", &[a, b]);
        let path = "/v2/accounts/tel.example.com/registrations";
        assert_eq!(stray.get(path).status, 404);

        let daemon = Daemon::builder(&kamailio)
            .environment("USRLOCD_KAMAILIO__DEFAULT_REALM", "tel.example.com")
            .start();
        lists(&daemon, path, &[a, b]);
        flushed(&daemon.delete(&format!("{path}/%2B15550100")), 1);
        lists(&daemon, path, &[b]);
        let memory = |number: &str| {
            let domain = if use_domain { "@" } else { "" };
            kamailio.lookup(format!("{number}{domain}")).len()
        };
        assert_eq!((memory("+15550100"), memory("+15550101")), (0, 1));
        flushed(&daemon.delete(path), 1);
        assert_eq!(memory("+15550101"), 0);
        assert!(list(&daemon, path).is_empty());
    }
}
