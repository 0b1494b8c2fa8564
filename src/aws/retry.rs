//! An answer that cannot be read is worth another attempt: the SDK's own rules would give up on it.
//!
//! To repeat is harmless for each of our calls: those to Lightsail only read, but for the delete, and a second delete of a key finds it gone.

use aws_sdk_lightsail::config::interceptors::InterceptorContext;
use aws_sdk_lightsail::config::retry::{ClassifyRetry, RetryAction};

/// Retries what came with HTTP 200 and could not be parsed.
#[derive(Debug)]
pub struct Unreadable;

impl ClassifyRetry for Unreadable {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().is_some_and(|result| result.is_err());
        let answered = context.response().is_some_and(|response| response.status().is_success());
        if failed && answered { RetryAction::transient_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "an answer that cannot be read"
    }
}
