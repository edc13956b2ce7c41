//! Flushes over Unix datagrams.

use super::{acme, flushed, refused};
use crate::oracle::{agree, list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

#[test]
fn flushes_over_datagrams() {
    let mut kamailio = Kamailio::builder().datagram(true).start();
    let socket = kamailio.datagram_socket().expect("it was built so");
    let address = format!("unixgram:{}", socket.display());
    let daemon = Daemon::builder(&kamailio).rpc(&address).start();
    let acme = acme();
    let mut phones: Vec<Phone> = (0..40)
        .map(|n| Phone::of(&kamailio, &acme.device(&format!("u{n:02}"), n)))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(&daemon, &of(&acme), &contacts);
    let one = format!("{}?filter_username=u07", of(&acme));
    flushed(&daemon.delete(&one), 1);
    flushed(&daemon.delete(&format!("{}/U08", of(&acme))), 1);
    flushed(&daemon.delete(&of(&acme)), 38);
    assert!(list(&daemon, &of(&acme)).is_empty());
    agree(&kamailio, &daemon);
    // And back.
    phones[0].register();
    lists(&daemon, &of(&acme), &[phones[0].contact_uri()]);
    kamailio.stop();
    refused(&daemon.delete(&of(&acme)), 503, "kamailio_unreachable");
}
