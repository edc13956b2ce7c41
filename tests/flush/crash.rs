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
use crate::support::table::Table;
use crate::support::{eventually, holds};

const PHONES: u16 = 30;

/// A daemon that was killed while it flushed an account, and its Kamailio.
struct Killed {
    kamailio: Kamailio,
    daemon: Daemon,
    _phones: Vec<Phone>,
}

impl Killed {
    /// In the removal that follows `removals` others: Kamailio has carried it out, and the daemon does not learn of it.
    fn after(removals: usize) -> Self {
        let mut kamailio = Kamailio::builder().timer_interval(LONG).start();
        let mut phones: Vec<Phone> = users()
            .zip(0..)
            .map(|(user, n)| Phone::of(&kamailio, &acme().device(&user, n)))
            .collect();
        phones.iter_mut().for_each(Phone::register);
        // Ending writes the rows; the next Kamailio leaves them alone.
        kamailio.stop();
        kamailio.start();
        let (reached, middle_is) = mpsc::sync_channel(1);
        let (go_on, may) = mpsc::sync_channel::<()>(1);
        let may = Mutex::new(may);
        let removed = AtomicUsize::new(0);
        let middle = Middle::of(&kamailio, move |method, _| {
            if method == "ul.rm" && removed.fetch_add(1, Ordering::SeqCst) >= removals {
                let _only_the_first = reached.try_send(());
                let _ended = may.lock().expect("nobody panics").recv();
            }
            Fate::Pass
        });
        let mut daemon = Daemon::builder(&kamailio).rpc(&middle.rpc_url()).start();
        let target = of(&acme());
        assert_eq!(list(&daemon, &target).len(), usize::from(PHONES));
        let headers = [("X-Auth-Token", Daemon::TOKEN)];
        let address = daemon.address();
        std::thread::scope(|scope| {
            scope
                .spawn(|| crate::support::http::request(address, "DELETE", &target, &headers, b""));
            middle_is.recv().expect("the flush gets there");
            daemon.kill9();
        });
        drop(go_on);
        Self {
            kamailio,
            daemon,
            _phones: phones,
        }
    }

    /// The users whom Kamailio has: some of them, while every row is still there.
    fn in_memory(&self) -> BTreeSet<String> {
        let aor = |user: &String| format!("{user}@{}", acme().realm);
        let there: BTreeSet<String> = users()
            .filter(|user| !self.kamailio.lookup(aor(user)).is_empty())
            .collect();
        assert!((15..PHONES.into()).contains(&there.len()), "{there:?}");
        let rows = self.kamailio.rows().len();
        assert_eq!(rows, usize::from(PHONES), "the rows outlive the flush");
        there
    }

    /// Waits until these are listed, while never another one is.
    fn lists_no_others(&self, there: &BTreeSet<String>) {
        eventually("what is still there is listed", PATIENCE, || {
            let listed: BTreeSet<String> = list(&self.daemon, &of(&acme()))
                .iter()
                .map(|one| one["username"].as_str().expect("a name").to_owned())
                .collect();
            assert!(listed.is_subset(there), "{listed:?} beside {there:?}");
            holds(listed == *there, || format!("{listed:?} beside {there:?}"))
        });
    }
}

fn users() -> impl Iterator<Item = String> {
    (0..PHONES).map(|n| format!("u{n:02}"))
}

#[test]
fn what_kamailio_let_go_of_is_not_shown_after_a_kill_in_the_middle() {
    let mut killed = Killed::after(10);
    let there = killed.in_memory();
    killed.daemon.start();
    killed.lists_no_others(&there);
    let line =
        Table::copy_of(&killed.daemon.store()).query("select account, ended is null from flush");
    assert_eq!(
        line,
        format!("{}|1\n", acme().id),
        "the audit says that it did not end"
    );
}

#[test]
fn nor_where_the_store_had_only_a_part_of_the_table() {
    let mut killed = Killed::after(10);
    let there = killed.in_memory();
    Table::at(&killed.daemon.store()).query("delete from registration; delete from source");
    killed.daemon.start();
    killed.lists_no_others(&there);
}

#[test]
fn what_was_only_about_to_go_is_listed_where_kamailio_cannot_be_asked() {
    let mut killed = Killed::after(0);
    killed.kamailio.kill9();
    killed.daemon.start();
    let answer = killed.daemon.get(&of(&acme())).json();
    let state = &answer["source"]["state"];
    assert_eq!(state, "live", "it says that it is ready");
    let listed = answer["data"].as_array().expect("a list").len();
    assert_eq!(listed, usize::from(PHONES), "nobody has let go of them");
}
