//! Lambda's Runtime API for one process and one event at a time: an event -> the answer that the process posts.
//!
//! Why not one for all processes: what a killed process still had on the wire must never be taken for its successor's.
//! Why hyper itself: to stop a process between two steps, one must know that an answer has been written, and with
//! `connection: close` hyper's connection ends when it has been. Paths and headers are those of the Lambda guide, "Using
//! the Lambda runtime API for custom runtimes". Invariant: when a [`Moment`] is held, nothing that follows it in the
//! protocol happens.

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

/// A point in the life of a process, at which everything can be held until it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has started and connects to ask for its first event; its request is never read.
    BeforeNext,
    /// The event has been written to it.
    EventGiven,
    /// It has posted its response or error, which is not acknowledged.
    AnswerPosted,
    /// Its response or error has been acknowledged; its request for the next event is never answered.
    AnswerAcknowledged,
}

/// The Runtime API of one process; ends when it is dropped.
pub struct RuntimeApi {
    address: SocketAddr,
    desk: Arc<watch::Sender<Desk>>,
    server: JoinHandle<()>,
}

/// One event, as Lambda hands it out.
#[derive(Clone, Debug)]
pub struct Event {
    /// Lambda's ID of the invocation.
    pub request_id: String,
    /// The event, JSON.
    pub payload: String,
    /// When Lambda ends the invocation, in milliseconds since 1970.
    pub deadline_ms: u64,
}

/// What is on the table between Lambda and the process.
#[derive(Debug, Default)]
pub struct Desk {
    waiting: Option<Event>,
    given: Option<String>,
    /// When the process asked for this event, or for one before it was there.
    pub asked: Option<Instant>,
    /// The moment at which everything stops.
    pub hold: Option<Moment>,
    /// The moment that is held has come.
    pub reached: bool,
    /// What the process posted, when it is acknowledged or about to be: the response, or the error.
    pub answer: Option<Result<Value, Value>>,
    /// When it had posted that.
    pub answered: Option<Instant>,
}

impl RuntimeApi {
    /// On a free port of the loopback interface, in the Tokio runtime of the caller; no event is there yet.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let desk = Arc::new(watch::Sender::new(Desk::default()));
        let server = tokio::spawn(serve(listener, Arc::clone(&desk)));
        Ok(Self { address, desk, server })
    }

    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts an event on the desk, and holds everything at `hold`.
    pub fn begin(&self, event: Event, hold: Option<Moment>) {
        self.desk.send_replace(Desk { waiting: Some(event), hold, ..Desk::default() });
    }

    /// What is on the desk, and what changes there.
    pub fn watch(&self) -> watch::Receiver<Desk> {
        self.desk.subscribe()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, desk: Arc<watch::Sender<Desk>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error is of one connection (accept(2)); the client tries again.
                let Ok((stream, _)) = accepted else { continue };
                if reaches(&desk, Moment::BeforeNext) {
                    connections.spawn(async move {
                        let _unread = stream;
                        pending().await
                    });
                } else {
                    connections.spawn(connection(stream, Arc::clone(&desk)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. The service leaves a mark when the end of the connection is the moment to hold.
async fn connection(stream: TcpStream, desk: Arc<watch::Sender<Desk>>) {
    let mark = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        let (desk, mark) = (Arc::clone(&desk), Arc::clone(&mark));
        async move { Ok::<_, Infallible>(answer(request, &desk, &mark).await) }
    });
    let ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if ended.is_ok() && mark.load(Ordering::Acquire) {
        desk.send_modify(|desk| desk.reached = true);
    }
}

async fn answer(request: Request<Incoming>, desk: &watch::Sender<Desk>, mark: &AtomicBool) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else { return status(StatusCode::NOT_FOUND) };
    let method = request.method().clone();
    match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
        (Method::GET, ["invocation", "next"]) => next(desk, mark).await,
        (Method::POST, ["init", "error"]) => posted(request, None, true, desk, mark).await,
        (Method::POST, ["invocation", id, "response"]) => posted(request, Some(id), false, desk, mark).await,
        (Method::POST, ["invocation", id, "error"]) => posted(request, Some(id), true, desk, mark).await,
        _ => status(StatusCode::NOT_FOUND),
    }
}

/// Waits for an event, as long as it takes.
async fn next(desk: &watch::Sender<Desk>, mark: &AtomicBool) -> Response<Full<Bytes>> {
    desk.send_modify(|desk| desk.asked = Some(Instant::now()));
    let mut watch = desk.subscribe();
    let event = loop {
        if watch.wait_for(|desk| desk.waiting.is_some()).await.is_err() {
            return pending().await;
        }
        let mut taken = None;
        desk.send_if_modified(|desk| {
            taken = desk.waiting.take();
            if let Some(event) = &taken {
                desk.given = Some(event.request_id.clone());
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
    close_if(Moment::EventGiven, response, desk, mark)
}

/// Takes an answer in. One of another invocation is refused, as Lambda does.
async fn posted(
    request: Request<Incoming>,
    id: Option<&str>,
    is_error: bool,
    desk: &watch::Sender<Desk>,
    mark: &AtomicBool,
) -> Response<Full<Bytes>> {
    let Ok(body) = request.into_body().collect().await else { return status(StatusCode::BAD_REQUEST) };
    let Ok(body) = serde_json::from_slice::<Value>(&body.to_bytes()) else { return status(StatusCode::BAD_REQUEST) };
    if id.is_some() && desk.borrow().given.as_deref() != id {
        return status(StatusCode::BAD_REQUEST);
    }
    if reaches(desk, Moment::AnswerPosted) {
        return pending().await;
    }
    desk.send_modify(|desk| {
        desk.answer = Some(if is_error { Err(body) } else { Ok(body) });
        desk.answered = Some(Instant::now());
    });
    close_if(Moment::AnswerAcknowledged, status(StatusCode::ACCEPTED), desk, mark)
}

/// Whether `moment` is the one to hold; if so, it has come.
fn reaches(desk: &watch::Sender<Desk>, moment: Moment) -> bool {
    desk.send_if_modified(|desk| {
        let held = desk.hold == Some(moment);
        desk.reached |= held;
        held
    })
}

/// Has the connection end with this response if `moment` is held, so that its end is the moment.
fn close_if(
    moment: Moment,
    mut response: Response<Full<Bytes>>,
    desk: &watch::Sender<Desk>,
    mark: &AtomicBool,
) -> Response<Full<Bytes>> {
    if desk.borrow().hold == Some(moment) {
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
