//! Rules that each delivery, and each incident as a whole, must keep under any fault.
//!
//! They express the README's promises and compare what the function reports with the true state. They do not depend on
//! the implementation: they use only the answer, the records, the arrived requests, and the keys. [`reach`](crate::reach)
//! has those about disabled Regions and protected buckets.

use std::time::Duration;

use serde_json::Value;

use lightsail_simulator::{Dialect, OperationMemory, SeenRequest, UnusedAccount};

use crate::NEW_REGION;
use crate::alerts::Named;
use crate::reach::{is_told_as_not_enabled, reach_rules};
use crate::routes::KEYS;
use crate::world::{Delivery, KeyState};

/// Maximum requests of one delivery, per exposed key and minute: polls with pauses of up to two seconds, each with up
/// to five attempts, and the world's pages and buckets.
pub const MAX_REQUESTS: usize = 250;

/// Minimum time between the answer and the deadline. A short timeout leaves a sixth.
const MIN_LEFT: Duration = Duration::from_millis(500);

/// Time before the deadline that separates two kinds of errors. An earlier error means that the function gave up. A
/// later error may mean that time ran out.
const GAVE_UP_BEFORE: Duration = Duration::from_secs(25);

/// Call to STS, by the own account.
const ASSUME_ROLE: &str = "AssumeRole";

/// Outcomes for which Lambda gets no error.
const SUCCESSES: [&str; 3] = ["revoked", "already_absent", "not_lightsail_key"];

/// Transient faults, which the function must overcome. All other faults are refusals or unexpected responses.
const TRANSIENT: [&str; 12] = [
    "throttled",
    "service_exception",
    "http_status",
    "reset_before",
    "reset_after",
    "hang_before",
    "hang_after",
    "never_ends",
    "slow",
    "truncated",
    "not_json",
    "latency",
];

/// Returns each rule that `delivery` breaks.
pub fn broken_rules(delivery: &Delivery) -> Vec<String> {
    let mut broken = Vec::new();
    for named in &delivery.named {
        if let Some(key) = delivery.keys.iter().find(|key| key.id == named.key) {
            key_rules(delivery, named, key, &mut broken);
        }
    }
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    // Promise: always leave a record.
    let recorded = delivery.named.iter().all(|named| delivery.record_of(named).is_object());
    rule(recorded && delivery.records.len() == delivery.named.len(), "there is exactly one record per key");
    let failed = || delivery.records.iter().filter(|record| !is_success(record));
    let is_batch = delivery.route.is_batch();
    rule(is_batch == delivery.failed_messages().is_some(), "an SQS batch is answered by message");
    match &delivery.answer {
        Ok(_) if is_batch => {
            let mut told = delivery.failed_messages().unwrap_or_default();
            let ids = failed().map(|record| &record["unmapped"]["invocation"]["message_id"]);
            let mut failed = ids.map(|id| id.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
            told.sort_unstable();
            failed.sort_unstable();
            failed.dedup();
            rule(told == failed, "SQS gets back exactly the messages with a failed record");
        }
        // Keys are handled concurrently, so the log may have another order.
        Ok(records) => {
            let same =
                records.len() == delivery.records.len() && records.iter().all(|it| delivery.records.contains(it));
            rule(same, "the answer has the same records as the log");
        }
        Err(text) => {
            let mut told = text.split('\n').collect::<Vec<_>>();
            let mut failed = failed().map(message).collect::<Vec<_>>();
            told.sort_unstable();
            failed.sort_unstable();
            rule(told == failed, "the error has the messages of the failed records");
        }
    }
    let ok = delivery.succeeded();
    rule(ok == delivery.records.iter().all(is_success), "Lambda gets an error exactly if an outcome is an error");
    rule(delivery.error_type.is_none() == delivery.answer.is_ok(), "an error has an errorType");
    rule(delivery.left >= MIN_LEFT.min(delivery.timeout / 6), "the answer comes at least 500 ms before the deadline");

    // Promise: never touch a key that was not named.
    rule(delivery.others_deleted.is_empty(), "no other key is deleted");
    let names_another = |id: &Option<String>| id.as_deref().is_some_and(|id| !KEYS.contains(&id));
    rule(!delivery.requests.iter().any(|seen| names_another(&seen.access_key_id)), "no delete names another key");

    // A refused signature has no account.
    let accounts = delivery.alert.accounts();
    let mut called = delivery.requests.iter().filter(|seen| !seen.account.is_empty() && seen.operation != ASSUME_ROLE);
    rule(called.all(|seen| accounts.contains(&seen.account.as_str())), "only accounts of the alert are called");

    // Promise: right away. Also, the number of requests is bounded.
    let named = delivery.alert.is_hinted() && delivery.is_first;
    rule(
        // A delete that found no connection was not sent.
        !named || delivery.overlaps || delivery.network_failed || delivery.sent.first().is_none_or(|it| is_delete(it)),
        "the delete is the first request",
    );
    // A forgotten connection would cost the timeout of an attempt.
    rule(delivery.reuses == 0, "no connection from before a freeze is used");
    let minutes = usize::try_from(delivery.timeout.as_secs().div_ceil(60)).unwrap_or(usize::MAX).max(1);
    let bound = MAX_REQUESTS * minutes * delivery.named.len() * if delivery.overlaps { 2 } else { 1 };
    rule(delivery.requests.len() <= bound, "the number of requests is bounded");

    // Transient faults must be overcome if they hit each call at most twice and no other faults occur.
    let hits = |operation: &str| {
        let hits = delivery.requests.iter().filter(|seen| seen.operation == operation && seen.fault.is_some());
        hits.count()
    };
    // The SDK accepts a truncated XML document, so only the next delivery overcomes this fault.
    let is_transient =
        |(operation, kind): (&str, &str)| TRANSIENT.contains(&kind) && (operation, kind) != (ASSUME_ROLE, "truncated");
    let faults = delivery.requests.iter().filter_map(|seen| Some((seen.operation.as_str(), seen.fault.as_deref()?)));
    let only_transient = faults.into_iter().all(is_transient) && !delivery.network_failed && !delivery.overlaps;
    let at_most_twice = delivery.requests.iter().all(|seen| hits(&seen.operation) <= 2);
    // Not a fault, but nothing that this function can overcome in one delivery.
    let Dialect { operation_memory, unused_account, .. } = delivery.dialect;
    let out_of_reach = |key: &KeyState| key.place.is_protected || key.place.is_disabled(delivery.dialect);
    let refused = (operation_memory, unused_account) != (OperationMemory::Kept, UnusedAccount::Empty)
        || delivery.keys.iter().any(out_of_reach);
    let gave_up = delivery.left > GAVE_UP_BEFORE && !delivery.lingers && !refused;
    rule(ok || !only_transient || !at_most_twice || !gave_up, "transient faults are overcome");
    broken
}

/// Rules about the record of one exposed key.
fn key_rules(delivery: &Delivery, named: &Named, key: &KeyState, broken: &mut Vec<String>) {
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    let record = delivery.record_of(named);
    // Another message of the batch, or another delivery, may have deleted the key.
    let alone = !delivery.overlaps && delivery.named.iter().filter(|other| other.key == key.id).count() == 1;
    let outcome = record["status_code"].as_str().unwrap_or("none");
    let ok = is_success(record);
    let unmapped = &record["unmapped"];
    let here = |id: &Option<String>| id.as_deref() == Some(key.id);
    let deletes = || delivery.requests.iter().filter(|seen| is_delete(&seen.operation) && here(&seen.access_key_id));

    // Promise: never claim that a key is dead when it may be alive.
    let out_of_reach = is_told_as_not_enabled(delivery, key, record);
    rule(!(ok && key.alive) || out_of_reach, "success means that the key is gone");
    let absent = unmapped["verification"]["absent"].as_bool();
    rule(!(absent == Some(true) && key.alive) || out_of_reach, "an existing key is not reported as absent");
    let accepted = deletes().any(|seen| seen.status == Some(200));
    // AWS may accept the delete of a key that is gone already. Then the key was not seen before.
    let existed = key.alive_before || delivery.lingers || unmapped["access_key"]["evidence"] != "listed";
    rule(
        outcome != "revoked" || !alone || (accepted && existed),
        "revoked means that the function's own delete was accepted",
    );
    let unread = unmapped["search"]["unread"].as_array().map_or(0, Vec::len);
    let verified = unmapped["search"].is_object() || absent == Some(true);
    rule(!ok || verified, "absence was verified");
    let ended_early = unmapped["search"]["ended_early"] == true;
    rule(!ok || unread == 0 || ended_early, "success leaves nothing unread");

    // What is unread elsewhere does not keep the key from being found in a Region without any fault.
    let place = &key.place;
    let mut there =
        delivery.requests.iter().filter(|seen| seen.account == place.account && seen.region == place.region);
    let answered = there.clone().any(|seen| seen.operation == "GetBuckets" && seen.status == Some(200));
    let faultless = there.all(|seen| seen.fault.is_none()) && !delivery.network_failed;
    let had_time = delivery.left > GAVE_UP_BEFORE;
    rule(
        outcome != "search_incomplete" || !key.alive || !alone || !answered || !faultless || !had_time,
        "a key in a Region that answered is found",
    );

    // A session is never used beyond its expiry. Scripted errors have the kind `error`.
    let expired = |failure: &Value| failure["code"] == "ExpiredTokenException";
    let unread_failures = unmapped["search"]["unread"].as_array().into_iter().flatten();
    let expired = expired(&unmapped["failure"]) || unread_failures.map(|unread| &unread["failure"]).any(expired);
    let scripted = delivery.requests.iter().any(|seen| seen.fault.as_deref() == Some("error"));
    rule(!expired || scripted, "no session is used beyond its expiry");

    // The record tells if a delete may have taken effect.
    let deleted = key.alive_before && !key.alive && alone;
    let may_have_taken_effect = unmapped["failure"]["may_have_taken_effect"].as_bool();
    rule(may_have_taken_effect != Some(false) || !deleted, "the record never denies a delete that took effect");
    rule(
        ok || !deleted || may_have_taken_effect == Some(true) || outcome == "unconfirmed",
        "an error after a delete reports that it may have taken effect",
    );
    place_rules(delivery, record, key, &mut rule);
    reach_rules(delivery, named, key, record, &mut rule);
}

/// Rules about the account, Region and bucket that a record names.
fn place_rules(delivery: &Delivery, record: &Value, key: &KeyState, rule: &mut impl FnMut(bool, &str)) {
    let unmapped = &record["unmapped"];
    let (bucket, region, account) =
        (&unmapped["bucket"]["name"], &unmapped["bucket"]["region"], &record["cloud"]["account"]["uid"]);
    rule(bucket.is_null() || record["cloud"]["region"] == *region, "the record names one Region");
    let seen = unmapped["access_key"]["evidence"] == "listed";
    let place = &key.place;
    let named = (bucket == place.bucket, region == place.region, account == place.account) == (true, true, true);
    rule(!seen || named, "the record of a key that was seen names its account, Region and bucket");
    let read = unmapped["verification"]["absent"].is_boolean();
    let mut places = delivery.route.places().into_iter();
    let exists = places.any(|place| bucket == place.bucket && region == place.region && account == place.account);
    rule(!read || exists, "the record names account and Region of the bucket that was read");

    // A request that the network lost did not arrive.
    let arrived = |failure: &Value, account: &Value, region: &Value| {
        let is_same = |seen: &SeenRequest| {
            let same_account = seen.account.is_empty() || account == seen.account.as_str();
            let same_region = seen.region.is_empty() || region == seen.region.as_str();
            let place = failure["operation"] == ASSUME_ROLE || (same_account && same_region);
            failure["operation"] == seen.operation.as_str() && place
        };
        // At the deadline, a request to a slow Region is sent and has not arrived.
        let in_transit = failure["kind"] == "deadline_exceeded"
            && delivery.sent.iter().any(|operation| failure["operation"] == operation.as_str());
        delivery.network_failed
            || failure["attempts"].as_u64() == Some(0)
            || in_transit
            || delivery.requests.iter().any(is_same)
    };
    let failure = &unmapped["failure"];
    let made = failure.is_null() || bucket.is_null() || arrived(failure, account, region);
    rule(made, "a failure belongs to a call in its account and Region");
    for unread in unmapped["search"]["unread"].as_array().into_iter().flatten() {
        for place in unread["places"].as_array().into_iter().flatten() {
            let made = arrived(&unread["failure"], &place["account"], &place["region"]);
            rule(made, "what was not read belongs to a call in its account and Region");
            let accounts = delivery.alert.accounts();
            // A Region that Lightsail may not have is in no account.
            let is_unknown = |region: &str| region == NEW_REGION && delivery.alert.names_region(region);
            let concerned = accounts.iter().any(|account| place["account"] == *account)
                || (place["account"].is_null() && place["region"].as_str().is_some_and(is_unknown));
            rule(concerned, "what was not read is in an account of the alert");
        }
    }
}

/// Returns each rule that the incident as a whole breaks.
pub fn broken_history(deliveries: &[Delivery]) -> Vec<String> {
    let mut broken = Vec::new();
    let Some(last) = deliveries.last() else { return vec!["nothing was delivered".to_owned()] };
    // After two retries Lambda and SQS give up, and the failure queues and alarms tell people.
    let told = |key: &KeyState| {
        let naming = |delivery: &&Delivery| delivery.named.iter().any(|named| named.key == key.id);
        deliveries.iter().rfind(naming).is_some_and(|last| {
            let mut of_key = last.named.iter().filter(|named| named.key == key.id);
            let failed = last.failed_messages().unwrap_or_default();
            last.answer.is_err()
                || of_key.any(|named| {
                    let is_failed = named.message.as_ref().is_some_and(|id| failed.contains(id));
                    is_failed || is_told_as_not_enabled(last, key, last.record_of(named))
                })
        })
    };
    if !last.keys.iter().all(|key| !key.alive || told(key)) {
        broken.push("at the end of an incident each key is gone, or people are told".to_owned());
    }
    // Overlapping deliveries may end in the same instant, and then their order says nothing.
    let in_order = |pair: &&[Delivery]| !(pair[0].overlaps && pair[1].overlaps);
    let gone_and_back = deliveries
        .windows(2)
        .filter(in_order)
        .any(|pair| pair[0].keys.iter().zip(&pair[1].keys).any(|(before, after)| !before.alive && after.alive));
    if gone_and_back {
        broken.push("a deleted key does not come back".to_owned());
    }
    broken
}

fn is_success(record: &Value) -> bool {
    record["status_code"].as_str().is_some_and(|outcome| SUCCESSES.contains(&outcome))
}

fn message(record: &Value) -> &str {
    record["message"].as_str().unwrap_or_default()
}

pub(crate) fn is_delete(operation: &str) -> bool {
    operation == "DeleteBucketAccessKey"
}
