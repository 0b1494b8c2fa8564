//! Connections of all SDKs, in generations: no connection from before a freeze is used again.
//!
//! Lambda freezes a process between two invocations, for seconds or hours. Meanwhile AWS or a middlebox may forget a
//! connection silently, and the next request on it would wait for its whole timeout. hyper's pool cannot tell: it
//! measures idleness by the monotonic clock, which may stand still while the process is frozen. Invariant: when
//! requests have paused for more than [`MAX_IDLE`] of the wall clock, the next one starts a new pool.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use chrono::{DateTime, Utc};

use crate::clock::Clock;

/// Longest pause after which connections are used again. Retries and polls of one invocation pause for two seconds at
/// most, and a handshake costs three round trips, so a shorter limit would gain nothing.
pub(super) const MAX_IDLE: Duration = Duration::from_secs(5);

/// Connector of the current generation. Clones share it.
#[derive(Clone)]
struct Generations(Arc<Shared>);

struct Shared {
    new_pool: Box<dyn Fn() -> SharedHttpConnector + Send + Sync>,
    clock: Clock,
    current: Mutex<Generation>,
}

struct Generation {
    pool: SharedHttpConnector,
    /// When a request last began or ended, by the wall clock.
    used: DateTime<Utc>,
}

/// Returns a client whose connections come from pools that `new_pool` makes: the first one now, so that INIT pays for
/// it.
pub(super) fn http_client(
    new_pool: impl Fn() -> SharedHttpConnector + Send + Sync + 'static,
    clock: Clock,
) -> SharedHttpClient {
    let current = Mutex::new(Generation { pool: new_pool(), used: clock.now() });
    let generations = Generations(Arc::new(Shared { new_pool: Box::new(new_pool), clock, current }));
    let connector = SharedHttpConnector::new(generations);
    http_client_fn(move |_, _| connector.clone())
}

impl Generations {
    /// Returns the pool for the next request.
    fn pool(&self) -> SharedHttpConnector {
        let Shared { new_pool, clock, current } = &*self.0;
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now();
        // The pause is unknown if the wall clock went backwards.
        let reusable = (now - current.used).to_std().is_ok_and(|idle| idle <= MAX_IDLE);
        current.used = now;
        if !reusable {
            // Requests in flight keep the old pool until they end.
            current.pool = new_pool();
        }
        current.pool.clone()
    }

    fn note_use(&self) {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).used = self.0.clock.now();
    }
}

impl HttpConnector for Generations {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (response, generations) = (self.pool().call(request), self.clone());
        HttpConnectorFuture::new(async move {
            let response = response.await;
            generations.note_use();
            response
        })
    }
}

impl std::fmt::Debug for Generations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generations").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_smithy_runtime_api::client::result::ConnectorError;

    use super::*;

    /// A connector that refuses every request.
    #[derive(Debug)]
    struct Refusing;

    impl HttpConnector for Refusing {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::ready(Err(ConnectorError::io("refused".into())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pause_by_wall_clock_starts_new_pool() {
        let (clock, made) = (Clock::simulated(Utc::now()), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&made);
        let new_pool = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            SharedHttpConnector::new(Refusing)
        };
        let current = Mutex::new(Generation { pool: new_pool(), used: clock.now() });
        let generations = Generations(Arc::new(Shared { new_pool: Box::new(new_pool), clock: clock.clone(), current }));
        for (pause, pools) in [(0, 1), (5_000, 1), (4_000, 1), (5_001, 2), (600_000, 3), (1, 3)] {
            // Frozen: the monotonic clock stands still.
            clock.advance(Duration::from_millis(pause));
            generations.call(HttpRequest::empty()).await.unwrap_err();
            assert_eq!(made.load(Ordering::Relaxed), pools, "{pause} ms");
        }
        generations.0.current.lock().unwrap().used += Duration::from_secs(60);
        generations.call(HttpRequest::empty()).await.unwrap_err();
        assert_eq!(made.load(Ordering::Relaxed), 4, "wall clock went backwards");
    }
}
