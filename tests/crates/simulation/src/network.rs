//! HTTP client of the SDKs over connections in memory, whose fate the simulation decides.
//!
//! The client is hyper's with its real connection pool, as in production. Only TCP and TLS are missing, which the
//! trials of the built function have. A network with [`Regions`] has a host per service and Region, as AWS does, so that
//! each Region has connections of its own.

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
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri, header};
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tower_service::Service;

use crate::weather::{Passage, Regions};

/// Bytes that a relay holds in each direction: more than any request or response.
const BUFFER: usize = 1 << 20;

/// Time in which AWS carries out a request whose connection the function has closed.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(10);

/// The network between the function and the simulator.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

/// Connects to a host and port in memory.
type Dial = dyn Fn(&Uri) -> io::Result<DuplexStream> + Send + Sync;

struct Shared {
    dial: Box<Dial>,
    /// Timeout of a connection attempt, as the function's connector has it.
    connect_timeout: Duration,
    /// None if all Regions share a host.
    regions: Option<Regions>,
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
        Self(Arc::new(Shared { dial: Box::new(dial), connect_timeout, regions: None, state: Mutex::default() }))
    }

    /// A network with a host per service and Region, such as `lightsail.eu-west-1.amazonaws.com`.
    pub fn with_regions(
        dial: impl Fn(&Uri) -> io::Result<DuplexStream> + Send + Sync + 'static,
        connect_timeout: Duration,
        regions: Regions,
    ) -> Self {
        let regions = Some(regions);
        Self(Arc::new(Shared { dial: Box::new(dial), connect_timeout, regions, state: Mutex::default() }))
    }

    /// Returns the HTTP client of the SDKs.
    pub fn http_client(&self) -> SharedHttpClient {
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(self.clone());
        let connector = SharedHttpConnector::new(InMemory { client, by_region: self.0.regions.is_some() });
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
            let fate = fate();
            link.meet(fate);
            self.count("frozen connections", fate.name());
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, group: &'static str, name: &str) {
        self.0.regions.iter().for_each(|regions| regions.count(group, name));
    }

    /// Decides what happens to a connection attempt.
    fn passage(&self, region: Option<(&Regions, &str)>) -> Passage {
        let fault = self.state().attempts.pop();
        match fault {
            Some(ConnectFault::Refused) => {
                self.count("connection faults", "refused");
                Passage::Reset
            }
            Some(ConnectFault::Silent) => {
                self.count("connection faults", "silent");
                Passage::Lost
            }
            None => region.map_or(Passage::Arrives(Duration::ZERO), |(regions, region)| regions.connect(region)),
        }
    }

    async fn connect(self, host: Uri) -> io::Result<Stream> {
        let regions = self.0.regions.as_ref();
        let region = region_of(&host).and_then(|region| Some((regions?, region)));
        let region = region.filter(|(regions, region)| regions.has_weather(region));
        match self.passage(region) {
            Passage::Reset => return Err(io::ErrorKind::ConnectionRefused.into()),
            Passage::Arrives(after) if after < self.0.connect_timeout => tokio::time::sleep(after).await,
            Passage::Arrives(_) | Passage::Lost => {
                tokio::time::sleep(self.0.connect_timeout).await;
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        let link = Arc::new(Link { fate: Mutex::new((Fate::Open, None)) });
        let server = (self.0.dial)(&host)?;
        let inner = match region {
            None => server,
            Some((regions, region)) => {
                let (inner, client) = tokio::io::duplex(BUFFER);
                let relay = Relay { regions: regions.clone(), region: region.to_owned(), link: Arc::clone(&link) };
                tokio::spawn(relay.run(client, server));
                inner
            }
        };
        self.state().links.push(Arc::clone(&link));
        Ok(Stream { inner, link, regions: self.0.regions.clone() })
    }
}

/// Carries the messages of one connection to a Region with weather.
struct Relay {
    regions: Regions,
    region: String,
    link: Arc<Link>,
}

impl Relay {
    async fn run(self, client: DuplexStream, server: DuplexStream) {
        let (from_client, to_client) = tokio::io::split(client);
        let (from_server, to_server) = tokio::io::split(server);
        let requests = async {
            self.carry(from_client, to_server).await;
            tokio::time::sleep(CARRIED_OUT_WITHIN).await;
        };
        let responses = self.carry(from_server, to_client);
        futures_util::future::select(std::pin::pin!(requests), std::pin::pin!(responses)).await;
    }

    /// Carries messages until the sender closes the connection or a message is lost.
    async fn carry(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut message = Vec::with_capacity(1 << 12);
        while from.read_buf(&mut message).await.is_ok_and(|read| read > 0) {
            match self.regions.message(&self.region) {
                Passage::Arrives(after) => tokio::time::sleep(after).await,
                Passage::Reset => return self.link.meet(Fate::Reset),
                Passage::Lost => return self.link.meet(Fate::Forgotten),
            }
            if to.write_all(&message).await.is_err() {
                return;
            }
            message.clear();
        }
    }
}

/// Returns the Region of a host such as `lightsail.eu-west-1.amazonaws.com`.
fn region_of(host: &Uri) -> Option<&str> {
    host.host()?.split('.').nth(1)
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

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "kept",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Forgotten => "forgotten",
        }
    }
}

impl Link {
    /// Decides the fate of an open connection. A dead one stays as it is.
    fn meet(&self, fate: Fate) {
        let mut link = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        if link.0 == Fate::Open {
            link.0 = fate;
        }
        if let Some(waker) = link.1.take() {
            waker.wake();
        }
    }
}

/// The function's end of a connection.
#[derive(Debug)]
pub struct Stream {
    inner: DuplexStream,
    link: Arc<Link>,
    regions: Option<Regions>,
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
        let fate = self.fate(context);
        if let Some(regions) = self.regions.as_ref().filter(|_| matches!(fate, Fate::Open | Fate::Forgotten)) {
            operation(bytes).into_iter().for_each(|operation| regions.send(operation));
        }
        match fate {
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

/// Returns the operation that the head of a request to Lightsail names.
fn operation(request: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(request).ok()?.split_once("x-amz-target: Lightsail_20161128.")?;
    rest.split('\r').next()
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Adapter of hyper's client for the SDKs, after the one in `aws-smithy-http-client`, which accepts no connector of
/// others.
#[derive(Debug)]
struct InMemory {
    client: Client<Network, SdkBody>,
    /// Whether each Region has a host of its own.
    by_region: bool,
}

impl HttpConnector for InMemory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        if self.by_region {
            send_to_region(&mut request);
        }
        let captured = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || Some(metadata(&captured)));
        }
        let response = self.client.request(request);
        HttpConnectorFuture::new(async move {
            match response.await {
                Ok(response) => HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                    .map_err(|error| ConnectorError::other(error.into(), None)),
                Err(error) => Err(connector_error(error)),
            }
        })
    }
}

/// Sends a request to the host of its service and Region. Only its signature names them, because the endpoint is one
/// address for all. It signs the header `host`, which stays.
fn send_to_region(request: &mut Request<SdkBody>) {
    let Some(host) = signed_host(request) else { return };
    let uri = request.uri().clone();
    let signed = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(signed) = signed {
        request.headers_mut().entry(header::HOST).or_insert(signed);
    }
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if let Ok(uri) = format!("http://{host}{path}").parse() {
        *request.uri_mut() = uri;
    }
}

/// Returns the host of `Credential=ID/date/Region/service/aws4_request`.
fn signed_host(request: &Request<SdkBody>) -> Option<String> {
    let authorization = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut parts = credential.split(',').next()?.split('/').skip(2);
    let (region, service) = (parts.next()?, parts.next()?);
    Some(format!("{service}.{region}.amazonaws.com"))
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
