//! Wall clock of the function. The monotonic clock is Tokio's.
//!
//! In Lambda this is the system's clock. A simulation replaces it together with Tokio's, so that hours of timeouts take
//! milliseconds, and so that the two can drift apart: while Lambda freezes a process, the wall clock goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A wall clock. Clones of a simulated clock are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Simulated>);

#[derive(Clone, Debug)]
struct Simulated {
    start: Instant,
    start_at: DateTime<Utc>,
    /// Milliseconds by which this clock is ahead of Tokio's.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// Returns a clock that starts at `start_at` and goes on with Tokio's clock.
    pub fn simulated(start_at: DateTime<Utc>) -> Self {
        Self(Some(Simulated { start: Instant::now(), start_at, ahead: Arc::default() }))
    }

    /// Returns the time.
    pub fn now(&self) -> DateTime<Utc> {
        let Some(Simulated { start, start_at, ahead }) = &self.0 else { return Utc::now() };
        let ahead = chrono::TimeDelta::milliseconds(ahead.load(Ordering::Relaxed));
        *start_at + start.elapsed() + ahead
    }

    /// Sets a simulated clock forward, as if the process had been frozen.
    pub fn advance(&self, by: Duration) {
        if let Some(simulated) = &self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            simulated.ahead.fetch_add(by, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn simulated_clock_advances_with_tokio_and_by_jumps() {
        let start: DateTime<Utc> = "2026-11-24T03:00:00Z".parse().unwrap();
        let clock = Clock::simulated(start);
        let clone = clock.clone();
        clock.advance(Duration::from_secs(600));
        let ahead = clone.now() - start;
        assert!(ahead.num_seconds() >= 600 && ahead.num_seconds() < 660, "{ahead}");
    }

    #[test]
    fn default_clock_is_the_systems() {
        let clock = Clock::default();
        clock.advance(Duration::from_secs(600));
        assert!((clock.now() - Utc::now()).num_seconds().abs() < 60);
    }
}
