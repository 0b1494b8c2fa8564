//! The invocation's deadline -> time left to work in, and pauses that fit into it.
//!
//! Lambda kills the process at the deadline, and a killed process leaves no record. Invariant: nothing that is bounded
//! by a [`Deadline`] runs into the [reserve](Deadline::new) kept for writing the record and answering.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::pace::Pace;

/// Kept back for the record and the answer. At 128 MB a function has 7 % of a processor, so this is generous.
const RESERVE: Duration = Duration::from_secs(1);

/// Lambda's longest time-out (Lambda quotas). Whoever claims more is not Lambda, and time must not overflow.
const LONGEST_INVOCATION: Duration = Duration::from_secs(900);

/// When work must have ended.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    work_ends: Instant,
    /// What is kept back after it.
    reserve: Duration,
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
        Self { work_ends: Instant::now() + remaining.saturating_sub(reserve), reserve }
    }

    /// An earlier deadline for work after which more must fit: by `early`, or by a third of what is left if that is less.
    pub fn less(self, early: Duration) -> Self {
        Self { work_ends: self.work_ends - early.min(self.left() / 3), ..self }
    }

    /// This deadline, or an earlier one `time` from now.
    pub fn at_most(self, time: Duration) -> Self {
        Self { work_ends: self.work_ends.min(Instant::now() + time), ..self }
    }

    /// A later deadline, for what is done with the records once they are written: a third of the reserve may go into it.
    pub fn after_work(self) -> Self {
        Self { work_ends: self.work_ends + self.reserve / 3, ..self }
    }

    /// The time left to work in.
    pub fn left(self) -> Duration {
        self.work_ends.saturating_duration_since(Instant::now())
    }

    /// Runs `work` until it ends or the time is over; then it is dropped.
    pub async fn within<T>(self, work: impl Future<Output = T>) -> Result<T, DeadlineReached> {
        tokio::time::timeout_at(self.work_ends, work).await.map_err(|_| DeadlineReached)
    }

    /// Pauses that grow by half each time, and end when no whole pause fits any more. Each is shortened by up to a
    /// quarter at random, so that copies of this function do not ask in step.
    pub fn pauses(self, pace: &Pace) -> Pauses {
        Pauses { next: pace.first_pause, longest: pace.longest_pause, deadline: self }
    }
}

/// See [`Deadline::pauses`].
#[derive(Debug)]
pub struct Pauses {
    next: Duration,
    longest: Duration,
    deadline: Deadline,
}

impl Pauses {
    /// Sleeps for one pause, or says at once that it would not end in time.
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
        let mut pauses = Deadline::new(Duration::from_millis(1_000)).pauses(&Pace::default());
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

    #[tokio::test]
    async fn an_earlier_deadline_never_makes_it_later() {
        let deadline = Deadline::new(Duration::from_secs(60));
        assert!(deadline.at_most(Duration::from_secs(10)).left() <= Duration::from_secs(10));
        assert!(deadline.at_most(Duration::from_secs(600)).left() <= Duration::from_secs(59));
    }

    #[tokio::test]
    async fn two_thirds_of_the_reserve_are_left_after_what_comes_after_the_work() {
        let left = Deadline::new(Duration::ZERO).after_work().left();
        assert_eq!(left, Duration::ZERO);
        let now = Instant::now();
        let ends = Deadline::new(Duration::from_secs(60)).after_work().work_ends - now;
        assert!(ends >= Duration::from_millis(59_333) && ends < Duration::from_millis(59_433), "{ends:?}");
    }
}
