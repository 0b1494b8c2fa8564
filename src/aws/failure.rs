//! SDK error -> [`Failure`]: what an operator and a retry need to know of it, and nothing that must not be printed.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use serde::Serialize;

use super::{Transmission, retry};
use crate::safe_text::SafeText;

/// The only call with an effect that a failure may hide.
pub(super) const DELETE: &str = "DeleteBucketAccessKey";

pub(super) type SdkError<E> = result::SdkError<E, HttpResponse>;

/// A call that failed. Its `Display` is fit for a log line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// API operation, such as `DeleteBucketAccessKey`.
    pub operation: &'static str,
    /// Kind of failure.
    pub kind: FailureKind,
    /// AWS's error code.
    pub code: Option<SafeText>,
    /// AWS's message, or this function's own if there was no response.
    pub message: Option<SafeText>,
    /// AWS's ID of the request.
    pub request_id: Option<String>,
    /// Number of attempts.
    pub attempts: u32,
    /// Whether the same call may succeed a few minutes later.
    pub retryable: bool,
    /// Whether AWS may have deleted the key although the call failed.
    pub may_have_taken_effect: bool,
}

/// Kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Key gone, bucket gone, wrong bucket or wrong Region: never success by itself.
    NotFound,
    /// Denied by IAM or by a policy of the organisation.
    AccessDenied,
    /// Credentials not accepted: expired, unknown, or of an account that has not enabled the Region.
    Unauthenticated,
    /// Request rejected as invalid.
    InvalidInput,
    /// Throttled on every attempt.
    Throttled,
    /// Account or Region being set up: "wait a few minutes and try again" (API reference).
    SetupInProgress,
    /// Error inside AWS.
    ServiceFault,
    /// An operation that AWS accepted ended as `Failed`.
    OperationFailed,
    /// Unreachable, connection lost, timeout, or AWS gave up on the request halfway.
    NoResponse,
    /// A response that cannot be parsed, or that lacks what was asked for.
    MalformedResponse,
    /// Deadline of the invocation reached during the call.
    DeadlineExceeded,
    /// Account in which this function may not act.
    ForeignAccount,
    /// Region without Lightsail, as far as is known.
    UnknownRegion,
    /// Panic of this function's own code.
    Panicked,
    /// Any other error of AWS.
    Other,
}

impl Failure {
    /// Maps an SDK error. Only a delete can have taken effect: all other calls read.
    pub(super) fn from_sdk<E>(operation: &'static str, error: &SdkError<E>, transmission: &Transmission) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        use result::SdkError as Sdk;
        let (kind, message) = match error {
            // The SDK reports a response that it cannot parse as an error of the service.
            Sdk::ServiceError(service) if service.raw().status().is_success() => {
                (FailureKind::MalformedResponse, Some("malformed response"))
            }
            Sdk::ServiceError(service) => {
                let meta = service.err();
                let status = service.raw().status().as_u16();
                (kind(meta.code().unwrap_or_default(), meta.message().unwrap_or_default(), status), meta.message())
            }
            Sdk::ResponseError(response) if response.raw().status().is_server_error() => {
                (FailureKind::ServiceFault, Some("server error without an AWS error body"))
            }
            Sdk::ResponseError(_) => (FailureKind::MalformedResponse, Some("malformed response")),
            Sdk::TimeoutError(_) => (FailureKind::NoResponse, Some("timeout")),
            Sdk::DispatchFailure(failure) if failure.is_timeout() => (FailureKind::NoResponse, Some("timeout")),
            Sdk::DispatchFailure(_) if transmission.was_sent() => (FailureKind::NoResponse, Some("connection lost")),
            Sdk::DispatchFailure(_) => {
                let message = format!("no connection: {}", root_cause(error));
                return Self::new(operation, FailureKind::NoResponse, Some(&message), transmission);
            }
            _ => (FailureKind::Other, Some("the request could not be built")),
        };
        Self {
            code: error.code().map(SafeText::of),
            request_id: error.request_id().map(str::to_owned),
            ..Self::new(operation, kind, message, transmission)
        }
    }

    /// A response that does not hold what was asked for.
    pub(super) fn malformed_response(operation: &'static str, what: &str, transmission: &Transmission) -> Self {
        Self::new(operation, FailureKind::MalformedResponse, Some(what), transmission)
    }

    /// The deadline of the invocation was reached during the call.
    pub(super) fn deadline_exceeded(operation: &'static str, transmission: &Transmission) -> Self {
        Self::new(operation, FailureKind::DeadlineExceeded, Some("deadline of the invocation exceeded"), transmission)
    }

    /// The operation of an accepted delete ended as `Failed`.
    pub fn operation_failed(code: Option<SafeText>, details: Option<SafeText>, delete: &Transmission) -> Self {
        Self { code, message: details, ..Self::new(DELETE, FailureKind::OperationFailed, None, delete) }
    }

    /// The alert names a Region that this build does not know, and AWS's list of Regions does not have it, or could not
    /// be read. Nothing was sent.
    pub fn unknown_region(is_list_read: bool) -> Self {
        let message = if is_list_read {
            "Lightsail has no such Region, as far as AWS and this build know"
        } else {
            "this build does not know the Region, and AWS's list of Regions could not be read"
        };
        Self::new("GetRegions", FailureKind::UnknownRegion, Some(message), &Transmission::default())
    }

    /// The call was not sent, because Region or service had not responded to other calls.
    pub fn not_asked(operation: &'static str) -> Self {
        let message = "not sent, because there was no response to earlier calls";
        Self::new(operation, FailureKind::NoResponse, Some(message), &Transmission::default())
    }

    /// The deadline of the invocation was reached before the call was sent.
    pub fn not_in_time(operation: &'static str) -> Self {
        Self::deadline_exceeded(operation, &Transmission::default())
    }

    /// The account may own the key, and `ALLOWED_ACCOUNTS` does not have it. Nothing was sent.
    pub fn foreign_account() -> Self {
        let message = "ALLOWED_ACCOUNTS does not have this account";
        Self::new("AssumeRole", FailureKind::ForeignAccount, Some(message), &Transmission::default())
    }

    /// This function's own code panicked, with or without a delete in flight.
    pub fn panicked(may_have_taken_effect: bool) -> Self {
        let message = "this function's own code panicked; the log line before this one says where";
        let none = Transmission::default();
        Self { may_have_taken_effect, ..Self::new(DELETE, FailureKind::Panicked, Some(message), &none) }
    }

    fn new(operation: &'static str, kind: FailureKind, message: Option<&str>, transmission: &Transmission) -> Self {
        use FailureKind::{
            DeadlineExceeded, MalformedResponse, NoResponse, OperationFailed, ServiceFault, SetupInProgress, Throttled,
        };
        let retryable = matches!(
            kind,
            Throttled
                | SetupInProgress
                | ServiceFault
                | OperationFailed
                | NoResponse
                | MalformedResponse
                | DeadlineExceeded
        );
        Self {
            operation,
            kind,
            code: None,
            message: message.map(SafeText::of),
            request_id: None,
            attempts: transmission.attempts(),
            retryable,
            may_have_taken_effect: operation == DELETE && transmission.may_have_taken_effect(),
        }
    }

    /// Returns whether `other` is a failure of the same call for the same reason. A call that was sent is not like one
    /// that was not.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.operation, self.kind, &self.code, self.was_sent())
            == (other.operation, other.kind, &other.code, other.was_sent())
    }

    /// Returns whether a request was sent.
    pub fn was_sent(&self) -> bool {
        self.attempts > 0
    }

    /// Returns whether AWS gave no response at all.
    pub fn is_silence(&self) -> bool {
        self.kind == FailureKind::NoResponse && self.code.is_none()
    }

    /// Returns whether AWS refuses the caller rather than this request, so that other calls would be refused too.
    pub fn refuses_caller(&self) -> bool {
        matches!(self.kind, FailureKind::AccessDenied | FailureKind::Unauthenticated)
    }
}

#[cfg(test)]
impl Failure {
    /// A failed delete with this error code.
    pub(crate) fn for_tests(code: &str) -> Self {
        let none = Transmission::default();
        Self { code: Some(SafeText::of(code)), ..Self::new(DELETE, kind(code, "", 400), None, &none) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation)?;
        match (&self.code, &self.message) {
            (Some(code), Some(message)) => write!(f, "{code}, {message}"),
            (Some(text), None) | (None, Some(text)) => write!(f, "{text}"),
            (None, None) => write!(f, "{:?}", self.kind),
        }?;
        match self.attempts {
            0 | 1 => Ok(()),
            attempts => write!(f, " ({attempts} attempts)"),
        }
    }
}

/// Returns the innermost cause, such as "connection refused" or an error of the peer's certificate. It comes from the
/// local network stack, so it is not untrusted text.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(earlier) = cause.source() {
        cause = earlier;
    }
    cause.to_string()
}

/// Maps an error code. Sources: API model of Lightsail; "Common error types" of Lightsail's API reference, and "Common
/// errors" of STS's, which has other names for some; the SDK's list of throttling codes.
fn kind(code: &str, message: &str, status: u16) -> FailureKind {
    match code {
        "NotFoundException" => FailureKind::NotFound,
        // Terraform's provider: "Some Operations do not properly return the types.NotFoundException error".
        _ if message.contains("DoesNotExist") || code == "DoesNotExist" => FailureKind::NotFound,
        // The account has no subscription for the service (`OptInRequired`), or the caller no permission.
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" | "OptInRequired" => {
            FailureKind::AccessDenied
        }
        "UnauthenticatedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => FailureKind::Unauthenticated,
        // The same request would be rejected again.
        "InvalidInputException"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "MalformedHttpRequestException"
        | "RequestEntityTooLargeException"
        | "UnknownOperationException" => FailureKind::InvalidInput,
        "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            FailureKind::Throttled
        }
        _ if retry::GAVE_UP.contains(&code) => FailureKind::NoResponse,
        "RegionSetupInProgressException" | "AccountSetupInProgressException" => FailureKind::SetupInProgress,
        "ServiceException"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "OperationFailureException" => FailureKind::ServiceFault,
        _ if status >= 500 => FailureKind::ServiceFault,
        _ if status == 429 => FailureKind::Throttled,
        _ if status == 408 => FailureKind::NoResponse,
        _ => FailureKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::FailureKind::{AccessDenied, InvalidInput, NoResponse, Other, ServiceFault, Throttled, Unauthenticated};
    use super::*;

    #[test]
    fn common_error_has_its_kind() {
        for (code, status, expected) in [
            ("NotAuthorized", 401, AccessDenied),
            ("OptInRequired", 403, AccessDenied),
            ("IncompleteSignature", 403, Unauthenticated),
            ("MissingAuthenticationToken", 403, Unauthenticated),
            ("ValidationError", 400, InvalidInput),
            ("MalformedHttpRequestException", 400, InvalidInput),
            ("RequestEntityTooLargeException", 413, InvalidInput),
            ("UnknownOperationException", 404, InvalidInput),
            ("RequestAbortedException", 400, NoResponse),
            ("RequestTimeoutException", 408, NoResponse),
            ("", 408, NoResponse),
            ("", 429, Throttled),
            ("", 503, ServiceFault),
            ("SomethingNew", 400, Other),
        ] {
            assert_eq!(kind(code, "", status), expected, "{code} {status}");
        }
    }
}
