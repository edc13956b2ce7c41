//! Two sites and what becomes of their registrations.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::super::jwt::{keys, token_of};
use super::super::site::{Site, World, details, settings};
use crate::accounts::directory::Directory;
use crate::config::{Bucket, Limits};
use crate::registration::Change;
use crate::registration::{Expiry, Hidden, Key, Registration, Ruid};

/// How many accounts there are, `a0` and so on; the last one has rows at times, and the directory does not name it.
pub(super) const ACCOUNTS: usize = 5;
/// Users of all accounts alike.
pub(super) const USERS: [&str; 3] = ["alice", "Bob", "carol"];
/// Domains of all accounts alike, beside those of their own.
const DOMAINS: usize = 2;

/// What the sites live through.
#[derive(Clone, Debug)]
pub(super) struct Life {
    /// By account: the one above it, if any.
    parents: Vec<Option<usize>>,
    /// Devices: account and user.
    devices: Vec<(usize, usize)>,
    /// The token that asks.
    pub(super) token: Token,
    pub(super) steps: Vec<Step>,
}

/// A token, and so what it may see.
#[derive(Clone, Debug)]
pub(super) enum Token {
    /// One of our own, for these accounts.
    Ours {
        accounts: Vec<usize>,
        read: bool,
        flush: bool,
    },
    /// Kazoo's, perhaps acting for another account.
    Kazoo { own: usize, acting: Option<usize> },
}

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A row comes or changes, perhaps its owner.
    Put(Row),
    /// A row goes.
    Remove(u8),
    /// A flush of somebody else's hides a row.
    Hide(u8),
    /// Time passes.
    Wait(u16),
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    ruid: u8,
    account: Option<usize>,
    user: usize,
    /// A domain that all share, or the account's own.
    domain: Option<usize>,
    /// A contact that other rows of the account have, or one of its own.
    shares_contact: bool,
    lasts: u16,
}

/// The two sites: without those whom the token may not see, and with them.
pub(super) struct Pair {
    pub(super) alone: Site,
    pub(super) among: Site,
}

pub(super) fn life() -> impl Strategy<Value = Life> {
    let parents = (0..ACCOUNTS)
        .map(|account| {
            option::of(0..account.max(1))
                .prop_map(move |above| above.filter(|above| *above < account))
        })
        .collect::<Vec<_>>();
    let token = prop_oneof![
        3 => (vec(0..ACCOUNTS, 1..3), any::<bool>(), any::<bool>()).prop_map(|(accounts, read, flush)| {
            Token::Ours { accounts, read, flush: flush || !read }
        }),
        1 => (0..ACCOUNTS, option::of(0..ACCOUNTS)).prop_map(|(own, acting)| Token::Kazoo { own, acting }),
    ];
    let devices = vec((0..ACCOUNTS - 1, 0..USERS.len()), 0..4);
    (parents, devices, token, vec(step(), 0..30)).prop_map(|(parents, devices, token, steps)| {
        Life {
            parents,
            devices,
            token,
            steps,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let row = (
        0..12_u8,
        option::weighted(0.9, 0..ACCOUNTS),
        0..USERS.len(),
        option::of(0..DOMAINS),
        any::<bool>(),
        prop_oneof![Just(3600_u16), 1..400_u16],
    );
    let row = row.prop_map(|(ruid, account, user, domain, shares_contact, lasts)| Row {
        ruid,
        account,
        user,
        domain,
        shares_contact,
        lasts,
    });
    prop_oneof![
        10 => row.prop_map(Step::Put),
        2 => (0..12_u8).prop_map(Step::Remove),
        2 => (0..12_u8).prop_map(Step::Hide),
        1 => (1..2000_u16).prop_map(Step::Wait),
    ]
}

/// Signing takes a while, so each token is signed once.
fn kazoo(own: usize, acting: Option<usize>) -> String {
    static ALL: LazyLock<Vec<String>> = LazyLock::new(|| {
        let acting = |own: usize| (0..=ACCOUNTS).map(move |other| (own, other));
        let all = (0..ACCOUNTS).flat_map(acting);
        let token = |(own, other): (usize, usize)| {
            let other = (other < ACCOUNTS).then(|| name(other));
            token_of(&name(own), other.as_deref())
        };
        all.map(token).collect()
    });
    ALL[own * (ACCOUNTS + 1) + acting.unwrap_or(ACCOUNTS)].clone()
}

pub(super) fn name(account: usize) -> String {
    format!("a{account}")
}

impl Life {
    /// Two accounts beside each other, and a token for the first.
    pub(super) fn of_two_accounts() -> Self {
        Self {
            parents: vec![None; ACCOUNTS],
            devices: Vec::new(),
            token: Token::Ours {
                accounts: vec![0],
                read: true,
                flush: true,
            },
            steps: Vec::new(),
        }
    }

    /// The token that asks.
    pub(super) fn secret(&self) -> String {
        match &self.token {
            Token::Ours { .. } => "their-token".to_owned(),
            Token::Kazoo { own, acting } => kazoo(*own, *acting),
        }
    }

    fn directory(&self) -> String {
        let accounts = (0..ACCOUNTS - 1).map(|account| {
            let mut one =
                json!({"id": name(account), "realm": format!("{}.example.com", name(account))});
            if let Some(above) = self.parents[account] {
                one["parent"] = name(above).into();
            }
            one
        });
        let mut devices: Vec<_> = self.devices.clone();
        devices.sort_unstable();
        devices.dedup();
        let devices = devices.iter().map(|(account, user)| {
            json!({"id": format!("d{account}{user}"), "account_id": name(*account), "username": USERS[*user]})
        });
        json!({"accounts": accounts.collect::<Vec<_>>(), "devices": devices.collect::<Vec<_>>()})
            .to_string()
    }

    fn site(&self, directory: &str) -> Site {
        let off = Bucket {
            burst: 1,
            per_second: 0.0,
        };
        let limits = Limits {
            requests: off,
            deletes: off,
            failures: off,
            ..Limits::default()
        };
        let mut world = World {
            keys: keys(),
            directory: directory.to_owned(),
            ..World::default()
        };
        if let Token::Ours {
            accounts,
            read,
            flush,
        } = &self.token
        {
            let accounts: Vec<_> = accounts.iter().map(|account| name(*account)).collect();
            let rights: Vec<_> = [("read", read), ("flush", flush)]
                .into_iter()
                .filter_map(|(right, has)| has.then_some(right))
                .collect();
            world.add_token(
                "their-token",
                "theirs",
                &format!("{accounts:?}"),
                &format!("{rights:?}"),
            );
        }
        Site::of(settings(), &limits, world)
    }

    /// Whether the token may see this account.
    fn sees(&self, account: Option<usize>, directory: &Directory) -> bool {
        let Some(account) = account.map(name) else {
            return false;
        };
        match &self.token {
            Token::Ours { accounts, .. } => accounts
                .iter()
                .any(|own| directory.is_within(&account, &name(*own))),
            Token::Kazoo { own, acting } => {
                let own = acting.unwrap_or(*own);
                directory.is_within(&account, &name(own))
            }
        }
    }

    /// Lives it.
    pub(super) fn live(&self) -> Pair {
        let text = self.directory();
        let directory = Directory::parse(&text).unwrap();
        let pair = Pair {
            alone: self.site(&text),
            among: self.site(&text),
        };
        for step in &self.steps {
            match step {
                Step::Put(row) => {
                    let one = Change::Upsert(Arc::new(row.registration(&pair)));
                    pair.among.registry.apply([one.clone()]);
                    let seen = self.sees(row.account, &directory);
                    let gone = Change::Remove(key(row.ruid));
                    pair.alone.registry.apply([if seen { one } else { gone }]);
                }
                Step::Remove(ruid) => {
                    for site in [&pair.alone, &pair.among] {
                        site.registry.apply([Change::Remove(key(*ruid))]);
                    }
                }
                Step::Hide(ruid) => {
                    for site in [&pair.alone, &pair.among] {
                        hide(site, *ruid);
                    }
                }
                Step::Wait(seconds) => {
                    for site in [&pair.alone, &pair.among] {
                        site.clock.advance(Duration::from_secs((*seconds).into()));
                    }
                }
            }
            // Whatever comes next is later than what was.
            for site in [&pair.alone, &pair.among] {
                site.clock.advance(Duration::from_secs(1));
            }
        }
        pair
    }
}

impl Row {
    /// A row of this account.
    pub(super) fn of(account: usize) -> Self {
        Self {
            ruid: 1,
            account: Some(account),
            user: 0,
            domain: None,
            shares_contact: false,
            lasts: 3600,
        }
    }

    fn registration(&self, pair: &Pair) -> Registration {
        let now = pair.among.now();
        let owner = self.account.map_or_else(|| "nobody".to_owned(), name);
        let mut one = details(&owner, USERS[self.user], u16::from(self.ruid));
        let mut binding = (*one.binding).clone();
        binding.key = key(self.ruid);
        binding.last_modified = now;
        binding.expiry = Expiry::At(now + i64::from(self.lasts));
        if let Some(domain) = self.domain {
            let domain = format!("shared{domain}.example.com");
            binding.domain = Some(domain.as_str().into());
            Arc::make_mut(&mut one.common).realm = Some(domain.as_str().into());
        }
        if self.shares_contact {
            let contact = format!("sip:{}@shared.example.com", USERS[self.user]);
            binding.contact = contact.as_str().into();
        }
        one.first_registration = now;
        one.account_id = self.account.map(|account| name(account).as_str().into());
        one.binding = Arc::new(binding);
        Registration::new(one)
    }
}

fn key(ruid: u8) -> Key {
    Key {
        table: "location".into(),
        ruid: Ruid::from(format!("uloc-{ruid}").as_str()),
    }
}

fn hide(site: &Site, ruid: u8) {
    if let Some(row) = site.registry.get(&key(ruid)) {
        let hidden = Hidden {
            key: key(ruid),
            fingerprint: row.binding.row_fingerprint(),
            at: site.now(),
        };
        site.registry.overlay().hide([hidden], &Arc::default());
    }
}
