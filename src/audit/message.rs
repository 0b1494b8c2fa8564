//! Facts and outcome -> the sentence that a person reads at three in the morning: what is so, and what to do.

use super::Facts;
use crate::outcome::Outcome;

/// How many unread places a sentence names; the record has them all. There are 19 Regions.
const NAMED: usize = 20;

/// The sentence of a record.
pub(super) fn message(facts: &Facts, outcome: Outcome) -> String {
    let key = key(facts);
    let place = place(facts);
    match outcome {
        Outcome::Revoked => {
            format!("Deleted access key {key}{place}: {}; absent when read back{}", ends(facts), after(facts))
        }
        Outcome::AlreadyAbsent => format!(
            "Access key {key} is already gone: it is not on the bucket that was named, nor on any other{}{}",
            extent(facts),
            lost_answer(facts)
        ),
        Outcome::NotLightsailKey => format!(
            "Access key {key} is on no Lightsail bucket{}{}. It is no longer a bucket's, or another kind of \
             credential that may be live: look for it in IAM",
            extent(facts),
            lost_answer(facts)
        ),
        Outcome::Ignored => format!("Nothing to delete: {}", why(facts)),
        Outcome::DryRun => format!("Dry run: access key {key}{place} is live and would have been deleted"),
        Outcome::Unreadable => format!("No access key could be read, so nothing was deleted: {}", why(facts)),
        Outcome::Protected => format!("Nothing was deleted, and someone must decide: {}", why(facts)),
        Outcome::WrongAccount => format!("Access key {key} was not looked for: {}", why(facts)),
        Outcome::SearchIncomplete => format!(
            "Access key {key} may be live: it was not found, but not everything could be read: {}",
            unread(facts)
        ),
        Outcome::Unconfirmed => format!(
            "Access key {key}{place}: the delete was accepted, but that the key is gone is not proven: {}; {}",
            ends(facts),
            looked(facts)
        ),
        Outcome::Failed => {
            format!("Access key {key}{place} must be taken as live: {}; {}", failure(facts), carried_out(facts))
        }
    }
}

fn key(facts: &Facts) -> &str {
    facts.exposure.as_ref().map_or("(none read)", |exposure| exposure.key.as_str())
}

fn place(facts: &Facts) -> String {
    let target = facts.target.as_ref();
    target.map_or_else(String::new, |target| format!(" of bucket {} in {}", target.bucket, target.region))
}

fn ends(facts: &Facts) -> String {
    let status =
        |operation: &crate::lightsail::Operation| operation.status.clone().unwrap_or_else(|| "no status".to_owned());
    match facts.operations.as_slice() {
        [] => "AWS named no operation".to_owned(),
        operations => operations.iter().map(status).collect::<Vec<_>>().join(", "),
    }
}

fn after(facts: &Facts) -> String {
    let elapsed = facts.absent_at.map(|at| at.saturating_duration_since(facts.invocation.started).as_millis());
    elapsed.map_or_else(String::new, |ms| format!("; {ms} ms after the invocation"))
}

/// What a failed delete left behind, as far as it is known.
fn carried_out(facts: &Facts) -> &'static str {
    match absent(facts) {
        Some(false) => "it is still listed",
        Some(true) => "yet it is no longer listed",
        None if facts.may_be_deleted() => "it may have been deleted all the same",
        None => "nothing was deleted",
    }
}

fn looked(facts: &Facts) -> String {
    let seen = match absent(facts) {
        Some(true) => "the key is no longer listed",
        Some(false) => "the key is still listed",
        None => "the keys could not be read",
    };
    let failure = facts.failure.as_ref().map_or_else(String::new, |failure| format!("; {failure}"));
    let unread = facts.search.as_ref().map_or_else(String::new, |_| format!("; not read: {}", unread(facts)));
    format!("{seen}{failure}{unread}")
}

fn absent(facts: &Facts) -> Option<bool> {
    facts.verification.as_ref()?.absent
}

fn extent(facts: &Facts) -> String {
    let account = facts.own_account().map_or_else(String::new, |account| format!(" of account {account}"));
    facts.search.as_ref().map_or_else(String::new, |search| {
        let [regions, buckets] = [(search.regions_read, "Region"), (search.buckets_read, "bucket")].map(count);
        format!("{account} ({regions} and {buckets} read)")
    })
}

fn count((number, noun): (usize, &str)) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn lost_answer(facts: &Facts) -> &'static str {
    if facts.may_be_deleted() { "; a delete of ours whose answer was lost may have done it" } else { "" }
}

fn unread(facts: &Facts) -> String {
    let unread = facts.search.as_ref().map(|search| search.unread.as_slice()).unwrap_or_default();
    let name = |unread: &crate::locate::Unread| match &unread.bucket {
        Some(bucket) => format!("bucket {bucket} in {}", unread.region),
        None => unread.region.clone(),
    };
    let names = unread.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
    let more = match unread.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = unread.first().map_or_else(String::new, |unread| format!(" ({})", unread.failure));
    format!("{names}{more}{first}")
}

fn failure(facts: &Facts) -> String {
    facts.failure.as_ref().map_or_else(|| "no reason is known".to_owned(), ToString::to_string)
}

fn why(facts: &Facts) -> &str {
    facts.why.as_deref().unwrap_or("no reason is known")
}
