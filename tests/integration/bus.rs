//! Fake EventBridge with `PutEvents` only: stores the entries and sends the configured reply to each call.
//!
//! The operation tests check with moto that EventBridge accepts the function's calls.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

/// Reply to one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// Response that accepts every entry.
    Accepted,
    /// Response with status 200 that rejects the first entry with this code.
    FirstRejected(&'static str),
    /// `AccessDeniedException`.
    Denied,
    /// No response.
    Silence,
    /// Response without results.
    Empty,
}

/// Event bus in memory.
#[derive(Clone)]
pub(crate) struct Bus {
    pub(crate) endpoint: String,
    calls: Arc<Mutex<Vec<Vec<Value>>>>,
    first: Vec<Reply>,
    then: Reply,
}

thread_local! {
    /// Buses of a test. The port of each is its place here, plus [`FIRST_PORT`].
    static BUSES: RefCell<Vec<Bus>> = const { RefCell::new(Vec::new()) };
}

const FIRST_PORT: u16 = 100;

/// Connects to the bus with this port.
pub(crate) fn dial(port: u16) -> io::Result<DuplexStream> {
    let place = usize::from(port).checked_sub(usize::from(FIRST_PORT));
    let bus = place.and_then(|place| BUSES.with_borrow(|buses| buses.get(place).cloned()));
    let bus = bus.ok_or(io::ErrorKind::ConnectionRefused)?;
    let (client, server) = tokio::io::duplex(1 << 20);
    tokio::spawn(bus.serve(server));
    Ok(client)
}

impl Bus {
    /// Starts the bus. The first calls get the replies in `first`, one each. All later calls get `then`.
    pub(crate) fn start(first: &[Reply], then: Reply) -> Self {
        BUSES.with_borrow_mut(|buses| {
            let endpoint = format!("http://127.0.0.1:{}", usize::from(FIRST_PORT) + buses.len());
            let bus = Self { endpoint, calls: Arc::default(), first: first.to_vec(), then };
            buses.push(bus.clone());
            bus
        })
    }

    /// Returns the entries of each call, in order of arrival.
    pub(crate) fn calls(&self) -> Vec<Vec<Value>> {
        self.calls.lock().unwrap().clone()
    }

    /// Returns the number of entries in each call.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.calls().iter().map(Vec::len).collect()
    }

    async fn serve(self, stream: DuplexStream) {
        let mut stream = BufReader::new(stream);
        while let Some(body) = request(&mut stream).await {
            let entries = body["Entries"].as_array().unwrap().clone();
            let reply = {
                let mut calls = self.calls.lock().unwrap();
                calls.push(entries.clone());
                self.first.get(calls.len() - 1).copied().unwrap_or(self.then)
            };
            let Some((status, body)) = response(reply, entries.len()) else { continue };
            let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.1\r\n");
            let text = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    }
}

/// Returns status and body of a reply to `count` entries. None for silence.
fn response(reply: Reply, count: usize) -> Option<(u16, String)> {
    let results = |rejected: Option<&str>| {
        let result = |index: usize| match rejected.filter(|_| index == 0) {
            Some(code) => json!({"ErrorCode": code, "ErrorMessage": "scripted by the test"}),
            None => json!({"EventId": format!("event-{index}")}),
        };
        let failed = usize::from(rejected.is_some());
        json!({"FailedEntryCount": failed, "Entries": (0..count).map(result).collect::<Vec<_>>()})
    };
    let (status, body) = match reply {
        Reply::Accepted => (200, results(None)),
        Reply::FirstRejected(code) => (200, results(Some(code))),
        Reply::Denied => (400, json!({"__type": "AccessDeniedException", "message": "not authorized"})),
        Reply::Empty => (200, json!({})),
        Reply::Silence => return None,
    };
    Some((status, body.to_string()))
}

/// Reads the body of the next request. Returns `None` after the client closed the connection.
async fn request(reader: &mut BufReader<DuplexStream>) -> Option<Value> {
    let mut length = 0;
    let mut target = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if let Some(value) = line.strip_prefix("x-amz-target: ") {
            value.clone_into(&mut target);
        }
        if line.is_empty() {
            break;
        }
    }
    assert_eq!(target, "awsevents.putevents");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}
