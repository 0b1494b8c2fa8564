//! Why an alert names no key to act on: the closed lists of reasons, and the words in which people read them.
//!
//! Invariant: a reason describes what stood in the alert and never repeats it, but for names that are made safe.

use serde_json::Value;
use thiserror::Error;

use crate::alert::envelope::{ACCEPTED, EnvelopeError, kind};
use crate::names::{AccessKeyId, NameError};
use crate::safe_text::SafeText;

/// Why an alert names no key to act on.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Unactionable {
    /// It names more keys than may be deleted without a person.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// It is well understood and exposes no bucket key.
    #[error(transparent)]
    Ignored(#[from] Ignored),
    /// It should name a key, and none could be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// One delivery names so many keys that a person must approve. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq)]
#[error(
    "{} keys are named at once, and MAX_KEYS_PER_ALERT allows {allowed}: nothing was deleted; the first are {}",
    named.len(), named.iter().take(*allowed).map(ToString::to_string).collect::<Vec<_>>().join(", ")
)]
pub struct TooMany {
    /// The keys.
    pub named: Vec<AccessKeyId>,
    /// How many are allowed.
    pub allowed: usize,
}

/// An alert that is well understood and exposes no bucket key. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Ignored {
    /// A sample finding. It reached us, so the path from its source to this function works.
    #[error("this is a sample finding: it arrived and was read, and a real one would have been acted on")]
    Sample,
    /// Somebody archived, suppressed or resolved it before it came here.
    #[error("it is {state}")]
    Closed {
        /// Which of them.
        state: &'static str,
    },
    /// The key made a configuration change that is reported; nothing says that it leaked.
    #[error("the key is only the actor of a configuration change ({kind}); nothing says that it is exposed")]
    ActorOnly {
        /// The finding type.
        kind: SafeText,
    },
    /// The key made a call that is on record; nothing says that it leaked.
    #[error("the key is the caller of an API call ({call}): used, and nothing says that it is exposed")]
    Caller {
        /// The call.
        call: SafeText,
    },
    /// A check of settings that happens to be about a key: too old, unused.
    #[error("it is a check of settings ({kind}), and says nothing of an exposure")]
    Check {
        /// The type of the finding.
        kind: SafeText,
    },
    /// An alert about something that has no access key.
    #[error("it is about {what} and names no access key")]
    NoAccessKey {
        /// What it is about.
        what: SafeText,
    },
    /// The source knows the key and does not say it.
    #[error(
        "{source_name} does not send the key: look up the access key ID there, and invoke this function by hand with it"
    )]
    NotTold {
        /// The source.
        source_name: &'static str,
    },
    /// A temporary STS credential.
    #[error("the key {0}")]
    Temporary(NameError),
    /// Somebody else's message on a queue or topic.
    #[error("it is no alert for this function: {0}")]
    Foreign(String),
}

/// An alert that should name a key, and none could be read. Caused by the sender; nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Unreadable {
    /// The payload holds no alert at all.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Our own code panicked while reading it.
    #[error("this function's own code panicked while reading the event; the log line before this one says where")]
    Panicked,
    /// A required field is not there.
    #[error("{field} is missing; accepted: {ACCEPTED}")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field is of another JSON type.
    #[error("{field} is {kind}, not {accepted}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it is instead.
        kind: &'static str,
        /// What it may be.
        accepted: &'static str,
    },
    /// A field that we do not know. It might ask for caution ("dry run"), so nothing is done.
    #[error("unknown field {field:?}; accepted: {accepted}")]
    UnknownField {
        /// The field.
        field: String,
        /// The fields that are known.
        accepted: &'static str,
    },
    /// A field holds no such name.
    #[error("{field} {error}")]
    Name {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: NameError,
    },
    /// A finding in somebody else's name.
    #[error(
        "it claims to be GuardDuty's, and {field} is not: whoever imports findings may not have keys deleted in \
         GuardDuty's name; if the key leaked, invoke this function by hand with it"
    )]
    Forged {
        /// The field that gives it away.
        field: &'static str,
    },
    /// Alerts that arrived together say that the key is of several accounts.
    #[error(
        "{key} is named as a key of {owners} accounts at once: only the first is looked at, see to the others by hand"
    )]
    Owners {
        /// The key.
        key: AccessKeyId,
        /// How many accounts.
        owners: usize,
    },
    /// An event of a shape that this version does not read.
    #[error("no reader for detail-type {detail_type:?} from source {source_name:?}; accepted: {ACCEPTED}")]
    UnknownEvent {
        /// The event's `detail-type`.
        detail_type: String,
        /// The event's `source`.
        source_name: String,
    },
}

impl Unreadable {
    /// `field` is `found`, which is of another JSON type.
    pub(super) fn wrong_type(field: &'static str, found: &Value, accepted: &'static str) -> Self {
        Self::WrongType { field, kind: kind(found), accepted }
    }
}
