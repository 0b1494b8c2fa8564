//! Messages -> [`Incident`]s: which keys are exposed, which buckets are named with them, whose they are, and why.
//!
//! One file a source, below `incident/`; a new source is a new file and a line in `reader`. A source looks at the paths
//! that it documents and nowhere else: samples that vendors publish have look-alikes of key IDs in eTags, tags and caller
//! fields. Invariants: a key that is not in the source's own key field is never an [`Exposure`]; every message makes at
//! least one incident, but for one whose keys another already has.

mod cloudtrail;
mod direct;
pub mod envelope;
mod finding;
mod finding_type;
mod guardduty;
mod health;
mod ocsf;
mod scanner;
mod security_hub;
#[cfg(test)]
mod testing;
mod trusted_advisor;
mod unactionable;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::alert::envelope::{Envelope, EnvelopeError, Message};
use crate::names::{AccessKeyId, AccountId, BucketName, NameError, Region};
use crate::safe_text::SafeText;

pub use unactionable::{Ignored, TooMany, Unactionable, Unreadable};

/// What an alert says, and what follows from it.
#[derive(Debug)]
pub struct Alert {
    /// Where the alert comes from: goes into the record whatever else happens.
    pub origin: Origin,
    /// The exposed keys, at least one, or why there is none to act on.
    pub exposures: Result<Vec<Exposure>, Unactionable>,
}

/// Where an alert comes from. Nothing here decides anything; all of it is for the record.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Origin {
    /// Who raised it: EventBridge's `source`, or the name of the source where no event has one; `direct` by hand.
    pub source: Option<SafeText>,
    /// The source's own ID of it, such as GuardDuty's finding ID.
    pub id: Option<SafeText>,
    /// Of a Security Hub finding: the ARN of the product that made it, without which its ID finds nothing.
    pub product_arn: Option<SafeText>,
    /// ID of the EventBridge event.
    pub event_id: Option<SafeText>,
    /// The source's own type of it, such as GuardDuty's finding type.
    #[serde(rename = "type")]
    pub kind: Option<SafeText>,
    /// The source's own severity; GuardDuty's goes from 0.1 to 10.
    pub severity: Option<f64>,
    /// When the source last saw the cause.
    pub observed_at: Option<DateTime<Utc>>,
    /// When EventBridge got the event.
    pub sent_at: Option<DateTime<Utc>>,
    /// The reason that a person or script gave.
    pub reason: Option<SafeText>,
    /// Parts of the alert that could not be used, each with why; the first twenty.
    pub ignored_fields: Vec<String>,
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
    /// Whether it asks that the key is only looked for.
    pub dry_run: bool,
}

/// Reads what arrived together. More than `most` keys in it are none to act on.
pub fn read(messages: &[Message], most: usize) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = messages.iter().flat_map(read_message).collect();
    merge(&mut alerts);
    let exposures = alerts.iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten();
    let named: Vec<AccessKeyId> = exposures.map(|exposure| exposure.key.clone()).collect();
    if named.len() <= most {
        return alerts;
    }
    let origin = alerts.into_iter().find(|alert| alert.exposures.is_ok()).map(|alert| alert.origin);
    vec![Alert::without_key(origin.unwrap_or_default(), TooMany { named, allowed: most })]
}

/// One key is acted on once, however often it is named: the first exposure gets the others' buckets as well, and the owner
/// where only they say one; a wish to delete nothing binds only who wishes it. Alerts that disagree on the owner cannot both be right, which is an error of its own: the key
/// may be alive in the account that is not looked at.
fn merge(alerts: &mut Vec<Alert>) {
    let mut named: HashMap<AccessKeyId, (Vec<BucketName>, Vec<AccountId>, bool)> = HashMap::new();
    for exposure in alerts.iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten() {
        let (buckets, owners, to_delete) = named.entry(exposure.key.clone()).or_default();
        buckets.extend(exposure.buckets.iter().cloned());
        owners.extend(exposure.account.iter().cloned());
        *to_delete |= !exposure.dry_run;
    }
    let mut disputed = Vec::new();
    alerts.retain_mut(|alert| {
        let Ok(exposures) = &mut alert.exposures else { return true };
        exposures.retain_mut(|exposure| {
            let Some((buckets, owners, to_delete)) = named.remove(&exposure.key) else { return false };
            let owners = distinct(owners);
            if owners.len() > 1 {
                let reason = Unreadable::Owners { key: exposure.key.clone(), owners: owners.len() };
                disputed.push(Alert::without_key(alert.origin.clone(), reason));
            }
            exposure.buckets = distinct(buckets);
            exposure.dry_run = !to_delete;
            exposure.account = exposure.account.take().or_else(|| owners.into_iter().next());
            true
        });
        !exposures.is_empty()
    });
    alerts.extend(disputed);
}

fn read_message(message: &Message) -> Vec<Alert> {
    match &message.opened {
        Ok(envelope) if message.relayed && is_foreign(envelope) => {
            vec![Alert::without_key(Origin::default(), Ignored::Foreign("none of its kind is known".to_owned()))]
        }
        Ok(envelope) => read_envelope(envelope),
        // Text that begins like an event was meant as one, also on a queue.
        Err(error @ EnvelopeError::NotJson { cut_short: true, .. }) => vec![unopened(error)],
        Err(error) if message.relayed => {
            vec![Alert::without_key(Origin::default(), Ignored::Foreign(error.to_string()))]
        }
        Err(error) => vec![unopened(error)],
    }
}

/// Queues and topics carry other people's messages too: their alarms and notices are no errors of ours.
fn is_foreign(envelope: &Envelope) -> bool {
    match envelope {
        Envelope::Bare(value) => recognise(value).is_none(),
        Envelope::EventBridge { event, .. } => reader(&event.source, &event.detail_type, &event.detail).is_none(),
    }
}

fn unopened(error: &EnvelopeError) -> Alert {
    Alert::without_key(Origin::default(), Unreadable::Envelope(error.clone()))
}

fn read_envelope(envelope: &Envelope) -> Vec<Alert> {
    let (mut alerts, event_id, sent_at) = match envelope {
        Envelope::Bare(value) => {
            (recognise(value).map_or_else(|| direct::read(value), |reader| reader(value)), None, None)
        }
        Envelope::EventBridge { event, time } => {
            let reader = reader(&event.source, &event.detail_type, &event.detail);
            let mut alerts = match reader {
                None => vec![unknown(&event.source, &event.detail_type)],
                // Health alone names keys outside of its detail.
                Some(_) if event.source == "aws.health" && event.detail_type.starts_with("AWS Health ") => {
                    health::read_with(&event.detail, event.resources.as_deref().unwrap_or_default())
                }
                Some(reader) => reader(&event.detail),
            };
            for origin in alerts.iter_mut().map(|alert| &mut alert.origin) {
                origin.source = Some(SafeText::of(&event.source));
                origin.kind.get_or_insert_with(|| SafeText::of(&event.detail_type));
            }
            (alerts, event.id.as_deref(), *time)
        }
    };
    for origin in alerts.iter_mut().map(|alert| &mut alert.origin) {
        origin.event_id = event_id.map(SafeText::of);
        origin.sent_at = sent_at;
    }
    alerts
}

/// What reads the alerts of one source: never no incident.
type Reader = fn(&Value) -> Vec<Alert>;

/// Tells an alert of one source by its shape.
type IsOne = fn(&Value) -> bool;

/// Who reads an EventBridge event. Nobody but AWS can put events of `aws.*` (EventBridge API reference,
/// "PutEventsRequestEntry"), and so nothing else may pass for AWS's.
fn reader(source: &str, detail_type: &str, detail: &Value) -> Option<Reader> {
    match (source, detail_type) {
        (source, kind) if source.starts_with("aws.") && kind.ends_with("via CloudTrail") => Some(cloudtrail::read),
        (guardduty::SOURCE, guardduty::DETAIL_TYPE) => Some(guardduty::read),
        ("aws.health", "AWS Health Event" | "AWS Health Abuse Event") => Some(health::read),
        ("aws.trustedadvisor", "Trusted Advisor Check Item Refresh Notification") => Some(trusted_advisor::read),
        ("aws.securityhub", "Findings Imported V2") => Some(ocsf::read),
        ("aws.securityhub", _) => Some(security_hub::read),
        (guardduty::SOURCE, kind) if kind.contains("Malware Protection") => Some(guardduty::read_scan),
        (source, _) if source.starts_with("aws.") => None,
        (_, direct::DETAIL_TYPE) => Some(direct::read),
        _ => scanner::is_one(detail).then_some(scanner::read),
    }
}

/// Who reads an alert by itself: told by its shape, since nothing else tells. None: it is by hand.
fn recognise(value: &Value) -> Option<Reader> {
    let shapes: [(IsOne, Reader); 7] = [
        (direct::is_one, direct::read),
        (guardduty::is_one, guardduty::read),
        (health::is_one, health::read),
        (trusted_advisor::is_one, trusted_advisor::read),
        (ocsf::is_one, ocsf::read),
        (security_hub::is_one, security_hub::read),
        (scanner::is_one, scanner::read),
    ];
    let found = shapes.into_iter().find(|(is_one, _)| is_one(value)).map(|(_, reader)| reader);
    found.or_else(|| cloudtrail::is_one(value).then_some(cloudtrail::read))
}

fn unknown(source: &str, detail_type: &str) -> Alert {
    let [source_name, detail_type] = [source, detail_type].map(|text| SafeText::of(text).to_string());
    Alert::without_key(Origin::default(), Unreadable::UnknownEvent { detail_type, source_name })
}

impl Alert {
    fn without_key(origin: Origin, reason: impl Into<Unactionable>) -> Self {
        Self { origin, exposures: Err(reason.into()) }
    }
}

impl Exposure {
    /// A key of which the alert says nothing else.
    fn of(key: AccessKeyId) -> Self {
        Self { key, buckets: Vec::new(), account: None, region: None, dry_run: false }
    }
}

impl Origin {
    /// An alert of a source that is known by its own name, where no EventBridge event names it.
    fn of(source: &str) -> Self {
        Self { source: Some(SafeText::of(source)), ..Self::default() }
    }

    /// Takes note of something that cannot be used.
    fn ignore_field(&mut self, field: &str, error: &NameError) {
        if self.ignored_fields.len() < NOTES {
            self.ignored_fields.push(format!("{field} {error}"));
        }
    }
}

/// How many of the parts that cannot be used go on record: an alert may have any number of them.
const NOTES: usize = 20;

/// The keys among what stands in a source's key fields, each once. What is none is set aside if another is one.
///
/// None at all is [`Ignored::Temporary`] if there is a temporary one, else [`Unreadable::Name`] of the first, else
/// [`Unreadable::Missing`].
fn keys<'a>(
    field: &'static str,
    texts: impl IntoIterator<Item = &'a str>,
    origin: &mut Origin,
) -> Result<Vec<AccessKeyId>, Unactionable> {
    let mut keys = Vec::new();
    let (mut refused, mut temporary) = (Vec::new(), false);
    for text in texts {
        match text.parse::<AccessKeyId>() {
            Ok(key) => keys.push(key),
            Err(error) => {
                temporary |= error == NameError::TemporaryKey;
                if refused.len() < NOTES {
                    refused.push(error);
                }
            }
        }
    }
    if keys.is_empty() {
        return Err(match refused.into_iter().next() {
            _ if temporary => Ignored::Temporary(NameError::TemporaryKey).into(),
            Some(error) => Unreadable::Name { field, error }.into(),
            None => Unreadable::Missing { field }.into(),
        });
    }
    refused.iter().for_each(|error| origin.ignore_field(field, error));
    Ok(distinct(keys))
}

/// Whether the text is a key's ID, of either kind.
fn is_key_id(text: &str) -> bool {
    matches!(text.parse::<AccessKeyId>(), Ok(_) | Err(NameError::TemporaryKey))
}

/// Reads a hint: one that is no such name is set aside and recorded, because the key can be searched for without it.
fn hint<Name: std::str::FromStr<Err = NameError>>(
    field: &str,
    text: Option<&str>,
    origin: &mut Origin,
) -> Option<Name> {
    text?.parse().map_err(|error| origin.ignore_field(field, &error)).ok()
}

/// Reads the owner. One that is no account is an error: in our own account we could not say that the key is nowhere.
fn owner(field: &'static str, text: Option<&str>) -> Result<Option<AccountId>, Unreadable> {
    text.map(str::parse).transpose().map_err(|error| Unreadable::Name { field, error })
}

/// The text at a JSON pointer.
fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// The elements of the array at a JSON pointer; none where there is no array.
fn each<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The time at a JSON pointer, in RFC 3339.
fn moment(value: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    text(value, pointer)?.parse().ok()
}

/// Each of `names` once, the first first.
fn distinct<Name: Clone + Eq + Hash>(mut names: Vec<Name>) -> Vec<Name> {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::{KEY, read_payload};

    fn finding(account: &str, bucket: &str) -> Value {
        json!({"detail-type": "GuardDuty Finding", "source": "aws.guardduty", "detail": {
            "accountId": account, "type": "Exfiltration:S3/MaliciousIPCaller", "service": {},
            "resource": {"accessKeyDetails": {"accessKeyId": KEY}, "s3BucketDetails": [{"name": bucket}]}
        }})
    }

    #[test]
    fn a_key_that_several_alerts_name_is_exposed_once_with_all_their_buckets_and_the_owner() {
        let by_hand = json!({"accessKeyId": KEY, "bucketName": "photos"});
        let alerts =
            read_payload(&json!([by_hand, finding("111122223333", "logs"), finding("111122223333", "photos")]));
        assert_eq!(alerts.len(), 1);
        let exposures = alerts[0].exposures.as_ref().unwrap();
        assert_eq!(exposures.len(), 1);
        assert_eq!(exposures[0].buckets.iter().map(BucketName::as_str).collect::<Vec<_>>(), ["photos", "logs"]);
        assert_eq!(exposures[0].account.as_ref().unwrap().as_str(), "111122223333");
    }

    #[test]
    fn alerts_that_disagree_on_the_owner_are_acted_on_once_and_are_an_error_too() {
        let alerts = read_payload(&json!([finding("111122223333", "photos"), finding("444455556666", "photos")]));
        assert_eq!(alerts.len(), 2);
        assert_eq!(alerts[0].exposures.as_ref().unwrap()[0].account.as_ref().unwrap().as_str(), "111122223333");
        let reason = alerts[1].exposures.as_ref().unwrap_err();
        assert_eq!(*reason, Unreadable::Owners { key: KEY.parse().unwrap(), owners: 2 }.into());
    }
}
