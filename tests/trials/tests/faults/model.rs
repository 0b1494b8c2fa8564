//! Rules that each delivery must keep under any fault. They express the README's promises and compare what the function
//! reports with the true state.
//!
//! The rules do not depend on the implementation. They use only the answer, the record, the arrived requests, and the
//! keys.

use std::time::Duration;

use serde_json::Value;

use crate::scene::{Delivery, KEY, Route};

/// Maximum requests of one delivery: five attempts of each call, ten polls per second, and the scene's pages and
/// buckets.
pub(crate) const MAX_REQUESTS: usize = 150;

/// Minimum time between the answer and the deadline.
const MIN_LEFT: Duration = Duration::from_millis(500);

/// Time before the deadline that separates two kinds of errors. An earlier error means that the function gave up. A
/// later error may mean that time ran out, for example on a busy machine.
const GAVE_UP_BEFORE: Duration = Duration::from_millis(1_500);

/// Outcomes for which Lambda gets no error.
const SUCCESSES: [&str; 3] = ["revoked", "already_absent", "not_lightsail_key"];

/// Transient faults, which the function must overcome. All other faults are refusals or unexpected responses.
const TRANSIENT: [&str; 11] = [
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
];

/// Transient faults that only the timeout of an attempt detects.
const NEEDS_TIMEOUT: [&str; 4] = ["hang_before", "hang_after", "never_ends", "slow"];

/// Returns each rule that `delivery` breaks.
pub(crate) fn broken_rules(delivery: &Delivery) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            broken.push(text.to_owned());
        }
    };
    let record = delivery.record();
    let outcome = delivery.outcome();
    let ok = delivery.answer.is_ok();
    let unmapped = &record["unmapped"];

    // Promise: always leave a record.
    rule(delivery.records.len() == 1, "there is exactly one record");
    match &delivery.answer {
        Ok(records) => rule(records == &delivery.records, "the answer has the same record as the log"),
        Err(text) => rule(Some(text.as_str()) == record["message"].as_str(), "the error is the record's message"),
    }
    rule(ok == SUCCESSES.contains(&outcome), "Lambda gets an error exactly if the outcome is an error");
    rule(delivery.error_type.is_none() == ok, "an error has an errorType");
    rule(delivery.left >= MIN_LEFT, "the answer comes at least 500 ms before the deadline");

    // Promise: never claim that a key is dead when it may be alive.
    rule(!(ok && delivery.alive), "success means that the key is gone");
    let absent = unmapped["verification"]["absent"].as_bool();
    rule(!(absent == Some(true) && delivery.alive), "an existing key is not reported as absent");
    let accepted = delivery.requests.iter().any(|seen| is_delete(&seen.operation) && seen.status == Some(200));
    let existed = delivery.alive_before || delivery.lingers;
    rule(outcome != "revoked" || (accepted && existed), "revoked means that the function's own delete was accepted");
    let unread = unmapped["search"]["unread"].as_array().map_or(0, Vec::len);
    rule(
        !ok || outcome == "revoked" || (unmapped["search"].is_object() || absent == Some(true)),
        "absence was verified",
    );
    rule(!ok || unread == 0, "success leaves nothing unread");

    // The record tells if a delete may have taken effect.
    let deleted = delivery.alive_before && !delivery.alive;
    let may_have_taken_effect = unmapped["failure"]["may_have_taken_effect"].as_bool();
    rule(may_have_taken_effect != Some(false) || !deleted, "the record never denies a delete that took effect");
    rule(
        ok || !deleted || may_have_taken_effect == Some(true) || outcome == "unconfirmed",
        "an error after a delete reports that it may have taken effect",
    );

    // Promise: never touch a key that was not named.
    rule(delivery.other_keys == 2, "no other key is deleted");
    let names_another = |id: &Option<String>| id.as_deref().is_some_and(|id| id != KEY);
    rule(!delivery.requests.iter().any(|seen| names_another(&seen.access_key_id)), "no delete names another key");

    // Promise: right away. Also, the number of requests is bounded.
    let first = delivery.requests.iter().find(|seen| seen.operation != "AssumeRole");
    // On a repeated delivery, a late read of the earlier delivery may arrive first.
    let named = delivery.route != Route::Searched && delivery.is_first;
    rule(!named || first.is_none_or(|seen| is_delete(&seen.operation)), "the delete is the first request");
    rule(delivery.requests.len() <= MAX_REQUESTS, "the number of requests is bounded");

    // Transient faults must be overcome if they hit each call at most twice and no other faults occur.
    let hits = |operation: &str| {
        let hits = delivery.requests.iter().filter(|seen| seen.operation == operation && seen.fault.is_some());
        hits.count()
    };
    // The SDK accepts a truncated XML document, so only the next delivery overcomes this fault.
    let is_transient =
        |(operation, kind): (&str, &str)| TRANSIENT.contains(&kind) && (operation, kind) != ("AssumeRole", "truncated");
    let faults = delivery.requests.iter().filter_map(|seen| Some((seen.operation.as_str(), seen.fault.as_deref()?)));
    let only_transient = faults.into_iter().all(is_transient);
    let at_most_twice = delivery.requests.iter().all(|seen| hits(&seen.operation) <= 2);
    // Each of these faults uses the timeout of a whole attempt, and a short invocation has time for few of them.
    let timeouts =
        delivery.requests.iter().filter_map(|seen| seen.fault.as_deref()).filter(|kind| NEEDS_TIMEOUT.contains(kind));
    let given_up = delivery.left > GAVE_UP_BEFORE && timeouts.count() <= 1 && !delivery.lingers;
    rule(ok || !only_transient || !at_most_twice || !given_up, "transient faults are overcome");
    broken
}

fn is_delete(operation: &str) -> bool {
    operation == "DeleteBucketAccessKey"
}

/// Formats a delivery for the report of a broken rule.
pub(crate) fn describe(delivery: &Delivery) -> String {
    let seen = |seen: &lightsail_simulator::SeenRequest| {
        format!("{} {} {:?} {}", seen.operation, seen.region, seen.status, seen.fault.as_deref().unwrap_or(""))
    };
    let requests = delivery.requests.iter().map(seen).collect::<Vec<_>>().join("\n    ");
    let record = delivery.record();
    let facts = ["failure", "verification", "search"].map(|part| format!("{part}: {}", record["unmapped"][part]));
    format!(
        "{:?}: {} ({}), key {}, {} ms, {} ms left\n  {}\n    {requests}",
        delivery.route,
        delivery.outcome(),
        record["message"].as_str().unwrap_or_default(),
        if delivery.alive { "live" } else { "gone" },
        delivery.took.as_millis(),
        delivery.left.as_millis(),
        facts.join("\n  "),
    )
}

/// Returns a field of the record's failure.
pub(crate) fn failure<'a>(delivery: &'a Delivery, field: &str) -> &'a Value {
    &delivery.record()["unmapped"]["failure"][field]
}
