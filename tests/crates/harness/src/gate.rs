//! TCP gate in front of the simulator. A [`Plan`] assigns a network fault to each connection. Connections without a
//! fault are forwarded.
//!
//! The simulator's faults start after it has read a request. Faults of connecting and of TLS belong to the network, so
//! the gate injects them. It forwards bytes unchanged, because the signature covers the Host header, which names the
//! gate. A socket that never listens reserves the port, so that no other program gets it while the gate is closed.
//!
//! Invariant: an outage starts before the gate forwards any byte of the preceding connection, so that the peer's next
//! connection meets the outage.

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

/// Gate that is open until it is dropped. Its connections end at the same time.
pub struct Gate {
    address: SocketAddr,
    ca_pem: Option<String>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

/// Plan with the faults of the first connections, in order, and the fault of all later ones.
#[derive(Clone, Debug)]
pub struct Plan {
    first: Vec<NetworkFault>,
    then: NetworkFault,
}

/// Fault of one connection, or of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// No fault.
    Pass,
    /// Response to the ClientHello that is not TLS, followed by a close.
    TlsGarbage,
    /// Certificate for the right name from another authority than [`Gate::ca_pem`]. If the peer accepts it, the gate
    /// forwards everything.
    WrongCertificate,
    /// Certificate of the right authority for another name. If the peer accepts it, the gate forwards everything.
    WrongName,
    /// Connection that is accepted and read, but never answered.
    AcceptAndHang,
    /// Connection that is accepted and then reset (TCP RST).
    ResetAtOnce,
    /// Closed port that refuses connections, for this duration or forever.
    Refused(Option<Duration>),
    /// Port that drops each SYN, for this duration or forever. Afterwards, the peer's kernel needs up to another second
    /// for its next SYN.
    BlackHole(Option<Duration>),
}

/// Backlog that is larger than the number of connections that ever wait.
const BACKLOG: u32 = 1_024;

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    faults: AtomicUsize,
}

impl Plan {
    /// Creates a plan with these faults in order. Later connections have no fault.
    pub fn new(first: impl IntoIterator<Item = NetworkFault>) -> Self {
        Self { first: first.into_iter().collect(), then: NetworkFault::Pass }
    }

    /// Creates a plan with the same fault for all connections.
    pub fn always(fault: NetworkFault) -> Self {
        Self { first: Vec::new(), then: fault }
    }

    /// Sets the fault of all later connections.
    #[must_use]
    pub fn then(self, fault: NetworkFault) -> Self {
        Self { then: fault, ..self }
    }

    /// Refuses a plan that cannot happen, because its trial would prove nothing.
    fn check(&self, tls: bool) -> io::Result<()> {
        let needs_tls = |fault: &NetworkFault| {
            matches!(fault, NetworkFault::TlsGarbage | NetworkFault::WrongCertificate | NetworkFault::WrongName)
        };
        match self.first.iter().chain([&self.then]).find(|fault| needs_tls(fault)) {
            Some(fault) if !tls => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{fault:?} needs a gate with TLS")))
            }
            _ => Ok(()),
        }
    }

    fn into_iter(self) -> impl Iterator<Item = NetworkFault> {
        self.first.into_iter().chain(std::iter::repeat(self.then))
    }
}

impl Gate {
    /// Opens a gate to `upstream` on a free loopback port, in the caller's Tokio runtime.
    pub async fn start(upstream: SocketAddr, tls: bool, plan: Plan) -> io::Result<Self> {
        plan.check(tls)?;
        Self::open(upstream, if tls { Some(Tls::new(&Authority::new()?)?) } else { None }, plan).await
    }

    /// Opens a gate with TLS and without faults. Its certificate is from this authority.
    pub async fn with_authority(authority: &Authority, upstream: SocketAddr) -> io::Result<Self> {
        Self::open(upstream, Some(Tls::new(authority)?), Plan::new([])).await
    }

    async fn open(upstream: SocketAddr, tls: Option<Tls>, plan: Plan) -> io::Result<Self> {
        let ca_pem = tls.as_ref().map(|tls| tls.ca_pem.clone());
        let port = Port::take()?;
        let address = port.address;
        let counts = Arc::new(Counts::default());
        let target = Target { upstream, tls: tls.map(Arc::new) };
        let (ready, is_ready) = oneshot::channel();
        let task = tokio::spawn({
            let counts = Arc::clone(&counts);
            async move {
                // An error closes the gate, and a closed gate fails any trial.
                let _ = run(port, plan, target, counts, ready).await;
            }
        });
        is_ready.await.map_err(|_| io::Error::other("the gate could not be opened"))?;
        Ok(Self { address, ca_pem, counts, task })
    }

    /// Returns the endpoint URL for a client.
    pub fn endpoint(&self) -> String {
        match self.ca_pem {
            // The URL has a name, because the certificate is for a name, as AWS's certificates are.
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// Returns the address at which the gate listens while it is open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the CA certificate (PEM) for a client's `SSL_CERT_FILE`, or `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Returns the number of accepted connections, with or without a fault.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::Acquire)
    }

    /// Returns the number of faults that happened. An outage counts once, at its start, because the gate does not see
    /// the refused connections.
    pub fn faults(&self) -> usize {
        self.counts.faults.load(Ordering::Acquire)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Destination of forwarded connections.
#[derive(Clone)]
struct Target {
    upstream: SocketAddr,
    tls: Option<Arc<Tls>>,
}

/// Opens and closes the gate according to `plan`.
async fn run(
    port: Port,
    plan: Plan,
    target: Target,
    counts: Arc<Counts>,
    ready: oneshot::Sender<()>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let mut listener = None;
    // The last accepted connection waits here until the fault of the next one has started.
    let mut previous: Option<(TcpStream, NetworkFault)> = None;
    let mut ready = Some(ready);
    for fault in plan.into_iter() {
        let lasts = match fault {
            NetworkFault::Refused(lasts) | NetworkFault::BlackHole(lasts) => Some(lasts),
            _ => None,
        };
        let mut hole = None;
        if lasts.is_some() {
            drop(listener.take());
            if matches!(fault, NetworkFault::BlackHole(_)) {
                hole = Some(port.black_hole().await?);
            }
            counts.faults.fetch_add(1, Ordering::AcqRel);
        } else if listener.is_none() {
            listener = Some(port.listen(BACKLOG)?);
        }
        if let Some((stream, fault)) = previous.take() {
            connections.spawn(apply_fault(stream, fault, target.clone(), Arc::clone(&counts)));
        }
        if let Some(ready) = ready.take() {
            // The receiver is gone only if the caller gave up the start.
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
            previous = Some((stream, fault));
        }
        while connections.try_join_next().is_some() {}
    }
    Ok(())
}

/// Applies its fault to one accepted connection. Errors are ignored, because the peer sees them.
async fn apply_fault(mut stream: TcpStream, fault: NetworkFault, target: Target, counts: Arc<Counts>) {
    if fault != NetworkFault::Pass {
        counts.faults.fetch_add(1, Ordering::AcqRel);
    }
    match fault {
        NetworkFault::AcceptAndHang => {
            let _ = copy(&mut stream, &mut sink()).await;
            pending().await
        }
        NetworkFault::ResetAtOnce => reset(stream),
        NetworkFault::TlsGarbage => {
            let mut hello = [0; 1 << 14];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(b"220 this is a mail server, and no TLS at all\r\n").await;
            let _ = stream.shutdown().await;
        }
        NetworkFault::Pass | NetworkFault::WrongCertificate | NetworkFault::WrongName => {
            relay(stream, fault, target).await
        }
        // These faults happen before a connection is accepted.
        NetworkFault::Refused(_) | NetworkFault::BlackHole(_) => {}
    }
}

async fn relay(mut stream: TcpStream, fault: NetworkFault, target: Target) {
    let Some(tls) = target.tls else {
        if forward(&mut stream, target.upstream).await.is_err() {
            reset(stream);
        }
        return;
    };
    let acceptor = match fault {
        NetworkFault::WrongCertificate => &tls.other_authority,
        NetworkFault::WrongName => &tls.other_name,
        _ => &tls.right,
    };
    // A peer that rejects the certificate closes the connection.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    if forward(&mut stream, target.upstream).await.is_err() {
        reset(stream.into_inner().0);
    }
}

async fn forward(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), upstream: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(upstream).await?;
    upstream.set_nodelay(true)?;
    copy_bidirectional(stream, &mut upstream).await?;
    Ok(())
}

/// Closes with RST instead of FIN. This also forwards a reset by the simulator.
fn reset(stream: TcpStream) {
    // It fails only if the connection is already gone.
    let _ = stream.set_zero_linger();
}

/// Port that stays reserved even while no socket listens on it.
struct Port {
    address: SocketAddr,
    _holder: TcpSocket,
}

/// Listener with a full queue, so that the kernel drops each SYN.
struct BlackHole {
    _listener: TcpListener,
    _filler: TcpStream,
}

impl Port {
    fn take() -> io::Result<Self> {
        let holder = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { address: holder.local_addr()?, _holder: holder })
    }

    fn listen(&self, backlog: u32) -> io::Result<TcpListener> {
        socket(self.address)?.listen(backlog)
    }

    async fn black_hole(&self) -> io::Result<BlackHole> {
        // A queue with backlog 0 has room for one connection.
        let listener = self.listen(0)?;
        let filler = TcpStream::connect(self.address).await?;
        Ok(BlackHole { _listener: listener, _filler: filler })
    }
}

/// Binds a socket that shares the port with the other sockets of its [`Port`]. Only sockets that listen get
/// connections.
fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Certificates of this gate.
struct Tls {
    ca_pem: String,
    right: TlsAcceptor,
    other_authority: TlsAcceptor,
    other_name: TlsAcceptor,
}

impl Tls {
    fn new(authority: &Authority) -> io::Result<Self> {
        let other = Authority::new()?;
        Ok(Self {
            ca_pem: authority.pem(),
            right: authority.acceptor("localhost")?,
            other_authority: other.acceptor("localhost")?,
            other_name: authority.acceptor("elsewhere.test")?,
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

    /// Timeout that is far longer than any step of these tests.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Starts an upstream that echoes its input.
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

    async fn with_tls(fault: NetworkFault) -> Gate {
        Gate::start(echo().await, true, Plan::new([fault])).await.unwrap()
    }

    async fn connect(gate: &Gate) -> io::Result<TcpStream> {
        timeout(TIMEOUT, TcpStream::connect(gate.address())).await.unwrap()
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
        timeout(TIMEOUT, connector.connect(name, connect(gate).await?)).await.unwrap()
    }

    async fn handshake_error(gate: &Gate) -> Error {
        let error = handshake(gate).await.unwrap_err();
        error.get_ref().unwrap().downcast_ref::<Error>().unwrap().clone()
    }

    async fn assert_echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
        stream.write_all(b"hello").await.unwrap();
        let mut echoed = [0; 5];
        timeout(TIMEOUT, stream.read_exact(&mut echoed)).await.unwrap().unwrap();
        assert_eq!(&echoed, b"hello");
    }

    fn counts(gate: &Gate) -> (usize, usize) {
        (gate.accepted(), gate.faults())
    }

    #[tokio::test]
    async fn open_gate_forwards_everything() {
        let gate = plain(Plan::new([])).await;
        assert_eq!(gate.endpoint(), format!("http://{}", gate.address()));
        for accepted in 1..=3 {
            assert_echo(&mut connect(&gate).await.unwrap()).await;
            assert_eq!(counts(&gate), (accepted, 0));
        }
    }

    #[tokio::test]
    async fn open_tls_gate_is_trusted_with_its_authority() {
        let gate = with_tls(NetworkFault::Pass).await;
        assert_eq!(gate.endpoint(), format!("https://localhost:{}", gate.address().port()));
        assert_echo(&mut handshake(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (1, 0));
    }

    #[tokio::test]
    async fn garbage_fails_tls_and_next_connection_works() {
        let gate = with_tls(NetworkFault::TlsGarbage).await;
        assert!(matches!(handshake_error(&gate).await, Error::InvalidMessage(_)));
        assert_echo(&mut handshake(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn certificate_of_other_authority_is_untrusted() {
        let gate = with_tls(NetworkFault::WrongCertificate).await;
        let error = handshake_error(&gate).await;
        let refused = [CertificateError::UnknownIssuer, CertificateError::BadSignature];
        assert!(refused.into_iter().any(|reason| error == Error::InvalidCertificate(reason)), "{error}");
        assert_echo(&mut handshake(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn certificate_for_other_name_is_untrusted() {
        let gate = with_tls(NetworkFault::WrongName).await;
        let error = handshake_error(&gate).await;
        let Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) = error else {
            panic!("{error}");
        };
        assert!(presented.iter().any(|name| name.contains("elsewhere.test")), "{presented:?}");
        assert_eq!(counts(&gate), (1, 1));
    }

    #[tokio::test]
    async fn hanging_connection_reads_and_never_answers() {
        let gate = plain(Plan::new([NetworkFault::AcceptAndHang])).await;
        let mut stream = connect(&gate).await.unwrap();
        // The data exceeds the kernel buffers of both sides, so that the gate must read it.
        timeout(TIMEOUT, stream.write_all(&vec![0; 32 << 20])).await.unwrap().unwrap();
        assert!(timeout(Duration::from_millis(300), stream.read_u8()).await.is_err());
        assert_echo(&mut connect(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn connection_is_reset_at_once() {
        let gate = plain(Plan::new([NetworkFault::ResetAtOnce])).await;
        let mut stream = connect(&gate).await.unwrap();
        let error = timeout(TIMEOUT, stream.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_echo(&mut connect(&gate).await.unwrap()).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn upstream_reset_is_forwarded() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate::start(listener.local_addr().unwrap(), false, Plan::new([])).await.unwrap();
        let mut stream = connect(&gate).await.unwrap();
        reset(listener.accept().await.unwrap().0);
        let error = timeout(TIMEOUT, stream.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn closed_gate_refuses_then_reopens_on_same_port() {
        let closed = Duration::from_secs(1);
        let gate = plain(Plan::new([NetworkFault::Pass, NetworkFault::Refused(Some(closed))])).await;
        let mut first = connect(&gate).await.unwrap();
        let started = Instant::now();
        // The accepted connection is forwarded only after the gate has closed.
        assert_echo(&mut first).await;
        assert_eq!(counts(&gate), (1, 1));
        let error = connect(&gate).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_echo(&mut first).await;
        let mut second = loop {
            match connect(&gate).await {
                Ok(stream) => break stream,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused),
            }
            assert!(started.elapsed() < TIMEOUT);
            tokio::task::yield_now().await;
        };
        assert_echo(&mut second).await;
        assert_eq!(counts(&gate), (2, 1));
    }

    #[tokio::test]
    async fn gate_can_stay_closed_forever() {
        let gate = plain(Plan::always(NetworkFault::Refused(None))).await;
        for _ in 0..10 {
            assert_eq!(connect(&gate).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        assert_eq!(counts(&gate), (0, 1));
    }

    #[tokio::test]
    async fn black_hole_never_answers_connecting() {
        let gate = plain(Plan::new([NetworkFault::Pass]).then(NetworkFault::BlackHole(None))).await;
        let mut first = connect(&gate).await.unwrap();
        assert_echo(&mut first).await;
        // The timeout exceeds the first retransmission of the SYN after one second. Several attempts run concurrently.
        let attempts = (0..3).map(|_| timeout(Duration::from_millis(1_500), TcpStream::connect(gate.address())));
        for attempt in futures_util::future::join_all(attempts).await {
            assert!(attempt.is_err(), "connecting got a response");
        }
        assert_echo(&mut first).await;
        assert_eq!(counts(&gate), (1, 1));
    }

    #[tokio::test]
    async fn waiting_connection_works_after_black_hole() {
        let dark = Duration::from_millis(300);
        let started = Instant::now();
        let gate = plain(Plan::new([NetworkFault::BlackHole(Some(dark))])).await;
        assert_echo(&mut connect(&gate).await.unwrap()).await;
        assert!(started.elapsed() >= dark, "{:?}", started.elapsed());
        assert_eq!(counts(&gate), (1, 1));
    }

    #[tokio::test]
    async fn impossible_plan_is_refused() {
        for fault in [NetworkFault::TlsGarbage, NetworkFault::WrongCertificate, NetworkFault::WrongName] {
            let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
            let error = Gate::start(upstream, false, Plan::always(fault)).await.err().unwrap();
            assert_eq!(error.to_string(), format!("{fault:?} needs a gate with TLS"));
        }
    }
}
