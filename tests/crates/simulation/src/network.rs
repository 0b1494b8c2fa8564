//! HTTP client of the SDKs over connections in memory, whose fate the simulation decides.
//!
//! The client is hyper's with its real connection pool, as in production. Only TCP and TLS are missing, which the
//! trials of the built function have.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use http::Uri;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tower_service::Service;

/// The network between the function and the simulator.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

/// Connects to a host and port in memory.
type Dial = dyn Fn(&Uri) -> io::Result<DuplexStream> + Send + Sync;

struct Shared {
    dial: Box<Dial>,
    /// Timeout of a connection attempt, as the function's connector has it.
    connect_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Faults of the next connection attempts.
    attempts: Vec<ConnectFault>,
    links: Vec<Arc<Link>>,
}

/// Fault of one connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// Nothing listens.
    Refused,
    /// Packets get lost.
    Silent,
}

/// Fate of a connection while Lambda has frozen the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It survives.
    Open,
    /// AWS closed it.
    Closed,
    /// AWS reset it.
    Reset,
    /// A middlebox forgot it: nothing arrives any more, in either direction.
    Forgotten,
}

#[derive(Debug)]
struct Link {
    fate: Mutex<(Fate, Option<Waker>)>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("state", &self.0.state).finish_non_exhaustive()
    }
}

impl Network {
    /// A network on which `dial` reaches each host.
    pub fn new(
        dial: impl Fn(&Uri) -> io::Result<DuplexStream> + Send + Sync + 'static,
        connect_timeout: Duration,
    ) -> Self {
        Self(Arc::new(Shared { dial: Box::new(dial), connect_timeout, state: Mutex::default() }))
    }

    /// Returns the HTTP client of the SDKs.
    pub fn http_client(&self) -> SharedHttpClient {
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(self.clone());
        let connector = SharedHttpConnector::new(InMemory(client));
        http_client_fn(move |_, _| connector.clone())
    }

    /// Lets the next connection attempt fail.
    pub fn fail_next(&self, fault: ConnectFault) {
        self.state().attempts.push(fault);
    }

    /// Decides the fate of every open connection.
    pub fn freeze(&self, mut fate: impl FnMut() -> Fate) {
        let mut state = self.state();
        state.links.retain(|link| Arc::strong_count(link) > 1);
        for link in &state.links {
            let mut link = link.fate.lock().unwrap_or_else(PoisonError::into_inner);
            link.0 = fate();
            if let Some(waker) = link.1.take() {
                waker.wake();
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(self, host: Uri) -> io::Result<Stream> {
        let fault = self.state().attempts.pop();
        match fault {
            Some(ConnectFault::Refused) => return Err(io::ErrorKind::ConnectionRefused.into()),
            Some(ConnectFault::Silent) => {
                tokio::time::sleep(self.0.connect_timeout).await;
                return Err(io::ErrorKind::TimedOut.into());
            }
            None => {}
        }
        let link = Arc::new(Link { fate: Mutex::new((Fate::Open, None)) });
        let stream = Stream { inner: (self.0.dial)(&host)?, link: Arc::clone(&link) };
        self.state().links.push(link);
        Ok(stream)
    }
}

impl Service<Uri> for Network {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, host: Uri) -> Self::Future {
        let network = self.clone();
        Box::pin(async move { network.connect(host).await.map(TokioIo::new) })
    }
}

/// The function's end of a connection.
#[derive(Debug)]
pub struct Stream {
    inner: DuplexStream,
    link: Arc<Link>,
}

impl Stream {
    /// Returns the fate. Keeps the waker, because the fate may change while the task waits.
    fn fate(&self, context: &Context<'_>) -> Fate {
        let mut fate = self.link.fate.lock().unwrap_or_else(PoisonError::into_inner);
        fate.1 = Some(context.waker().clone());
        fate.0
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.fate(context) {
            Fate::Open => Pin::new(&mut self.inner).poll_read(context, buffer),
            Fate::Closed => Poll::Ready(Ok(())),
            Fate::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Fate::Forgotten => Poll::Pending,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.fate(context) {
            Fate::Open => Pin::new(&mut self.inner).poll_write(context, bytes),
            Fate::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Fate::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            // The kernel buffers what never arrives.
            Fate::Forgotten => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Adapter of hyper's client for the SDKs, after the one in `aws-smithy-http-client`, which accepts no connector of
/// others.
#[derive(Debug)]
struct InMemory(Client<Network, SdkBody>);

impl HttpConnector for InMemory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let captured = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || Some(metadata(&captured)));
        }
        let response = self.0.request(request);
        HttpConnectorFuture::new(async move {
            match response.await {
                Ok(response) => HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                    .map_err(|error| ConnectorError::other(error.into(), None)),
                Err(error) => Err(connector_error(error)),
            }
        })
    }
}

/// The SDK poisons a connection on which an attempt failed, so that no other call uses it.
fn metadata(captured: &CaptureConnection) -> ConnectionMetadata {
    let captured = captured.clone();
    let poison = move || {
        if let Some(connection) = captured.connection_metadata().as_ref() {
            connection.poison();
        }
    };
    ConnectionMetadata::builder().proxied(false).poison_fn(poison).build()
}

fn connector_error(error: ClientError) -> ConnectorError {
    let io_error = source::<io::Error>(&error);
    let timed_out = io_error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
    let incomplete = source::<hyper::Error>(&error).is_some_and(hyper::Error::is_incomplete_message);
    if timed_out {
        ConnectorError::timeout(error.into())
    } else if incomplete && io_error.is_none() {
        ConnectorError::other(error.into(), Some(ErrorKind::TransientError))
    } else {
        ConnectorError::io(error.into())
    }
}

fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
        .find_map(|error| error.downcast_ref())
}
