//! What can go wrong with a request: the [`Fault`] that a script names, by `kind` in JSON.
//!
//! Each kind stands for one thing that a client must be ready for. Those that break the answer
//! come in two sorts, for what matters is whether the work was done: a key that is deleted
//! without anybody being told is another matter than one that is not deleted.

use serde::{Deserialize, Deserializer, Serialize};

/// What goes wrong. "The work" is what the operation does to the simulator's buckets, or the
/// session that `AssumeRole` begins. That has errors of other names: see the README.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Nothing but `ms` milliseconds before the work. To be late and fail, give the script of
    /// another fault a `latency_ms`.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// `ThrottlingException`, which Lightsail sends with HTTP 400; no work.
    Throttled,
    /// `ServiceException` with HTTP 500; no work.
    ServiceException,
    /// An HTML page with this status, as a load balancer sends it; no work.
    HttpStatus {
        /// From 400 to 599.
        status: u16,
    },
    /// `AccessDeniedException`; no work.
    AccessDenied,
    /// `UnauthenticatedException`; no work.
    Unauthenticated,
    /// `InvalidInputException`; no work.
    InvalidInput,
    /// `NotFoundException`, whether the thing exists or not; no work.
    NotFound,
    /// An `InvalidInputException` whose message says `DoesNotExist`: Terraform's Lightsail
    /// provider looks for that text because some operations answer so; no work.
    DoesNotExist,
    /// `RegionSetupInProgressException`, of an opt-in Region; no work.
    RegionSetupInProgress,
    /// Any other error, for instance `ExpiredTokenException`; no work.
    Error {
        /// The type of the error.
        code: String,
        /// From 400 to 599; 400 if left out.
        status: Option<u16>,
        /// The message, if it matters.
        message: Option<String>,
    },
    /// The connection is reset (TCP RST); no work.
    ResetBefore,
    /// The work is done, then the connection is reset instead of an answer.
    ResetAfter,
    /// No answer, ever; no work.
    HangBefore,
    /// The work is done; no answer, ever.
    HangAfter,
    /// The work is done; headers and half the body, then silence on an open connection.
    NeverEnds,
    /// The work is done; the body comes in drops.
    Slow {
        /// At least 1.
        bytes_per_second: u32,
    },
    /// The work is done; the answer is sound HTTP, but its JSON (or XML) is cut in half.
    Truncated,
    /// The work is done; HTTP 200 with a text that is not JSON.
    NotJson,
    /// The work is done; HTTP 200 and `{}`, or `<AssumeRoleResponse/>`, without a request id: an
    /// answer that lost its content on the way. Of a service that leaves out empty lists, `{}` with
    /// a request id is a whole answer: see `crate::EmptyLists`.
    EmptyAnswer,
    /// The work is done; its operation is `Started` in the answer and in the next `polls`
    /// answers of `GetOperation`, then `Succeeded`.
    OperationPending {
        /// How many polls find it pending.
        polls: u32,
    },
    /// The operation is `Started` in the answer, as always, and `Failed` at the poll that would
    /// find it done. Only for `DeleteBucket` and `DeleteBucketAccessKey`.
    OperationFailed {
        /// `errorCode`, `InternalError` if left out.
        code: Option<String>,
        /// `errorDetails`.
        details: Option<String>,
        /// Whether the key (or bucket) is still there, which it is if left out. With `false` the
        /// work is done and its operation says `Failed` all the same.
        #[serde(default = "yes")]
        key_stays: bool,
    },
    /// The work is done; its operation has an odd `status` or `isTerminal` or lacks them, in the
    /// answer and in every later `GetOperation`.
    OperationStatus {
        /// Left out: as it is. `null`: the member is missing. A string: that.
        #[serde(default, skip_serializing_if = "Member::is_as_it_is")]
        status: Member<String>,
        /// Left out: as it is. `null`: the member is missing. True or false: that.
        #[serde(default, skip_serializing_if = "Member::is_as_it_is")]
        is_terminal: Member<bool>,
    },
    /// The work is done; `operations` is an empty list.
    NoOperations,
    /// The key is deleted, but the next `reads` answers of `GetBucketAccessKeys` for its bucket
    /// list it still. Only for `DeleteBucketAccessKey`.
    StillListed {
        /// How many lists.
        reads: u32,
    },
}

impl Fault {
    /// A [`Fault::Error`] of this type with HTTP 400.
    pub fn error(code: &str) -> Self {
        Self::Error { code: code.to_owned(), status: None, message: None }
    }

    /// A [`Fault::OperationFailed`] that leaves the key where it is.
    pub fn operation_failed() -> Self {
        Self::OperationFailed { code: None, details: None, key_stays: true }
    }

    /// The `kind` in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Throttled => "throttled",
            Self::ServiceException => "service_exception",
            Self::HttpStatus { .. } => "http_status",
            Self::AccessDenied => "access_denied",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidInput => "invalid_input",
            Self::NotFound => "not_found",
            Self::DoesNotExist => "does_not_exist",
            Self::RegionSetupInProgress => "region_setup_in_progress",
            Self::Error { .. } => "error",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::HangBefore => "hang_before",
            Self::HangAfter => "hang_after",
            Self::NeverEnds => "never_ends",
            Self::Slow { .. } => "slow",
            Self::Truncated => "truncated",
            Self::NotJson => "not_json",
            Self::EmptyAnswer => "empty_answer",
            Self::OperationPending { .. } => "operation_pending",
            Self::OperationFailed { .. } => "operation_failed",
            Self::OperationStatus { .. } => "operation_status",
            Self::NoOperations => "no_operations",
            Self::StillListed { .. } => "still_listed",
        }
    }
}

/// A member of an answer that a script may bend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Member<T> {
    /// What it would be anyway.
    #[default]
    #[serde(skip)]
    AsIs,
    /// Not in the answer.
    Missing,
    /// This instead.
    Value(T),
}

impl<T: Clone> Member<T> {
    /// What to send where `plain` would have been sent.
    pub(crate) fn over(&self, plain: T) -> Option<T> {
        match self {
            Self::AsIs => Some(plain),
            Self::Missing => None,
            Self::Value(value) => Some(value.clone()),
        }
    }

    fn is_as_it_is(&self) -> bool {
        matches!(self, Self::AsIs)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Member<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Missing, Self::Value))
    }
}

fn yes() -> bool {
    true
}
