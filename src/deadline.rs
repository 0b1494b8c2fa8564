//! The invocation's deadline -> time left to work in, and pauses that fit into it.
//!
//! Lambda kills the process at the deadline, and a killed process leaves no record. Invariant: nothing that is bounded
//! by a [`Deadline`] runs into the [reserve](Deadline::new) kept for writing the record and answering.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

/// Kept back for the record and the answer. At 128 MB a function has 7 % of a processor, so this is generous.
const RESERVE: Duration = Duration::from_secs(1);

/// Lambda's longest time-out (Lambda quotas). Whoever claims more is not Lambda, and time must not overflow.
const LONGEST_INVOCATION: Duration = Duration::from_secs(900);

/// The first pause between two looks at something unfinished, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When work must have ended.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    work_ends: Instant,
}

/// The time for work is over. Caused by slow answers or a short function timeout; what was under way when it struck may
/// still be carried out by AWS.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the time for this invocation ran out")]
pub struct DeadlineReached;

impl Deadline {
    /// A deadline for an invocation that Lambda ends `remaining` from now. A quarter of a short time is reserved, so
    /// that even a function with a timeout of one second tries.
    pub fn new(remaining: Duration) -> Self {
        let remaining = remaining.min(LONGEST_INVOCATION);
        let reserve = RESERVE.min(remaining / 4);
        Self { work_ends: Instant::now() + remaining.saturating_sub(reserve) }
    }

    /// An earlier deadline for work after which more must fit: by `early`, or by half of what is left if that is less.
    pub fn less(self, early: Duration) -> Self {
        let left = self.work_ends.saturating_duration_since(Instant::now());
        Self { work_ends: self.work_ends - early.min(left / 2) }
    }

    /// Runs `work` until it ends or the time is over; then it is dropped.
    pub async fn within<T>(self, work: impl Future<Output = T>) -> Result<T, DeadlineReached> {
        tokio::time::timeout_at(self.work_ends, work).await.map_err(|_| DeadlineReached)
    }

    /// Pauses that grow from 100 ms by half each time to 2 s, and end when no whole pause fits any more.
    pub fn pauses(self) -> Pauses {
        Pauses { next: FIRST_PAUSE, deadline: self }
    }
}

/// See [`Deadline::pauses`].
#[derive(Debug)]
pub struct Pauses {
    next: Duration,
    deadline: Deadline,
}

impl Pauses {
    /// Sleeps for one pause, or says at once that it would not end in time.
    pub async fn pause(&mut self) -> Result<(), DeadlineReached> {
        let ends = Instant::now() + self.next;
        if ends >= self.deadline.work_ends {
            return Err(DeadlineReached);
        }
        tokio::time::sleep_until(ends).await;
        self.next = (self.next * 3 / 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_is_kept_for_the_record_and_a_quarter_of_a_short_time() {
        let now = Instant::now();
        for (remaining, work) in [(60_000, 59_000), (4_000, 3_000), (1_000, 750), (0, 0)] {
            let ends = Deadline::new(Duration::from_millis(remaining)).work_ends - now;
            let work = Duration::from_millis(work);
            assert!(ends >= work && ends < work + Duration::from_millis(100), "{remaining}: {ends:?}");
        }
    }

    #[tokio::test]
    async fn work_that_does_not_end_is_dropped_at_the_deadline() {
        let deadline = Deadline::new(Duration::from_millis(40));
        assert_eq!(deadline.within(std::future::pending::<()>()).await, Err(DeadlineReached));
        assert_eq!(deadline.within(std::future::ready(7)).await, Ok(7));
    }

    #[tokio::test]
    async fn pauses_grow_and_end_before_the_deadline() {
        let started = Instant::now();
        let deadline = Deadline::new(Duration::from_millis(1_000));
        let mut pauses = deadline.pauses();
        let mut taken = 0;
        while pauses.pause().await.is_ok() {
            taken += 1;
        }
        // 100 + 150 + 225 = 475; the next, 337, would end at 812 of 750.
        assert_eq!(taken, 3);
        assert!(started.elapsed() < Duration::from_millis(750));
    }
}
