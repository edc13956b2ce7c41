//! Free ports on loopback.
//!
//! They are drawn below the range from which the system gives ports to clients, so that a connection somebody opens
//! meanwhile does not take one, and no port is given twice by one process.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{LazyLock, Mutex, PoisonError};

const LOWEST: u16 = 10_240;
const HIGHEST: u16 = 32_000;

static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port on which nobody listens, neither over TCP nor over UDP.
pub(crate) fn free() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let mut random = [0; 2];
        getrandom::fill(&mut random).expect("the system has randomness");
        let port = LOWEST + u16::from_ne_bytes(random) % (HIGHEST - LOWEST);
        if !given.contains(&port) && is_free(port) {
            given.insert(port);
            return port;
        }
    }
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
}
