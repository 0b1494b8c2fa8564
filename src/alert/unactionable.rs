//! Parsed alert -> reason why it exposes no key: the closed lists of reasons and their texts.
//!
//! Invariant: a reason describes the values of the alert and never repeats them, except for sanitised names.

use serde_json::Value;
use thiserror::Error;

use crate::alert::envelope::{ACCEPTED, EnvelopeError, kind};
use crate::alert::taken::MAX_ALERTS;
use crate::names::{AccessKeyId, AccountId, NameError};
use crate::safe_text::SafeText;

/// Reason why an alert has no key to act on.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Unactionable {
    /// More keys than the function may delete without a person's approval.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// A finding that a person sent to have its key deleted, and that says of itself that there is nothing to delete.
    #[error(transparent)]
    Contradicted(#[from] Contradicted),
    /// An alert that exposes no bucket key.
    #[error(transparent)]
    Ignored(#[from] Ignored),
    /// An alert that should name a key, but has no valid one.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// One delivery that names so many keys that a person must approve. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq)]
#[error(
    "{} keys are named at once, and MAX_KEYS_PER_ALERT allows {allowed}: nothing was deleted; the first are {}",
    named.len(), named.iter().take(*allowed).map(ToString::to_string).collect::<Vec<_>>().join(", ")
)]
pub struct TooMany {
    /// All keys that the delivery names.
    pub named: Vec<AccessKeyId>,
    /// The operator's limit, MAX_KEYS_PER_ALERT.
    pub allowed: usize,
}

/// A custom action on a finding that is closed or reports no exposed key. A person decides: the action says that the
/// key must go, the finding says that it need not, and a delete cannot be undone. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq)]
#[error(
    "a custom action asks to delete the key of this finding, but {0}; if the key leaked, send a manual event with it"
)]
pub struct Contradicted(pub Ignored);

/// An alert that was understood and exposes no bucket key. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Ignored {
    /// A sample finding. Its arrival shows that the path from the source to this function works.
    #[error("this is a sample finding: it arrived and was read, and a real one would have been acted on")]
    Sample,
    /// An alert that was archived, suppressed or resolved before it arrived.
    #[error("it is {state}")]
    Closed {
        /// State of the alert, such as `archived`.
        state: &'static str,
    },
    /// A report of a configuration change that the key made. Nothing says that the key leaked.
    #[error("the key is only the actor of a configuration change ({kind}); nothing says that it is exposed")]
    ActorOnly {
        /// Finding type.
        kind: SafeText,
    },
    /// A record of a call that the key made. Nothing says that the key leaked.
    #[error("the key is the caller of an API call ({call}): used, and nothing says that it is exposed")]
    Caller {
        /// Service and operation.
        call: SafeText,
    },
    /// A check of settings that concerns a key, such as a key that is old or unused.
    #[error("it is a check of settings ({kind}), and says nothing of an exposure")]
    Check {
        /// Finding type.
        kind: SafeText,
    },
    /// An alert about something that has no access key.
    #[error("it is about {what} and names no access key")]
    NoAccessKey {
        /// Subject of the alert.
        what: SafeText,
    },
    /// A change of an alert that its source reported before, without the key. People were told then.
    #[error("it changes an alert that {source_name} reported before ({action}), and does not send the key")]
    Update {
        /// Name of the source.
        source_name: &'static str,
        /// Change, in the source's own words.
        action: SafeText,
    },
    /// Equal alerts of one message.
    #[error("{reason} ({count} equal alerts in one message)")]
    Repeated {
        /// Reason of each.
        reason: Box<Ignored>,
        /// Number of the alerts.
        count: usize,
    },
    /// A temporary STS credential.
    #[error("the key {0}")]
    Temporary(NameError),
    /// Another system's message on a queue or topic.
    #[error("it is not an alert for this function: {0}")]
    Foreign(String),
}

/// An alert that should name a key, but has no valid one. Caused by the sender. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Unreadable {
    /// A payload without an alert in it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A panic of this function while it parsed the alert.
    #[error("this function's own code panicked while reading the event; the log line before this one says where")]
    Panicked,
    /// A message on a queue or topic that no parser knows, with a key ID somewhere in it.
    #[error(
        "it holds the access key ID {key}, and no source has this shape: if the key leaked, send a manual event with it; \
         accepted: {ACCEPTED}"
    )]
    Stray {
        /// First key ID in the message.
        key: AccessKeyId,
    },
    /// A field that one object has twice, so that its two values may contradict each other.
    #[error("{field} is given twice, in two spellings: {first} and {second}; accepted: one of them")]
    TwoSpellings {
        /// Name of the field.
        field: &'static str,
        /// Spelling that was found first.
        first: &'static str,
        /// The other spelling.
        second: &'static str,
    },
    /// A required field that is missing.
    #[error("{field} is missing; accepted: {ACCEPTED}")]
    Missing {
        /// Path of the field.
        field: &'static str,
    },
    /// A field of another JSON type.
    #[error("{field} is {kind}, not {accepted}")]
    WrongType {
        /// Path of the field.
        field: &'static str,
        /// Its type.
        kind: &'static str,
        /// Accepted types.
        accepted: &'static str,
    },
    /// An unknown field. It might ask for caution, such as a dry run, so nothing is deleted.
    #[error("unknown field {field:?}; accepted: {accepted}")]
    UnknownField {
        /// Path of the field.
        field: String,
        /// Known fields.
        accepted: &'static str,
    },
    /// A field whose value is not a valid name.
    #[error("{field} {error}")]
    Name {
        /// Path of the field.
        field: &'static str,
        /// Parse error.
        error: NameError,
    },
    /// A leak that is reported by a source that knows the key and does not send it.
    #[error("{source_name} does not send the key: look up the access key ID there, and send a manual event with it")]
    NotTold {
        /// Name of the source.
        source_name: &'static str,
    },
    /// A GuardDuty finding with a key, of a type that this version does not know.
    #[error(
        "it names a key, and GuardDuty's type {kind} is not known to this version: the key may be stolen or only the actor; \
         read the finding, and if the key leaked, send a manual event with it"
    )]
    UnknownType {
        /// Finding type.
        kind: SafeText,
    },
    /// A finding that claims to be GuardDuty's and was imported by another product.
    #[error(
        "it claims to be GuardDuty's, and {field} is not: another product may not have keys deleted in GuardDuty's \
         name; if the key leaked, send a manual event with it"
    )]
    Forged {
        /// Field that contradicts the claim.
        field: &'static str,
    },
    /// An event that another account forwards, with a finding on a third account.
    #[error(
        "account {sender} forwards it, and it is about account {subject}: another account may forward what is about \
         itself; if the key leaked, send a manual event with it"
    )]
    ThirdAccount {
        /// Account that the event comes from, as EventBridge says.
        sender: AccountId,
        /// Account that the finding is about, as it says.
        subject: AccountId,
    },
    /// Alerts of one delivery that name several accounts as the owner of the key.
    #[error(
        "{key} is named as a key of {owners} accounts at once: only the first is searched, check the others manually"
    )]
    Owners {
        /// Key ID.
        key: AccessKeyId,
        /// Number of accounts.
        owners: usize,
    },
    /// Equal alerts of one message.
    #[error("{reason} ({count} equal alerts in one message)")]
    Repeated {
        /// Reason of each.
        reason: Box<Unreadable>,
        /// Number of the alerts.
        count: usize,
    },
    /// Alerts beyond the limit of one message. They may name keys.
    #[error(
        "{count} further alerts of this message were not taken, because at most {MAX_ALERTS} are taken from one message: \
         send it again in parts, or delete the keys that it names by hand"
    )]
    Rest {
        /// Number of the alerts.
        count: usize,
    },
    /// An event that no parser of this version accepts.
    #[error("no reader for detail-type {detail_type:?} from source {source_name:?}; accepted: {ACCEPTED}")]
    UnknownEvent {
        /// `detail-type` of the event.
        detail_type: String,
        /// `source` of the event.
        source_name: String,
    },
}

impl Unactionable {
    /// Returns the number of alerts that this reason is given for.
    pub fn alerts(&self) -> usize {
        match self {
            Self::Ignored(Ignored::Repeated { count, .. })
            | Self::Unreadable(Unreadable::Repeated { count, .. } | Unreadable::Rest { count }) => *count,
            _ => 1,
        }
    }
}

impl Unreadable {
    /// The error for `field` with the value `found`, which has the wrong JSON type.
    pub(super) fn wrong_type(field: &'static str, found: &Value, accepted: &'static str) -> Self {
        Self::WrongType { field, kind: kind(found), accepted }
    }
}
