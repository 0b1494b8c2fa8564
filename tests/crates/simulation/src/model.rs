//! Rules that each delivery, and each incident as a whole, must keep under any fault.
//!
//! They express the README's promises and compare what the function reports with the true state. They do not depend on
//! the implementation: they use only the answer, the records, the arrived requests, and the keys.

use std::time::Duration;

use serde_json::Value;

use crate::world::{Delivery, KEYS, KeyState, Route};

/// Maximum requests of one delivery, per exposed key and minute: polls with pauses of up to two seconds, each with up
/// to five attempts, and the world's pages and buckets.
pub const MAX_REQUESTS: usize = 250;

/// Minimum time between the answer and the deadline. A short timeout leaves a sixth.
const MIN_LEFT: Duration = Duration::from_millis(500);

/// Time before the deadline that separates two kinds of errors. An earlier error means that the function gave up. A
/// later error may mean that time ran out.
const GAVE_UP_BEFORE: Duration = Duration::from_secs(25);

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
    for key in &delivery.keys {
        key_rules(delivery, key, &mut broken);
    }
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    // Promise: always leave a record.
    rule(delivery.records.len() == delivery.keys.len(), "there is exactly one record per key");
    let failed = delivery.records.iter().filter(|record| !is_success(record)).map(message);
    match &delivery.answer {
        // Keys are handled concurrently, so the log may have another order.
        Ok(records) => {
            let same =
                records.len() == delivery.records.len() && records.iter().all(|it| delivery.records.contains(it));
            rule(same, "the answer has the same records as the log");
        }
        Err(text) => {
            let mut told = text.split('\n').collect::<Vec<_>>();
            let mut failed = failed.collect::<Vec<_>>();
            told.sort_unstable();
            failed.sort_unstable();
            rule(told == failed, "the error has the messages of the failed records");
        }
    }
    let ok = delivery.answer.is_ok();
    rule(ok == delivery.records.iter().all(is_success), "Lambda gets an error exactly if an outcome is an error");
    rule(delivery.error_type.is_none() == ok, "an error has an errorType");
    rule(delivery.left >= MIN_LEFT.min(delivery.timeout / 6), "the answer comes at least 500 ms before the deadline");

    // Promise: never touch a key that was not named.
    rule(delivery.other_keys == 2, "no other key is deleted");
    let names_another = |id: &Option<String>| id.as_deref().is_some_and(|id| !KEYS.contains(&id));
    rule(!delivery.requests.iter().any(|seen| names_another(&seen.access_key_id)), "no delete names another key");

    // Promise: right away. Also, the number of requests is bounded.
    let first = delivery.requests.iter().find(|seen| seen.operation != "AssumeRole");
    // On a repeated delivery, a late read of the earlier delivery may arrive first.
    let named = matches!(delivery.route, Route::Named | Route::NamedWrong | Route::Member) && delivery.is_first;
    rule(
        // A delete that found no connection did not arrive.
        !named || delivery.overlaps || delivery.network_failed || first.is_none_or(|seen| is_delete(&seen.operation)),
        "the delete is the first request",
    );
    let minutes = usize::try_from(delivery.timeout.as_secs().div_ceil(60)).unwrap_or(usize::MAX).max(1);
    let bound = MAX_REQUESTS * minutes * delivery.keys.len() * if delivery.overlaps { 2 } else { 1 };
    rule(delivery.requests.len() <= bound, "the number of requests is bounded");

    // Transient faults must be overcome if they hit each call at most twice and no other faults occur.
    let hits = |operation: &str| {
        let hits = delivery.requests.iter().filter(|seen| seen.operation == operation && seen.fault.is_some());
        hits.count()
    };
    // The SDK accepts a truncated XML document, so only the next delivery overcomes this fault.
    let is_transient =
        |(operation, kind): (&str, &str)| TRANSIENT.contains(&kind) && (operation, kind) != ("AssumeRole", "truncated");
    let faults = delivery.requests.iter().filter_map(|seen| Some((seen.operation.as_str(), seen.fault.as_deref()?)));
    let only_transient = faults.into_iter().all(is_transient) && !delivery.network_failed && !delivery.overlaps;
    let at_most_twice = delivery.requests.iter().all(|seen| hits(&seen.operation) <= 2);
    let gave_up = delivery.left > GAVE_UP_BEFORE && !delivery.lingers;
    rule(ok || !only_transient || !at_most_twice || !gave_up, "transient faults are overcome");
    broken
}

/// Rules about the record of one exposed key.
fn key_rules(delivery: &Delivery, key: &KeyState, broken: &mut Vec<String>) {
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    let record = delivery.record(key.id);
    let outcome = record["status_code"].as_str().unwrap_or("none");
    let ok = is_success(record);
    let unmapped = &record["unmapped"];
    let here = |id: &Option<String>| id.as_deref() == Some(key.id);
    let deletes = || delivery.requests.iter().filter(|seen| is_delete(&seen.operation) && here(&seen.access_key_id));

    // Promise: never claim that a key is dead when it may be alive.
    rule(!(ok && key.alive), "success means that the key is gone");
    let absent = unmapped["verification"]["absent"].as_bool();
    rule(!(absent == Some(true) && key.alive), "an existing key is not reported as absent");
    let accepted = deletes().any(|seen| seen.status == Some(200));
    let existed = key.alive_before || delivery.lingers;
    rule(
        outcome != "revoked" || delivery.overlaps || (accepted && existed),
        "revoked means that the function's own delete was accepted",
    );
    let unread = unmapped["search"]["unread"].as_array().map_or(0, Vec::len);
    let verified = unmapped["search"].is_object() || absent == Some(true);
    rule(!ok || verified, "absence was verified");
    rule(!ok || unread == 0, "success leaves nothing unread");

    // A session is never used beyond its expiry. Scripted errors have the kind `error`.
    let expired = |failure: &Value| failure["code"] == "ExpiredTokenException";
    let unread_failures = unmapped["search"]["unread"].as_array().into_iter().flatten();
    let expired = expired(&unmapped["failure"]) || unread_failures.map(|unread| &unread["failure"]).any(expired);
    let scripted = delivery.requests.iter().any(|seen| seen.fault.as_deref() == Some("error"));
    rule(!expired || scripted, "no session is used beyond its expiry");

    // The record tells if a delete may have taken effect.
    let deleted = key.alive_before && !key.alive && !delivery.overlaps;
    let may_have_taken_effect = unmapped["failure"]["may_have_taken_effect"].as_bool();
    rule(may_have_taken_effect != Some(false) || !deleted, "the record never denies a delete that took effect");
    rule(
        ok || !deleted || may_have_taken_effect == Some(true) || outcome == "unconfirmed",
        "an error after a delete reports that it may have taken effect",
    );
}

/// Returns each rule that the incident as a whole breaks.
pub fn broken_history(deliveries: &[Delivery]) -> Vec<String> {
    let mut broken = Vec::new();
    let Some(last) = deliveries.last() else { return vec!["nothing was delivered".to_owned()] };
    let alive = last.keys.iter().any(|key| key.alive);
    // Lambda gives up after two retries, and the failure queue and alarms tell people.
    if alive && last.answer.is_ok() {
        broken.push("at the end of an incident the key is gone, or people are told".to_owned());
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

fn is_delete(operation: &str) -> bool {
    operation == "DeleteBucketAccessKey"
}
