//! What must be true after one delivery, whatever went wrong: the promises of the README, as a judge who sees both what
//! the function says and what is so.
//!
//! Knows nothing of how the function works: only the answer, the record, the requests that arrived, and the keys.

use std::time::Duration;

use serde_json::Value;

use crate::scene::{Delivery, KEY, Way};

/// Requests of one delivery, at most: five attempts of each call, ten polls a second, and pages and buckets of the scene.
pub(crate) const MOST_REQUESTS: usize = 150;

/// An answer comes so long before the deadline.
const LEAST_LEFT: Duration = Duration::from_millis(500);

/// Who ends with an error so long before the deadline has given up; later, time has run out, on a busy machine too.
const STILL_TIME: Duration = Duration::from_millis(1_500);

/// Outcomes that are no error to Lambda.
const GOOD: [&str; 3] = ["revoked", "already_absent", "not_lightsail_key"];

/// Faults that go away, and so must be got over. The others are refusals, or answers that say something odd.
const PASSING: [&str; 11] = [
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

/// Those of them that are noticed only when an attempt has lasted too long.
const WAITING: [&str; 4] = ["hang_before", "hang_after", "never_ends", "slow"];

/// Every rule that `delivery` breaks.
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

    // Always leave a record.
    rule(delivery.records.len() == 1, "there is exactly one record");
    match &delivery.answer {
        Ok(records) => rule(records == &delivery.records, "the answer has the record of the log"),
        Err(text) => rule(Some(text.as_str()) == record["message"].as_str(), "the error is the record's sentence"),
    }
    rule(ok == GOOD.contains(&outcome), "an error is told to Lambda exactly where the outcome is one");
    rule(delivery.error_type.is_none() == ok, "an error has its errorType");
    rule(delivery.left >= LEAST_LEFT, "the answer comes 500 ms before the deadline");

    // Never claim a key is dead that may be alive.
    rule(!(ok && delivery.alive), "success means that the key is gone");
    let absent = unmapped["verification"]["absent"].as_bool();
    rule(!(absent == Some(true) && delivery.alive), "a key that is there was not seen to be gone");
    let accepted = delivery.requests.iter().any(|seen| is_delete(&seen.operation) && seen.status == Some(200));
    let was_there = delivery.alive_before || delivery.lingers;
    rule(outcome != "revoked" || (accepted && was_there), "revoked is what we deleted ourselves");
    let unread = unmapped["search"]["unread"].as_array().map_or(0, Vec::len);
    rule(!ok || outcome == "revoked" || (unmapped["search"].is_object() || absent == Some(true)), "gone was seen");
    rule(!ok || unread == 0, "success leaves nothing unread");

    // The record says whether a delete may have been carried out.
    let deleted = delivery.alive_before && !delivery.alive;
    let may = unmapped["failure"]["may_have_taken_effect"].as_bool();
    rule(may != Some(false) || !deleted, "a delete that was carried out is never ruled out");
    rule(
        ok || !deleted || may == Some(true) || outcome == "unconfirmed",
        "an error says of a delete that it may be done",
    );

    // Never touch a key that was not named.
    rule(delivery.others_left == 2, "no other key is touched");
    let names_another = |id: &Option<String>| id.as_deref().is_some_and(|id| id != KEY);
    rule(
        !delivery.requests.iter().any(|seen| names_another(&seen.access_key_id)),
        "no other key is asked to be deleted",
    );

    // Right away, and not without end.
    let first = delivery.requests.iter().find(|seen| seen.operation != "AssumeRole");
    // On a repeat, a read of the time before may come in late.
    let named = delivery.way != Way::Searched && delivery.is_first;
    rule(!named || first.is_none_or(|seen| is_delete(&seen.operation)), "the delete is the first request on the wire");
    rule(delivery.requests.len() <= MOST_REQUESTS, "requests are bounded");

    // What goes away is got over: no call was struck more than twice, and by nothing but what goes away.
    let struck = |operation: &str| {
        let struck = delivery.requests.iter().filter(|seen| seen.operation == operation && seen.fault.is_some());
        struck.count()
    };
    // Half an XML document is one to the SDK, and the next delivery gets over it.
    let passes =
        |(operation, kind): (&str, &str)| PASSING.contains(&kind) && (operation, kind) != ("AssumeRole", "truncated");
    let faults = delivery.requests.iter().filter_map(|seen| Some((seen.operation.as_str(), seen.fault.as_deref()?)));
    let passing = faults.into_iter().all(passes);
    let seldom = delivery.requests.iter().all(|seen| struck(&seen.operation) <= 2);
    // Each of these costs the time of a whole attempt, of which there is not much in a short invocation.
    let waits = delivery.requests.iter().filter_map(|seen| seen.fault.as_deref()).filter(|kind| WAITING.contains(kind));
    let given_up = delivery.left > STILL_TIME && waits.count() <= 1 && !delivery.lingers;
    rule(ok || !passing || !seldom || !given_up, "what goes away is got over");
    broken
}

fn is_delete(operation: &str) -> bool {
    operation == "DeleteBucketAccessKey"
}

/// What a broken rule is reported with.
pub(crate) fn describe(delivery: &Delivery) -> String {
    let seen = |seen: &lightsail_simulator::SeenRequest| {
        format!("{} {} {:?} {}", seen.operation, seen.region, seen.status, seen.fault.as_deref().unwrap_or(""))
    };
    let requests = delivery.requests.iter().map(seen).collect::<Vec<_>>().join("\n    ");
    let record = delivery.record();
    let facts = ["failure", "verification", "search"].map(|part| format!("{part}: {}", record["unmapped"][part]));
    format!(
        "{:?}: {} ({}), key {}, {} ms, {} ms left\n  {}\n    {requests}",
        delivery.way,
        delivery.outcome(),
        record["message"].as_str().unwrap_or_default(),
        if delivery.alive { "alive" } else { "gone" },
        delivery.took.as_millis(),
        delivery.left.as_millis(),
        facts.join("\n  "),
    )
}

/// The record's failure, for a rule of the table.
pub(crate) fn failure<'a>(delivery: &'a Delivery, member: &str) -> &'a Value {
    &delivery.record()["unmapped"]["failure"][member]
}
