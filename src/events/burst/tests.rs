use super::*;
use crate::registration::testing::{binding, registration};
use crate::registration::{Address, Common, Details, SourceAddress};
use crate::sip::{SourceFrom, Transport};

const START: u64 = 1_780_000_000_000;

/// The phone with this number, in an account, behind an address, at a proxy.
fn phone_at(number: usize, account: &str, address: &str, proxy: &str) -> Arc<Registration> {
    let name = number.to_string();
    let plain = registration(
        binding(&name, &name, &format!("sip:{name}@192.0.2.1"), 0),
        Some(account),
    );
    let address = Address {
        host: address.into(),
        port: Some(5060),
    };
    let common = Common {
        proxy_address: Some((proxy.into(), Some(5060))),
        proxy_protocol: Some(Transport::Udp),
        ..Common::clone(&plain.common)
    };
    Arc::new(Registration::new(Details {
        source: Some(SourceAddress {
            address,
            from: SourceFrom::Received,
        }),
        common: Arc::new(common),
        ..Details::clone(&plain)
    }))
}

/// So many phones of one account, each behind an address of its own, at one proxy.
fn homes(count: usize) -> Vec<Arc<Registration>> {
    let home = |number: usize| {
        let address = format!("203.{}.{}.7", number / 250, number % 250);
        phone_at(number, "acme", &address, "10.0.0.5")
    };
    (0..count).map(home).collect()
}

/// So many phones of one account behind one address, at another proxy.
fn office(count: usize, network: &str) -> Vec<Arc<Registration>> {
    let seat = |number: usize| {
        phone_at(
            100_000 + number,
            "acme",
            &format!("{network}.7"),
            "10.0.0.6",
        )
    };
    (0..count).map(seat).collect()
}

fn event(at: u64, kind: Kind, one: &Arc<Registration>) -> Event {
    let happening = Happening {
        kind,
        audience: Audience::All,
        registration: Arc::clone(one),
        former: None,
        happened_at: None,
        replaces: None,
        flush: None,
        stats: None,
    };
    Event {
        seq: 1,
        at,
        commit: 1,
        what: What::Registration(Box::new(happening)),
    }
}

fn lost(at: u64, one: &Arc<Registration>) -> Event {
    event(at, Kind::Terminated(Reason::Removed), one)
}

fn finder<'a>(listed: impl IntoIterator<Item = &'a Arc<Registration>>) -> Bursts {
    let mut bursts = Bursts::new(config::Burst::default(), &config::Flap::default());
    bursts.recount(listed.into_iter());
    bursts
}

/// The bursts of the system that losing these phones, `pause` milliseconds apart, makes.
fn system(bursts: &mut Bursts, lost_ones: &[Arc<Registration>], pause: u64) -> Vec<Burst> {
    let events = (0..)
        .zip(lost_ones)
        .map(|(number, one)| lost(START + number * pause, one));
    let found = events.flat_map(|event| bursts.see(&event));
    found.filter(|burst| burst.account.is_none()).collect()
}

#[test]
fn twenty_phones_and_a_fifth_make_a_burst() {
    for (phones, lost_ones, pause, expected) in [
        (40, 19, 100, None),
        (40, 20, 100, Some((20, 40))),
        (100, 20, 100, Some((20, 100))),
        (101, 20, 100, None),
        (101, 21, 100, Some((21, 101))),
        // 19 at a time within a minute.
        (40, 40, 3200, None),
        (40, 40, 3100, Some((20, 40))),
    ] {
        let phones = homes(phones);
        let found = system(&mut finder(&phones), &phones[..lost_ones], pause);
        let shown = found.first().map(|burst| (burst.lost, burst.of));
        assert_eq!(
            shown,
            expected,
            "{lost_ones} of {}, {pause} ms apart",
            phones.len()
        );
        assert!(found.len() <= 1);
    }
}

#[test]
fn the_smallest_group_is_named() {
    let (homes, seats) = (homes(300), office(60, "198.51.100"));
    let mut bursts = finder(homes.iter().chain(&seats));
    let found = system(&mut bursts, &seats, 100);
    // The proxy has the same phones, and comes before the network.
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].group, &*found[0].value),
        (Group::Proxy, "udp:10.0.0.6:5060")
    );
    let further = office(60, "198.51.101");
    let other = phone_at(9, "acme", "198.51.100.7", "10.0.0.6");
    let mut bursts = finder(homes.iter().chain(&seats).chain(&further).chain([&other]));
    let found = system(&mut bursts, &seats, 100);
    assert_eq!(
        (found[0].group, &*found[0].value),
        (Group::Source, "198.51.100.0/24")
    );
    assert_eq!((found[0].lost, found[0].of), (20, 61));
    assert_eq!((found[0].from, found[0].to), (START, START + 1900));
}

#[test]
fn an_account_is_told_of_its_own_phones_alone() {
    let (own, others) = (homes(30), office(500, "198.51.100"));
    let others: Vec<_> = (0..others.len())
        .map(|number| phone_at(1000 + number, "other", "198.51.100.7", "10.0.0.5"))
        .collect();
    let mut bursts = finder(own.iter().chain(&others));
    let found: Vec<Burst> = (0..)
        .zip(&own)
        .flat_map(|(number, one)| bursts.see(&lost(START + number, one)))
        .collect();
    // Of the system's groups only the account is small enough.
    let shown: Vec<_> = found
        .iter()
        .map(|burst| {
            (
                burst.account.as_deref(),
                burst.group,
                &*burst.value,
                burst.of,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (None, Group::Account, "acme", 30),
            (Some("acme"), Group::Proxy, "udp:10.0.0.5:5060", 30)
        ]
    );
}

#[test]
fn an_outage_is_one_burst_however_long_it_takes() {
    let phones = homes(1000);
    let mut bursts = finder(&phones);
    assert_eq!(system(&mut bursts, &phones, 100).len(), 1);
    // A minute later another one may begin.
    let later = START + 1000 * 100 + 120_000;
    for one in &phones {
        assert!(bursts.see(&event(later, Kind::Registered, one)).is_empty());
    }
    let found = phones
        .iter()
        .flat_map(|one| bursts.see(&lost(later + 1000, one)));
    assert_eq!(found.filter(|burst| burst.account.is_none()).count(), 1);
}

#[test]
fn two_networks_are_two_bursts() {
    let (homes, one, other) = (
        homes(500),
        office(30, "198.51.100"),
        office(30, "198.51.101"),
    );
    let other: Vec<_> = (0..other.len())
        .map(|number| phone_at(200_000 + number, "acme", "198.51.101.7", "10.0.0.5"))
        .collect();
    let mut bursts = finder(homes.iter().chain(&one).chain(&other));
    let both: Vec<_> = one
        .iter()
        .zip(&other)
        .flat_map(|(a, b)| [a.clone(), b.clone()])
        .collect();
    assert_eq!(system(&mut bursts, &both, 10).len(), 2);
}

#[test]
fn the_same_phone_is_lost_once_and_one_that_is_back_was_not_lost() {
    let phones = homes(40);
    let mut bursts = finder(&phones);
    for round in 0..10 {
        let at = START + round * 6000;
        for one in &phones[..15] {
            assert!(bursts.see(&lost(at, one)).is_empty());
            assert!(
                bursts
                    .see(&event(at + 5999, Kind::Registered, one))
                    .is_empty()
            );
        }
    }
    let mut bursts = finder(&phones);
    for (number, one) in (0..).zip(&phones) {
        let at = START + number * 100;
        assert!(bursts.see(&lost(at, one)).is_empty());
        assert!(
            bursts
                .see(&event(at + 50, Kind::Registered, one))
                .is_empty()
        );
    }
}

#[test]
fn a_flush_or_a_move_is_no_loss() {
    let phones = homes(40);
    let mut bursts = finder(&phones);
    for one in &phones {
        let flushed = event(START, Kind::Terminated(Reason::Flushed), one);
        assert!(bursts.see(&flushed).is_empty());
    }
    assert!(bursts.listed.is_empty());
}

#[test]
fn nothing_is_kept_of_what_is_over() {
    let phones = homes(100);
    let mut bursts = finder(&phones);
    for one in &phones[..15] {
        bursts.see(&lost(START, one));
    }
    assert!(!bursts.lost.is_empty());
    bursts.see(&event(START + 61_000, Kind::Registered, &phones[0]));
    assert!(bursts.lost.is_empty());
    // A group that is too small can have no burst.
    let few = homes(19);
    let mut bursts = finder(&few);
    bursts.see(&lost(START, &few[0]));
    assert!(bursts.lost.is_empty());
}
