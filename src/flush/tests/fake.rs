//! A fake of Kamailio's JSON-RPC over HTTP: a memory of contacts that answers as Kamailio does, and that a test bends
//! where it wants something else to happen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the fake does in place of what it would do.
#[derive(Debug)]
pub(super) enum Answer {
    Result(Value),
    Error(i64, &'static str),
    /// Nothing, ever.
    Silence,
    /// A part of a reply.
    Cut,
}

/// Looks at each call before it is carried out; may change the memory, and answer in its place.
type Bend = Box<dyn FnMut(&mut Memory, &str, &[Value]) -> Option<Answer> + Send>;

/// What the fake knows.
pub(super) struct Memory {
    /// Contacts by address of record; one without any is known all the same.
    pub(super) contacts: BTreeMap<String, Vec<Value>>,
    pub(super) uptime: u64,
    pub(super) since: String,
    /// Whether `ul.rm_contact` finds contacts: not with a `matching_mode` other than 0.
    pub(super) finds_singly: bool,
    /// The calls so far, as `method last-parameters`.
    pub(super) calls: Vec<String>,
    bend: Option<Bend>,
}

/// The fake; it ends with this value.
pub(super) struct Fake {
    pub(super) endpoint: String,
    memory: Arc<Mutex<Memory>>,
    _tasks: JoinSet<()>,
}

impl Fake {
    /// An empty Kamailio that has been up for an hour.
    pub(super) async fn start() -> Self {
        let memory = Arc::new(Mutex::new(Memory {
            contacts: BTreeMap::new(),
            uptime: 3600,
            since: "Tue Nov 14 21:13:20 2023".to_owned(),
            finds_singly: true,
            calls: Vec::new(),
            bend: None,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/RPC", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&memory);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            endpoint,
            memory,
            _tasks: tasks,
        }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    /// Bends what it does from now on.
    pub(super) fn bend(
        &self,
        bend: impl FnMut(&mut Memory, &str, &[Value]) -> Option<Answer> + Send + 'static,
    ) {
        self.memory().bend = Some(Box::new(bend));
    }

    /// Answers each call of this method so.
    pub(super) fn answers(&self, method: &'static str, answer: fn() -> Answer) {
        self.bend(move |_, called, _| (called == method).then(answer));
    }

    /// The calls so far of these methods.
    pub(super) fn calls(&self, methods: &[&str]) -> Vec<String> {
        let memory = self.memory();
        let of = |call: &&String| methods.iter().any(|it| call.split(' ').next() == Some(it));
        memory.calls.iter().filter(of).cloned().collect()
    }
}

impl Memory {
    /// A REGISTER: a contact with this ruid and `CSeq`.
    pub(super) fn register(&mut self, aor: &str, ruid: &str, contact: &str, cseq: i64) {
        let contacts = self.contacts.entry(aor.to_owned()).or_default();
        contacts.retain(|one| one["Contact"]["Ruid"] != ruid);
        contacts.push(json!({"Contact": {
            "Address": contact, "Expires": 600, "Q": -1, "Call-ID": "call@192.0.2.1", "CSeq": cseq,
            "User-Agent": "Phone 1.0", "Received": "[not set]", "Ruid": ruid, "Last-Modified": 1_700_000_000,
        }}));
    }

    /// Forgets an address of record.
    pub(super) fn forget(&mut self, aor: &str) {
        self.contacts.remove(aor);
    }

    /// The ruids of an address of record.
    pub(super) fn ruids(&self, aor: &str) -> Vec<String> {
        let contacts = self.contacts.get(aor).into_iter().flatten();
        let ruid = |one: &Value| one["Contact"]["Ruid"].as_str().unwrap().to_owned();
        contacts.map(ruid).collect()
    }

    fn answer(&mut self, method: &str, params: &[Value]) -> Answer {
        let text = |place: usize| params[place].as_str().unwrap_or_default();
        match method {
            "core.uptime" => {
                let (since, uptime) = (&self.since, self.uptime);
                Answer::Result(json!({"now": "now", "up_since": since, "uptime": uptime}))
            }
            "ul.lookup" => match self.contacts.get(text(1)) {
                None => Answer::Error(500, "AOR not found in location table"),
                Some(contacts) if contacts.is_empty() => Answer::Error(500, "AOR has no contacts"),
                Some(contacts) => Answer::Result(json!({"AoR": text(1), "Contacts": contacts})),
            },
            "ul.rm" => {
                if let Some(contacts) = self.contacts.get_mut(text(1)) {
                    contacts.clear();
                }
                Answer::Result(json!({}))
            }
            "ul.rm_contact" => match self.contacts.get_mut(text(1)) {
                None => Answer::Error(404, "AOR not found"),
                Some(contacts) => {
                    let same = |one: &Value| one["Contact"]["Address"] == text(2);
                    match contacts.iter().position(same).filter(|_| self.finds_singly) {
                        Some(place) => {
                            contacts.remove(place);
                            Answer::Result(json!({}))
                        }
                        None => Answer::Error(404, "Contact not found"),
                    }
                }
            },
            "stats.fetchn" => {
                let count: usize = self.contacts.values().map(Vec::len).sum();
                Answer::Result(
                    json!({"usrloc.location_contacts": count, "usrloc.location_users": 0}),
                )
            }
            _ => Answer::Error(500, "Method Not Found"),
        }
    }

    fn call(&mut self, request: &Value) -> Answer {
        let method = request["method"].as_str().unwrap();
        let params = request["params"].as_array().unwrap();
        let words = params.iter().map(|param| match param {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let call: Vec<String> = std::iter::once(method.to_owned()).chain(words).collect();
        self.calls.push(call.join(" "));
        let mut bend = self.bend.take();
        let other = bend.as_mut().and_then(|bend| bend(self, method, params));
        self.bend = bend;
        other.unwrap_or_else(|| self.answer(method, params))
    }
}

async fn serve(mut stream: TcpStream, memory: Arc<Mutex<Memory>>) {
    while let Some(request) = read(&mut stream).await {
        let answer = memory.lock().unwrap().call(&request);
        let id = &request["id"];
        let (status, body) = match answer {
            Answer::Result(result) => (200, json!({"jsonrpc": "2.0", "result": result, "id": id})),
            Answer::Error(code, message) => {
                let error = json!({"code": code, "message": message});
                (500, json!({"jsonrpc": "2.0", "error": error, "id": id}))
            }
            Answer::Silence => return std::future::pending().await,
            Answer::Cut => {
                let _gone = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
                    .await;
                return;
            }
        };
        let body = body.to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n");
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// One request; `None` at the connection's end.
async fn read(stream: &mut TcpStream) -> Option<Value> {
    let mut received = Vec::new();
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            let body = &received[end + 4..];
            if body.len() >= length {
                return Some(serde_json::from_slice(body).unwrap());
            }
        }
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}
