//! As much of EventBridge as takes `PutEvents`: keeps what arrives, and answers each call as a test wants it.
//!
//! What EventBridge itself makes of the function's calls is for moto to judge, in the tests of the operation.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// How a call is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// Every entry is taken.
    Taken,
    /// The first entry is refused with this code, in an answer with status 200.
    FirstRefused(&'static str),
    /// The call is refused.
    Denied,
    /// No answer.
    Nothing,
    /// An answer for no entry at all.
    Empty,
}

/// A bus that listens until the test process ends.
pub(crate) struct Bus {
    pub(crate) endpoint: String,
    calls: Arc<Mutex<Vec<Vec<Value>>>>,
}

impl Bus {
    /// The first calls are answered by `first`, one each, and all after them by `then`.
    pub(crate) fn start(first: &[Says], then: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::<Mutex<Vec<Vec<Value>>>>::default();
        let (kept, first) = (Arc::clone(&calls), first.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, first) = (Arc::clone(&kept), first.clone());
                thread::spawn(move || serve(&stream.unwrap(), &kept, &first, then));
            }
        });
        Self { endpoint, calls }
    }

    /// The entries of each call, in order of arrival.
    pub(crate) fn calls(&self) -> Vec<Vec<Value>> {
        self.calls.lock().unwrap().clone()
    }

    /// The calls' sizes.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.calls().iter().map(Vec::len).collect()
    }
}

fn serve(stream: &TcpStream, calls: &Mutex<Vec<Vec<Value>>>, first: &[Says], then: Says) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader) {
        let entries = body["Entries"].as_array().unwrap().clone();
        let says = {
            let mut calls = calls.lock().unwrap();
            calls.push(entries.clone());
            first.get(calls.len() - 1).copied().unwrap_or(then)
        };
        let results = |refused: Option<&str>| {
            let result = |place: usize| match refused.filter(|_| place == 0) {
                Some(code) => json!({"ErrorCode": code, "ErrorMessage": "said the test"}),
                None => json!({"EventId": format!("event-{place}")}),
            };
            let failed = usize::from(refused.is_some());
            json!({"FailedEntryCount": failed, "Entries": (0..entries.len()).map(result).collect::<Vec<_>>()})
        };
        let (status, answer) = match says {
            Says::Taken => (200, results(None)),
            Says::FirstRefused(code) => (200, results(Some(code))),
            Says::Denied => (400, json!({"__type": "AccessDeniedException", "message": "not authorized"})),
            Says::Empty => (200, json!({})),
            Says::Nothing => continue,
        };
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.1\r\n");
        let mut stream = stream;
        write!(stream, "{head}content-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    }
}

/// The body of the next request; none when the client has closed.
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
