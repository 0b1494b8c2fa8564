//! [`Envelope`] -> [`Incident`]: which keys are exposed, which buckets are named with them, whose they are, and why.
//!
//! One file a source, below `incident/`; a new source is a new file and one line in [`read`]. A reader looks at the paths
//! that its source documents and nowhere else: samples that vendors publish have look-alikes of key IDs in eTags, tags
//! and caller fields. Invariant: a key that is not in the source's own key field is never an [`Exposure`].

mod direct;
mod guardduty;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::envelope::{ACCEPTED, Envelope, EnvelopeError};
use crate::names::{AccessKeyId, AccountId, BucketName, NameError, Region};
use crate::plain_text::PlainText;

/// What an alert says, and what follows from it.
#[derive(Debug)]
pub struct Incident {
    /// Where the alert comes from: goes into the record whatever else happens.
    pub alert: Alert,
    /// The exposed keys, at least one, or why there is none to act on.
    pub reading: Result<Vec<Exposure>, Unactionable>,
}

/// Where an alert comes from. Nothing here decides anything; all of it is for the record.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Alert {
    /// Who raised it: EventBridge's `source`, or `direct`.
    pub source: Option<PlainText>,
    /// The source's own ID of it, such as GuardDuty's finding ID.
    pub id: Option<PlainText>,
    /// ID of the EventBridge event.
    pub event_id: Option<PlainText>,
    /// The source's own type of it, such as GuardDuty's finding type.
    #[serde(rename = "type")]
    pub kind: Option<PlainText>,
    /// The source's own severity; GuardDuty's goes from 0.1 to 10.
    pub severity: Option<f64>,
    /// When the source last saw the cause.
    pub observed_at: Option<DateTime<Utc>>,
    /// When EventBridge got the event.
    pub sent_at: Option<DateTime<Utc>>,
    /// The reason that a person or script gave.
    pub reason: Option<PlainText>,
    /// Parts of the alert that could not be used, each with why.
    pub set_aside: Vec<String>,
}

/// One exposed key, and what the alert says of its whereabouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposure {
    /// The key to delete: this one and no other.
    pub key: AccessKeyId,
    /// Buckets that the alert names with it, first named first. Hints: they may be S3 buckets, or wrong.
    pub buckets: Vec<BucketName>,
    /// The account that owns the key, if the alert says so.
    pub account: Option<AccountId>,
    /// The Region of the buckets, if the alert says so.
    pub region: Option<Region>,
}

/// Why an alert names no key to act on.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Unactionable {
    /// It is well understood and exposes no bucket key.
    #[error(transparent)]
    Ignored(#[from] Ignored),
    /// It should name a key, and none could be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// An alert that is well understood and exposes no bucket key. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Ignored {
    /// GuardDuty's sample finding. It reached us, so the path from GuardDuty to this function works.
    #[error("this is a GuardDuty sample finding: it arrived and was read, and a real one would have been acted on")]
    Sample,
    /// Somebody archived the finding before it came here.
    #[error("the finding is archived")]
    Archived,
    /// The key made a configuration change that GuardDuty reports; nothing says that it leaked.
    #[error("the key is only the actor of a configuration change ({kind}); nothing says that it is exposed")]
    ActorOnly {
        /// The finding type.
        kind: PlainText,
    },
    /// A finding about something that has no access key.
    #[error("the finding is about {resource} and names no access key")]
    NoAccessKey {
        /// GuardDuty's resource type.
        resource: PlainText,
    },
    /// A temporary STS credential.
    #[error("the key {0}")]
    Temporary(NameError),
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
    /// A required member is not there.
    #[error("{member} is missing; accepted: {ACCEPTED}")]
    Missing {
        /// The member.
        member: &'static str,
    },
    /// A member is of another JSON type.
    #[error("{member} is {kind}, not a string")]
    NotAString {
        /// The member.
        member: &'static str,
        /// What it is instead.
        kind: &'static str,
    },
    /// A member that we do not know. It might ask for caution ("dry run"), so nothing is done.
    #[error("unknown member {member:?}; accepted: {accepted}")]
    UnknownMember {
        /// The member.
        member: String,
        /// The members that are known.
        accepted: &'static str,
    },
    /// A member holds no such name.
    #[error("{member} {error}")]
    Name {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        error: NameError,
    },
    /// An event of a shape that this version does not read.
    #[error("no reader for detail-type {detail_type:?} from source {source_name:?}; accepted: {ACCEPTED}")]
    UnknownEvent {
        /// The event's `detail-type`.
        detail_type: String,
        /// The event's `source`.
        source_name: String,
    },
    /// GuardDuty's attack sequences keep the key elsewhere.
    #[error("this version reads no key out of GuardDuty attack sequences: look at the finding in GuardDuty by hand")]
    AttackSequence,
}

/// Reads one alert.
pub fn read(envelope: &Envelope) -> Incident {
    match envelope {
        Envelope::Direct(members) => direct::read("direct", None, members),
        Envelope::EventBridge { event, time } => {
            let mut incident = match (event.detail_type.as_str(), event.source.as_str(), &event.detail) {
                (guardduty::DETAIL_TYPE, guardduty::SOURCE, detail) => guardduty::read(detail),
                (direct::DETAIL_TYPE, source, Value::Object(detail)) => {
                    direct::read(source, Some(direct::DETAIL_TYPE), detail)
                }
                (detail_type, source, _) => unknown(detail_type, source),
            };
            incident.alert.event_id = event.id.as_deref().map(PlainText::of);
            incident.alert.sent_at = *time;
            incident
        }
    }
}

fn unknown(detail_type: &str, source: &str) -> Incident {
    let [detail_type, source] = [detail_type, source].map(PlainText::of);
    let why = Unreadable::UnknownEvent { detail_type: detail_type.to_string(), source_name: source.to_string() };
    let alert = Alert { source: Some(source), kind: Some(detail_type), ..Alert::default() };
    Incident { alert, reading: Err(why.into()) }
}

/// Reads the key out of the source's key `member`.
fn key(member: &'static str, text: &str) -> Result<AccessKeyId, Unactionable> {
    text.parse().map_err(|error| match error {
        NameError::TemporaryKey => Ignored::Temporary(error).into(),
        error => Unreadable::Name { member, error }.into(),
    })
}

/// Reads a hint: one that is no such name is set aside and recorded, because the key can be searched for without it.
fn hint<Name: std::str::FromStr<Err = NameError>>(member: &str, text: Option<&str>, alert: &mut Alert) -> Option<Name> {
    text?.parse().map_err(|error| alert.set_aside.push(format!("{member} {error}"))).ok()
}
