//! Deadline of an invocation, and every timeout, retry limit and backoff of this function.
//!
//! Lambda kills the process at its deadline, and a killed process leaves no record. Invariant: nothing that is bounded
//! by a [`Deadline`] runs into the [reserve](Deadline::new) for writing the record and answering.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

/// Time reserved for the record and the answer. At 128 MB a function has 7 % of a processor, so this is generous.
const RESERVE: Duration = Duration::from_secs(1);

/// Lambda's longest timeout (Lambda quotas). A longer one cannot come from Lambda and must not overflow.
const LONGEST_INVOCATION: Duration = Duration::from_secs(900);

/// Limits of calls, retries and polling. Operators set [`Timeouts::verify_for`] only, tests all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// DNS, TCP and TLS. Three round trips, which take 0.9 s between the most distant Regions, and the kernel repeats a
    /// lost SYN after one second (RFC 6298).
    pub connect: Duration,
    /// One attempt of a call that reads, connecting included. The SDK has no limit of its own: a peer that accepts and
    /// never answers would block until Lambda kills the process. Lightsail's reads end within a second.
    pub attempt: Duration,
    /// One call that reads, with all attempts and backoff. Five attempts of 3 s fit.
    pub call: Duration,
    /// One call of a search. Three attempts of 3 s fit. A search that meets a hung Region tries twice, and must end
    /// within the time that is kept for it.
    pub search_call: Duration,
    /// One attempt of the delete. AWS has not published how long a delete takes, and the retry of a slow success finds
    /// the key gone, so that the record cannot say what became of the delete.
    pub delete_attempt: Duration,
    /// The delete with all attempts and backoff. Two whole attempts fit, and the usual quick answer to a third. Two
    /// reads and the delete fit into a minute, so that one dead Region cannot use it up.
    pub delete_call: Duration,
    /// Attempts of one call that is retryable.
    pub max_attempts: u32,
    /// First backoff between attempts. It doubles, and the SDK adds jitter. The SDK's own default is one second.
    pub initial_backoff: Duration,
    /// Longest backoff between attempts.
    pub max_backoff: Duration,
    /// First pause between two polls of something unfinished. It grows by half.
    pub initial_pause: Duration,
    /// Longest pause between two polls.
    pub max_pause: Duration,
    /// Time for reading again while a key is still listed after its delete.
    pub verify_for: Duration,
    /// Publishing of records on the event bus, all attempts. The answer waits for it, and the log has the records
    /// already.
    pub publish: Duration,
}

/// When work must have ended.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    work_ends: Instant,
    /// Time between the end of work and Lambda's deadline.
    reserve: Duration,
}

/// The time for work is over. Caused by slow answers or a short function timeout. AWS may still carry out a call that
/// was in flight.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the time for this invocation ran out")]
pub struct DeadlineReached;

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(2_500),
            attempt: Duration::from_secs(3),
            call: Duration::from_secs(18),
            search_call: Duration::from_millis(9_500),
            delete_attempt: Duration::from_secs(10),
            delete_call: Duration::from_secs(22),
            max_attempts: 5,
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            initial_pause: Duration::from_millis(100),
            max_pause: Duration::from_secs(2),
            verify_for: Duration::from_secs(10),
            publish: Duration::from_secs(5),
        }
    }
}

impl Deadline {
    /// Deadline for work in an invocation that Lambda ends `remaining` from now. Reserves a quarter of a short time, so
    /// that a function with a timeout of one second tries too.
    pub fn new(remaining: Duration) -> Self {
        let remaining = remaining.min(LONGEST_INVOCATION);
        let reserve = RESERVE.min(remaining / 4);
        Self { work_ends: Instant::now() + remaining.saturating_sub(reserve), reserve }
    }

    /// Returns a deadline that is `early` earlier, or a third of the time left if that is less.
    pub fn less(self, early: Duration) -> Self {
        Self { work_ends: self.work_ends - early.min(self.left() / 3), ..self }
    }

    /// Returns this deadline, or the earlier one `time` from now.
    pub fn at_most(self, time: Duration) -> Self {
        Self { work_ends: self.work_ends.min(Instant::now() + time), ..self }
    }

    /// Returns a deadline that is later by a third of the reserve, for publishing records that are written already.
    pub fn after_work(self) -> Self {
        Self { work_ends: self.work_ends + self.reserve / 3, ..self }
    }

    /// Returns the time left to work in.
    pub fn left(self) -> Duration {
        self.work_ends.saturating_duration_since(Instant::now())
    }

    /// Runs `work` until it ends, or drops it at the deadline.
    pub async fn within<T>(self, work: impl Future<Output = T>) -> Result<T, DeadlineReached> {
        tokio::time::timeout_at(self.work_ends, work).await.map_err(|_| DeadlineReached)
    }

    /// Returns pauses that grow by half each time and end when a whole pause no longer fits. Jitter shortens each by up
    /// to a quarter, so that copies of this function do not poll in step.
    pub fn pauses(self, timeouts: &Timeouts) -> Pauses {
        Pauses { next: timeouts.initial_pause, longest: timeouts.max_pause, deadline: self }
    }
}

/// Growing pauses between polls: see [`Deadline::pauses`].
#[derive(Debug)]
pub struct Pauses {
    next: Duration,
    longest: Duration,
    deadline: Deadline,
}

impl Pauses {
    /// Sleeps for one pause. Fails at once if the pause would reach the deadline.
    pub async fn pause(&mut self) -> Result<(), DeadlineReached> {
        let ends = Instant::now() + self.next.mul_f64(1.0 - fastrand::f64() / 4.0);
        if ends >= self.deadline.work_ends {
            return Err(DeadlineReached);
        }
        tokio::time::sleep_until(ends).await;
        self.next = (self.next * 3 / 2).min(self.longest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reserve_is_one_second_or_a_quarter() {
        let now = Instant::now();
        for (remaining, work) in [(60_000, 59_000), (4_000, 3_000), (1_000, 750), (0, 0)] {
            let ends = Deadline::new(Duration::from_millis(remaining)).work_ends - now;
            let work = Duration::from_millis(work);
            assert_eq!(ends, work, "{remaining}");
        }
    }

    #[test]
    fn attempts_fit_calls_and_calls_fit_minute() {
        let Timeouts { connect, attempt, call, delete_attempt, delete_call, .. } = Timeouts::default();
        // Backoff of 0.1, 0.2, 0.4 and 0.8 s at most.
        let backoff = Duration::from_millis(1_500);
        assert!(connect < attempt && attempt * 5 + backoff <= call);
        assert!(delete_attempt * 2 + Duration::from_secs(1) < delete_call && connect * 5 + backoff < delete_call);
        // A Region's buckets, a bucket's keys, the delete: the timeout of the template without the reserve.
        assert!(call * 2 + delete_call + RESERVE <= Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn unfinished_work_is_dropped_at_deadline() {
        let deadline = Deadline::new(Duration::from_millis(40));
        assert_eq!(deadline.within(std::future::pending::<()>()).await, Err(DeadlineReached));
        assert_eq!(deadline.within(std::future::ready(7)).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end_before_deadline() {
        let started = Instant::now();
        let mut pauses = Deadline::new(Duration::from_millis(1_000)).pauses(&Timeouts::default());
        let mut taken = Vec::new();
        loop {
            let before = Instant::now();
            if pauses.pause().await.is_err() {
                break;
            }
            taken.push(before.elapsed());
        }
        // At most 100, 150, 225 and 337 ms, each up to a quarter shorter: 750 ms have room for three or four.
        assert!((3..=4).contains(&taken.len()), "{taken:?}");
        assert!(taken[2] > taken[0] && taken[0] >= Duration::from_millis(75), "{taken:?}");
        assert!(started.elapsed() < Duration::from_millis(750));
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_never_extends_deadline() {
        let deadline = Deadline::new(Duration::from_secs(60));
        assert_eq!(deadline.at_most(Duration::from_secs(10)).left(), Duration::from_secs(10));
        assert_eq!(deadline.at_most(Duration::from_secs(600)).left(), Duration::from_secs(59));
    }

    #[tokio::test(start_paused = true)]
    async fn after_work_keeps_two_thirds_of_reserve() {
        let left = Deadline::new(Duration::ZERO).after_work().left();
        assert_eq!(left, Duration::ZERO);
        let now = Instant::now();
        let ends = Deadline::new(Duration::from_secs(60)).after_work().work_ends - now;
        assert_eq!(ends.as_millis(), 59_333);
    }
}
