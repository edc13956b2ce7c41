//! A relay on the way to a server, which passes on what comes, or does not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What becomes of what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is passed on.
    Open,
    /// It waits for another way.
    Stalled,
    /// It is passed on after this time, each piece.
    Slow(Duration),
    /// After so many bytes of answers each connection ends.
    CutAfter(usize),
}

/// A relay; it serves as long as the test runs.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Of the server.
    port: u16,
    way: Way,
    open: Vec<TcpStream>,
}

impl Relay {
    /// A relay to a port of this machine.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let own = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                port,
                way: Way::Open,
                open: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let port = serving.lock().port;
                // A server that is away accepts nothing.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    serving.join(&client, &server);
                    serving.join_back(&server, &client);
                }
            }
        });
        Self { port: own, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Has this become of what comes from now on.
    pub(crate) fn set(&self, way: Way) {
        self.shared.lock().way = way;
        self.shared.changed.notify_all();
    }

    /// Leads connections that come from now on to another port.
    pub(crate) fn lead_to(&self, port: u16) {
        self.shared.lock().port = port;
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        for end in self.shared.lock().open.drain(..) {
            // It may have ended by itself.
            let _ended = end.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what a client asks.
    fn join(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        self.pass_on(client, server, |_| usize::MAX);
    }

    /// Passes on what the server answers.
    fn join_back(self: &Arc<Self>, server: &TcpStream, client: &TcpStream) {
        self.pass_on(server, client, |way| match way {
            Way::CutAfter(bytes) => bytes,
            _ => usize::MAX,
        });
    }

    /// Passes on what comes, no more than the way allows.
    fn pass_on(
        self: &Arc<Self>,
        from: &TcpStream,
        to: &TcpStream,
        allowed: impl Fn(Way) -> usize + Send + 'static,
    ) {
        let clone = |stream: &TcpStream| stream.try_clone().expect("a socket has a second handle");
        let (mut from, mut to) = (clone(from), clone(to));
        self.lock().open.push(clone(&from));
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let (mut piece, mut passed) = (vec![0; 16 * 1024], 0);
            while let Ok(length @ 1..) = from.read(&mut piece) {
                let left = allowed(shared.wait()).saturating_sub(passed);
                let part = length.min(left);
                if to.write_all(&piece[..part]).is_err() || part < length {
                    break;
                }
                passed += part;
            }
            let _ended = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }

    /// Waits until something may pass.
    fn wait(&self) -> Way {
        let mut state = self.lock();
        if let Way::Slow(time) = state.way {
            let slow = |state: &mut State| matches!(state.way, Way::Slow(_));
            let waited = self.changed.wait_timeout_while(state, time, slow);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let stalled = |state: &mut State| state.way == Way::Stalled;
        let state = self.changed.wait_while(state, stalled);
        state.unwrap_or_else(PoisonError::into_inner).way
    }
}
