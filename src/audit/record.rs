//! Case file and verdict -> [`Record`]: an OCSF 1.8 event of class Remediation Activity (7001).
//!
//! SIEMs and Security Lake read it unchanged. What OCSF has no attribute for is under `unmapped`, in the shape that
//! [`SCHEMA`] names. These paths are an interface: adding is free, renaming is a new version. Invariant: bucket,
//! evidence, call, operations, verification and failure are all about one visit.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::message;
use crate::alert::Origin;
use crate::aws::lightsail::{LastUsed, Operation};
use crate::aws::{Failure, Transmission};
use crate::case::{self, CaseFile, Coverage, Evidence, FoundBy, Obstacle, Verdict, Visit};
use crate::outcome::Outcome;
use crate::safe_text::SafeText;

/// Version of the shape of `unmapped`.
const SCHEMA: &str = "lightsail-key-responder/v1";

/// The API operation that the record is about.
const DELETE: &str = "DeleteBucketAccessKey";

/// Limit of the operations in a record. AWS returns one for a delete.
const MAX_OPERATIONS: usize = 10;

/// Limit of the possible owners in a record. A finding names two accounts.
const MAX_OWNERS: usize = 20;

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

/// Next step for an operator.
#[derive(Clone, Debug, Serialize)]
struct Remediation {
    desc: &'static str,
}

/// Everything that OCSF has no attribute for.
#[derive(Clone, Debug, Serialize)]
struct Unmapped {
    schema: &'static str,
    mode: &'static str,
    invocation: Invocation,
    access_key: Option<AccessKey>,
    bucket: Option<Bucket>,
    alert: Origin,
    reason: Option<String>,
    operations: Vec<Operation>,
    verification: Option<Verification>,
    search: Option<Coverage>,
    timing_ms: Timing,
    failure: Option<Failure>,
}

#[derive(Clone, Debug, Serialize)]
struct Invocation {
    request_id: String,
    /// ID of the SQS message, for an item of a batch.
    message_id: Option<SafeText>,
    receive_count: Option<u32>,
    cold_start: bool,
}

#[derive(Clone, Debug, Serialize)]
struct AccessKey {
    id: String,
    /// Owner account, according to the alert.
    owner_account: Option<String>,
    /// Accounts that may own the key: a finding names the account of the activity.
    possible_owners: Vec<String>,
    /// `listed` with the fields below, `already_gone` if the delete was faster than the read beside it, or
    /// `unavailable`. Null if the key was not looked for.
    evidence: Option<&'static str>,
    status: Option<String>,
    created_at: Option<DateTime<Utc>>,
    last_used: Option<LastUsed>,
}

#[derive(Clone, Debug, Serialize)]
struct Bucket {
    name: String,
    region: String,
    found_by: FoundBy,
    remaining_keys: Option<usize>,
}

#[derive(Clone, Debug, Serialize)]
struct Verification {
    /// Whether the key is gone from the bucket. Null if its keys could not be read.
    absent: Option<bool>,
    reads: u32,
    at: Option<DateTime<Utc>>,
    remaining_keys: Option<usize>,
}

/// Milliseconds. `alert_to_invocation` counts from the arrival of the event at EventBridge, or else from when the
/// source last saw the cause, and is null if that is in the future. The others count from the start of the invocation.
/// All but `delete_first_sent` are about the record's bucket.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timing {
    pub(super) alert_to_invocation: Option<i64>,
    /// First delete on the wire, on any bucket.
    pub(super) delete_first_sent: Option<u64>,
    /// Attempt of the delete that AWS answered.
    pub(super) delete_sent: Option<u64>,
    pub(super) delete_accepted: Option<u64>,
    pub(super) verified: Option<u64>,
}

impl Record {
    /// Makes the record of a case.
    pub(super) fn new(case: &CaseFile, verdict: &Verdict<'_>) -> Self {
        let &Verdict { outcome, visit } = verdict;
        let (status_id, status) = outcome.ocsf_status();
        Self {
            class_uid: 7001,
            category_uid: 7,
            activity_id: 2,
            type_uid: 700_102,
            time: case.invocation.clock.now().timestamp_millis(),
            status_id,
            status,
            status_code: outcome.code(),
            severity_id: outcome.ocsf_severity(),
            command_uid: command_uid(case, visit),
            message: message::message(case, verdict),
            metadata: metadata(case),
            cloud: cloud(case, visit),
            api: api(case, visit),
            observables: observables(case, visit),
            countermeasures: vec![countermeasure()],
            remediation: Remediation { desc: outcome.next_step() },
            unmapped: unmapped(case, verdict),
            outcome,
        }
    }

    /// Returns the outcome.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Returns one sentence for an operator.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the time of the record, in epoch milliseconds.
    pub(super) fn time(&self) -> i64 {
        self.time
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.unmapped.timing_ms
    }

    /// Returns whether something of the search could not be read. None without a search.
    pub(super) fn is_search_incomplete(&self) -> Option<bool> {
        self.unmapped.search.as_ref().map(|search| !search.unread.is_empty())
    }
}

/// Returns the ID of an operation of the delete on the bucket, else of the delete's request, else of the invocation,
/// because OCSF requires the attribute.
fn command_uid(case: &CaseFile, visit: Option<&Visit>) -> String {
    let operation = operations(visit).iter().find_map(|operation| operation.id.clone());
    operation.or_else(|| request_id(visit?)).unwrap_or_else(|| case.invocation.request_id.clone())
}

/// Returns AWS's ID of the request that deleted the key, or failed to. CloudTrail can be searched with it. None without
/// a response.
fn request_id(visit: &Visit) -> Option<String> {
    let accepted = visit.accepted().and_then(|accepted| accepted.request_id.clone());
    let refused = || visit.failures.iter().filter(|failure| failure.operation == DELETE);
    accepted.or_else(|| refused().find_map(|failure| failure.request_id.clone()))
}

/// Returns the last visit with a delete, for a record without a visited bucket.
fn last_delete(case: &CaseFile) -> Option<&Visit> {
    case.visits.iter().rfind(|visit| visit.delete.is_some())
}

fn operations(visit: Option<&Visit>) -> &[Operation] {
    visit.and_then(Visit::accepted).map(|accepted| accepted.operations.as_slice()).unwrap_or_default()
}

fn metadata(case: &CaseFile) -> Metadata {
    Metadata {
        version: "1.8.0",
        profiles: ["cloud"],
        product: json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}),
        correlation_uid: case.origin.id.as_ref().map(ToString::to_string),
        original_event_uid: case.origin.event_id.as_ref().map(ToString::to_string),
    }
}

fn cloud(case: &CaseFile, visit: Option<&Visit>) -> Value {
    let hinted = case.exposure.as_ref().ok().and_then(|exposure| exposure.regions.first());
    let region = visit.map(|visit| &visit.target.region).or(hinted).unwrap_or(&case.own_region);
    let mut cloud = json!({"provider": "AWS", "region": region.as_str()});
    if let Some(account) = visit.map_or(&case.account, |visit| &visit.target.account) {
        cloud["account"] = json!({"uid": account.as_str()});
    }
    cloud
}

/// Describes the delete on the bucket, if one was sent. Without a bucket nothing tells which delete an ID would be of.
fn api(case: &CaseFile, visit: Option<&Visit>) -> Option<Value> {
    let is_sent = |delete: &Transmission| delete.attempts() > 0;
    let sent = match visit {
        Some(visit) => visit.delete.as_ref().is_some_and(|delete| is_sent(&delete.transmission)),
        None => case.deletes().any(is_sent),
    };
    sent.then(|| {
        let mut api = json!({"operation": DELETE, "service": {"name": "lightsail"}});
        if let Some(uid) = visit.and_then(request_id) {
            api["request"] = json!({"uid": uid});
        }
        api
    })
}

/// OCSF observable types: 19 User Credential ID, 10 Resource UID.
fn observables(case: &CaseFile, visit: Option<&Visit>) -> Vec<Value> {
    let key = case
        .exposure
        .as_ref()
        .ok()
        .map(|exposure| json!({"type_id": 19, "name": "unmapped.access_key.id", "value": exposure.key.as_str()}));
    let bucket = visit
        .map(|visit| json!({"type_id": 10, "name": "unmapped.bucket.name", "value": visit.target.bucket.to_string()}));
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

fn unmapped(case: &CaseFile, verdict: &Verdict<'_>) -> Unmapped {
    let visit = verdict.visit;
    // Absence on one bucket proves nothing while the key may be on another one, which could not be read.
    let incomplete = case.coverage.as_ref().is_some_and(|coverage| !coverage.is_complete() && !coverage.ended_early);
    Unmapped {
        schema: SCHEMA,
        mode: case.mode.as_str(),
        invocation: Invocation {
            request_id: case.invocation.request_id.clone(),
            message_id: case.invocation.message_id.as_deref().map(SafeText::of),
            receive_count: case.invocation.receive_count,
            cold_start: case.invocation.cold_start,
        },
        access_key: access_key(case, visit),
        bucket: visit.map(|visit| Bucket {
            name: visit.target.bucket.to_string(),
            region: visit.target.region.to_string(),
            found_by: visit.target.found_by,
            remaining_keys: visit.verification.as_ref().and_then(|verification| verification.remaining_keys),
        }),
        alert: case.origin.clone(),
        reason: message::reason(case, verdict),
        operations: operations(visit).iter().take(MAX_OPERATIONS).cloned().collect(),
        verification: visit.filter(|_| !incomplete).and_then(verification),
        search: case.coverage.clone(),
        timing_ms: timing(case, visit),
        failure: failure(case, visit),
    }
}

/// Returns the reads that verify a delete.
fn verification(visit: &Visit) -> Option<Verification> {
    let case::Verification { reads, at, remaining_keys, .. } = visit.verification.clone()?;
    Some(Verification { absent: visit.verified_absent(), reads, at, remaining_keys })
}

/// Returns the failure on the visited bucket, else of the last delete, or the one that has no bucket.
pub(super) fn failure(case: &CaseFile, visit: Option<&Visit>) -> Option<Failure> {
    match &case.obstacle {
        Some(Obstacle::NoSession(failure)) => return Some(failure.clone()),
        Some(Obstacle::Panicked) => return Some(Failure::panicked(case.may_have_taken_effect())),
        Some(Obstacle::ForeignAccount { .. }) | None => {}
    }
    let failure = visit.or_else(|| last_delete(case))?.failure()?.clone();
    // A failed read does not say so, but a delete before it may have taken effect.
    Some(Failure { may_have_taken_effect: case.may_have_taken_effect(), ..failure })
}

fn access_key(case: &CaseFile, visit: Option<&Visit>) -> Option<AccessKey> {
    let exposure = case.exposure.as_ref().ok()?;
    let seen = visit.and_then(Visit::sighting);
    Some(AccessKey {
        id: exposure.key.to_string(),
        owner_account: exposure.owner.as_ref().map(ToString::to_string),
        possible_owners: exposure.accounts.iter().take(MAX_OWNERS).map(ToString::to_string).collect(),
        evidence: visit.and_then(|visit| visit.evidence.as_ref()).map(|evidence| match evidence {
            Evidence::Listed(_) => "listed",
            Evidence::AlreadyGone => "already_gone",
            Evidence::Unavailable => "unavailable",
        }),
        status: seen.and_then(|seen| seen.status.clone()),
        created_at: seen.and_then(|seen| seen.created_at),
        last_used: seen.and_then(|seen| seen.last_used.clone()),
    })
}

fn timing(case: &CaseFile, visit: Option<&Visit>) -> Timing {
    let invocation = &case.invocation;
    let since = |at: Option<Instant>| {
        let elapsed = at?.saturating_duration_since(invocation.started);
        u64::try_from(elapsed.as_millis()).ok()
    };
    let alerted = case.origin.sent_at.or(case.origin.observed_at);
    Timing {
        alert_to_invocation: alerted.map(|at| (invocation.started_at - at).num_milliseconds()).filter(|ms| *ms >= 0),
        delete_first_sent: since(case.deletes().filter_map(Transmission::first_sent).min()),
        delete_sent: since(visit.and_then(|visit| visit.delete.as_ref()?.transmission.answered_sent())),
        delete_accepted: since(visit.and_then(Visit::accepted).map(|accepted| accepted.at)),
        verified: since(visit.and_then(|visit| visit.verification.as_ref()?.absent_at)),
    }
}

#[cfg(test)]
mod tests;
