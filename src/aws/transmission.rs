//! What one call puts on the wire: how many attempts, when the first was sent, and whether AWS may have done the work.
//!
//! A stage keeps a clone and can read it after the call was dropped at the deadline or a panic, when no result tells.
//! Invariant: an attempt counts as undone only when its body was never written (no connection, no TLS, no time) or AWS
//! refused it (HTTP 4xx); lost answers, 5xx and attempts under way may all have been carried out.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use aws_sdk_lightsail::config::interceptors::{BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef};
use aws_sdk_lightsail::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_lightsail::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What one call puts on the wire; clones share what they saw.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    attempts: AtomicU32,
    sent: AtomicU32,
    refused: AtomicU32,
    first: OnceLock<Instant>,
    is_sent: Notify,
    /// Whether the latest attempt was sent.
    latest: Mutex<Arc<AtomicBool>>,
}

impl Wire {
    /// Attempts that were handed to the HTTP client.
    pub fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// When the first attempt was written to a connection.
    pub fn first_sent(&self) -> Option<Instant> {
        self.0.first.get().copied()
    }

    /// Ends when an attempt has been written to a connection; never, if none is. For one waiter.
    pub async fn sent(&self) {
        self.0.is_sent.notified().await;
    }

    /// Whether any attempt was written to a connection.
    pub fn was_sent(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed) > 0
    }

    /// Whether AWS may have done the work of at least one attempt.
    pub fn may_be_done(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed) > self.0.refused.load(Ordering::Relaxed)
    }
}

impl Intercept for Wire {
    fn name(&self) -> &'static str {
        "Wire"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        let latest = Arc::<AtomicBool>::default();
        *self.0.latest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&latest);
        let body = context.request_mut().body_mut();
        let bytes = Bytes::copy_from_slice(body.bytes().ok_or("the body is not in memory")?);
        *body = SdkBody::from_body_1_x(Watched { bytes, seen: Arc::clone(&self.0), is_sent: latest });
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let refused = context.response().is_some_and(|response| response.status().is_client_error());
        // Refused before the body was read: it was not counted as sent either.
        let sent = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner).load(Ordering::Relaxed);
        if refused && sent {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A body that tells when it is asked for. The HTTP client asks once it has a connection, and writes head and body at
/// once; without its body no request of Lightsail's protocol can be carried out.
struct Watched {
    bytes: Bytes,
    seen: Arc<Seen>,
    is_sent: Arc<AtomicBool>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        if !self.is_sent.swap(true, Ordering::Relaxed) {
            self.seen.sent.fetch_add(1, Ordering::Relaxed);
            self.seen.first.get_or_init(Instant::now);
            self.seen.is_sent.notify_one();
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
