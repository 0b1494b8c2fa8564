//! Lightsail's door, with TLS: reads requests on their way to the simulator, and stamps them.
//!
//! A request is seen when its last byte has been read here. Its bytes are passed on as they are, since a signature is over the
//! Host header that was sent. EventBridge's `PutEvents` is answered here: the simulator is Lightsail's.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::usage::Usage;

/// The operation that everything is about.
pub const DELETE: &str = "DeleteBucketAccessKey";

/// The door for one process; ends when it is dropped.
pub struct Front {
    address: SocketAddr,
    seen: Arc<watch::Sender<Seen>>,
    keeper: JoinHandle<()>,
}

/// What came through the door so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of the program behind it; none before it was started.
    pub process: Option<u32>,
    /// Handshakes that were completed.
    pub handshakes: usize,
    /// Names of the operations, as they came.
    pub requests: Vec<String>,
    /// The first delete.
    pub delete: Option<Delete>,
    /// Whether the keys of a bucket have been read and answered.
    pub keys_read: bool,
}

/// Treatment of a delete that has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is passed on at once.
    No,
    /// It is passed on when the read of the keys beside it has been answered: the key was seen, whatever the machine does.
    UntilKeysRead,
    /// It is never passed on.
    Forever,
}

/// The moment when a delete was there.
#[derive(Debug)]
pub struct Delete {
    /// When.
    pub at: Instant,
    /// What the program had used by then.
    pub usage: Usage,
    /// The handshakes until then.
    pub handshakes: usize,
    /// The requests before it.
    pub requests: usize,
}

impl Front {
    /// Opens the door to `upstream`.
    pub async fn open(tls: TlsAcceptor, upstream: SocketAddr, hold: Hold) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let keeper = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                    tokio::spawn(async move {
                        // How a connection ends is its program's to see: it fails there, or it was killed.
                        let _ = connection(stream, tls, upstream, hold, &seen).await;
                    });
                }
            }
        });
        Ok(Self { address, seen, keeper })
    }

    /// For a client: by name, as a certificate is for a name.
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Whose usage is looked at when the delete is seen.
    pub fn begin(&self, process: Option<u32>) {
        self.seen.send_modify(|seen| seen.process = process);
    }

    /// What came, and what comes.
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    upstream: SocketAddr,
    hold: Hold,
    seen: &watch::Sender<Seen>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut client = tls.accept(stream).await?;
    seen.send_modify(|seen| seen.handshakes += 1);
    let mut simulator = TcpStream::connect(upstream).await?;
    simulator.set_nodelay(true)?;
    let (mut from_client, mut from_simulator) = ([0; 1 << 14], [0; 1 << 14]);
    let mut unread = Vec::new();
    let mut reads_keys = false;
    loop {
        tokio::select! {
            count = client.read(&mut from_client) => {
                let bytes = &from_client[..count?];
                if bytes.is_empty() {
                    return Ok(());
                }
                unread.extend_from_slice(bytes);
                while let Some(request) = Request::take(&mut unread)? {
                    if stamp(&request, seen) {
                        match hold {
                            Hold::No => {}
                            Hold::UntilKeysRead => {
                                let _ = seen.subscribe().wait_for(|seen| seen.keys_read).await;
                            }
                            Hold::Forever => return std::future::pending().await,
                        }
                    }
                    reads_keys = request.operation == "GetBucketAccessKeys";
                    match request.operation.as_str() {
                        "PutEvents" => client.write_all(&request.put_events()?).await?,
                        _ => simulator.write_all(&request.bytes).await?,
                    }
                }
                client.flush().await?;
            }
            count = simulator.read(&mut from_simulator) => {
                let bytes = &from_simulator[..count?];
                if bytes.is_empty() {
                    return client.shutdown().await;
                }
                client.write_all(bytes).await?;
                client.flush().await?;
                if reads_keys {
                    seen.send_modify(|seen| seen.keys_read = true);
                }
            }
        }
    }
}

/// Enters a request; whether it is a delete.
fn stamp(request: &Request, seen: &watch::Sender<Seen>) -> bool {
    let at = Instant::now();
    let is_delete = request.operation == DELETE;
    seen.send_modify(|seen| {
        if is_delete && seen.delete.is_none() {
            let usage = seen.process.and_then(|process| Usage::of(process).ok()).unwrap_or_default();
            seen.delete = Some(Delete { at, usage, handshakes: seen.handshakes, requests: seen.requests.len() });
        }
        seen.requests.push(request.operation.clone());
    });
    is_delete
}

/// A whole request.
struct Request {
    /// The name of its operation (AWS JSON 1.1: `X-Amz-Target`).
    operation: String,
    bytes: Vec<u8>,
    /// Where in those its body begins.
    body: usize,
}

impl Request {
    /// Takes the first one off `bytes`, if all of it is there.
    fn take(bytes: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(bytes).map_err(io::Error::other)? {
            httparse::Status::Complete(head) => head,
            httparse::Status::Partial => return Ok(None),
        };
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        let length = header("content-length").map_or(Ok(0), str::parse::<usize>).map_err(io::Error::other)?;
        let target = header("x-amz-target").and_then(|target| target.split_once('.'));
        let operation = target.map_or_else(|| "unknown".to_owned(), |(_, operation)| operation.to_owned());
        if bytes.len() < head + length {
            return Ok(None);
        }
        Ok(Some(Self { operation, bytes: bytes.drain(..head + length).collect(), body: head }))
    }

    /// The answer to `PutEvents`: every entry is accepted (EventBridge API reference, "PutEvents").
    fn put_events(&self) -> io::Result<Vec<u8>> {
        let asked: Value = serde_json::from_slice(&self.bytes[self.body..])?;
        let entries = asked["Entries"].as_array().into_iter().flatten();
        let accepted: Vec<_> = entries.map(|_| json!({"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"})).collect();
        let body = json!({"FailedEntryCount": 0, "Entries": accepted}).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Ok((head + &body).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_when_its_last_byte_is_there_and_not_before() {
        let text = b"POST / HTTP/1.1\r\nX-Amz-Target: Lightsail_20161128.GetBuckets\r\ncontent-length: 2\r\n\r\n{}";
        let mut bytes = Vec::new();
        for (number, byte) in text.iter().enumerate() {
            bytes.push(*byte);
            let seen = Request::take(&mut bytes).unwrap();
            let operation = seen.as_ref().map(|request| request.operation.as_str());
            assert_eq!(operation, (number + 1 == text.len()).then_some("GetBuckets"), "after {number}");
        }
        assert!(bytes.is_empty());
    }

    #[test]
    fn every_event_that_is_put_on_a_bus_is_accepted() {
        let body = r#"{"Entries":[{"Detail":"{}"},{"Detail":"{}"}]}"#;
        let mut bytes = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
        let answer = Request::take(&mut bytes).unwrap().unwrap().put_events().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["FailedEntryCount"], body["Entries"].as_array().unwrap().len()), (&json!(0), 2));
    }
}
