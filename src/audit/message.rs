//! Case file and verdict -> the sentence that an operator reads at three in the morning: what is known, and what to do.

use chrono::SecondsFormat;

use super::record::failure;
use crate::alert::Exposure;
use crate::aws::lightsail::{LastUsed, Operation};
use crate::case::{CaseFile, Evidence, FoundBy, Obstacle, Place, Unread, Verdict, Visit};
use crate::names::AccountId;
use crate::outcome::Outcome;

/// Most places that a sentence names for one reason. There are 19 Regions.
const MAX_NAMED: usize = 20;

/// Most reasons that a sentence gives. The record has them all.
const MAX_REASONS: usize = 3;

/// Returns the sentence of a record.
pub(super) fn message(case: &CaseFile, verdict: &Verdict<'_>) -> String {
    let told = Sentence { case, visit: verdict.visit };
    let key = told.key();
    let place = told.place();
    let reason = reason(case, verdict).unwrap_or_else(|| "no reason is known".to_owned());
    match verdict.outcome {
        Outcome::Revoked if told.is_seen() => format!(
            "Deleted access key {key}{place}: {}; seen before the delete, absent when read back{}; {}{}",
            told.ends(),
            told.after(),
            told.last_use(),
            told.unread_before_sighting()
        ),
        Outcome::Revoked => format!(
            "AWS accepted the delete of access key {key}{place}: {}; absent when read back{}, and on no other bucket{}. The \
             key was not seen there before the delete; {}",
            told.ends(),
            told.after(),
            told.coverage(),
            told.last_use()
        ),
        Outcome::AlreadyAbsent if told.is_sighted() => format!(
            "Access key {key}{place} is already gone: the search saw it there, and a moment later it was not listed{}{}",
            told.unknown_delete(),
            told.unread_before_sighting()
        ),
        Outcome::AlreadyAbsent => format!(
            "Nothing to delete: access key {key} is not on the bucket that was named, nor on any other{}{}",
            told.coverage(),
            told.unknown_delete()
        ),
        Outcome::NotLightsailKey => format!(
            "Access key {key} is on no Lightsail bucket{}{}. It was deleted before, or it is another kind of credential \
             that may be live: look for it in IAM",
            told.coverage(),
            told.unknown_delete()
        ),
        Outcome::Ignored => format!("Nothing to delete: {reason}"),
        Outcome::DryRun => format!("Dry run: access key {key}{place} is live and would have been deleted"),
        Outcome::Unreadable => format!("No access key could be read, so nothing was deleted: {reason}"),
        Outcome::Protected => format!("Nothing was deleted, and an operator must decide: {reason}"),
        Outcome::WrongAccount if case.obstacle.is_some() => {
            format!("Access key {key} was not looked for: {reason}. Delete it there, or have it allowed")
        }
        Outcome::WrongAccount => format!(
            "Access key {key} may be live: it is on no Lightsail bucket{}, but it may be in {}. Look for it there, or have \
             the account allowed",
            told.coverage(),
            told.unread()
        ),
        Outcome::SearchIncomplete => format!(
            "Access key {key} may be live: it was not found, but not everything could be read: {}. Send the alert again \
             when that can be read, or delete the key by hand",
            told.unread()
        ),
        Outcome::Unconfirmed => format!(
            "Access key {key}{place}: the delete was accepted, but the key is not confirmed gone: {}; {}. Send the alert \
             again: the repeat proves it",
            told.ends(),
            told.read_back()
        ),
        Outcome::Failed => format!(
            "Access key {key}{place} must be taken as live: {}; {}. Send the alert again, or delete the key by hand",
            told.failure(),
            told.effect()
        ),
    }
}

/// Returns the reason why nothing was to be deleted, or why this function may not delete.
pub(super) fn reason(case: &CaseFile, verdict: &Verdict<'_>) -> Option<String> {
    let exposure = match &case.exposure {
        Err(reason) => return Some(reason.to_string()),
        Ok(exposure) => exposure,
    };
    if let Some(Obstacle::ForeignAccount { has_members }) = &case.obstacle {
        return Some(foreign_account(exposure, case.invocation.account.as_ref(), *has_members));
    }
    let visit = verdict.visit.filter(|_| verdict.outcome == Outcome::Protected)?;
    Some(format!("bucket {} in {} {}", visit.target.bucket, visit.target.region, visit.protection?))
}

fn foreign_account(exposure: &Exposure, own: Option<&AccountId>, has_members: bool) -> String {
    let owner = exposure.owner.as_ref().map_or("another", AccountId::as_str);
    if has_members {
        return format!("the alert is about account {owner}, which is not in ALLOWED_ACCOUNTS");
    }
    let own = own.map_or("its own, which it does not know,", AccountId::as_str);
    format!("the alert is about account {owner}, and this function may act in {own} only")
}

/// Parts of a sentence about one visit of a case.
struct Sentence<'a> {
    case: &'a CaseFile,
    visit: Option<&'a Visit>,
}

impl Sentence<'_> {
    fn key(&self) -> &str {
        self.case.exposure.as_ref().map_or("(none read)", |exposure| exposure.key.as_str())
    }

    fn place(&self) -> String {
        let target = self.visit.map(|visit| &visit.target);
        target.map_or_else(String::new, |target| format!(" of bucket {} in {}", target.bucket, target.region))
    }

    /// Statuses of the operations.
    fn ends(&self) -> String {
        let status = |operation: &Operation| operation.status.clone().unwrap_or_else(|| "no status".to_owned());
        match self.visit.map(Visit::operations).unwrap_or_default() {
            [] => "AWS returned no operation".to_owned(),
            operations => operations.iter().map(status).collect::<Vec<_>>().join(", "),
        }
    }

    fn after(&self) -> String {
        let absent_at = self.visit.and_then(|visit| visit.verification.as_ref()?.absent_at);
        let elapsed = absent_at.map(|at| at.saturating_duration_since(self.case.invocation.started).as_millis());
        elapsed.map_or_else(String::new, |ms| format!("; {ms} ms after the invocation"))
    }

    /// Last use of the key: the first question of an operator, and after the delete AWS has no answer.
    fn last_use(&self) -> String {
        let unknown = match self.visit.and_then(|visit| visit.evidence.as_ref()) {
            Some(Evidence::Listed(key)) => match &key.last_used {
                Some(used) => return last_use(used),
                None => "AWS did not return it",
            },
            Some(Evidence::AlreadyGone) => "the key was gone before it could be read",
            Some(Evidence::Unavailable) | None => "not read",
        };
        format!("its last use is not known: {unknown}")
    }

    /// Effect of a failed delete, as far as it is known.
    fn effect(&self) -> &'static str {
        // Reads before a panic or a missing session say nothing about that failure.
        let visit = self.visit.filter(|_| self.case.obstacle.is_none());
        match visit.and_then(Visit::verified_absent) {
            Some(false) => "it is still listed",
            Some(true) => "but it is no longer listed",
            None if self.case.may_have_taken_effect() => "the delete may have taken effect",
            None => "nothing was deleted",
        }
    }

    /// Result of reading the keys after an accepted delete.
    fn read_back(&self) -> String {
        let seen = match self.visit.and_then(Visit::verified_absent) {
            Some(true) => "the key is no longer listed",
            Some(false) => "the key is still listed",
            None => "the keys could not be read",
        };
        let failure = self.visit.and_then(Visit::failure);
        let failure = failure.map_or_else(String::new, |failure| format!("; {failure}"));
        let unread = self.case.coverage.as_ref().map_or_else(String::new, |_| format!("; not read: {}", self.unread()));
        format!("{seen}{failure}{unread}")
    }

    fn coverage(&self) -> String {
        self.case.coverage.as_ref().map_or_else(String::new, |coverage| {
            let accounts = match (&self.case.account, coverage.accounts_read) {
                (_, accounts @ 2..) => format!(" of {accounts} accounts"),
                (Some(account), _) => format!(" of account {account}"),
                (None, _) => String::new(),
            };
            let [regions, buckets] = [(coverage.regions_read, "Region"), (coverage.buckets_read, "bucket")].map(count);
            let disabled = match coverage.regions_not_enabled.as_slice() {
                [] => String::new(),
                places => {
                    let more = match coverage.regions_not_enabled_count.saturating_sub(places.len()) {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    };
                    format!("; not enabled and so not read: {}{more}", self.places(places))
                }
            };
            let excluded = match coverage.regions_excluded {
                0 => String::new(),
                regions => format!("; SEARCH_REGIONS excludes {}", count((regions, "other"))),
            };
            format!("{accounts} ({regions} and {buckets} read{disabled}{excluded})")
        })
    }

    /// Returns whether the key was seen on the visited bucket before its delete.
    fn is_seen(&self) -> bool {
        self.visit.is_some_and(|visit| visit.sighting().is_some())
    }

    /// Returns whether the search saw the key on the visited bucket.
    fn is_sighted(&self) -> bool {
        self.visit.is_some_and(|visit| visit.target.found_by == FoundBy::Search)
    }

    /// A delete that may be the reason why the key is gone.
    fn unknown_delete(&self) -> &'static str {
        if self.case.may_have_taken_effect() {
            "; a delete by this function, whose result is not known, may have removed it"
        } else {
            ""
        }
    }

    /// Names what the search could not read before it saw the key: the next search would miss a key there.
    fn unread_before_sighting(&self) -> String {
        match self.unread() {
            unread if unread.is_empty() => String::new(),
            unread => format!("; the search could not read: {unread}"),
        }
    }

    /// Names what could not be read, and the reason for each kind of failure.
    fn unread(&self) -> String {
        let Some(coverage) = &self.case.coverage else { return String::new() };
        let unread = coverage.unread.as_slice();
        let named = |Unread { count, places, failure }: &Unread| {
            let more = match count.saturating_sub(places.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{}{more} ({failure})", self.places(places))
        };
        let names = unread.iter().take(MAX_REASONS).map(named).collect::<Vec<_>>().join("; ");
        let others = unread.iter().skip(MAX_REASONS).map(|unread| unread.count).sum::<usize>();
        let more = others + coverage.unread_for_other_reasons;
        if more == 0 { names } else { format!("{names}; and {more} more for other reasons") }
    }

    fn places(&self, places: &[Place]) -> String {
        let own = self.case.account.as_ref();
        let name = |Place { account, region, bucket }: &Place| {
            let elsewhere = account.as_ref().filter(|id| own.is_none_or(|own| own != *id));
            let of = elsewhere.map_or_else(String::new, |account| format!(" of account {account}"));
            match (bucket, region) {
                (Some(bucket), Some(region)) => format!("bucket {bucket} in {region}{of}"),
                (None, Some(region)) => format!("{region}{of}"),
                (_, None) => format!("account {}", account.as_ref().map_or("unknown", AccountId::as_str)),
            }
        };
        let names = places.iter().take(MAX_NAMED).map(name).collect::<Vec<_>>().join(", ");
        match places.len().saturating_sub(MAX_NAMED) {
            0 => names,
            more => format!("{names} and {more} more"),
        }
    }

    fn failure(&self) -> String {
        let failure = failure(self.case, self.visit);
        failure.map_or_else(|| "no reason is known".to_owned(), |failure| failure.to_string())
    }
}

fn last_use(used: &LastUsed) -> String {
    let LastUsed { at, region, service } = used;
    let at = at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    at.map_or_else(
        || "never used, as far as AWS knows".to_owned(),
        |at| format!("last used {at} with {service} in {region}"),
    )
}

fn count((number, noun): (usize, &str)) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
