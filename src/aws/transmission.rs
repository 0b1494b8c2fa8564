//! Transmission of one call: how many attempts, when the first and the answered one were written, and whether a delete
//! may have taken effect.
//!
//! A stage keeps a clone and can read it after the call was dropped at the deadline or by a panic, when there is no
//! result. Invariant: an attempt counts as without effect only when its body was never written (no connection, no TLS,
//! no time) or AWS refused it. Lost responses, 5xx, requests that AWS gave up on, and in-flight attempts may all have
//! taken effect.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::retry;

/// Transmission of one call. Clones share what they observe.
#[derive(Clone, Debug, Default)]
pub struct Transmission(Arc<Observed>);

#[derive(Debug, Default)]
struct Observed {
    attempts: AtomicU32,
    sent: AtomicU32,
    refused: AtomicU32,
    first: OnceLock<Instant>,
    is_sent: Notify,
    /// When the latest attempt was sent.
    latest: Mutex<Arc<OnceLock<Instant>>>,
    /// When the latest attempt with a response was sent.
    answered: Mutex<Option<Instant>>,
}

impl Transmission {
    /// Returns the number of attempts that were handed to the HTTP client.
    pub fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// Returns when the first attempt was written to a connection.
    pub fn first_sent(&self) -> Option<Instant> {
        self.0.first.get().copied()
    }

    /// Returns when the attempt to which AWS responded was written to a connection: the last such attempt, because the
    /// SDK retries errors. None without a response.
    pub fn answered_sent(&self) -> Option<Instant> {
        *self.0.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an attempt has been written to a connection: forever, if none is. Supports one waiter.
    pub async fn sent(&self) {
        self.0.is_sent.notified().await;
    }

    /// Returns whether any attempt was written to a connection.
    pub fn was_sent(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed) > 0
    }

    /// Returns whether AWS may have carried out at least one attempt.
    pub fn may_have_taken_effect(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed) > self.0.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl Transmission {
    /// A transmission of so many attempts, all written, of which AWS refused some.
    pub(crate) fn for_tests(sent: u32, refused: u32) -> Self {
        let observed =
            Observed { attempts: sent.into(), sent: sent.into(), refused: refused.into(), ..Observed::default() };
        Self(Arc::new(observed))
    }
}

impl Intercept for Transmission {
    fn name(&self) -> &'static str {
        "Transmission"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        let latest = Arc::<OnceLock<Instant>>::default();
        *self.0.latest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&latest);
        let body = context.request_mut().body_mut();
        let bytes = Bytes::copy_from_slice(body.bytes().ok_or("the body is not in memory")?);
        *body = SdkBody::from_body_1_x(ObservedBody { bytes, observed: Arc::clone(&self.0), sent_at: latest });
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(response) = context.response() else { return Ok(()) };
        // An attempt that AWS refused before it read the body was not counted as sent either.
        let latest = Arc::clone(&self.0.latest.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(sent_at) = latest.get() else { return Ok(()) };
        *self.0.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(*sent_at);
        if retry::is_refusal(response) {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A body that notes when it is read. The HTTP client reads it once it has a connection, and writes head and body at
/// once. Lightsail's protocol has no request that can be carried out without its body.
struct ObservedBody {
    bytes: Bytes,
    observed: Arc<Observed>,
    sent_at: Arc<OnceLock<Instant>>,
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        if self.sent_at.set(now).is_ok() {
            self.observed.sent.fetch_add(1, Ordering::Relaxed);
            self.observed.first.get_or_init(|| now);
            self.observed.is_sent.notify_one();
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
