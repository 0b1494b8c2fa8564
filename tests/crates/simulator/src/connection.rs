//! Connections that know their number and can be cut off: an axum listener whose streams share a
//! [`Connection`] with the handlers of their requests. They come over TCP, or in memory.
//!
//! HTTP has no way to say "now reset the connection", and axum gives a handler no socket. So the
//! handler marks the [`Connection`], and the stream under hyper obeys: it sets `SO_LINGER` to
//! zero, which makes the kernel send RST instead of FIN on close, and fails, which makes hyper
//! close it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// The handle that a stream and the handlers of its requests share.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    cut: Arc<Cut>,
}

#[derive(Debug, Default)]
struct Cut {
    done: AtomicBool,
    /// Of the task that serves the connection, which may be asleep when it is cut.
    sleeper: Mutex<Option<Waker>>,
}

impl Connection {
    /// Makes the stream reset its connection at the next thing that is asked of it.
    pub(crate) fn reset(&self) {
        self.cut.strike();
    }
}

impl Cut {
    fn strike(&self) {
        self.done.store(true, Ordering::Release);
        if let Some(waker) = self.sleeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

/// The connections that may still be open, to cut them all when the simulator stops. axum serves
/// each in a task of its own, which does not end with the task that accepts them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenConnections(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    closed: bool,
    cuts: Vec<Weak<Cut>>,
}

impl OpenConnections {
    /// Cuts all, and from now on also each that is just being accepted.
    pub(crate) fn cut_all(&self) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.closed = true;
        for cut in open.cuts.drain(..).filter_map(|cut| cut.upgrade()) {
            cut.strike();
        }
    }

    fn add(&self, cut: &Arc<Cut>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.closed {
            return cut.strike();
        }
        open.cuts.retain(|cut| cut.strong_count() > 0);
        open.cuts.push(Arc::downgrade(cut));
    }
}

/// Where connections come from.
pub(crate) enum Incoming {
    Tcp(TcpListener),
    /// In memory, each from a [`Dialer`].
    Memory(UnboundedReceiver<DuplexStream>),
}

/// Connects to a simulator in memory.
#[derive(Clone, Debug)]
pub struct Dialer(UnboundedSender<DuplexStream>);

impl Dialer {
    /// A dialer, and where its connections arrive.
    pub(crate) fn new() -> (Self, Incoming) {
        let (dialer, incoming) = unbounded_channel();
        (Self(dialer), Incoming::Memory(incoming))
    }

    /// Connects. The error says that the simulator has stopped.
    pub fn dial(&self) -> io::Result<DuplexStream> {
        let (client, server) = tokio::io::duplex(BUFFER);
        self.0.send(server).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(client)
    }
}

/// Bytes that a connection in memory holds in each direction: more than any request or answer.
const BUFFER: usize = 1 << 20;

/// Accepts connections and numbers them.
pub(crate) struct Doorway {
    incoming: Incoming,
    open: OpenConnections,
    accepted: u64,
}

impl Doorway {
    pub(crate) fn new(incoming: Incoming, open: OpenConnections) -> Self {
        Self { incoming, open, accepted: 0 }
    }
}

impl Listener for Doorway {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, peer) = match &mut self.incoming {
            // axum's own accept, which waits and tries again when accepting fails.
            Incoming::Tcp(listener) => {
                let (stream, peer) = Listener::accept(listener).await;
                // Without this the drops of a slow answer would wait for each other in the kernel.
                // If it fails, the connection is gone already.
                let _ = stream.set_nodelay(true);
                (Stream::Tcp(stream), peer)
            }
            Incoming::Memory(incoming) => match incoming.recv().await {
                Some(stream) => (Stream::Memory(stream), IN_MEMORY),
                // No dialer is left.
                None => std::future::pending().await,
            },
        };
        self.accepted += 1;
        let connection = Connection { number: self.accepted, cut: Arc::default() };
        self.open.add(&connection.cut);
        (Wire { stream, connection }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.incoming {
            Incoming::Tcp(listener) => listener.local_addr(),
            Incoming::Memory(_) => Ok(IN_MEMORY),
        }
    }
}

impl Connected<IncomingStream<'_, Doorway>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Doorway>) -> Self {
        stream.io().connection.clone()
    }
}

/// The address of connections in memory, which have none.
pub(crate) const IN_MEMORY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Transport of bytes.
enum Stream {
    Tcp(TcpStream),
    Memory(DuplexStream),
}

/// A stream that can be cut.
pub(crate) struct Wire {
    stream: Stream,
    connection: Connection,
}

impl Wire {
    /// The stream, or the error that ends it. Leaves the waker for whoever cuts it.
    fn stream(&mut self, context: &Context<'_>) -> io::Result<&mut Stream> {
        let cut = &self.connection.cut;
        // The waker first: a cut between the two is then seen here or wakes the task again.
        *cut.sleeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        if cut.done.load(Ordering::Acquire) {
            if let Stream::Tcp(stream) = &self.stream {
                stream.set_zero_linger()?;
            }
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(&mut self.stream)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.stream(context)? {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Memory(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.stream(context)? {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Memory(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream(context)? {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Memory(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream(context)? {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Memory(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncReadExt, time::timeout};

    use super::*;

    /// A connection in which nothing happens, with its client.
    async fn quiet(open: &OpenConnections) -> io::Result<(Wire, TcpStream)> {
        let mut doorway = Doorway::new(Incoming::Tcp(TcpListener::bind("127.0.0.1:0").await?), open.clone());
        let client = TcpStream::connect(doorway.local_addr()?).await?;
        Ok((doorway.accept().await.0, client))
    }

    async fn ends_in_a_reset(read: impl Future<Output = io::Result<u8>>) {
        let end = timeout(Duration::from_secs(5), read).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_read_that_is_asleep_ends_with_the_reset_and_the_client_sees_it() {
        let (mut wire, mut client) = quiet(&OpenConnections::default()).await.unwrap();
        let connection = wire.connection.clone();
        let asleep = tokio::spawn(async move { wire.read_u8().await });
        tokio::task::yield_now().await;
        connection.reset();
        ends_in_a_reset(async { asleep.await? }).await;
        ends_in_a_reset(client.read_u8()).await;
    }

    #[tokio::test]
    async fn a_connection_that_is_accepted_after_all_were_cut_is_cut_too() {
        let open = OpenConnections::default();
        open.cut_all();
        let (mut wire, _client) = quiet(&open).await.unwrap();
        ends_in_a_reset(wire.read_u8()).await;
    }
}
