//! What one call puts on the wire: how many attempts, when the first, and whether AWS may have done the work.
//!
//! A stage keeps a clone and can read it after the call was dropped at the deadline or a panic, when no result tells.
//! Invariant: an attempt counts as undone only when AWS refused it (HTTP 4xx) or no connection was made; lost answers,
//! 5xx and attempts under way may all have been carried out.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_lightsail::config::interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_sdk_lightsail::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_lightsail::error::BoxError;
use tokio::time::Instant;

/// What one call puts on the wire; clones share what they saw.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    attempts: AtomicU32,
    undone: AtomicU32,
    first: OnceLock<Instant>,
}

impl Wire {
    /// Attempts that were handed to the HTTP client.
    pub fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// When the first attempt was handed to the HTTP client.
    pub fn first_sent(&self) -> Option<Instant> {
        self.0.first.get().copied()
    }

    /// Whether AWS may have done the work of at least one attempt.
    pub fn may_be_done(&self) -> bool {
        self.attempts() > self.0.undone.load(Ordering::Relaxed)
    }
}

impl Intercept for Wire {
    fn name(&self) -> &'static str {
        "Wire"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.first.get_or_init(Instant::now);
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let refused = context.response().is_some_and(|response| response.status().is_client_error());
        let never_connected = context
            .output_or_error()
            .and_then(Result::err)
            .and_then(|error| error.as_connector_error())
            .is_some_and(|error| never_connected(error));
        if refused || never_connected {
            self.0.undone.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Whether the attempt ended before there was a connection to send it on: refused, no such host, connect time-out.
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let connecting = hyper_util::client::legacy::Error::is_connect;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(connecting) || error.downcast_ref().is_some_and(refused) {
            return true;
        }
        cause = error.source();
    }
    false
}
