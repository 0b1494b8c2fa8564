//! Connections in memory, whose fate the simulation decides.
//!
//! The function opens them as it opens connections over TCP and TLS, and has the same pools. The trials of the built
//! function have TCP and TLS. A network with [`Regions`] knows the Region of a connection by its host, as AWS has one per
//! service and Region.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
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
    /// Whether it is from before a freeze.
    frozen: AtomicBool,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("state", &self.0.state).finish_non_exhaustive()
    }
}

impl Network {
    /// A network on which `dial` reaches each host.
    pub fn new(dial: impl Fn(&Uri) -> io::Result<DuplexStream> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { dial: Box::new(dial), regions: None, state: Mutex::default() }))
    }

    /// A network with a host per service and Region, such as `lightsail.eu-west-1.amazonaws.com`.
    pub fn with_regions(
        dial: impl Fn(&Uri) -> io::Result<DuplexStream> + Send + Sync + 'static,
        regions: Regions,
    ) -> Self {
        Self(Arc::new(Shared { dial: Box::new(dial), regions: Some(regions), state: Mutex::default() }))
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
            link.frozen.store(true, Ordering::Relaxed);
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

    /// Connects. The function ends an attempt that takes too long.
    async fn connect(self, host: Uri) -> io::Result<Stream> {
        let regions = self.0.regions.as_ref();
        let region = region_of(&host).and_then(|region| Some((regions?, region)));
        let region = region.filter(|(regions, region)| regions.has_weather(region));
        match self.passage(region) {
            Passage::Reset => return Err(io::ErrorKind::ConnectionRefused.into()),
            Passage::Arrives(after) => tokio::time::sleep(after).await,
            Passage::Lost => return std::future::pending().await,
        }
        let link = Arc::new(Link { fate: Mutex::new((Fate::Open, None)), frozen: AtomicBool::new(false) });
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
        if self.link.frozen.load(Ordering::Relaxed) {
            self.regions.iter().for_each(Regions::reuse);
        }
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
