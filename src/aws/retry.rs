//! Retries and timeouts of all SDKs.
//!
//! Retrying is harmless for each call of this function: calls to Lightsail only read, except for the delete, and a
//! second delete of a key finds it gone.

use std::time::Duration;

use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use memchr::memmem;

use crate::deadline::Timeouts;

/// Returns the SDK's standard retries: of throttling, 5xx, lost connections and timeouts, with jitter.
pub(super) fn config(timeouts: &Timeouts) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(timeouts.max_attempts)
        .with_initial_backoff(timeouts.initial_backoff)
        .with_max_backoff(timeouts.max_backoff)
}

/// Returns the timeouts of calls that read. The [pool](super::pool) has that of connecting, and the SDK itself has none.
pub(super) fn timeouts(timeouts: &Timeouts) -> TimeoutConfig {
    limits(timeouts.attempt, timeouts.call)
}

/// Returns the timeouts of the delete.
pub(super) fn delete_timeouts(timeouts: &Timeouts) -> TimeoutConfig {
    limits(timeouts.delete_attempt, timeouts.delete_call)
}

/// Returns the timeouts of the reads of a search.
pub(super) fn search_timeouts(timeouts: &Timeouts) -> TimeoutConfig {
    limits(timeouts.attempt, timeouts.search_call)
}

fn limits(attempt: Duration, call: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(call).build()
}

/// Returns a partition without a retry quota. The SDK's own quota is used up by some nine failed calls, and a function
/// that stays warm in a storm would then try everything only once. The attempts of one call are limited anyway.
pub(super) fn unlimited() -> RetryPartition {
    RetryPartition::custom("lightsail-key-responder").token_bucket(TokenBucket::unlimited()).build()
}

/// Error codes with which AWS gives up on a request halfway, although they come with HTTP 400 and 408. The request may
/// have been carried out ("Common error types" of Lightsail's API reference: the first is for "when a request is
/// aborted before a reply is sent back").
pub(super) const GAVE_UP: [&str; 3] = ["RequestAbortedException", "RequestTimeoutException", "RequestTimeout"];

/// Returns whether AWS refused the request, so that it had no effect. False if the response does not say so: with HTTP
/// 5xx, without its body, or with a code of [`GAVE_UP`].
pub(super) fn is_refusal(response: &HttpResponse) -> bool {
    response.status().is_client_error() && response.body().bytes().is_some() && !gave_up(response)
}

/// Returns whether AWS gave up on the request. The code is searched for as text, because each protocol of AWS has
/// another place for it. Another error that mentions it is taken for it, which errs on the side of caution.
fn gave_up(response: &HttpResponse) -> bool {
    let header = response.headers().get("x-amzn-errortype").unwrap_or_default();
    let body = response.body().bytes().unwrap_or_default();
    let names = |code: &&str| header.contains(code) || memmem::find(body, code.as_bytes()).is_some();
    let status = response.status();
    status.as_u16() == 408 || (status.is_client_error() && GAVE_UP.iter().any(names))
}

/// Retries responses that cannot be parsed and have HTTP 200, and requests that AWS gave up on. The SDK's own rules
/// retry only the codes `RequestTimeout` and `RequestTimeoutException` of these (aws-runtime, `TRANSIENT_ERRORS`).
#[derive(Debug)]
pub(super) struct TransientResponses;

impl ClassifyRetry for TransientResponses {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().is_some_and(|result| result.is_err());
        let transient = |response: &HttpResponse| response.status().is_success() || gave_up(response);
        if failed && context.response().is_some_and(transient) {
            RetryAction::transient_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "transient responses"
    }
}
