//! usrlocd is killed in the middle of a flush.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::middle::{Fate, Middle};
use super::{LONG, acme};
use crate::oracle::{PATIENCE, list, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

#[test]
fn what_kamailio_let_go_of_is_not_shown_after_a_kill_in_the_middle() {
    let mut kamailio = Kamailio::builder().timer_interval(LONG).start();
    let mut phones: Vec<Phone> = (0..30)
        .map(|n| Phone::of(&kamailio, &acme().device(&format!("u{n:02}"), n)))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    // Ending writes the rows; the next Kamailio leaves them alone.
    kamailio.stop();
    kamailio.start();
    let (reached, middle_is) = mpsc::sync_channel(1);
    let (go_on, may) = mpsc::sync_channel::<()>(1);
    let may = Mutex::new(may);
    let removals = AtomicUsize::new(0);
    let middle = Middle::of(&kamailio, move |method, _| {
        if method == "ul.rm" && removals.fetch_add(1, Ordering::SeqCst) >= 10 {
            // Removed, and usrlocd does not learn of it.
            let _only_the_first = reached.try_send(());
            let _ended = may.lock().expect("nobody panics").recv();
        }
        Fate::Pass
    });
    let mut daemon = Daemon::builder(&kamailio).rpc(&middle.rpc_url()).start();
    assert_eq!(list(&daemon, &of(&acme())).len(), 30);
    let target = of(&acme());
    let headers = [("X-Auth-Token", Daemon::TOKEN)];
    let address = daemon.address();
    std::thread::scope(|scope| {
        scope.spawn(|| crate::support::http::request(address, "DELETE", &target, &headers, b""));
        middle_is.recv().expect("the flush gets there");
        daemon.kill9();
    });
    drop(go_on);
    let in_memory = || -> BTreeSet<String> {
        let users = (0..30).map(|n| format!("u{n:02}"));
        users
            .filter(|user| {
                !kamailio
                    .lookup(format!("{user}@{}", acme().realm))
                    .is_empty()
            })
            .collect()
    };
    let there = in_memory();
    assert!((15..30).contains(&there.len()), "{there:?}");
    assert_eq!(kamailio.rows().len(), 30, "the rows must outlive the flush");

    daemon.start();
    let listed = || -> BTreeSet<String> {
        let items = list(&daemon, &target);
        items
            .iter()
            .map(|one| one["username"].as_str().expect("a name").to_owned())
            .collect()
    };
    eventually("what is still there is listed", PATIENCE, || {
        let listed = listed();
        assert!(listed.is_subset(&there), "{listed:?} beside {there:?}");
        holds(listed == there, || format!("{listed:?} beside {there:?}"))
    });
    let line = crate::support::table::Table::copy_of(&daemon.store())
        .query("select account, ended is null from flush");
    assert_eq!(
        line,
        format!("{}|1\n", acme().id),
        "the audit says that it did not end"
    );
    drop(phones);
}

#[test]
fn what_was_only_about_to_go_is_listed_where_kamailio_cannot_be_asked() {
    let mut kamailio = Kamailio::builder().timer_interval(LONG).start();
    let mut phones: Vec<Phone> = (0..30)
        .map(|n| Phone::of(&kamailio, &acme().device(&format!("u{n:02}"), n)))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    kamailio.stop();
    kamailio.start();
    let (reached, middle_is) = mpsc::sync_channel(1);
    let (go_on, may) = mpsc::sync_channel::<()>(1);
    let may = Mutex::new(may);
    let middle = Middle::of(&kamailio, move |method, _| {
        if method == "ul.rm" {
            let _only_the_first = reached.try_send(());
            let _ended = may.lock().expect("nobody panics").recv();
        }
        Fate::Pass
    });
    let mut daemon = Daemon::builder(&kamailio).rpc(&middle.rpc_url()).start();
    let target = of(&acme());
    let headers = [("X-Auth-Token", Daemon::TOKEN)];
    let address = daemon.address();
    std::thread::scope(|scope| {
        scope.spawn(|| crate::support::http::request(address, "DELETE", &target, &headers, b""));
        middle_is.recv().expect("the flush gets there");
        daemon.kill9();
    });
    drop(go_on);
    kamailio.kill9();

    daemon.start();
    let answer = daemon.get(&target).json();
    assert_eq!(
        answer["source"]["state"], "live",
        "it says that it is ready"
    );
    let listed = answer["data"].as_array().expect("a list").len();
    assert_eq!(listed, 30, "nobody has let go of them");
    drop(phones);
}
