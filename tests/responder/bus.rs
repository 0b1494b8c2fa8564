//! Fake EventBridge with `PutEvents` only: stores the entries and sends the configured reply to each call.
//!
//! The operation tests check with moto that EventBridge accepts the function's calls.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

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

/// Event bus that listens until the test process ends.
pub(crate) struct Bus {
    pub(crate) endpoint: String,
    calls: Arc<Mutex<Vec<Vec<Value>>>>,
}

impl Bus {
    /// Starts the bus. The first calls get the replies in `first`, one each. All later calls get `then`.
    pub(crate) fn start(first: &[Reply], then: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::<Mutex<Vec<Vec<Value>>>>::default();
        let (stored, first) = (Arc::clone(&calls), first.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stored, first) = (Arc::clone(&stored), first.clone());
                thread::spawn(move || serve(&stream.unwrap(), &stored, &first, then));
            }
        });
        Self { endpoint, calls }
    }

    /// Returns the entries of each call, in order of arrival.
    pub(crate) fn calls(&self) -> Vec<Vec<Value>> {
        self.calls.lock().unwrap().clone()
    }

    /// Returns the number of entries in each call.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.calls().iter().map(Vec::len).collect()
    }
}

fn serve(stream: &TcpStream, calls: &Mutex<Vec<Vec<Value>>>, first: &[Reply], then: Reply) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader) {
        let entries = body["Entries"].as_array().unwrap().clone();
        let reply = {
            let mut calls = calls.lock().unwrap();
            calls.push(entries.clone());
            first.get(calls.len() - 1).copied().unwrap_or(then)
        };
        let results = |rejected: Option<&str>| {
            let result = |index: usize| match rejected.filter(|_| index == 0) {
                Some(code) => json!({"ErrorCode": code, "ErrorMessage": "scripted by the test"}),
                None => json!({"EventId": format!("event-{index}")}),
            };
            let failed = usize::from(rejected.is_some());
            json!({"FailedEntryCount": failed, "Entries": (0..entries.len()).map(result).collect::<Vec<_>>()})
        };
        let (status, body) = match reply {
            Reply::Accepted => (200, results(None)),
            Reply::FirstRejected(code) => (200, results(Some(code))),
            Reply::Denied => (400, json!({"__type": "AccessDeniedException", "message": "not authorized"})),
            Reply::Empty => (200, json!({})),
            Reply::Silence => continue,
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.1\r\n");
        let mut stream = stream;
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    }
}

/// Reads the body of the next request. Returns `None` after the client closed the connection.
fn request(reader: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    let mut target = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
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
    reader.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}
