//! Pool of HTTP connections, as the SDKs want it: hyper's client, with a timeout for connecting.
//!
//! The SDK's own adapter, `aws-smithy-http-client`, builds a TLS configuration for each pool, and accepts no connector
//! of others. With this one, a [new pool after a freeze](super::connections) costs nothing, and the simulation runs the
//! same code over connections in memory. Invariant: every error of the network is one that the SDK retries.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, Connection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::connections::MAX_IDLE;

/// Opens connections to a host.
pub trait Transport:
    Service<Uri, Response: Stream, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

impl<T> Transport for T where
    T: Service<Uri, Response: Stream, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

/// An open connection.
pub trait Stream: Read + Write + Connection + Unpin + Send + 'static {}

impl<T> Stream for T where T: Read + Write + Connection + Unpin + Send + 'static {}

/// Pool of connections that `T` opens.
pub(super) struct Pool<T>(Client<Timed<T>, SdkBody>);

/// Opens connections with `T`, and gives up after a timeout.
#[derive(Clone)]
struct Timed<T> {
    transport: T,
    timeout: Duration,
}

impl<T: Transport> Pool<T> {
    /// Returns a pool without connections. `connect_timeout` covers everything until a connection can be used: DNS, TCP
    /// and TLS.
    pub(super) fn new(transport: T, connect_timeout: Duration) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(MAX_IDLE)
            .build(Timed { transport, timeout: connect_timeout });
        Self(client)
    }
}

impl<T: Transport> Service<Uri> for Timed<T> {
    type Response = T::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<T::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.transport.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, host: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.timeout, self.transport.call(host));
        Box::pin(async move {
            match connecting.await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

impl<T: Transport> HttpConnector for Pool<T> {
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
                Err(error) => Err(connector_error(error.into())),
            }
        })
    }
}

impl<T> std::fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
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

/// Maps an error of the connection. The SDK retries both kinds.
fn connector_error(error: BoxError) -> ConnectorError {
    let timed_out = {
        let first: &(dyn Error + 'static) = &*error;
        let mut chain = std::iter::successors(Some(first), |error: &&(dyn Error + 'static)| (*error).source());
        let is_timeout = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        chain.any(|error| error.downcast_ref().is_some_and(is_timeout))
    };
    if timed_out { ConnectorError::timeout(error) } else { ConnectorError::io(error) }
}
