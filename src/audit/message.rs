//! Facts and outcome -> the sentence that a person reads at three in the morning: what is so, and what to do.

use chrono::SecondsFormat;

use super::{Evidence, Facts};
use crate::aws::lightsail::{AccessKey, LastUsed};
use crate::outcome::Outcome;
use crate::respond::locate::Unread;

/// How many unread places a sentence names; the record has them all. There are 19 Regions.
const NAMED: usize = 20;

/// The sentence of a record.
pub(super) fn message(facts: &Facts, outcome: Outcome) -> String {
    let key = key(facts);
    let place = place(facts);
    match outcome {
        Outcome::Revoked => {
            format!(
                "Deleted access key {key}{place}: {}; absent when read back{}; {}",
                ends(facts),
                after(facts),
                use_of(facts)
            )
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
        Outcome::WrongAccount => {
            format!("Access key {key} was not looked for: {}. Delete it there, or have it allowed", why(facts))
        }
        Outcome::SearchIncomplete => format!(
            "Access key {key} may be live: it was not found, but not everything could be read: {}. Send the alert again \
             when that can be read, or delete the key by hand",
            unread(facts)
        ),
        Outcome::Unconfirmed => format!(
            "Access key {key}{place}: the delete was accepted, but that the key is gone is not proven: {}; {}. Send the \
             alert again: the repeat proves it",
            ends(facts),
            looked(facts)
        ),
        Outcome::Failed => format!(
            "Access key {key}{place} must be taken as live: {}; {}. Send the alert again, or delete the key by hand",
            failure(facts),
            carried_out(facts)
        ),
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
    let status = |operation: &crate::aws::lightsail::Operation| {
        operation.status.clone().unwrap_or_else(|| "no status".to_owned())
    };
    match facts.operations.as_slice() {
        [] => "AWS named no operation".to_owned(),
        operations => operations.iter().map(status).collect::<Vec<_>>().join(", "),
    }
}

fn after(facts: &Facts) -> String {
    let elapsed = facts.absent_at.map(|at| at.saturating_duration_since(facts.invocation.started).as_millis());
    elapsed.map_or_else(String::new, |ms| format!("; {ms} ms after the invocation"))
}

/// When the key was used last: what a person asks first, and nobody can tell after the delete.
fn use_of(facts: &Facts) -> String {
    let unknown = match &facts.evidence {
        Evidence::Listed(AccessKey { last_used: Some(used), .. }) => return last_use(used),
        Evidence::Listed(_) => "AWS does not tell it",
        Evidence::TooLate => "gone before it could be read",
        Evidence::None | Evidence::Unread => "not read",
    };
    format!("its last use is not known: {unknown}")
}

fn last_use(used: &LastUsed) -> String {
    let LastUsed { at, region, service } = used;
    let at = at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    at.map_or_else(
        || "never used, as far as AWS tells".to_owned(),
        |at| format!("last used {at} with {service} in {region}"),
    )
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
    facts.search.as_ref().map_or_else(String::new, |search| {
        let accounts = match (&facts.account, search.accounts_read) {
            (_, accounts @ 2..) => format!(" of {accounts} accounts"),
            (Some(account), _) => format!(" of account {account}"),
            (None, _) => String::new(),
        };
        let [regions, buckets] = [(search.regions_read, "Region"), (search.buckets_read, "bucket")].map(count);
        let left_out = match search.regions_left_out {
            0 => String::new(),
            regions => format!("; SEARCH_REGIONS leaves out {}", count((regions, "other"))),
        };
        format!("{accounts} ({regions} and {buckets} read{left_out})")
    })
}

fn count((number, noun): (usize, &str)) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn lost_answer(facts: &Facts) -> &'static str {
    if facts.may_be_deleted() { "; a delete of ours whose end is not known may have done it" } else { "" }
}

fn unread(facts: &Facts) -> String {
    let unread = facts.search.as_ref().map(|search| search.unread.as_slice()).unwrap_or_default();
    let name = |unread: &Unread| {
        let elsewhere =
            unread.account.as_deref().filter(|id| facts.account.as_ref().is_none_or(|own| own.as_str() != *id));
        let of = elsewhere.map_or_else(String::new, |account| format!(" of account {account}"));
        match (&unread.bucket, &unread.region) {
            (Some(bucket), Some(region)) => format!("bucket {bucket} in {region}{of}"),
            (None, Some(region)) => format!("{region}{of}"),
            (_, None) => format!("account {}", unread.account.as_deref().unwrap_or("unknown")),
        }
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
