//! `make run`: a private Kamailio with two dozen registered phones, and usrlocd beside it, until Ctrl-C.
//!
//! `PORT` and `SIP_PORT` pin the ports of usrlocd and of Kamailio; else they are free ones. Nothing is left behind.

use std::env;
use std::io::{self, Write};
use std::net::{Ipv6Addr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use support::account::Account;
use support::daemon::Daemon;
use support::kamailio::{Journal, Kamailio};
use support::phone::Phone;

mod phones;

#[path = "../support/lib.rs"]
#[expect(dead_code, reason = "the tests share it, and neither needs all of it")]
mod support;

/// How often each phone refreshes, well within the time for which it registers.
const REFRESH: Duration = Duration::from_secs(30);

/// How often the demo looks whether usrlocd still runs.
const LOOK: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a process has a runtime");
    runtime.block_on(demo())
}

async fn demo() -> ExitCode {
    // From here on both signals are kept for us, also while things start, so that all of them are ended in order.
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be listened to");
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");

    let ipv6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    say("Starting a private Kamailio …");
    let kamailio = start_kamailio(ipv6);
    let mut phones = phones::phones(&kamailio, ipv6);
    say(&format!("Registering {} phones …", phones.len()));
    phones.iter_mut().for_each(Phone::register);
    say("Starting usrlocd …");
    let mut daemon = start_usrlocd(&kamailio);
    say(&guide(&kamailio, &daemon, ipv6));

    // One phone after the other, each of them once in REFRESH.
    let phones_len = u32::try_from(phones.len()).expect("there are two dozen");
    let looks_between = (REFRESH / phones_len).as_millis() / LOOK.as_millis();
    let mut looks = 0;
    let mut next = 0;
    loop {
        let stopped = timeout(LOOK, async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        if stopped.await.is_ok() {
            say("\nStopping usrlocd, the phones and Kamailio …");
            daemon.stop();
            return ExitCode::SUCCESS;
        }
        if let Some(status) = daemon.ended() {
            say(&format!("usrlocd ended with {status}:\n{}", daemon.log()));
            return ExitCode::FAILURE;
        }
        looks += 1;
        if looks >= looks_between {
            phones[next].register();
            next = (next + 1) % phones.len();
            looks = 0;
        }
    }
}

fn start_kamailio(ipv6: bool) -> Kamailio {
    let builder = Kamailio::builder()
        .db_mode(2)
        .journal(Journal::Wal)
        .timer_interval(5)
        .outbound(true)
        .ipv6(ipv6);
    match pinned("SIP_PORT") {
        Some(port) => builder.port(port),
        None => builder,
    }
    .start()
}

fn start_usrlocd(kamailio: &Kamailio) -> Daemon {
    let builder = Daemon::builder(kamailio);
    match pinned("PORT") {
        Some(port) => builder.port(port),
        None => builder,
    }
    .start()
}

/// The port that the environment pins under this name.
fn pinned(name: &str) -> Option<u16> {
    let value = env::var(name).ok().filter(|value| !value.is_empty())?;
    match value.parse() {
        Ok(port) if port > 0 => Some(port),
        _ => panic!("{name}={value} is no port"),
    }
}

/// What one can try now.
fn guide(kamailio: &Kamailio, daemon: &Daemon, ipv6: bool) -> String {
    let [acme, ..] = phones::accounts();
    let token = Daemon::TOKEN;
    let base = format!("http://{}", daemon.address());
    let of_acme = format!("{base}/v2/accounts/{}/registrations", acme.id);
    let curl = |what: &str, arguments: &str| {
        format!("  # {what}\n  curl -s -H 'X-Auth-Token: {token}' {arguments}\n")
    };
    let named = phones::accounts()
        .map(|Account { id, name, realm }| format!("  {id}  {name:8} {realm}\n"))
        .concat();
    let mut lines = vec![
        format!(
            "\nKamailio  {} (SIP, JSON-RPC at {})",
            kamailio.address(),
            kamailio.rpc_url()
        ),
        format!("Tables    {}", kamailio.database().display()),
        format!(
            "usrlocd   {base}   configuration {}",
            daemon.config_file().display()
        ),
        format!("Token     {token}"),
        format!("Page      {base}/ui/   log in with the token"),
        format!("Accounts\n{named}"),
    ];
    if !ipv6 {
        lines.push("(This machine has no ::1: the IPv6 phones register over IPv4.)\n".to_owned());
    }
    lines.push("Kamailio writes its tables every 5 s. Try:\n".to_owned());
    lines.extend([
        curl("all registrations of Acme", &of_acme),
        curl("their number", &format!("{of_acme}/count")),
        curl("one user with two contacts", &format!("{of_acme}/bob")),
        curl("all accounts", &format!("{base}/v2/registrations/count")),
        curl("flush one user", &format!("-X DELETE {of_acme}/alice")),
        curl("flush the whole account", &format!("-X DELETE {of_acme}")),
        format!("  # is it alive, is it ready\n  curl -s {base}/livez\n  curl -s {base}/readyz\n"),
    ]);
    lines.push(format!(
        "  # the same on the command line\n  export USRLOCD_CONFIG={}\n  \
         target/debug/usrlocd accounts\n  target/debug/usrlocd list {}\n  target/debug/usrlocd doctor\n",
        daemon.config_file().display(),
        acme.id
    ));
    lines.push(
        "The phones refresh every 30 s, so flushed ones come back. Ctrl-C stops everything."
            .to_owned(),
    );
    lines.join("\n")
}

fn say(text: &str) {
    // Whoever reads this may be gone, which is no reason to stop before everything is cleaned up.
    let _ = writeln!(io::stdout(), "{text}");
}
