//! Messages -> [`Alert`]s: the exposed keys, the buckets and owner named with each, and the reason where there is no
//! key.
//!
//! Each source has one parser file below `alert/`. A new source is a new file and a line in `reader`. A parser reads
//! only the paths that its source documents, because samples that vendors publish have look-alikes of key IDs in eTags,
//! tags and caller fields. Invariants: a key outside the source's key fields is never an [`Exposure`]. Every message
//! yields at least one alert, unless another message already exposes all its keys or it is counted with others.

mod cloudtrail;
mod direct;
pub mod envelope;
mod finding;
mod finding_type;
mod guardduty;
mod health;
mod key_text;
mod ocsf;
mod scanner;
mod security_hub;
mod sender;
mod taken;
#[cfg(test)]
mod testing;
mod trusted_advisor;
mod unactionable;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::alert::envelope::{Envelope, Message};
use crate::alert::taken::Taken;
use crate::names::{AccessKeyId, AccountId, BucketName, NameError, Region};
use crate::safe_text::{SafeId, SafeText};

pub use unactionable::{Contradicted, Ignored, TooMany, Unactionable, Unreadable};

/// One parsed alert.
#[derive(Debug)]
pub struct Alert {
    /// Source of the alert. It goes into the record in every case.
    pub origin: Origin,
    /// The exposed keys, at least one, or the reason why there is no key to act on.
    pub exposures: Result<Vec<Exposure>, Unactionable>,
}

/// Source of an alert. All of it is for the record, and none of it affects a decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Origin {
    /// EventBridge's `source`, or the name of the source if the alert came without an event. `direct` for a manual
    /// event.
    pub source: Option<SafeText>,
    /// ID that the source gave, such as GuardDuty's finding ID.
    pub id: Option<SafeId>,
    /// ARN of the product that made a Security Hub finding. A lookup by finding ID needs it.
    pub product_arn: Option<SafeId>,
    /// ID of the EventBridge event.
    pub event_id: Option<SafeId>,
    /// Type that the source gave, such as GuardDuty's finding type.
    #[serde(rename = "type")]
    pub kind: Option<SafeText>,
    /// Severity on the source's own scale. GuardDuty's goes from 0.1 to 10.
    pub severity: Option<f64>,
    /// Time at which the source last saw the cause.
    pub observed_at: Option<DateTime<Utc>>,
    /// Time at which EventBridge received the event.
    pub sent_at: Option<DateTime<Utc>>,
    /// Reason that a person or script gave.
    pub reason: Option<SafeText>,
    /// Fields whose values are unusable, each with the reason. Only the first twenty are kept.
    pub ignored_fields: Vec<String>,
}

/// One exposed key, and where the alert says it belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposure {
    /// The only key to delete.
    pub key: AccessKeyId,
    /// Bucket hints in the order of the alert. They may be S3 buckets, or wrong.
    pub hints: Vec<Hint>,
    /// Account that owns the key, if the alert says so.
    pub owner: Option<AccountId>,
    /// Accounts that may own the key, in the order of the alert: a finding names the account of the activity.
    pub accounts: Vec<AccountId>,
    /// Regions that the alert names, in its order.
    pub regions: Vec<Region>,
    /// True if the alert asks for a dry run.
    pub dry_run: bool,
}

/// A bucket that the alert names, and its Region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hint {
    /// Name of the bucket.
    pub bucket: BucketName,
    /// Region of the bucket, if the alert names it.
    pub region: Option<Region>,
}

/// Parses the messages of one delivery: at most a hundred alerts, and one that counts the rest. If they name more than
/// `max_keys` keys, no key is exposed. `own` is the function's account, if it is known.
pub fn read(messages: &[Message], max_keys: usize, own: Option<&AccountId>) -> Vec<Alert> {
    let mut taken = Taken::default();
    for message in messages {
        match &message.opened {
            Ok(Envelope::Bare(value)) => taken.value(value, message.count, || read_message(message, own)),
            Ok(Envelope::EventBridge { event, .. }) => {
                let resources = event.resources.iter().flatten();
                let may_expose =
                    key_text::may_be_in(&event.detail) || resources.into_iter().any(|text| is_key_id(text));
                taken.event(may_expose, || read_message(message, own));
            }
            Err(_) => read_message(message, own).into_iter().for_each(|alert| taken.add(alert, message.count)),
        }
    }
    let mut alerts = taken.into_alerts();
    merge(&mut alerts);
    let exposures = alerts.iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten();
    let named: Vec<AccessKeyId> = exposures.map(|exposure| exposure.key.clone()).collect();
    if named.len() <= max_keys {
        return alerts;
    }
    let origin = alerts.into_iter().find(|alert| alert.exposures.is_ok()).map(|alert| alert.origin);
    vec![Alert::without_key(origin.unwrap_or_default(), TooMany { named, allowed: max_keys })]
}

/// Merges the exposures of a key, so that the key is acted on once.
///
/// The first exposure gets the hints, accounts and Regions of the others, and their owner if it has none. The merged
/// exposure is a dry run only if each of them asks for one. Alerts that disagree on the owner cannot all be right. That
/// adds an alert without a key, because the key may be alive in the account that is not searched.
fn merge(alerts: &mut Vec<Alert>) {
    let mut named: HashMap<AccessKeyId, Merged> = HashMap::new();
    for exposure in alerts.iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten() {
        let merged = named.entry(exposure.key.clone()).or_default();
        merged.hints.extend(exposure.hints.iter().cloned());
        merged.owners.extend(exposure.owner.iter().cloned());
        merged.accounts.extend(exposure.accounts.iter().cloned());
        merged.regions.extend(exposure.regions.iter().cloned());
        merged.to_delete |= !exposure.dry_run;
    }
    let mut disputed = Vec::new();
    alerts.retain_mut(|alert| {
        let Ok(exposures) = &mut alert.exposures else { return true };
        exposures.retain_mut(|exposure| {
            let Some(merged) = named.remove(&exposure.key) else { return false };
            let owners = distinct(merged.owners);
            if owners.len() > 1 {
                let reason = Unreadable::Owners { key: exposure.key.clone(), owners: owners.len() };
                disputed.push(Alert::without_key(alert.origin.clone(), reason));
            }
            exposure.hints = distinct_hints(merged.hints);
            exposure.accounts = distinct(merged.accounts);
            exposure.regions = distinct(merged.regions);
            exposure.dry_run = !merged.to_delete;
            exposure.owner = exposure.owner.take().or_else(|| owners.into_iter().next());
            true
        });
        !exposures.is_empty()
    });
    alerts.extend(disputed);
}

/// Exposures of one key in several alerts.
#[derive(Default)]
struct Merged {
    hints: Vec<Hint>,
    owners: Vec<AccountId>,
    accounts: Vec<AccountId>,
    regions: Vec<Region>,
    to_delete: bool,
}

fn read_message(message: &Message, own: Option<&AccountId>) -> Vec<Alert> {
    let foreign = |what: String| vec![Alert::without_key(Origin::default(), Ignored::Foreign(what))];
    match &message.opened {
        // A message with a key ID anywhere in it is never foreign: if no parser knows it, a person must look.
        Ok(envelope) if message.relayed && !is_known(envelope) => match (envelope, stray_key(envelope)) {
            (_, None) => foreign("no source has this shape".to_owned()),
            (Envelope::Bare(_), Some(key)) => {
                vec![Alert::without_key(Origin::default(), Unreadable::Stray { key })]
            }
            (Envelope::EventBridge { .. }, Some(_)) => read_envelope(envelope, own),
        },
        Ok(envelope) => read_envelope(envelope, own),
        // On a queue too, text that begins like an event is a damaged event.
        Err(error) if message.relayed && !message.holds_key && !error.is_damaged() => foreign(error.to_string()),
        Err(error) => vec![Alert::without_key(Origin::default(), Unreadable::Envelope(error.clone()))],
    }
}

/// Tests for a message that has a parser. Queues and topics carry messages of other systems too.
fn is_known(envelope: &Envelope) -> bool {
    match envelope {
        Envelope::Bare(value) => recognise(value).is_some(),
        Envelope::EventBridge { event, .. } => reader(&event.source, &event.detail_type, &event.detail).is_some(),
    }
}

/// Returns the first key ID anywhere in a message.
fn stray_key(envelope: &Envelope) -> Option<AccessKeyId> {
    match envelope {
        Envelope::Bare(value) => key_text::in_value(value),
        Envelope::EventBridge { event, .. } => {
            let mut texts = event.resources.iter().flatten().chain([&event.source, &event.detail_type]);
            key_text::in_value(&event.detail).or_else(|| texts.find_map(|text| key_text::in_text(text)))
        }
    }
}

fn read_envelope(envelope: &Envelope, own: Option<&AccountId>) -> Vec<Alert> {
    let (mut alerts, event_id, sent_at) = match envelope {
        Envelope::Bare(value) => {
            (recognise(value).map_or_else(|| direct::read(value), |reader| reader(value)), None, None)
        }
        Envelope::EventBridge { event, time } => {
            let reader = reader(&event.source, &event.detail_type, &event.detail);
            let mut alerts = match reader {
                None => vec![unknown(&event.source, &event.detail_type)],
                // Only Health names keys outside its detail.
                Some(_) if event.source == "aws.health" && event.detail_type.starts_with("AWS Health ") => {
                    health::read_with(&event.detail, event.resources.as_deref().unwrap_or_default())
                }
                // The item does not name the account of the key: it is that of the event (facts K).
                Some(_) if event.source == "aws.trustedadvisor" => {
                    trusted_advisor::read_with(&event.detail, event.account.as_deref())
                }
                Some(reader) => reader(&event.detail),
            };
            for origin in alerts.iter_mut().map(|alert| &mut alert.origin) {
                origin.source = Some(SafeText::of(&event.source));
                origin.kind.get_or_insert_with(|| SafeText::of(&event.detail_type));
            }
            if let Some(reason) = sender::refusal(event, own) {
                alerts.iter_mut().filter(|alert| alert.exposures.is_ok()).for_each(|alert| {
                    alert.exposures = Err(reason.clone().into());
                });
            }
            (alerts, event.id.as_deref(), *time)
        }
    };
    for origin in alerts.iter_mut().map(|alert| &mut alert.origin) {
        origin.event_id = event_id.map(SafeId::of);
        origin.sent_at = sent_at;
    }
    alerts
}

/// Parser of one source. It returns at least one alert.
type Reader = fn(&Value) -> Vec<Alert>;

/// Test for the shape of one source's alerts.
type Recognises = fn(&Value) -> bool;

/// Selects the parser of an EventBridge event. Only AWS can put events of `aws.*` (EventBridge API reference,
/// "PutEventsRequestEntry"), so an event of any other source never reaches an AWS parser.
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
        _ => scanner::recognises(detail).then_some(scanner::read),
    }
}

/// Selects the parser of a bare alert by its shape. An alert that no parser recognises is a manual event.
fn recognise(value: &Value) -> Option<Reader> {
    let shapes: [(Recognises, Reader); 7] = [
        (direct::recognises, direct::read),
        (guardduty::recognises, guardduty::read),
        (health::recognises, health::read),
        (trusted_advisor::recognises, trusted_advisor::read),
        (ocsf::recognises, ocsf::read),
        (security_hub::recognises, security_hub::read),
        (scanner::recognises, scanner::read),
    ];
    let found = shapes.into_iter().find(|(recognises, _)| recognises(value)).map(|(_, reader)| reader);
    found.or_else(|| cloudtrail::recognises(value).then_some(cloudtrail::read))
}

fn unknown(source: &str, detail_type: &str) -> Alert {
    let [source_name, detail_type] = [source, detail_type].map(|text| SafeText::of(text).to_string());
    Alert::without_key(Origin::default(), Unreadable::UnknownEvent { detail_type, source_name })
}

impl Alert {
    /// An alert that exposes no key.
    fn without_key(origin: Origin, reason: impl Into<Unactionable>) -> Self {
        Self { origin, exposures: Err(reason.into()) }
    }
}

impl Exposure {
    /// An exposure of which the alert names the key alone.
    fn of(key: AccessKeyId) -> Self {
        Self { key, hints: Vec::new(), owner: None, accounts: Vec::new(), regions: Vec::new(), dry_run: false }
    }
}

impl Origin {
    /// The origin of an alert that came without an EventBridge event.
    fn of(source: &str) -> Self {
        Self { source: Some(SafeText::of(source)), ..Self::default() }
    }

    /// Records that the value of a field is unusable.
    fn ignore_field(&mut self, field: &str, error: &NameError) {
        if self.ignored_fields.len() < MAX_NOTES {
            self.ignored_fields.push(format!("{field} {error}"));
        }
    }
}

/// Limit of [`Origin::ignored_fields`], because an alert can have any number of unusable values.
const MAX_NOTES: usize = 20;

/// Parses the values of a source's key fields, and returns each key once. Other values are recorded as ignored.
///
/// Without any key, the error is [`Ignored::Temporary`] if one of the values is a temporary key, else
/// [`Unreadable::Name`] of the first value, else [`Unreadable::Missing`].
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
                if refused.len() < MAX_NOTES {
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

/// Tests for the ID of a long-term or temporary key.
fn is_key_id(text: &str) -> bool {
    matches!(text.parse::<AccessKeyId>(), Ok(_) | Err(NameError::TemporaryKey))
}

/// Parses a hint. A malformed hint is recorded as ignored, because the search finds the key without it.
fn hint<Name: std::str::FromStr<Err = NameError>>(
    field: &str,
    text: Option<&str>,
    origin: &mut Origin,
) -> Option<Name> {
    text?.parse().map_err(|error| origin.ignore_field(field, &error)).ok()
}

/// Parses the owner. A malformed owner is an error, because a search of our own account cannot prove that the key is
/// gone.
fn owner(field: &'static str, text: Option<&str>) -> Result<Option<AccountId>, Unreadable> {
    text.map(str::parse).transpose().map_err(|error| Unreadable::Name { field, error })
}

/// Returns the text at a JSON pointer.
fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// Iterates over the array at a JSON pointer. Without an array there are no elements.
fn each<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Parses the RFC 3339 time at a JSON pointer.
fn timestamp(value: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    text(value, pointer)?.parse().ok()
}

/// Removes repeated hints and keeps the order. A bucket without a Region is repeated by one with a Region.
fn distinct_hints(hints: Vec<Hint>) -> Vec<Hint> {
    let placed: HashSet<BucketName> =
        hints.iter().filter(|hint| hint.region.is_some()).map(|hint| hint.bucket.clone()).collect();
    let mut hints = distinct(hints);
    hints.retain(|hint| hint.region.is_some() || !placed.contains(&hint.bucket));
    hints
}

/// Removes repeated names and keeps the order.
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
    fn key_in_several_alerts_is_exposed_once() {
        let manual = json!({"accessKeyId": KEY, "bucketName": "photos"});
        let alerts = read_payload(&json!([manual, finding("111122223333", "logs"), finding("111122223333", "photos")]));
        assert_eq!(alerts.len(), 1);
        let exposures = alerts[0].exposures.as_ref().unwrap();
        assert_eq!(exposures.len(), 1);
        let buckets = exposures[0].hints.iter().map(|hint| hint.bucket.as_str()).collect::<Vec<_>>();
        assert_eq!(buckets, ["photos", "logs"]);
        assert_eq!(exposures[0].accounts, ["111122223333".parse().unwrap()]);
    }

    #[test]
    fn conflicting_owners_add_an_error() {
        let manual = |account: &str| json!({"accessKeyId": KEY, "accountId": account});
        let alerts = read_payload(&json!([manual("111122223333"), manual("444455556666")]));
        assert_eq!(alerts.len(), 2);
        assert_eq!(alerts[0].exposures.as_ref().unwrap()[0].owner.as_ref().unwrap().as_str(), "111122223333");
        let reason = alerts[1].exposures.as_ref().unwrap_err();
        assert_eq!(*reason, Unreadable::Owners { key: KEY.parse().unwrap(), owners: 2 }.into());
    }

    /// Findings name the accounts of activities, and so all of them may be right.
    #[test]
    fn accounts_of_findings_are_merged() {
        let alerts = read_payload(&json!([finding("111122223333", "photos"), finding("444455556666", "photos")]));
        assert_eq!(alerts.len(), 1);
        let exposure = &alerts[0].exposures.as_ref().unwrap()[0];
        assert_eq!(exposure.owner, None);
        assert_eq!(exposure.accounts, ["111122223333", "444455556666"].map(|id| id.parse().unwrap()));
    }

    #[test]
    fn merged_hints_keep_their_regions() {
        let manual = |bucket: &str, region: Value| json!({"accessKeyId": KEY, "bucketName": bucket, "region": region});
        let events = [
            manual("photos", json!("eu-west-1")),
            manual("logs", json!("us-east-1")),
            manual("photos", json!(null)),
            manual("elsewhere", json!(null)),
        ];
        let alerts = read_payload(&json!(events));
        let exposure = &alerts[0].exposures.as_ref().unwrap()[0];
        let hints = exposure.hints.iter().map(|hint| (hint.bucket.as_str(), hint.region.as_ref().map(Region::as_str)));
        assert_eq!(
            hints.collect::<Vec<_>>(),
            [("photos", Some("eu-west-1")), ("logs", Some("us-east-1")), ("elsewhere", None)]
        );
        assert_eq!(exposure.regions, ["eu-west-1", "us-east-1"].map(|name| name.parse().unwrap()));
    }
}
