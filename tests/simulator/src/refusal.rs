//! Errors as Lightsail sends them: one [`Refusal`] for each, with the type, the HTTP status and
//! the four members `code`, `docs`, `message` and `tip` of every error shape in botocore's model.
//!
//! The types that the model has are HTTP 400, but for `ServiceException`, which is marked
//! `fault` there: 500. The last constructors are of types that the model does not have and AWS
//! sends all the same, before a request reaches the service ("Common Errors" of the API).

use serde_json::{Value, json};

const DOCS: &str = "https://docs.aws.amazon.com/lightsail/2016-11-28/api-reference/";

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: String,
    pub(crate) status: u16,
    message: String,
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

    // In the model.

    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("InvalidInputException", 400, message)
    }

    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        Self::new("NotFoundException", 400, format!("The {what} does not exist: {name}"))
    }

    pub(crate) fn access_denied() -> Self {
        Self::new("AccessDeniedException", 400, "The caller is not authorized to perform this action.")
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

    // Not in the model.

    pub(crate) fn throttled() -> Self {
        Self::new("ThrottlingException", 400, "Rate exceeded")
    }

    pub(crate) fn no_signature() -> Self {
        Self::new("MissingAuthenticationTokenException", 400, "Missing Authentication Token")
    }

    pub(crate) fn incomplete_signature(message: impl Into<String>) -> Self {
        Self::new("IncompleteSignatureException", 400, message)
    }

    pub(crate) fn bad_signature(message: impl Into<String>) -> Self {
        Self::new("InvalidSignatureException", 400, message)
    }

    pub(crate) fn unrecognized_client() -> Self {
        Self::new("UnrecognizedClientException", 400, "The security token included in the request is invalid.")
    }

    pub(crate) fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", 400, "Unknown operation.")
    }

    pub(crate) fn not_readable(message: impl Into<String>) -> Self {
        Self::new("SerializationException", 400, message)
    }
}
