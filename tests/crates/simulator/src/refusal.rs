//! Errors as Lightsail and STS send them: one [`Refusal`] for each, with the type, the HTTP
//! status and, for Lightsail, the four members `code`, `docs`, `message` and `tip` of every error
//! shape in botocore's model.
//!
//! The types that Lightsail's model has are HTTP 400, but for `ServiceException`, which is marked
//! `fault` there: 500. The last constructors are of types that the models do not have and AWS
//! sends all the same ("Common Errors" of the APIs). What has to do with the signature has
//! another name and another status in each protocol.

use serde_json::{Value, json};

use crate::{dialect::MissingBucket, service::Service};

const DOCS: &str = "https://docs.aws.amazon.com/lightsail/2016-11-28/api-reference/";

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: String,
    pub(crate) status: u16,
    pub(crate) message: String,
    tip: &'static str,
}

impl Refusal {
    pub(crate) fn new(kind: &str, status: u16, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), status, message: message.into(), tip: "See the message." }
    }

    /// The JSON body. What AWS puts into `code`, `docs` and `tip` is not published; the model
    /// only says that they are strings.
    pub(crate) fn body(&self) -> Value {
        json!({
            "__type": self.kind,
            "code": self.kind,
            "docs": DOCS,
            "message": self.message,
            "tip": self.tip,
        })
    }

    fn with_tip(mut self, tip: &'static str) -> Self {
        self.tip = tip;
        self
    }

    // In Lightsail's model.

    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("InvalidInputException", 400, message)
    }

    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        Self::new("NotFoundException", 400, format!("The {what} does not exist: {name}"))
    }

    /// A bucket that is not in the caller's account and Region.
    pub(crate) fn missing_bucket(dialect: MissingBucket, name: &str) -> Self {
        let text = format!("DoesNotExist: The bucket does not exist: {name}");
        match dialect {
            MissingBucket::NotFound => Self::not_found("bucket", name),
            MissingBucket::InvalidInput => Self::invalid_input(format!("The bucket name is not valid: {name}")),
            MissingBucket::DoesNotExistCode => {
                Self::new("DoesNotExist", 400, "The specified bucket could not be found.")
            }
            MissingBucket::DoesNotExistText => Self::new("OperationFailureException", 400, text),
        }
    }

    pub(crate) fn access_denied() -> Self {
        Self::new("AccessDeniedException", 400, "The caller is not authorized to perform this action.")
    }

    /// Refuses the delete of a key because of a Deny in a policy.
    pub(crate) fn explicit_deny(caller: &str) -> Self {
        let action = "is not authorized to perform: lightsail:DeleteBucketAccessKey with an explicit deny";
        Self::new("AccessDeniedException", 400, format!("User: {caller} {action} in an identity-based policy"))
    }

    pub(crate) fn account_setup_in_progress() -> Self {
        Self::new("AccountSetupInProgressException", 400, "The account is still being set up.")
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new("UnauthenticatedException", 400, "The caller has not been authenticated.")
    }

    pub(crate) fn service() -> Self {
        Self::new("ServiceException", 500, "An internal error has occurred.")
    }

    /// The tip is the model's own documentation of that member.
    pub(crate) fn region_setup_in_progress(region: &str) -> Self {
        Self::new(
            "RegionSetupInProgressException",
            400,
            format!("The Region {region} is still being set up."),
        )
        .with_tip(
            "Opt-in Regions typically take a few minutes to finish setting up before you can work with them. Wait a few minutes and try again.",
        )
    }

    // Of Lightsail, and not in its model.

    pub(crate) fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", 400, "Unknown operation.")
    }

    pub(crate) fn not_readable(message: impl Into<String>) -> Self {
        Self::new("SerializationException", 400, message)
    }

    // Of STS, and not in its model.

    pub(crate) fn invalid_action(action: &str, version: &str) -> Self {
        Self::new("InvalidAction", 400, format!("Could not find operation {action} for version {version}"))
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", 400, message)
    }

    pub(crate) fn may_not_assume(caller: &str, role: &str) -> Self {
        let message = format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role}");
        Self::new("AccessDenied", 403, message)
    }

    pub(crate) fn internal_failure() -> Self {
        Self::new("InternalFailure", 500, "An internal error has occurred.")
    }

    // Of both, and in neither model. STS does not send `ExpiredTokenException` for credentials:
    // that is in its model for the tokens of other identity providers.

    pub(crate) fn throttled(service: Service) -> Self {
        Self::of(service, ("ThrottlingException", 400), ("Throttling", 400), "Rate exceeded")
    }

    pub(crate) fn no_signature(service: Service) -> Self {
        let message = "Missing Authentication Token";
        Self::of(service, ("MissingAuthenticationTokenException", 400), ("MissingAuthenticationToken", 403), message)
    }

    pub(crate) fn incomplete_signature(service: Service, message: impl Into<String>) -> Self {
        Self::of(service, ("IncompleteSignatureException", 400), ("IncompleteSignature", 400), message)
    }

    pub(crate) fn bad_signature(service: Service, message: impl Into<String>) -> Self {
        Self::of(service, ("InvalidSignatureException", 400), ("SignatureDoesNotMatch", 403), message)
    }

    pub(crate) fn unrecognized_client(service: Service) -> Self {
        let message = "The security token included in the request is invalid.";
        Self::of(service, ("UnrecognizedClientException", 400), ("InvalidClientTokenId", 403), message)
    }

    pub(crate) fn expired_token(service: Service) -> Self {
        let message = "The security token included in the request is expired";
        Self::of(service, ("ExpiredTokenException", 400), ("ExpiredToken", 403), message)
    }

    pub(crate) fn too_long(service: Service) -> Self {
        let message = "The body is cut off or too long.";
        Self::of(service, ("SerializationException", 400), ("MalformedInput", 400), message)
    }

    fn of(service: Service, lightsail: (&str, u16), sts: (&str, u16), message: impl Into<String>) -> Self {
        let (kind, status) = match service {
            Service::Lightsail => lightsail,
            Service::Sts => sts,
        };
        Self::new(kind, status, message)
    }
}
