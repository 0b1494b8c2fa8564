//! Retries and timeouts of all SDKs.
//!
//! Retrying is harmless for each call of this function: calls to Lightsail only read, except for the delete, and a
//! second delete of a key finds it gone.

use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::deadline::Timeouts;

/// Returns the SDK's standard retries: of throttling, 5xx, lost connections and timeouts, with jitter.
pub(super) fn config(timeouts: &Timeouts) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(timeouts.max_attempts)
        .with_initial_backoff(timeouts.initial_backoff)
        .with_max_backoff(timeouts.max_backoff)
}

/// Returns the timeouts. The SDK itself has one for connecting only.
pub(super) fn timeouts(timeouts: &Timeouts) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(timeouts.connect)
        .operation_attempt_timeout(timeouts.attempt)
        .operation_timeout(timeouts.call)
        .build()
}

/// Returns a partition without a retry quota. The SDK's own quota is used up by some nine failed calls, and a function
/// that stays warm in a storm would then try everything only once. The attempts of one call are limited anyway.
pub(super) fn unlimited() -> RetryPartition {
    RetryPartition::custom("lightsail-key-responder").token_bucket(TokenBucket::unlimited()).build()
}

/// Retries responses with HTTP 200 that cannot be parsed. The SDK's own rules give up on them.
#[derive(Debug)]
pub(super) struct MalformedResponses;

impl ClassifyRetry for MalformedResponses {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().is_some_and(|result| result.is_err());
        let succeeded = context.response().is_some_and(|response| response.status().is_success());
        if failed && succeeded { RetryAction::transient_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "malformed responses"
    }
}
