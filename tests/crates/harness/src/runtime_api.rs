//! Lambda's Runtime API for one process and one event at a time: delivers an event and receives the answer.
//!
//! Each process has its own API, because in-flight data of a killed process must never count for its successor. The
//! server uses hyper directly, because it must know when a response has been written to stop a process between two
//! steps. With `connection: close`, hyper's connection ends at that point. Paths and headers follow the Lambda guide,
//! "Using the Lambda runtime API for custom runtimes".
//!
//! Invariant: while a [`Moment`] is held, no later step of the protocol happens.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::{ACCOUNT, REGION};

/// Step of the protocol at which the Runtime API can hold the process until it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Process has started and connects to request its first event. The request is never read.
    BeforeNext,
    /// Event has been sent to the process.
    EventGiven,
    /// Process has posted its response or error. The post is never acknowledged.
    AnswerPosted,
    /// Response or error has been acknowledged. The request for the next event is never answered.
    AnswerAcknowledged,
}

/// Runtime API of one process. It stops when it is dropped.
pub struct RuntimeApi {
    address: SocketAddr,
    exchange: Arc<watch::Sender<Exchange>>,
    server: JoinHandle<()>,
}

/// Event as Lambda delivers it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Request ID of the invocation.
    pub request_id: String,
    /// JSON text of the event.
    pub payload: String,
    /// Deadline of the invocation in milliseconds since 1970.
    pub deadline_ms: u64,
}

/// State of the current event between Lambda and the process.
#[derive(Debug, Default)]
pub struct Exchange {
    waiting: Option<Event>,
    given: Option<String>,
    /// Time of the process's request for this event. The request may come before the event is available.
    pub asked: Option<Instant>,
    /// Moment at which the Runtime API holds the process.
    pub hold: Option<Moment>,
    /// True once the held moment has been reached.
    pub reached: bool,
    /// Posted response or error. It is set just before the acknowledgement is sent.
    pub answer: Option<Result<Value, Value>>,
    /// Time when the post was received.
    pub answered: Option<Instant>,
}

impl RuntimeApi {
    /// Starts the API without an event on a free loopback port, in the caller's Tokio runtime.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let exchange = Arc::new(watch::Sender::new(Exchange::default()));
        let server = tokio::spawn(serve(listener, Arc::clone(&exchange)));
        Ok(Self { address, exchange, server })
    }

    /// Returns the address for `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes an event available. Holds the process at `hold`, if given.
    pub fn begin(&self, event: Event, hold: Option<Moment>) {
        self.exchange.send_replace(Exchange { waiting: Some(event), hold, ..Exchange::default() });
    }

    /// Subscribes to the state of the current event.
    pub fn watch(&self) -> watch::Receiver<Exchange> {
        self.exchange.subscribe()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, exchange: Arc<watch::Sender<Exchange>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error concerns only one connection (accept(2)). The client retries.
                let Ok((stream, _)) = accepted else { continue };
                if reaches(&exchange, Moment::BeforeNext) {
                    connections.spawn(async move {
                        let _unread = stream;
                        pending().await
                    });
                } else {
                    connections.spawn(connection(stream, Arc::clone(&exchange)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. The service sets `mark` if the end of the connection is the held moment.
async fn connection(stream: TcpStream, exchange: Arc<watch::Sender<Exchange>>) {
    let mark = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        let (exchange, mark) = (Arc::clone(&exchange), Arc::clone(&mark));
        async move { Ok::<_, Infallible>(answer(request, &exchange, &mark).await) }
    });
    let ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if ended.is_ok() && mark.load(Ordering::Acquire) {
        exchange.send_modify(|exchange| exchange.reached = true);
    }
}

async fn answer(
    request: Request<Incoming>,
    exchange: &watch::Sender<Exchange>,
    mark: &AtomicBool,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else { return status(StatusCode::NOT_FOUND) };
    let method = request.method().clone();
    match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
        (Method::GET, ["invocation", "next"]) => next(exchange, mark).await,
        (Method::POST, ["init", "error"]) => posted(request, None, true, exchange, mark).await,
        (Method::POST, ["invocation", id, "response"]) => posted(request, Some(id), false, exchange, mark).await,
        (Method::POST, ["invocation", id, "error"]) => posted(request, Some(id), true, exchange, mark).await,
        _ => status(StatusCode::NOT_FOUND),
    }
}

/// Waits for an event without a timeout, then returns it.
async fn next(exchange: &watch::Sender<Exchange>, mark: &AtomicBool) -> Response<Full<Bytes>> {
    exchange.send_modify(|exchange| exchange.asked = Some(Instant::now()));
    let mut watch = exchange.subscribe();
    let event = loop {
        if watch.wait_for(|exchange| exchange.waiting.is_some()).await.is_err() {
            return pending().await;
        }
        let mut taken = None;
        exchange.send_if_modified(|exchange| {
            taken = exchange.waiting.take();
            if let Some(event) = &taken {
                exchange.given = Some(event.request_id.clone());
            }
            taken.is_some()
        });
        if let Some(event) = taken {
            break event;
        }
    };
    let response = Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .header("lambda-runtime-aws-request-id", &event.request_id)
        .header("lambda-runtime-deadline-ms", event.deadline_ms)
        .header("lambda-runtime-invoked-function-arn", format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:responder"))
        .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")
        .body(Full::from(event.payload));
    let response = response.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR));
    close_if(Moment::EventGiven, response, exchange, mark)
}

/// Accepts an answer. Refuses an answer of another invocation, as Lambda does.
async fn posted(
    request: Request<Incoming>,
    id: Option<&str>,
    is_error: bool,
    exchange: &watch::Sender<Exchange>,
    mark: &AtomicBool,
) -> Response<Full<Bytes>> {
    let Ok(body) = request.into_body().collect().await else { return status(StatusCode::BAD_REQUEST) };
    let Ok(body) = serde_json::from_slice::<Value>(&body.to_bytes()) else { return status(StatusCode::BAD_REQUEST) };
    if id.is_some() && exchange.borrow().given.as_deref() != id {
        return status(StatusCode::BAD_REQUEST);
    }
    if reaches(exchange, Moment::AnswerPosted) {
        return pending().await;
    }
    exchange.send_modify(|exchange| {
        exchange.answer = Some(if is_error { Err(body) } else { Ok(body) });
        exchange.answered = Some(Instant::now());
    });
    close_if(Moment::AnswerAcknowledged, status(StatusCode::ACCEPTED), exchange, mark)
}

/// Returns true if `moment` is the held one, and marks it as reached.
fn reaches(exchange: &watch::Sender<Exchange>, moment: Moment) -> bool {
    exchange.send_if_modified(|exchange| {
        let held = exchange.hold == Some(moment);
        exchange.reached |= held;
        held
    })
}

/// Closes the connection after this response if `moment` is held, so that the end of the connection is the moment.
fn close_if(
    moment: Moment,
    mut response: Response<Full<Bytes>>,
    exchange: &watch::Sender<Exchange>,
    mark: &AtomicBool,
) -> Response<Full<Bytes>> {
    if exchange.borrow().hold == Some(moment) {
        mark.store(true, Ordering::Release);
        response.headers_mut().insert(CONNECTION, hyper::header::HeaderValue::from_static("close"));
    }
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("{}"));
    *response.status_mut() = status;
    response
}
