//! Calls of a search to one Region, or to STS: how many are in flight, and whether there are responses at all.
//!
//! Without this, a Region that hangs would cost each of 300 accounts the timeout of a call. Invariant: a Region that
//! left a call unanswered, and has answered no other since that call began, is not called again before the second pass.
//! There one call tries, and the others follow if it gets a response.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{self, Semaphore};
use tokio::time::Instant;

use crate::aws::Failure;
use crate::deadline::Deadline;

/// Reads of a search that are in flight in one Region, for all keys and accounts together. Each may need a connection
/// with a TLS handshake, and a process in Lambda has 1,024 file descriptors (Lambda quotas). Deletes, and the reads that
/// verify them, do not wait for reads of a search.
pub(super) const IN_FLIGHT: usize = 8;

/// Pass of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pass {
    /// Reads everything.
    First,
    /// Reads what the first pass could not, for a reason that may be gone.
    Second,
}

/// Calls to one Region.
#[derive(Debug)]
pub(super) struct Lane {
    permits: Semaphore,
    /// Held by the call of the second pass that tries whether the Region responds again.
    trying: sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    health: Health,
    responded: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Health {
    #[default]
    Responding,
    /// A call was left unanswered.
    Silent,
    /// One of the second pass was, too.
    GivenUp,
}

impl Default for Lane {
    fn default() -> Self {
        Self { permits: Semaphore::new(IN_FLIGHT), trying: sync::Mutex::default(), state: Mutex::default() }
    }
}

impl Lane {
    /// Makes a call once the concurrency limit allows it, or fails without making it if the Region does not respond.
    pub(super) async fn call<T>(
        &self,
        pass: Pass,
        deadline: Deadline,
        operation: &'static str,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let in_time = || Failure::not_in_time(operation);
        // The semaphore is never closed.
        let _permit = deadline.within(self.permits.acquire()).await.map_err(|_| in_time())?;
        let mut trying = None;
        if pass == Pass::Second && self.health() == Health::Silent {
            trying = Some(deadline.within(self.trying.lock()).await.map_err(|_| in_time())?);
        }
        match self.health() {
            Health::Responding => trying = None,
            Health::Silent if trying.is_some() => {}
            Health::Silent | Health::GivenUp => return Err(Failure::not_asked(operation)),
        }
        let began = Instant::now();
        let result = call.await;
        self.note(began, result.as_ref().err(), trying.is_some());
        result
    }

    fn health(&self) -> Health {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).health
    }

    fn note(&self, began: Instant, failure: Option<&Failure>, is_try: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silence = failure.is_some_and(Failure::is_silence);
        if is_silence && state.responded.is_none_or(|at| at < began) {
            state.health = if is_try { Health::GivenUp } else { Health::Silent };
        } else if !is_silence {
            *state = State { health: Health::Responding, responded: Some(Instant::now()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Duration;

    use super::*;

    async fn call(lane: &Lane, pass: Pass, seconds: u64, responds: bool) -> bool {
        let deadline = Deadline::new(Duration::from_secs(60));
        let answer = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if responds { Ok(()) } else { Err(Failure::not_asked("GetBuckets")) }
        };
        lane.call(pass, deadline, "GetBuckets", answer).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn silent_region_is_not_called_again() {
        let lane = Lane::default();
        assert!(!call(&lane, Pass::First, 1, false).await);
        let started = Instant::now();
        assert!(!call(&lane, Pass::First, 1, true).await && started.elapsed().is_zero());
        // The first call of the second pass fails, and the others are not made.
        let (one, other) = tokio::join!(call(&lane, Pass::Second, 1, false), call(&lane, Pass::Second, 1, true));
        assert!(!one && !other && started.elapsed() == Duration::from_secs(1));
        assert!(!call(&lane, Pass::Second, 1, true).await);
    }

    #[tokio::test(start_paused = true)]
    async fn second_pass_goes_on_after_response() {
        let lane = Lane::default();
        assert!(!call(&lane, Pass::First, 1, false).await);
        let (one, other) = tokio::join!(call(&lane, Pass::Second, 1, true), call(&lane, Pass::Second, 1, true));
        assert!(one && other && call(&lane, Pass::First, 1, true).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_call_among_others_is_no_silence() {
        let lane = Lane::default();
        let (lost, answered) = tokio::join!(call(&lane, Pass::First, 2, false), call(&lane, Pass::First, 1, true));
        assert!(!lost && answered && call(&lane, Pass::First, 1, true).await);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_in_flight_are_limited() {
        let (lane, started) = (Lane::default(), Instant::now());
        let calls = (0..IN_FLIGHT + 1).map(|_| call(&lane, Pass::First, 1, true));
        futures_util::future::join_all(calls).await;
        assert_eq!(started.elapsed(), Duration::from_secs(2));
        let late = lane.call(Pass::First, Deadline::new(Duration::ZERO), "GetBuckets", ready(Ok(()))).await;
        assert!(late.is_ok(), "a free permit needs no time");
    }
}
