//! Facts and outcome -> [`Record`]: an OCSF 1.8 event of class Remediation Activity (7001).
//!
//! Any SIEM and Security Lake reads it unchanged. What OCSF has no attribute for is under `unmapped`, in the shape
//! that [`SCHEMA`] names. These paths are an interface: adding is free, renaming is a new version.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Facts, message};
use crate::alert::Origin;
use crate::aws::lightsail::{AccessKey, Operation};
use crate::aws::{Failure, Transmission};
use crate::outcome::Outcome;
use crate::respond::confirm::Verification;
use crate::respond::locate::{Extent, FoundBy};
use crate::safe_text::SafeText;

/// Version of the shape of `unmapped`.
const SCHEMA: &str = "lightsail-key-responder/v1";

/// One audit record. `Serialize` only: nothing reads it back.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    class_uid: u16,
    category_uid: u8,
    activity_id: u8,
    type_uid: u32,
    /// Epoch milliseconds.
    time: i64,
    status_id: u8,
    status: &'static str,
    status_code: &'static str,
    severity_id: u8,
    command_uid: String,
    message: String,
    metadata: Metadata,
    cloud: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observables: Vec<Value>,
    countermeasures: Vec<Value>,
    remediation: Remediation,
    unmapped: Unmapped,
    #[serde(skip)]
    outcome: Outcome,
}

#[derive(Clone, Debug, Serialize)]
struct Metadata {
    version: &'static str,
    profiles: [&'static str; 1],
    product: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_event_uid: Option<String>,
}

/// What a person does next.
#[derive(Clone, Debug, Serialize)]
struct Remediation {
    desc: &'static str,
}

/// What OCSF has no attribute for.
#[derive(Clone, Debug, Serialize)]
struct Unmapped {
    schema: &'static str,
    mode: &'static str,
    invocation: Invocation,
    access_key: Option<Key>,
    bucket: Option<Bucket>,
    alert: Origin,
    why: Option<String>,
    operations: Vec<Operation>,
    verification: Option<Verification>,
    search: Option<Extent>,
    timing_ms: Timing,
    failure: Option<Failure>,
}

#[derive(Clone, Debug, Serialize)]
struct Invocation {
    request_id: String,
    /// ID of the SQS message, for an item of a batch.
    message_id: Option<SafeText>,
    cold_start: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Key {
    id: String,
    /// The account that the alert says owns the key.
    owner_account: Option<String>,
    /// What was seen of it before it was deleted: `listed` with the members below, `too_late` if it was gone already when
    /// it was read beside the delete, `unread`; null where nothing was deleted or sent.
    evidence: Option<&'static str>,
    status: Option<String>,
    created_at: Option<DateTime<Utc>>,
    last_used: Option<crate::aws::lightsail::LastUsed>,
}

#[derive(Clone, Debug, Serialize)]
struct Bucket {
    name: String,
    region: String,
    found_by: FoundBy,
    keys_left: Option<usize>,
}

/// Milliseconds. `alert_to_invocation` counts from when EventBridge got the event, or else the source last saw the cause,
/// and is null where that lies in the future; the others count from the start of the invocation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timing {
    pub(super) alert_to_invocation: Option<i64>,
    pub(super) delete_sent: Option<u64>,
    pub(super) delete_accepted: Option<u64>,
    pub(super) verified: Option<u64>,
}

impl Record {
    /// Puts together the record of one key, or of an event without one.
    pub(super) fn new(facts: &Facts, outcome: Outcome) -> Self {
        let (status_id, status) = outcome.ocsf_status();
        Self {
            class_uid: 7001,
            category_uid: 7,
            activity_id: 2,
            type_uid: 700_102,
            time: Utc::now().timestamp_millis(),
            status_id,
            status,
            status_code: outcome.code(),
            severity_id: outcome.ocsf_severity(),
            command_uid: command_uid(facts),
            message: message::message(facts, outcome),
            metadata: metadata(facts),
            cloud: cloud(facts),
            api: api(facts),
            observables: observables(facts),
            countermeasures: vec![countermeasure()],
            remediation: Remediation { desc: outcome.next_step() },
            unmapped: unmapped(facts),
            outcome,
        }
    }

    /// How the work ended.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// One sentence for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When it was made, in epoch milliseconds.
    pub(super) fn time(&self) -> i64 {
        self.time
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.unmapped.timing_ms
    }

    /// Whether something of the search could not be read; none without a search.
    pub(super) fn is_search_incomplete(&self) -> Option<bool> {
        self.unmapped.search.as_ref().map(|search| !search.unread.is_empty())
    }
}

/// The operation's ID, else the ID of the delete's request, else of the invocation.
fn command_uid(facts: &Facts) -> String {
    let operation = facts.operations.iter().find_map(|operation| operation.id.clone());
    operation.or_else(|| request_id(facts)).unwrap_or_else(|| facts.invocation.request_id.clone())
}

fn request_id(facts: &Facts) -> Option<String> {
    facts.request_id.clone().or_else(|| facts.failure.as_ref()?.request_id.clone())
}

fn metadata(facts: &Facts) -> Metadata {
    Metadata {
        version: "1.8.0",
        profiles: ["cloud"],
        product: json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}),
        correlation_uid: facts.alert.id.as_ref().map(ToString::to_string),
        original_event_uid: facts.alert.event_id.as_ref().map(ToString::to_string),
    }
}

fn cloud(facts: &Facts) -> Value {
    let hinted = facts.exposure.as_ref().and_then(|exposure| exposure.region.as_ref());
    let region = facts.target.as_ref().map(|target| &target.region).or(hinted).unwrap_or(&facts.own_region);
    let mut cloud = json!({"provider": "AWS", "region": region.as_str()});
    if let Some(account) = &facts.account {
        cloud["account"] = json!({"uid": account.as_str()});
    }
    cloud
}

/// The delete, if one was sent.
fn api(facts: &Facts) -> Option<Value> {
    facts.deletes.iter().any(|wire| wire.attempts() > 0).then(|| {
        let mut api = json!({"operation": "DeleteBucketAccessKey", "service": {"name": "lightsail"}});
        if let Some(uid) = request_id(facts) {
            api["request"] = json!({"uid": uid});
        }
        api
    })
}

/// OCSF observable types: 19 User Credential ID, 10 Resource UID.
fn observables(facts: &Facts) -> Vec<Value> {
    let key = facts
        .exposure
        .as_ref()
        .map(|exposure| json!({"type_id": 19, "name": "unmapped.access_key.id", "value": exposure.key.as_str()}));
    let bucket = facts
        .target
        .as_ref()
        .map(|target| json!({"type_id": 10, "name": "unmapped.bucket.name", "value": target.bucket.as_str()}));
    key.into_iter().chain(bucket).collect()
}

/// MITRE D3FEND: technique D3-CR of tactic Evict.
fn countermeasure() -> Value {
    json!({
        "d3f_tactic": {"name": "Evict", "src_url": "https://d3fend.mitre.org/tactic/d3f:Evict/"},
        "d3f_technique": {
            "name": "Credential Revocation", "uid": "D3-CR",
            "src_url": "https://d3fend.mitre.org/technique/d3f:CredentialRevocation/",
        },
    })
}

fn unmapped(facts: &Facts) -> Unmapped {
    Unmapped {
        schema: SCHEMA,
        mode: facts.mode.as_str(),
        invocation: Invocation {
            request_id: facts.invocation.request_id.clone(),
            message_id: facts.invocation.message_id.as_deref().map(SafeText::of),
            cold_start: facts.invocation.cold_start,
        },
        access_key: access_key(facts),
        bucket: facts.target.as_ref().map(|target| Bucket {
            name: target.bucket.to_string(),
            region: target.region.to_string(),
            found_by: target.found_by,
            keys_left: facts.verification.as_ref().and_then(|verification| verification.keys_left),
        }),
        alert: facts.alert.clone(),
        why: facts.why.clone(),
        operations: facts.operations.clone(),
        verification: facts.verification.clone(),
        search: facts.search.clone(),
        timing_ms: timing(facts),
        failure: failure(facts),
    }
}

/// Whatever it is a failure of: what matters of it is whether a delete may have been carried out.
fn failure(facts: &Facts) -> Option<Failure> {
    let mut failure = facts.failure.clone()?;
    failure.may_have_taken_effect |= facts.may_be_deleted();
    Some(failure)
}

fn access_key(facts: &Facts) -> Option<Key> {
    let exposure = facts.exposure.as_ref()?;
    let seen: Option<&AccessKey> = facts.evidence.key();
    Some(Key {
        id: exposure.key.to_string(),
        owner_account: exposure.account.as_ref().map(ToString::to_string),
        evidence: facts.evidence.code(),
        status: seen.and_then(|seen| seen.status.clone()),
        created_at: seen.and_then(|seen| seen.created_at),
        last_used: seen.and_then(|seen| seen.last_used.clone()),
    })
}

fn timing(facts: &Facts) -> Timing {
    let invocation = &facts.invocation;
    let since = |at: Option<Instant>| {
        let elapsed = at?.saturating_duration_since(invocation.started);
        u64::try_from(elapsed.as_millis()).ok()
    };
    let alerted = facts.alert.sent_at.or(facts.alert.observed_at);
    Timing {
        alert_to_invocation: alerted.map(|at| (invocation.started_at - at).num_milliseconds()).filter(|ms| *ms >= 0),
        delete_sent: since(facts.deletes.iter().filter_map(Transmission::first_sent).min()),
        delete_accepted: since(facts.accepted_at),
        verified: since(facts.absent_at),
    }
}
