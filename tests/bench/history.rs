//! What the history costs: a day of 100,000 phones that are lost and come back four times each, and as many days more as
//! make the number of events that is asked for. Prints one figure a line.
//!
//! `history FOLDER EVENTS`

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use usrlocd::clock::{Clock, ManualClock, SystemClock};
use usrlocd::event_log::{History, Of, Options, Query};
use usrlocd::events::{Audience, Event, Happening, Kind, Reason, Stats, What};
use usrlocd::registration::{
    Address, Attributes, Binding, Common, Details, Expiry, Key, Number, Registration, Ruid,
    SourceAddress, Text,
};
use usrlocd::sip::{SourceFrom, Transport};

const BEGIN: u64 = 1_795_000_000;
const DAY: u64 = 86_400;
const PHONES: u64 = 100_000;
const OF_ACCOUNT: u64 = 50;
const LOSSES: u64 = 4;
const BATCH: usize = 1_000;
const SINGLE: usize = 3_000;
const ASKED: u64 = 300;

/// Random numbers that are the same in each run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn hex(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }

    fn uuid(&mut self) -> String {
        let hex = self.hex();
        let part = |range: std::ops::Range<usize>| &hex[range];
        [
            part(0..8),
            part(8..12),
            part(12..16),
            part(16..20),
            part(20..32),
        ]
        .join("-")
    }

    fn letters(&mut self, length: usize) -> String {
        const ALL: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
        (0..length)
            .map(|_| char::from(ALL[usize::try_from(self.below(64)).unwrap_or_default()]))
            .collect()
    }
}

/// What of a phone stays.
struct Phone {
    user: String,
    account: Arc<str>,
    common: Arc<Common>,
    authorizing_id: Text,
    owner_id: Text,
    instance: Text,
    agent: Text,
    kind: u64,
    inside: String,
    outside: String,
    now: Option<Registered>,
}

/// What each registration has anew.
#[derive(Clone)]
struct Registered {
    ruid: String,
    call_id: String,
    port: u16,
    at: u64,
}

/// Who is there, and what happens to them.
struct World {
    random: Random,
    phones: Vec<Phone>,
    counter: u64,
    seq: u64,
}

impl World {
    fn new() -> Self {
        let mut random = Random(1);
        let mut commons: HashMap<u64, (Arc<str>, Arc<Common>)> = HashMap::new();
        let phones = (0..PHONES).map(|number| {
            let account = number / OF_ACCOUNT;
            let made = commons
                .entry(account)
                .or_insert_with(|| (random.hex().as_str().into(), Arc::new(common(account))));
            let (account, common) = made.clone();
            let agent = number % 40;
            Phone {
                user: format!("user_{:06}", random.below(1_000_000)),
                account,
                common,
                authorizing_id: random.hex().as_str().into(),
                owner_id: random.hex().as_str().into(),
                instance: format!("<urn:uuid:{}>", random.uuid()).as_str().into(),
                agent: format!("Vendor{} SIP-T{agent}S 66.85.0.{agent}", agent % 7)
                    .as_str()
                    .into(),
                kind: number % 3,
                inside: format!("192.168.{}.{}", random.below(9), random.below(250)),
                outside: format!("198.51.{}.{}", random.below(250), random.below(250)),
                now: None,
            }
        });
        let phones = phones.collect();
        Self {
            random,
            phones,
            counter: 0,
            seq: 0,
        }
    }

    /// Makes the phone register anew at this second.
    fn register(&mut self, phone: usize, at: u64) {
        self.counter += 1;
        let random = &mut self.random;
        let call_id = match phone % 4 {
            0 => random.hex(),
            1 => random.uuid(),
            2 => random.letters(22),
            _ => format!(
                "{}@{}",
                random.next() % 10_000_000_000,
                self.phones[phone].inside
            ),
        };
        let (process, counter) = (0x1f3c + random.below(8), self.counter);
        self.phones[phone].now = Some(Registered {
            ruid: format!("uloc-6b3a5f21-{process:x}-{counter:x}"),
            call_id,
            port: u16::try_from(1024 + random.below(60_000)).unwrap_or(u16::MAX),
            at,
        });
    }

    /// The events of a day, in their order.
    fn day(&mut self, day: u64) -> Vec<(u64, usize, bool)> {
        let mut all = Vec::new();
        for phone in 0..self.phones.len() {
            for loss in 0..LOSSES {
                let begin = (BEGIN + day * DAY + loss * DAY / LOSSES) * 1000;
                let lost = begin + self.random.below(5 * 3_600_000);
                let back = lost + 6_000 + self.random.below(1_800_000);
                all.push((lost, phone, false));
                all.push((back, phone, true));
            }
        }
        all.sort_unstable();
        all
    }

    fn event(&mut self, (at, phone, is_back): (u64, usize, bool)) -> Event {
        self.seq += 1;
        let second = at / 1000;
        if is_back || self.phones[phone].now.is_none() {
            let began = if is_back { second } else { second - 3_600 };
            self.register(phone, began);
        }
        let refreshed = if is_back { 0 } else { self.random.below(1_800) };
        let one = Arc::new(self.phones[phone].registration(second - refreshed));
        let kind = if is_back {
            Kind::Registered
        } else {
            let reasons = [Reason::Expired, Reason::Removed];
            Kind::Terminated(reasons[phone % 2])
        };
        let happened_at = match kind {
            Kind::Terminated(Reason::Expired) => one.binding.expiry.end(),
            Kind::Registered => Some(one.binding.last_modified),
            _ => None,
        };
        Event {
            seq: self.seq,
            at,
            commit: self.seq,
            what: What::Registration(Box::new(Happening {
                kind,
                audience: Audience::All,
                former: None,
                happened_at,
                replaces: None,
                flush: None,
                stats: (!is_back).then(|| Stats::of(&one, at)),
                registration: one,
            })),
        }
    }
}

impl Phone {
    fn registration(&self, second: u64) -> Registration {
        let now = self.now.as_ref().expect("it has registered");
        let seconds = second.cast_signed().max(now.at.cast_signed());
        let first = now.at.cast_signed();
        let refreshes = u32::try_from((seconds - first) / 1_700).unwrap_or_default();
        let (user, inside, outside, port) = (&self.user, &self.inside, &self.outside, now.port);
        let alias = format!(";alias={outside}~{port}~1");
        let received = format!("sip:{outside}:{port}");
        let path = format!("<sip:edge{}.example.net;lr;received={received}>", port % 4);
        let (alias, received, path, from) = match self.kind {
            0 => (alias.as_str(), None, None, SourceFrom::Alias),
            1 => ("", Some(received), None, SourceFrom::Received),
            _ => ("", None, Some(path), SourceFrom::Path),
        };
        let contact = format!("sip:{user}@{inside}:{port};transport=udp{alias}");
        let address = |host: &str| Address {
            host: host.into(),
            port: Some(port),
        };
        let text = |text: Option<String>| text.map(|text| Text::from(text.as_str()));
        let binding = Binding {
            key: Key {
                table: "location".into(),
                ruid: Ruid::from(now.ruid.as_str()),
            },
            username: user.as_str().into(),
            domain: self.common.realm.as_deref().map(Text::from),
            contact: contact.as_str().into(),
            received: text(received),
            path: text(path),
            expiry: Expiry::At(seconds + 1_800),
            last_modified: seconds,
            q: None,
            call_id: Some(now.call_id.as_str().into()),
            cseq: Number::new(2 + i64::from(refreshes)),
            flags: Number::new(0),
            cflags: Number::new(64),
            user_agent: Some(self.agent.clone()),
            socket: Some("udp:10.0.0.5:5060".into()),
            methods: Number::new(8159),
            instance: Some(self.instance.clone()),
            reg_id: None,
            server_id: Number::new(0),
            attributes: Attributes::default(),
        };
        let realm = self.common.realm.as_deref().unwrap_or_default();
        Registration::new(Details {
            binding: Arc::new(binding),
            first_registration: first,
            refreshes,
            account_id: Some(Arc::clone(&self.account)),
            username: user.as_str().into(),
            authorizing_id: Some(self.authorizing_id.clone()),
            owner_id: Some(self.owner_id.clone()),
            presence_id: Some(format!("{user}@{realm}").as_str().into()),
            contact_address: Some(address(inside)),
            source: Some(SourceAddress {
                address: address(outside),
                from,
            }),
            common: Arc::clone(&self.common),
        })
    }
}

fn common(account: u64) -> Common {
    let realm: Arc<str> = format!("customer{account}.sip.example.net").as_str().into();
    Common {
        realm: Some(Arc::clone(&realm)),
        account_name: Some(format!("Customer {account} Ltd").as_str().into()),
        account_realm: Some(realm),
        authorizing_type: Some("device".into()),
        suppress_unregister_notify: true,
        register_overwrite_notify: false,
        proxy_address: Some(("203.0.113.5".into(), Some(5060))),
        proxy_protocol: Some(Transport::Udp),
        proxy_path: Some("sip:10.0.0.5:5060;transport=udp".into()),
        node: None,
    }
}

/// Prints the median and the 99th percentile of times, in milliseconds.
fn print_times(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!("{name} p50 {:.3} ms", at(50));
    println!("{name} p99 {:.3} ms", at(99));
}

fn rate(events: usize, time: Duration) -> u128 {
    events as u128 * 1_000_000 / time.as_micros().max(1)
}

/// Writes events in batches; returns how long that took.
async fn write(
    history: &History,
    clock: &ManualClock,
    world: &mut World,
    events: &[(u64, usize, bool)],
) -> Result<Duration, Box<dyn Error>> {
    let timer = SystemClock::new();
    let mut taken = Duration::ZERO;
    for part in events.chunks(BATCH) {
        let batch: Vec<_> = part.iter().map(|it| Arc::new(world.event(*it))).collect();
        clock.step_to(part[part.len() - 1].0 / 1000);
        let begin = timer.monotonic();
        history.append(&batch).await?;
        taken += timer.monotonic().saturating_sub(begin);
    }
    Ok(taken)
}

fn query(of: Of, limit: usize) -> Query {
    Query {
        of,
        from: None,
        to: None,
        types: None,
        reasons: None,
        before: None,
        limit,
    }
}

async fn times(
    history: &History,
    queries: impl Iterator<Item = Query>,
    expected: usize,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let timer = SystemClock::new();
    let mut all = Vec::new();
    for query in queries {
        let begin = timer.monotonic();
        let found = history.query(&query).await?;
        all.push(timer.monotonic().saturating_sub(begin));
        if found.len() < expected {
            return Err(format!("{} events instead of {expected}", found.len()).into());
        }
    }
    Ok(all)
}

/// The processor time of this process, all of it, in hundredths of a second.
fn ticks() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// As many events as rows of plain columns with two indexes: bytes and events a second.
async fn plain(folder: &Path, events: &[Arc<Event>]) -> Result<(), Box<dyn Error>> {
    let path = folder.join("plain.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    sqlx::raw_sql(
        "CREATE TABLE event (seq INTEGER PRIMARY KEY, at INTEGER, type TEXT, account TEXT, username TEXT, realm TEXT, \
         ruid TEXT, contact TEXT, received TEXT, path TEXT, call_id TEXT, user_agent TEXT, instance TEXT, \
         authorizing_id TEXT, owner_id TEXT, source_ip TEXT, source_port INTEGER, last_modified INTEGER, \
         expires INTEGER, cseq INTEGER);
         CREATE INDEX event_user ON event (account, username); CREATE INDEX event_at ON event (at)",
    )
    .execute(&mut connection)
    .await?;
    let timer = SystemClock::new();
    let begin = timer.monotonic();
    for part in events.chunks(BATCH) {
        let mut transaction = connection.begin().await?;
        for part in part.chunks(100) {
            let mut insert = sqlx::QueryBuilder::<sqlx::Sqlite>::new("INSERT INTO event ");
            insert.push_values(part, |mut values, event| {
                let What::Registration(it) = &event.what else {
                    return;
                };
                let (one, binding) = (&it.registration, &it.registration.binding);
                let text = |text: Option<&Text>| text.map(|text| text.lossy().into_owned());
                let source = one.source.as_ref();
                values
                    .push_bind(event.seq.cast_signed())
                    .push_bind(event.at.cast_signed())
                    .push_bind(it.kind.type_of().as_str())
                    .push_bind(one.account_id.clone())
                    .push_bind(text(Some(&one.username)))
                    .push_bind(one.common.realm.clone())
                    .push_bind(text(Some(&binding.key.ruid.0)))
                    .push_bind(text(Some(&binding.contact)))
                    .push_bind(text(binding.received.as_ref()))
                    .push_bind(text(binding.path.as_ref()))
                    .push_bind(text(binding.call_id.as_ref()))
                    .push_bind(text(binding.user_agent.as_ref()))
                    .push_bind(text(binding.instance.as_ref()))
                    .push_bind(text(one.authorizing_id.as_ref()))
                    .push_bind(text(one.owner_id.as_ref()))
                    .push_bind(text(source.map(|it| &it.address.host)))
                    .push_bind(source.and_then(|it| it.address.port).map(i64::from))
                    .push_bind(binding.last_modified)
                    .push_bind(binding.expiry.end())
                    .push_bind(binding.cseq.map(|cseq| cseq.get()));
            });
            insert
                .build()
                .persistent(true)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
    }
    println!(
        "plain rate {} events/s",
        rate(events.len(), timer.monotonic().saturating_sub(begin))
    );
    connection.close().await?;
    let bytes = std::fs::metadata(path)?.len();
    println!(
        "plain bytes {:.1} an event",
        f64::from(u32::try_from(bytes)?) / f64::from(u32::try_from(events.len())?)
    );
    Ok(())
}

async fn run(folder: PathBuf, wanted: u64) -> Result<(), Box<dyn Error>> {
    let clock = Arc::new(ManualClock::at(BEGIN));
    let options = Options {
        path: folder.join("history.db"),
        keep: Duration::from_secs(60 * DAY),
        size: 1 << 30,
    };
    let history = Arc::new(History::open(options, clock.clone()).await?);
    let timer = SystemClock::new();
    let mut world = World::new();
    let day = world.day(0);
    println!("begin cpu {} ticks", ticks()?);
    let taken = write(&history, &clock, &mut world, &day).await?;
    println!("day rate {} events/s", rate(day.len(), taken));
    println!("day cpu {} ticks", ticks()?);
    println!(
        "day bytes {:.1} an event",
        f64::from(u32::try_from(history.bytes())?) / f64::from(u32::try_from(day.len())?)
    );
    let mut days = 1;
    while world.seq < wanted {
        let mut next = world.day(days);
        next.truncate(usize::try_from(wanted - world.seq)?);
        write(&history, &clock, &mut world, &next).await?;
        days += 1;
    }
    println!("events {} of {}", history.events(), world.seq);
    println!("bytes {}", history.bytes());
    println!(
        "bytes {:.1} an event",
        f64::from(u32::try_from(history.bytes())?) / f64::from(u32::try_from(history.events())?)
    );
    let last = world.day(days);
    let mut single = Vec::new();
    for one in &last[..SINGLE.min(last.len())] {
        let event = Arc::new(world.event(*one));
        clock.step_to(one.0 / 1000);
        let begin = timer.monotonic();
        history.append(&[event]).await?;
        single.push(timer.monotonic().saturating_sub(begin));
    }
    print_times("single", single);
    let taken = write(
        &history,
        &clock,
        &mut world,
        &last[SINGLE..SINGLE + 100_000],
    )
    .await?;
    println!("late rate {} events/s", rate(100_000, taken));
    ask(&history, &world).await?;
    let sample: Vec<_> = last[SINGLE + 100_000..SINGLE + 200_000]
        .iter()
        .map(|it| Arc::new(world.event(*it)))
        .collect();
    plain(&folder, &sample).await?;
    history.close().await;
    Ok(())
}

async fn ask(history: &Arc<History>, world: &World) -> Result<(), Box<dyn Error>> {
    let timer = SystemClock::new();
    let phones =
        (0..ASKED).map(|number| usize::try_from(number * (PHONES / ASKED)).unwrap_or_default());
    let of = |phone: usize| Of::User {
        account: world.phones[phone].account.to_string(),
        username: world.phones[phone].user.clone(),
    };
    let kept = history.events();
    let expected = usize::try_from((kept / PHONES * 3 / 4).min(100))?;
    let users = phones.clone().map(|phone| query(of(phone), 100));
    print_times("user", times(history, users, expected).await?);
    let accounts = phones.clone().map(|phone| {
        query(
            Of::Accounts(vec![world.phones[phone].account.to_string()]),
            100,
        )
    });
    print_times("account", times(history, accounts, 100).await?);
    let middle = history.newest() - kept / 2;
    let pages = phones.map(|phone| Query {
        before: Some(middle),
        ..query(
            Of::Accounts(vec![world.phones[phone].account.to_string()]),
            100,
        )
    });
    print_times("account, in the middle", times(history, pages, 100).await?);
    let rare = Query {
        reasons: Some(vec![Reason::Flushed]),
        ..query(Of::All, 100)
    };
    let begin = timer.monotonic();
    history.query(&rare).await?;
    println!(
        "whole {:.2} s",
        timer.monotonic().saturating_sub(begin).as_secs_f64()
    );
    let begin = timer.monotonic();
    let found = history.query(&query(Of::All, 100_000)).await?;
    println!(
        "read rate {} events/s",
        rate(found.len(), timer.monotonic().saturating_sub(begin))
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: history FOLDER EVENTS")?;
    let events = arguments
        .next()
        .ok_or("usage: history FOLDER EVENTS")?
        .parse()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(folder.into(), events))
}
