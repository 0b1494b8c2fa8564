//! Lambda's context of one invocation -> [`Invocation`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::names::AccountId;

/// One invocation of this function, as Lambda describes it.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's ID of the invocation.
    pub request_id: String,
    /// Own account. None if the function's ARN does not have it.
    pub account: Option<AccountId>,
    /// Name of this function. Empty if the function's ARN does not have it.
    pub function: String,
    /// ID of the SQS message, for an item of a batch.
    pub message_id: Option<String>,
    /// Number of deliveries of that message by SQS, this one included. None if SQS does not say it.
    pub receive_count: Option<u32>,
    /// Start, by the monotonic clock.
    pub started: Instant,
    /// Start, by the wall clock.
    pub started_at: DateTime<Utc>,
    /// When work must have ended.
    pub deadline: Deadline,
    /// Whether this is the first invocation of the process.
    pub cold_start: bool,
    /// Wall clock of the function.
    pub clock: Clock,
}

impl Invocation {
    /// Reads Lambda's context: request ID, ARN of the function, and deadline in epoch milliseconds.
    pub fn new(request_id: &str, function_arn: &str, deadline_ms: u64, cold_start: bool, clock: &Clock) -> Self {
        let started_at = clock.now();
        let now = u64::try_from(started_at.timestamp_millis()).unwrap_or_default();
        // arn:aws:lambda:REGION:ACCOUNT:function:NAME, and perhaps a version.
        let part = |place| function_arn.split(':').nth(place);
        Self {
            request_id: request_id.to_owned(),
            message_id: None,
            receive_count: None,
            account: part(4).and_then(|account| account.parse().ok()),
            function: part(6).unwrap_or_default().to_owned(),
            started: Instant::now(),
            started_at,
            deadline: Deadline::new(Duration::from_millis(deadline_ms.saturating_sub(now))),
            cold_start,
            clock: clock.clone(),
        }
    }
}

#[cfg(test)]
impl Invocation {
    /// An invocation of one minute.
    pub(crate) fn for_tests() -> Self {
        let deadline = Utc::now().timestamp_millis() + 60_000;
        let arn = "arn:aws:lambda:us-east-1:012345678912:function:responder";
        Self::new("invocation-1", arn, deadline.unsigned_abs(), true, &Clock::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn account_and_function_come_from_the_arn() {
        let invocation = Invocation::for_tests();
        assert_eq!(invocation.account, "012345678912".parse().ok());
        assert_eq!(invocation.function, "responder");
        let invocation = Invocation::new("r", "not an ARN", u64::MAX, false, &Clock::default());
        assert_eq!((invocation.account, invocation.function.as_str()), (None, ""));
    }
}
