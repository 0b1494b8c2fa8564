//! How long one thing may take, and how often it is tried: every interval of this function in one place.
//!
//! Invariant: whatever stands here, nothing goes on past the invocation's [deadline](crate::deadline::Deadline). Only
//! [`Pace::verify_for`] is an operator's to choose; the rest differs only where a test has no minutes to wait.

use std::time::Duration;

/// Limits and pauses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For a TCP and TLS handshake. Within AWS it takes a few milliseconds; a host that has not answered in a second will
    /// not.
    pub connect: Duration,
    /// For one attempt, connecting included. The SDK has no limit of its own: a peer that accepts and never answers would
    /// hold us until Lambda kills the process. Nobody has published how long Lightsail takes; its other calls end within
    /// a second.
    pub attempt: Duration,
    /// For one call with all its attempts and pauses. Five attempts of 3 s fit, and one dead Region cannot use up a
    /// minute.
    pub call: Duration,
    /// Attempts of one call, where another can help.
    pub attempts: u32,
    /// The first pause between two attempts; it doubles, and the SDK takes a random part of it. The SDK's own first pause
    /// is a second.
    pub first_backoff: Duration,
    /// The longest pause between two attempts.
    pub longest_backoff: Duration,
    /// The first pause between two looks at something unfinished; it grows by half.
    pub first_pause: Duration,
    /// The longest pause between two looks.
    pub longest_pause: Duration,
    /// How long a key that is still listed after its delete is looked for again.
    pub verify_for: Duration,
    /// How long records may take to reach their event bus, with all attempts: the answer waits for it, and the log has
    /// them already.
    pub publish: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            attempt: Duration::from_secs(3),
            call: Duration::from_secs(18),
            attempts: 5,
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(2),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(2),
            verify_for: Duration::from_secs(10),
            publish: Duration::from_secs(5),
        }
    }
}
