//! The least HTTP client that can tell a reset from a hang from half a body.

use std::{io, net::SocketAddr, time::Duration};

use lightsail_simulator::{Operation, Simulator};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A caller: an access key id, which may be an account, and a Region.
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) key: &'static str,
    pub(crate) region: &'static str,
}

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    /// One in the default account, in Ireland.
    pub(crate) fn of(simulator: &Simulator) -> Self {
        Self { address: simulator.address(), key: "AKIDEXAMPLE", region: "eu-west-1" }
    }

    /// Calls an operation and reads the answer.
    pub(crate) async fn call(&self, operation: Operation, input: &Value) -> io::Result<Answer> {
        read(&mut self.send(operation, input).await?).await
    }

    /// Calls an operation that has to succeed.
    pub(crate) async fn output(&self, operation: Operation, input: &Value) -> io::Result<Value> {
        let answer = self.call(operation, input).await?;
        if answer.status == 200 { Ok(serde_json::from_str(&answer.body)?) } else { Err(io::Error::other(answer.body)) }
    }

    /// Calls an operation that has to fail, for the type of the error.
    pub(crate) async fn error(&self, operation: Operation, input: &Value) -> io::Result<String> {
        let answer = self.call(operation, input).await?;
        match answer.error() {
            Some(kind) if answer.status >= 400 => Ok(kind),
            _ => Err(io::Error::other(answer.body)),
        }
    }

    /// Sends a call on a new connection and leaves the answer there.
    pub(crate) async fn send(&self, operation: Operation, input: &Value) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).await?;
        self.send_on(&mut stream, operation, input).await?;
        Ok(stream)
    }

    /// Sends a call on a connection that is open already.
    pub(crate) async fn send_on(&self, stream: &mut TcpStream, operation: Operation, input: &Value) -> io::Result<()> {
        let Self { key, region, .. } = self;
        let headers = format!(
            "X-Amz-Target: Lightsail_20161128.{operation}\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Date: 20261124T000000Z\r\nUser-Agent: test\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={key}/20261124/{region}/lightsail/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=0\r\n"
        );
        write(stream, "POST /", &headers, &input.to_string()).await
    }
}

impl Answer {
    /// The type of the error, which the header has to tell as the body does.
    pub(crate) fn error(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        let kind = body["__type"].as_str()?;
        self.head.contains(&format!("x-amzn-errortype: {kind}\r\n")).then(|| kind.to_owned())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Sends any request on a new connection.
pub(crate) async fn send(address: SocketAddr, line: &str, headers: &str, body: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    write(&mut stream, line, headers, body).await?;
    Ok(stream)
}

async fn write(stream: &mut TcpStream, line: &str, headers: &str, body: &str) -> io::Result<()> {
    let (host, length) = (stream.peer_addr()?, body.len());
    let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await
}

/// Sends a request to the control door and reads the answer.
pub(crate) async fn control(simulator: &Simulator, line: &str, body: &str) -> io::Result<Answer> {
    read(&mut send(simulator.address(), line, "", body).await?).await
}

/// Reads one answer, as long as its head says. Fails with `TimedOut` when nothing more comes for
/// a moment that is long for a loopback connection.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Answer> {
    let head = String::from_utf8_lossy(&read_until(stream, |bytes| bytes.ends_with(b"\r\n\r\n")).await?).into_owned();
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<usize>().ok());
    let length = number(head.split("content-length:").nth(1).and_then(|rest| rest.lines().next()));
    let length = length.ok_or_else(|| io::Error::other("no content-length"))?;
    let body = read_until(stream, |bytes| bytes.len() == length).await?;
    let status = number(head.get(9..12)).and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
    Ok(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Reads byte after byte until there is enough.
pub(crate) async fn read_until(stream: &mut TcpStream, enough: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !enough(&bytes) {
        bytes.push(timeout(Duration::from_millis(500), stream.read_u8()).await??);
    }
    Ok(bytes)
}
