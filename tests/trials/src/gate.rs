//! A TCP gate before the simulator: connections -> what a [`Plan`] has befall them, and else to the simulator.
//!
//! The simulator's faults begin with a request that was read. What goes wrong before that, in connecting and in TLS, is a
//! matter of the network and so happens here. Bytes are passed on as they are: a signature is over the Host header that
//! was sent, which stays the gate's. The port is held by a socket that never listens, so that nobody else gets it while
//! the gate is closed. Invariant: an outage has begun before a byte of the connection before it is passed on, so that what
//! the peer does next meets it.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// A gate that is open until it is dropped. Then its connections end, too.
pub struct Gate {
    address: SocketAddr,
    ca_pem: Option<String>,
    counts: Arc<Counts>,
    keeper: JoinHandle<()>,
}

/// What befalls the connections, one after the other, and what all after those.
#[derive(Clone, Debug)]
pub struct Plan {
    first: Vec<Befalls>,
    then: Befalls,
}

/// What befalls a connection, or connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Befalls {
    /// Nothing.
    Pass,
    /// The answer to its ClientHello is no TLS, and then it is closed.
    TlsGarbage,
    /// The gate shows a certificate for the right name, of an authority that [`Gate::ca_pem`] is not. To a peer that takes
    /// it, everything is passed on.
    WrongCertificate,
    /// The gate shows a certificate of the right authority for another name. To a peer that takes it, everything is passed
    /// on.
    WrongName,
    /// It is accepted; what it sends is read, and there is no answer, ever.
    AcceptAndHang,
    /// It is accepted and reset (TCP RST).
    ResetAtOnce,
    /// Nobody listens: connecting is refused, for so long or for ever.
    Refused(Option<Duration>),
    /// Connecting has no answer, for so long or for ever. After that it takes the peer's kernel up to another second to try
    /// again.
    BlackHole(Option<Duration>),
}

/// More connections than ever wait at once.
const BACKLOG: u32 = 1_024;

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    struck: AtomicUsize,
}

impl Plan {
    /// These, in this order, and nothing after that.
    pub fn new(first: impl IntoIterator<Item = Befalls>) -> Self {
        Self { first: first.into_iter().collect(), then: Befalls::Pass }
    }

    /// The same for all.
    pub fn always(befalls: Befalls) -> Self {
        Self { first: Vec::new(), then: befalls }
    }

    /// After those, this for all others.
    #[must_use]
    pub fn then(self, befalls: Befalls) -> Self {
        Self { then: befalls, ..self }
    }

    /// A plan that could never come true is refused: a trial of it would prove nothing.
    fn check(&self, tls: bool) -> io::Result<()> {
        let needs_tls =
            |befalls: &Befalls| matches!(befalls, Befalls::TlsGarbage | Befalls::WrongCertificate | Befalls::WrongName);
        match self.first.iter().chain([&self.then]).find(|befalls| needs_tls(befalls)) {
            Some(befalls) if !tls => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{befalls:?} needs a gate with TLS")))
            }
            _ => Ok(()),
        }
    }

    fn into_iter(self) -> impl Iterator<Item = Befalls> {
        self.first.into_iter().chain(std::iter::repeat(self.then))
    }
}

impl Gate {
    /// Opens a gate to `upstream` on a free port of the loopback interface, in the Tokio runtime of the caller.
    pub async fn start(upstream: SocketAddr, tls: bool, plan: Plan) -> io::Result<Self> {
        plan.check(tls)?;
        Self::open(upstream, if tls { Some(Tls::new(&Authority::new()?)?) } else { None }, plan).await
    }

    /// A gate with TLS, whose certificate is of this authority; nothing befalls its connections.
    pub async fn of(authority: &Authority, upstream: SocketAddr) -> io::Result<Self> {
        Self::open(upstream, Some(Tls::new(authority)?), Plan::new([])).await
    }

    async fn open(upstream: SocketAddr, tls: Option<Tls>, plan: Plan) -> io::Result<Self> {
        let ca_pem = tls.as_ref().map(|tls| tls.ca_pem.clone());
        let place = Place::take()?;
        let address = place.address;
        let counts = Arc::new(Counts::default());
        let way = Way { upstream, tls: tls.map(Arc::new) };
        let (ready, is_ready) = oneshot::channel();
        let keeper = tokio::spawn({
            let counts = Arc::clone(&counts);
            async move {
                // What it cannot do it says by ending: a closed gate fails any trial.
                let _ = keep(place, plan, way, counts, ready).await;
            }
        });
        is_ready.await.map_err(|_| io::Error::other("the gate could not be opened"))?;
        Ok(Self { address, ca_pem, counts, keeper })
    }

    /// For a client as its endpoint URL.
    pub fn endpoint(&self) -> String {
        match self.ca_pem {
            // By name: a certificate is for a name, as AWS's are.
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// Where it listens, when it does.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority that a client must trust, as PEM for `SSL_CERT_FILE`; none without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// How many connections were accepted, whatever befell them.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::Acquire)
    }

    /// How often something other than [`Befalls::Pass`] came true. An outage counts once, when it begins: who is refused is
    /// not known here.
    pub fn struck(&self) -> usize {
        self.counts.struck.load(Ordering::Acquire)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// The way through the gate.
#[derive(Clone)]
struct Way {
    upstream: SocketAddr,
    tls: Option<Arc<Tls>>,
}

/// Opens and closes the gate as `plan` says.
async fn keep(place: Place, plan: Plan, way: Way, counts: Arc<Counts>, ready: oneshot::Sender<()>) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let mut listener = None;
    // Accepted, and not touched until what comes next has begun.
    let mut before: Option<(TcpStream, Befalls)> = None;
    let mut ready = Some(ready);
    for befalls in plan.into_iter() {
        let lasts = match befalls {
            Befalls::Refused(lasts) | Befalls::BlackHole(lasts) => Some(lasts),
            _ => None,
        };
        let mut hole = None;
        if lasts.is_some() {
            drop(listener.take());
            if matches!(befalls, Befalls::BlackHole(_)) {
                hole = Some(place.black_hole().await?);
            }
            counts.struck.fetch_add(1, Ordering::AcqRel);
        } else if listener.is_none() {
            listener = Some(place.listen(BACKLOG)?);
        }
        if let Some((stream, befalls)) = before.take() {
            connections.spawn(strike(stream, befalls, way.clone(), Arc::clone(&counts)));
        }
        if let Some(ready) = ready.take() {
            // Nobody waits for it only if the start was given up.
            let _ = ready.send(());
        }
        match lasts {
            Some(Some(lasts)) => tokio::time::sleep(lasts).await,
            Some(None) => pending().await,
            None => {}
        }
        drop(hole);
        if let Some(listener) = &listener {
            let (stream, _) = listener.accept().await?;
            counts.accepted.fetch_add(1, Ordering::AcqRel);
            before = Some((stream, befalls));
        }
        while connections.try_join_next().is_some() {}
    }
    Ok(())
}

/// Has one accepted connection meet what befalls it. How it ends is its peer's to see.
async fn strike(mut stream: TcpStream, befalls: Befalls, way: Way, counts: Arc<Counts>) {
    if befalls != Befalls::Pass {
        counts.struck.fetch_add(1, Ordering::AcqRel);
    }
    match befalls {
        Befalls::AcceptAndHang => {
            let _ = copy(&mut stream, &mut sink()).await;
            pending().await
        }
        Befalls::ResetAtOnce => reset(stream),
        Befalls::TlsGarbage => {
            let mut hello = [0; 1 << 14];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(b"220 this is a mail server, and no TLS at all\r\n").await;
            let _ = stream.shutdown().await;
        }
        Befalls::Pass | Befalls::WrongCertificate | Befalls::WrongName => pass(stream, befalls, way).await,
        // They befall connecting; nothing was accepted under them.
        Befalls::Refused(_) | Befalls::BlackHole(_) => {}
    }
}

async fn pass(mut stream: TcpStream, befalls: Befalls, way: Way) {
    let Some(tls) = way.tls else {
        if forward(&mut stream, way.upstream).await.is_err() {
            reset(stream);
        }
        return;
    };
    let acceptor = match befalls {
        Befalls::WrongCertificate => &tls.of_a_stranger,
        Befalls::WrongName => &tls.for_another,
        _ => &tls.right,
    };
    // A peer that does not like the certificate says so and goes.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    if forward(&mut stream, way.upstream).await.is_err() {
        reset(stream.into_inner().0);
    }
}

async fn forward(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), upstream: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(upstream).await?;
    upstream.set_nodelay(true)?;
    copy_bidirectional(stream, &mut upstream).await?;
    Ok(())
}

/// Closes with RST instead of FIN, also to hand on a reset of the simulator's.
fn reset(stream: TcpStream) {
    // If it fails, the connection is gone already.
    let _ = stream.set_zero_linger();
}

/// A port that stays ours whether anybody listens on it or not.
struct Place {
    address: SocketAddr,
    _holder: TcpSocket,
}

/// A listener whose queue is full: the kernel then drops each SYN.
struct BlackHole {
    _listener: TcpListener,
    _filler: TcpStream,
}

impl Place {
    fn take() -> io::Result<Self> {
        let holder = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { address: holder.local_addr()?, _holder: holder })
    }

    fn listen(&self, backlog: u32) -> io::Result<TcpListener> {
        socket(self.address)?.listen(backlog)
    }

    async fn black_hole(&self) -> io::Result<BlackHole> {
        // The queue of backlog 0 has room for one.
        let listener = self.listen(0)?;
        let filler = TcpStream::connect(self.address).await?;
        Ok(BlackHole { _listener: listener, _filler: filler })
    }
}

/// Bound, and shared with the other sockets of this place. Connecting reaches only those that listen.
fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Certificates, made for this gate alone.
struct Tls {
    ca_pem: String,
    right: TlsAcceptor,
    of_a_stranger: TlsAcceptor,
    for_another: TlsAcceptor,
}

impl Tls {
    fn new(authority: &Authority) -> io::Result<Self> {
        let stranger = Authority::new()?;
        Ok(Self {
            ca_pem: authority.pem(),
            right: authority.acceptor("localhost")?,
            of_a_stranger: stranger.acceptor("localhost")?,
            for_another: authority.acceptor("elsewhere.test")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::time::timeout;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

    use super::*;

    /// Far more than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// An upstream that says back what it hears.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn plain(plan: Plan) -> Gate {
        Gate::start(echo().await, false, plan).await.unwrap()
    }

    async fn with_tls(befalls: Befalls) -> Gate {
        Gate::start(echo().await, true, Plan::new([befalls])).await.unwrap()
    }

    async fn connect(gate: &Gate) -> io::Result<TcpStream> {
        timeout(PATIENCE, TcpStream::connect(gate.address())).await.unwrap()
    }

    async fn handshake(gate: &Gate) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(gate.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        timeout(PATIENCE, connector.connect(name, connect(gate).await?)).await.unwrap()
    }

    async fn handshake_error(gate: &Gate) -> Error {
        let error = handshake(gate).await.unwrap_err();
        error.get_ref().unwrap().downcast_ref::<Error>().unwrap().clone()
    }

    async fn is_heard(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
        stream.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        timeout(PATIENCE, stream.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(&heard, b"hello");
    }

    fn counts(gate: &Gate) -> (usize, usize) {
        (gate.accepted(), gate.struck())
    }

    #[tokio::test]
    async fn an_open_gate_passes_everything_on() {
        let gate = plain(Plan::new([])).await;
        assert_eq!(gate.endpoint(), format!("http://{}", gate.address()));
        for accepted in 1..=3 {
            is_heard(&mut connect(&gate).await.unwrap()).await;
            assert_eq!(counts(&gate), (accepted, 0));
        }
    }

    #[tokio::test]
    async fn an_open_gate_with_tls_is_trusted_by_who_trusts_its_authority() {
        let gate = with_tls(Befalls::Pass).await;
        assert_eq!(gate.endpoint(), format!("https://localhost:{}", gate.address().port()));
        is_heard(&mut handshake(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (1, 0));
    }

    #[tokio::test]
    async fn garbage_is_no_tls_and_the_next_connection_is_served() {
        let gate = with_tls(Befalls::TlsGarbage).await;
        assert!(matches!(handshake_error(&gate).await, Error::InvalidMessage(_)));
        is_heard(&mut handshake(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn a_certificate_of_another_authority_is_not_trusted() {
        let gate = with_tls(Befalls::WrongCertificate).await;
        let error = handshake_error(&gate).await;
        let refused = [CertificateError::UnknownIssuer, CertificateError::BadSignature];
        assert!(refused.into_iter().any(|why| error == Error::InvalidCertificate(why)), "{error}");
        is_heard(&mut handshake(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_not_trusted() {
        let gate = with_tls(Befalls::WrongName).await;
        let error = handshake_error(&gate).await;
        let Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) = error else {
            panic!("{error}");
        };
        assert!(presented.iter().any(|name| name.contains("elsewhere.test")), "{presented:?}");
        assert_eq!(counts(&gate), (1, 1));
    }

    #[tokio::test]
    async fn a_connection_that_hangs_takes_what_it_is_sent_and_does_not_answer() {
        let gate = plain(Plan::new([Befalls::AcceptAndHang])).await;
        let mut stream = connect(&gate).await.unwrap();
        // More than the buffers of both kernels hold, so it is really read.
        timeout(PATIENCE, stream.write_all(&vec![0; 32 << 20])).await.unwrap().unwrap();
        assert!(timeout(Duration::from_millis(300), stream.read_u8()).await.is_err());
        is_heard(&mut connect(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn a_connection_is_reset_at_once() {
        let gate = plain(Plan::new([Befalls::ResetAtOnce])).await;
        let mut stream = connect(&gate).await.unwrap();
        let error = timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        is_heard(&mut connect(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn a_reset_of_the_upstream_is_handed_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate::start(listener.local_addr().unwrap(), false, Plan::new([])).await.unwrap();
        let mut stream = connect(&gate).await.unwrap();
        reset(listener.accept().await.unwrap().0);
        let error = timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_closed_gate_refuses_and_opens_again_on_the_same_port() {
        let closed = Duration::from_secs(1);
        let gate = plain(Plan::new([Befalls::Pass, Befalls::Refused(Some(closed))])).await;
        let mut first = connect(&gate).await.unwrap();
        let started = Instant::now();
        // What was accepted is passed on, and the gate is closed by then.
        is_heard(&mut first).await;
        assert_eq!(counts(&gate), (1, 1));
        let error = connect(&gate).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        is_heard(&mut first).await;
        let mut second = loop {
            match connect(&gate).await {
                Ok(stream) => break stream,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused),
            }
            assert!(started.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        };
        is_heard(&mut second).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn a_gate_can_be_closed_for_ever_from_the_start() {
        let gate = plain(Plan::always(Befalls::Refused(None))).await;
        for _ in 0..10 {
            assert_eq!(connect(&gate).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        assert_eq!(counts(&gate), (0, 1));
    }

    #[tokio::test]
    async fn connecting_to_a_black_hole_has_no_answer() {
        let gate = plain(Plan::new([Befalls::Pass]).then(Befalls::BlackHole(None))).await;
        let mut first = connect(&gate).await.unwrap();
        is_heard(&mut first).await;
        // Beyond the first retransmission of the SYN, after a second; several side by side.
        let attempts = (0..3).map(|_| timeout(Duration::from_millis(1_500), TcpStream::connect(gate.address())));
        for attempt in futures_util::future::join_all(attempts).await {
            assert!(attempt.is_err(), "it was answered");
        }
        is_heard(&mut first).await;
        assert_eq!(counts(&gate), (1, 1));
    }

    #[tokio::test]
    async fn what_waits_before_a_black_hole_is_served_when_that_is_over() {
        let dark = Duration::from_millis(300);
        let started = Instant::now();
        let gate = plain(Plan::new([Befalls::BlackHole(Some(dark))])).await;
        is_heard(&mut connect(&gate).await.unwrap()).await;
        assert!(started.elapsed() >= dark, "{:?}", started.elapsed());
        assert_eq!(counts(&gate), (1, 1));
    }

    #[tokio::test]
    async fn a_plan_that_could_never_come_true_is_refused() {
        for befalls in [Befalls::TlsGarbage, Befalls::WrongCertificate, Befalls::WrongName] {
            let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
            let error = Gate::start(upstream, false, Plan::always(befalls)).await.err().unwrap();
            assert_eq!(error.to_string(), format!("{befalls:?} needs a gate with TLS"));
        }
    }
}
