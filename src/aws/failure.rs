//! SDK error -> [`Failure`]: what a person and a retry need to know of it, and nothing that must not be printed.

use std::error::Error;
use std::fmt;

use aws_sdk_lightsail::config::http::HttpResponse;
use aws_sdk_lightsail::error::ProvideErrorMetadata;
use aws_sdk_lightsail::operation::RequestId;
use serde::Serialize;

use super::Wire;
use crate::safe_text::SafeText;

/// The one call whose work must not be forgotten.
pub(super) const DELETE: &str = "DeleteBucketAccessKey";

pub(crate) type SdkError<E> = aws_sdk_lightsail::error::SdkError<E, HttpResponse>;

/// A Lightsail call that did not end well. Its `Display` is fit for a log line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// The API operation, such as `DeleteBucketAccessKey`.
    pub operation: &'static str,
    /// What happened.
    pub kind: FailureKind,
    /// AWS's error code.
    pub code: Option<SafeText>,
    /// AWS's message, or ours where there was no answer.
    pub message: Option<SafeText>,
    /// AWS's ID of the request.
    pub request_id: Option<String>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Whether the same call may end better a few minutes later.
    pub retryable: bool,
    /// Whether AWS may have done a delete of ours all the same.
    pub may_have_been_carried_out: bool,
}

/// What happened to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Key gone, bucket gone, wrong bucket or wrong Region: never success by itself.
    NotFound,
    /// IAM or an organisation's policy forbids it.
    AccessDenied,
    /// The credentials are not accepted: expired, unknown, or of an account that has not enabled the Region.
    Unauthenticated,
    /// AWS finds the request wrong.
    InvalidInput,
    /// Too many requests, on every attempt.
    Throttled,
    /// The account or Region is being set up: "wait a few minutes and try again" (API reference).
    SetupInProgress,
    /// AWS failed.
    ServiceFault,
    /// An operation that AWS accepted ended as `Failed`.
    OperationFailed,
    /// Not reachable, connection lost, or no answer in time.
    NoAnswer,
    /// An answer that cannot be read.
    GarbledAnswer,
    /// The invocation's time ran out during the call.
    OutOfTime,
    /// The code of this function panicked.
    Panicked,
    /// Anything else that AWS answered.
    Other,
}

impl Failure {
    /// What an SDK's error says. A call that reads does no work that could be done all the same.
    pub(crate) fn from_sdk<E>(operation: &'static str, error: &SdkError<E>, wire: &Wire) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        use aws_sdk_lightsail::error::SdkError as Sdk;
        let (kind, message) = match error {
            // The SDK takes what it cannot parse for an error of the service.
            Sdk::ServiceError(service) if service.raw().status().is_success() => {
                (FailureKind::GarbledAnswer, Some("the answer could not be read"))
            }
            Sdk::ServiceError(service) => {
                let meta = service.err();
                let status = service.raw().status().as_u16();
                (kind(meta.code().unwrap_or_default(), meta.message().unwrap_or_default(), status), meta.message())
            }
            Sdk::ResponseError(response) if response.raw().status().is_server_error() => {
                (FailureKind::ServiceFault, Some("an answer that is not Lightsail's"))
            }
            Sdk::ResponseError(_) => (FailureKind::GarbledAnswer, Some("the answer could not be read")),
            Sdk::TimeoutError(_) => (FailureKind::NoAnswer, Some("no answer in time")),
            Sdk::DispatchFailure(failure) if failure.is_timeout() => (FailureKind::NoAnswer, Some("no answer in time")),
            Sdk::DispatchFailure(_) if wire.was_sent() => (FailureKind::NoAnswer, Some("the connection was lost")),
            Sdk::DispatchFailure(_) => {
                let message = format!("no connection could be made: {}", first_cause(error));
                return Self::new(operation, FailureKind::NoAnswer, Some(&message), wire);
            }
            _ => (FailureKind::Other, Some("the request could not be built")),
        };
        Self {
            code: error.code().map(SafeText::of),
            request_id: error.request_id().map(str::to_owned),
            ..Self::new(operation, kind, message, wire)
        }
    }

    /// An answer that does not hold what was asked for.
    pub(crate) fn garbled(operation: &'static str, what: &str, wire: &Wire) -> Self {
        Self::new(operation, FailureKind::GarbledAnswer, Some(what), wire)
    }

    /// The invocation's time ran out during the call.
    pub(crate) fn out_of_time(operation: &'static str, wire: &Wire) -> Self {
        Self::new(operation, FailureKind::OutOfTime, Some("the time for this invocation ran out"), wire)
    }

    /// A failure that no single call reports: the operation that a delete set going failed, or our own code did.
    pub fn of_delete(kind: FailureKind, code: Option<SafeText>, message: Option<SafeText>, wire: &Wire) -> Self {
        Self { code, message, ..Self::new(DELETE, kind, None, wire) }
    }

    fn new(operation: &'static str, kind: FailureKind, message: Option<&str>, wire: &Wire) -> Self {
        use FailureKind::{
            GarbledAnswer, NoAnswer, OperationFailed, OutOfTime, ServiceFault, SetupInProgress, Throttled,
        };
        let retryable = matches!(
            kind,
            Throttled | SetupInProgress | ServiceFault | OperationFailed | NoAnswer | GarbledAnswer | OutOfTime
        );
        Self {
            operation,
            kind,
            code: None,
            message: message.map(SafeText::of),
            request_id: None,
            attempts: wire.attempts(),
            retryable,
            may_have_been_carried_out: operation == DELETE && wire.may_be_done(),
        }
    }

    /// Whether AWS refuses us, rather than this request: asking again elsewhere would be refused as well.
    pub fn refuses_us(&self) -> bool {
        matches!(self.kind, FailureKind::AccessDenied | FailureKind::Unauthenticated)
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

/// What began it: "connection refused", or what is wrong with the peer's certificate. Of our own stack, not of strangers.
fn first_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(earlier) = cause.source() {
        cause = earlier;
    }
    cause.to_string()
}

/// Codes: API model of Lightsail; "Common errors" of the API reference; the SDK's list of throttling codes.
fn kind(code: &str, message: &str, status: u16) -> FailureKind {
    match code {
        "NotFoundException" => FailureKind::NotFound,
        // Terraform's provider: "Some Operations do not properly return the types.NotFoundException error".
        _ if message.contains("DoesNotExist") || code == "DoesNotExist" => FailureKind::NotFound,
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "OptInRequired" => {
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
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException" => FailureKind::Unauthenticated,
        "InvalidInputException" | "ValidationException" | "SerializationException" => FailureKind::InvalidInput,
        "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            FailureKind::Throttled
        }
        "RegionSetupInProgressException" | "AccountSetupInProgressException" => FailureKind::SetupInProgress,
        "ServiceException"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "OperationFailureException" => FailureKind::ServiceFault,
        _ if status >= 500 => FailureKind::ServiceFault,
        _ if status == 429 => FailureKind::Throttled,
        _ => FailureKind::Other,
    }
}
