//! Case file -> outcome: the only place that decides.
//!
//! Pure: no clock, no I/O, nothing is changed. Invariants: success (`revoked`, `already_absent`, `not_lightsail_key`)
//! needs an observation that the key is gone, and the order of hints does not matter. `verdict/tests.rs` walks the
//! whole input space and snapshots it as a table.
//!
//! An accepted delete is no sighting: AWS has not published whether it also accepts the delete of a key that the bucket
//! never had, with or without an operation, and how that operation ends.

use crate::alert::Unactionable;
use crate::aws::FailureKind;
use crate::aws::lightsail::Operation;
use crate::case::{CaseFile, FoundBy, Listing, Obstacle, Verdict, Visit};
use crate::outcome::Outcome;
use crate::policy::Mode;

/// Finding of one visit by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// This bucket settles the case.
    Settled(Outcome),
    /// AWS accepted the delete, and the key is not listed. It was not seen before: it may never have been there.
    AcceptedUnseen,
    /// The bucket exists without the key.
    NotListed,
    /// There is no such bucket.
    NoBucket,
    /// The key was neither deleted nor looked for with success.
    Unread,
}

/// Decides the outcome of a case, and which visit its record describes.
pub(super) fn decide(case: &CaseFile) -> Verdict<'_> {
    let without_visit = |outcome| Verdict { outcome, visit: None };
    match &case.exposure {
        Err(Unactionable::TooMany(_) | Unactionable::Contradicted(_)) => return without_visit(Outcome::Protected),
        Err(Unactionable::Ignored(_)) => return without_visit(Outcome::Ignored),
        Err(Unactionable::Unreadable(_)) => return without_visit(Outcome::Unreadable),
        Ok(_) => {}
    }
    match &case.obstacle {
        Some(Obstacle::ForeignAccount { .. }) => return without_visit(Outcome::WrongAccount),
        Some(Obstacle::NoSession(_)) => return without_visit(Outcome::Failed),
        Some(Obstacle::Panicked) => {
            let visit = case.visits.iter().rfind(|visit| visit.listing != Some(Listing::NoBucket));
            return Verdict { outcome: Outcome::Failed, visit };
        }
        None => {}
    }
    settled(case).unwrap_or_else(|| searched(case))
}

/// Returns the verdict of visits that need no search: the worst, if there are several.
fn settled(case: &CaseFile) -> Option<Verdict<'_>> {
    let settled = case.visits.iter().filter_map(|visit| {
        let sighted = visit.target.found_by == FoundBy::Search;
        let outcome = match finding(visit, case.mode) {
            Finding::Settled(outcome) => outcome,
            _ if !sighted => return None,
            // Another delivery of the alert was faster.
            Finding::NotListed => Outcome::AlreadyAbsent,
            Finding::NoBucket | Finding::Unread | Finding::AcceptedUnseen => Outcome::Failed,
        };
        Some(Verdict { outcome, visit: Some(visit) })
    });
    settled.max_by_key(|verdict| verdict.outcome)
}

/// Returns the verdict of hints that settle nothing, and of a search that did not see the key.
fn searched(case: &CaseFile) -> Verdict<'_> {
    let last = |wanted| case.visits.iter().rfind(|visit| finding(visit, case.mode) == wanted);
    let without_key = last(Finding::NotListed);
    let accepted = case.visits.iter().filter(|visit| finding(visit, case.mode) == Finding::AcceptedUnseen);
    let accepted = accepted.map(|visit| (ended(visit), visit)).max_by_key(|(outcome, _)| *outcome);
    let coverage = case.coverage.as_ref();
    // The search reads a hinted bucket again, unless it excludes that Region.
    let in_search = |visit: &Visit| coverage.is_some_and(|coverage| coverage.includes(&visit.target.region));
    let unread = |visit: &&Visit| finding(visit, case.mode) == Finding::Unread && !in_search(visit);
    let unread = case.visits.iter().rfind(unread);
    let failed = |visit: &&Visit| visit.failures.iter().any(|failure| failure.kind != FailureKind::NotFound);
    let failed = case.visits.iter().filter(failed).max_by_key(|visit| finding(visit, case.mode) == Finding::Unread);
    let complete = coverage.is_some_and(|coverage| coverage.is_complete());
    let only_foreign = coverage.is_some_and(|coverage| coverage.lacks_foreign_accounts_only());
    let (outcome, visit) = match (accepted, unread, without_key) {
        (_, Some(visit), _) if complete => (Outcome::Failed, Some(visit)),
        (Some((outcome, visit)), ..) if complete => (outcome, Some(visit)),
        (_, _, Some(visit)) if complete => (Outcome::AlreadyAbsent, Some(visit)),
        (_, None, None) if complete => (Outcome::NotLightsailKey, None),
        (Some((_, visit)), ..) => (Outcome::Unconfirmed, Some(visit)),
        (_, None, _) if only_foreign => (Outcome::WrongAccount, without_key),
        (_, None, Some(visit)) => (Outcome::SearchIncomplete, Some(visit)),
        _ if failed.is_some() => (Outcome::Failed, failed),
        (_, _, visit) => (Outcome::SearchIncomplete, visit),
    };
    Verdict { outcome, visit }
}

/// Returns the outcome of an accepted delete after a complete search that did not see the key.
fn ended(visit: &Visit) -> Outcome {
    match visit.operations() {
        // Nothing tells whether the key was there to be deleted.
        [] => Outcome::AlreadyAbsent,
        operations if operations.iter().all(Operation::succeeded) => Outcome::Revoked,
        _ => Outcome::Unconfirmed,
    }
}

/// Returns what `visit` shows by itself.
pub(super) fn finding(visit: &Visit, mode: Mode) -> Finding {
    if visit.accepted().is_some() {
        let failed = visit.operations().iter().any(Operation::has_failed);
        let succeeded = visit.operations().iter().all(Operation::succeeded);
        let sighted = visit.sighting().is_some();
        return match visit.listing {
            Some(Listing::NotListed) if sighted && succeeded => Finding::Settled(Outcome::Revoked),
            // AWS may accept the delete of a key that the bucket never had, or that an attempt without a response has
            // deleted, and fail it afterwards.
            Some(Listing::NotListed) if failed => Finding::NotListed,
            Some(Listing::NotListed) if !sighted => Finding::AcceptedUnseen,
            _ if failed => Finding::Settled(Outcome::Failed),
            _ => Finding::Settled(Outcome::Unconfirmed),
        };
    }
    match visit.listing {
        Some(Listing::Listed) if visit.protection.is_some() => Finding::Settled(Outcome::Protected),
        Some(Listing::Listed) if visit.delete.is_none() && mode == Mode::DryRun => Finding::Settled(Outcome::DryRun),
        Some(Listing::Listed) => Finding::Settled(Outcome::Failed),
        Some(Listing::NotListed) => Finding::NotListed,
        Some(Listing::NoBucket) => Finding::NoBucket,
        Some(Listing::Unread) | None => Finding::Unread,
    }
}

#[cfg(test)]
mod tests;
