//! A day of phones, through the registry, its feed and what is derived from it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::events::{Deriver, Group};
use crate::metrics::Metrics;
use crate::registration::testing::{binding, registration};
use crate::registration::{
    Address, Change, Common, Details, Expiry, Key, Registration, Ruid, SourceAddress,
};
use crate::registry::{Snapshot, SourceReport, Subscription, Writer};
use crate::sip::{SourceFrom, Transport};

/// 2025-11-30 00:00:00 UTC.
const MIDNIGHT: u64 = 1_764_460_800;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

const OFFICES: usize = 10;
const SEATS: usize = 30;
const SUBSCRIBERS: usize = 300;
const HOMES: usize = 150;
const FLAPPERS: usize = 3;

/// What a phone does next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Act {
    /// It sends a REGISTER, and will again.
    Register,
    /// Its connection is lost, or it un-registers.
    Go,
    /// It hears nothing and says nothing any more.
    FallSilent,
    /// It speaks again, and registers anew.
    Return,
}

struct Phone {
    name: String,
    account: String,
    address: String,
    proxy: &'static str,
    port: u16,
    /// Its NAT gives it another port with each REGISTER.
    is_behind_bad_nat: bool,
    expires: u64,
    life: u32,
    is_silent: bool,
    is_there: bool,
}

struct Day {
    clock: Arc<ManualClock>,
    writer: Writer,
    feed: Subscription,
    deriver: Deriver,
    finder: Arc<Finder>,
    phones: Vec<Phone>,
    /// What is still to happen, by time.
    plan: BinaryHeap<Reverse<(u64, usize, Act)>>,
    bursts: Vec<Burst>,
    flapped: BTreeSet<String>,
}

impl Day {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(MIDNIGHT));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let writer = Writer::new(Arc::clone(&shared));
        let source = SourceReport {
            state: SourceState::Live,
            as_of: Some(Duration::from_secs(MIDNIGHT)),
        };
        let feed = writer.restore(Snapshot::default(), source);
        let registry = Arc::clone(writer.registry());
        let metrics = Metrics::new(Arc::clone(&shared), "1.2.3", "");
        let rules = (config::Flap::default(), config::Burst::default());
        Self {
            finder: Finder::new(
                Arc::clone(&registry),
                shared,
                Arc::clone(&metrics.events),
                rules,
            ),
            deriver: Deriver::new(registry),
            clock,
            writer,
            feed,
            phones: Vec::new(),
            plan: BinaryHeap::new(),
            bursts: Vec::new(),
            flapped: BTreeSet::new(),
        }
    }

    fn add(&mut self, phone: Phone) -> usize {
        let number = self.phones.len();
        self.phones.push(phone);
        // Not all at once.
        let first = 1 + (number as u64 * 7) % 280;
        self.at(first, number, Act::Register);
        number
    }

    fn at(&mut self, second: u64, phone: usize, act: Act) {
        self.plan.push(Reverse((second, phone, act)));
    }

    fn act(&mut self, now: u64, number: usize, act: Act) {
        let phone = &mut self.phones[number];
        match act {
            Act::Register if phone.is_silent || (!phone.is_there && phone.life > 0) => {}
            Act::Register | Act::Return => {
                let half = phone.expires / 2;
                if !phone.is_there {
                    phone.life += 1;
                }
                (phone.is_silent, phone.is_there) = (false, true);
                if phone.is_behind_bad_nat {
                    phone.port = phone.port.wrapping_add(17);
                }
                let row = row(phone, MIDNIGHT + now);
                self.writer.apply([Change::Upsert(Arc::new(row))]);
                self.at(now + half, number, Act::Register);
            }
            Act::Go => {
                phone.is_there = false;
                let key = key(phone);
                self.writer.apply([Change::Remove(key)]);
            }
            Act::FallSilent => (phone.is_silent, phone.is_there) = (true, false),
        }
    }

    fn run(&mut self, seconds: u64) {
        let mut observer = self.finder.observer();
        // From here on phones are counted.
        observer.see(&Event {
            seq: 1,
            at: MIDNIGHT * 1000,
            commit: 1,
            what: What::Source(SourceState::Live),
        });
        for now in 0..seconds {
            while self.plan.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
                let Some(Reverse((_, phone, act))) = self.plan.pop() else {
                    break;
                };
                self.act(now, phone, act);
            }
            self.writer.expire();
            let entries = self.feed.read(usize::MAX).unwrap();
            for entry in &entries {
                for event in self.deriver.follow(entry) {
                    for what in self.finder.see(&event) {
                        if let What::Burst(burst) = what {
                            self.bursts.push(burst);
                        }
                    }
                }
            }
            observer.rest();
            if now % MINUTE == 0 {
                let flapping = self.finder.flapping().into_iter();
                self.flapped.extend(flapping.map(|one| one.phone.username));
            }
            self.clock.advance(Duration::from_secs(1));
        }
    }
}

fn key(phone: &Phone) -> Key {
    Key {
        table: "location".into(),
        ruid: Ruid::from(&*format!("{}-{}", phone.name, phone.life)),
    }
}

fn row(phone: &Phone, now: u64) -> Registration {
    let ruid = format!("{}-{}", phone.name, phone.life);
    let contact = format!("sip:{}@{}:{}", phone.name, phone.address, phone.port);
    let now = i64::try_from(now).unwrap();
    let mut plain = binding(&ruid, &phone.name, &contact, now);
    plain.expiry = Expiry::At(now + i64::try_from(phone.expires).unwrap());
    plain.last_modified = now;
    plain.instance = Some(format!("<urn:uuid:{}>", phone.name).as_str().into());
    let plain = registration(plain, Some(&phone.account));
    let common = Common {
        proxy_address: Some((phone.proxy.into(), Some(5060))),
        proxy_protocol: Some(Transport::Udp),
        ..Common::clone(&plain.common)
    };
    Registration::new(Details {
        source: Some(SourceAddress {
            address: Address {
                host: phone.address.as_str().into(),
                port: Some(phone.port),
            },
            from: SourceFrom::Received,
        }),
        common: Arc::new(common),
        ..Details::clone(&plain)
    })
}

fn phone(name: String, account: &str, address: String, proxy: &'static str) -> Phone {
    Phone {
        name,
        account: account.to_owned(),
        address,
        proxy,
        port: 5060,
        is_behind_bad_nat: false,
        expires: 3600,
        life: 0,
        is_silent: false,
        is_there: false,
    }
}

/// The offices: their phones come from one address each. The first one's router restarts six times in two hours, those
/// of the others once.
fn offices(day: &mut Day) -> usize {
    let mut restarts = 0;
    for office in 0..OFFICES {
        let seats: Vec<usize> = (0..SEATS)
            .map(|seat| {
                let address = format!("198.51.{office}.7");
                let name = format!("seat-{office}-{seat}");
                day.add(phone(
                    name,
                    &format!("office-{office}"),
                    address,
                    "10.0.0.5",
                ))
            })
            .collect();
        let (count, every) = if office == 0 {
            (6, 20 * MINUTE)
        } else {
            (1, 0)
        };
        for restart in 0..count {
            let at = (8 + office as u64) * HOUR + restart * every;
            restarts += 1;
            for (number, seat) in (0..).zip(&seats) {
                day.at(at + number / 10, *seat, Act::Go);
                day.at(at + 90 + number / 10, *seat, Act::Return);
            }
        }
    }
    restarts
}

/// A provider whose subscribers are silent from two to half past two.
fn provider(day: &mut Day) {
    for number in 0..SUBSCRIBERS {
        let address = format!("203.{}.{}.9", number / 200, number % 200);
        let mut one = phone(format!("sub-{number}"), "homes", address, "10.0.0.6");
        one.expires = 450;
        let one = day.add(one);
        day.at(14 * HOUR, one, Act::FallSilent);
        day.at(
            14 * HOUR + 30 * MINUTE + number as u64 % 60,
            one,
            Act::Return,
        );
    }
}

/// Phones at home, all behind NATs that give them a new port each time, and three that flap.
fn homes(day: &mut Day) {
    for number in 0..HOMES {
        let address = format!("192.0.{number}.5");
        let mut one = phone(format!("home-{number}"), "homes", address, "10.0.0.5");
        one.is_behind_bad_nat = true;
        one.expires = 1800;
        let one = day.add(one);
        // Switched off in the evening, and on again.
        day.at(20 * HOUR + number as u64 * MINUTE, one, Act::Go);
        day.at(20 * HOUR + (number as u64 + 30) * MINUTE, one, Act::Return);
    }
    for number in 0..FLAPPERS {
        let address = format!("100.64.{number}.5");
        let one = day.add(phone(format!("bad-{number}"), "homes", address, "10.0.0.5"));
        for loss in 0..12 {
            let at = (10 + number as u64) * HOUR + loss * (4 + number as u64) * MINUTE;
            day.at(at, one, Act::Go);
            day.at(at + 40, one, Act::Return);
        }
    }
}

#[test]
fn of_a_day_of_phones_exactly_the_flapping_ones_are_found() {
    let mut day = Day::new();
    let restarts = offices(&mut day);
    provider(&mut day);
    homes(&mut day);
    day.run(24 * HOUR);
    let flapped: Vec<&str> = day.flapped.iter().map(String::as_str).collect();
    assert_eq!(flapped, ["bad-0", "bad-1", "bad-2"]);
    let told = |account: Option<&str>| -> Vec<&Burst> {
        let bursts = day.bursts.iter();
        bursts
            .filter(|burst| burst.account.as_deref() == account)
            .collect()
    };
    let of = |group: Group| -> Vec<&Burst> {
        told(None)
            .into_iter()
            .filter(|burst| burst.group == group)
            .collect()
    };
    // The outage is one, and each restart of a router.
    assert_eq!(told(None).len(), 1 + restarts, "{:#?}", day.bursts);
    let outage = of(Group::Proxy);
    assert_eq!(outage.len(), 1);
    assert_eq!(
        (&*outage[0].value, outage[0].of),
        ("udp:10.0.0.6:5060", SUBSCRIBERS as u64)
    );
    let routers = of(Group::Source);
    assert_eq!(routers.len(), restarts);
    assert!(
        routers.iter().all(|burst| burst.of == SEATS as u64),
        "{routers:#?}"
    );
    assert_eq!(told(Some("office-1")).len(), 1);
    // To the account of homes the subscribers' outage is one as well.
    assert_eq!(told(Some("homes")).len(), 1);
    let text = day.finder.count();
    assert_eq!(
        text.1, FLAPPERS,
        "twelve losses a day are unstable, and nobody else's are"
    );
}
