//! A result that several keys await, and that is computed once.
//!
//! Every key that awaits it drives it, so it goes on when the first one has lost interest. When all have, it is dropped
//! with everything that it holds, and the next key starts anew. Kept but not polled, it would hold a permit or a lock for
//! which another key waits.

use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared, ready};

/// A result, or the computation of it.
pub(super) struct Once<'a, T: Clone> {
    result: Arc<OnceLock<T>>,
    running: Option<WeakShared<BoxFuture<'a, T>>>,
}

impl<T: Clone> Default for Once<'_, T> {
    fn default() -> Self {
        Self { result: Arc::default(), running: None }
    }
}

impl<'a, T: Clone + Send + Sync + 'a> Once<'a, T> {
    /// Returns the result if it is known.
    pub(super) fn get(&self) -> Option<&T> {
        self.result.get()
    }

    /// Returns a future of the result. Starts the computation unless it is running or has ended.
    pub(super) fn get_or_start<F>(&mut self, start: impl FnOnce() -> F) -> Shared<BoxFuture<'a, T>>
    where
        F: Future<Output = T> + Send + 'a,
    {
        if let Some(result) = self.result.get() {
            return ready(result.clone()).boxed().shared();
        }
        if let Some(running) = self.running.as_ref().and_then(WeakShared::upgrade) {
            return running;
        }
        let (computing, result) = (start(), Arc::clone(&self.result));
        let computing = async move {
            let computed = computing.await;
            result.get_or_init(|| computed).clone()
        };
        let computing = computing.boxed().shared();
        self.running = computing.downgrade();
        computing
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiters_share_one_computation() {
        let mut once = Once::default();
        let compute = |value: u8| async move {
            sleep(Duration::from_secs(1)).await;
            value
        };
        let first = once.get_or_start(|| compute(1));
        let second = once.get_or_start(|| compute(2));
        // The first one loses interest halfway.
        assert!(timeout(Duration::from_millis(500), first).await.is_err());
        let started = tokio::time::Instant::now();
        assert_eq!((second.await, started.elapsed()), (1, Duration::from_millis(500)));
        assert_eq!(once.get(), Some(&1));
        assert_eq!(once.get_or_start(|| compute(3)).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_computation_is_dropped() {
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        let held = Arc::clone(&lock);
        let mut once = Once::default();
        let hanging = once.get_or_start(|| async move {
            let _held = held.lock().await;
            std::future::pending().await
        });
        assert!(timeout(Duration::from_secs(1), hanging).await.is_err());
        assert!(lock.try_lock().is_ok() && once.get().is_none());
        assert_eq!(once.get_or_start(|| ready(4)).await, 4);
    }
}
