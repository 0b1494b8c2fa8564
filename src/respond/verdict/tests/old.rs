//! The decisions as they were before the verdict, transcribed line by line from `respond/key.rs` and `respond/confirm.rs`,
//! on what the visits observed instead of on AWS's answers. Only for the comparison.

use super::*;
use crate::aws::FailureKind;

#[derive(PartialEq)]
enum Attempt {
    Ended(Outcome),
    Accepted,
    NotThere,
    NoBucket,
    Unknown,
}

#[derive(Default)]
struct Facts {
    failure: Option<Failure>,
    listed: bool,
}

impl Facts {
    fn fail(&mut self, failure: Failure) {
        if self.failure.as_ref().is_none_or(|known| known.kind == FailureKind::NotFound) {
            self.failure = Some(failure);
        }
    }
}

pub(super) fn ends(visit: &Visit, mode: Mode) -> bool {
    matches!(attempt(visit, mode, &mut Facts::default()), Attempt::Ended(_) | Attempt::Accepted)
}

pub(super) fn settles(visit: &Visit, mode: Mode) -> bool {
    matches!(attempt(visit, mode, &mut Facts::default()), Attempt::Ended(_))
}

/// `find_and_delete`.
pub(super) fn outcome(hints: &[&Visit], found: Option<&Visit>, coverage: Option<&Coverage>, mode: Mode) -> Outcome {
    let mut facts = Facts::default();
    let (mut accepted, mut bucket_is_ours, mut unread) = (false, false, false);
    for visit in hints {
        let searched = coverage.is_none_or(|coverage| coverage.regions.contains(&visit.target.region));
        match attempt(visit, mode, &mut facts) {
            Attempt::Ended(outcome) => return outcome,
            Attempt::Accepted => {
                accepted = true;
                break;
            }
            Attempt::NotThere => bucket_is_ours = true,
            Attempt::NoBucket => {}
            Attempt::Unknown => unread |= !searched,
        }
    }
    if let Some(visit) = found {
        facts.listed = true;
        if visit.delete.is_none() && visit.protection.is_some() {
            return Outcome::Protected;
        }
        if mode == Mode::DryRun {
            return Outcome::DryRun;
        }
        return match attempt(visit, mode, &mut facts) {
            Attempt::Ended(outcome) => outcome,
            Attempt::Accepted => Outcome::Revoked,
            Attempt::NotThere => Outcome::AlreadyAbsent,
            Attempt::NoBucket | Attempt::Unknown => Outcome::Failed,
        };
    }
    if coverage.unwrap().unread.is_empty() {
        return match (accepted, unread, bucket_is_ours) {
            (true, ..) if facts.listed => Outcome::Revoked,
            (true, ..) => Outcome::AlreadyAbsent,
            (_, true, _) => Outcome::Failed,
            (_, _, true) => Outcome::AlreadyAbsent,
            _ => Outcome::NotLightsailKey,
        };
    }
    let more_than_not_found = |failure: &Failure| failure.kind != FailureKind::NotFound;
    match (accepted, bucket_is_ours, unread) {
        (true, ..) => Outcome::Unconfirmed,
        (_, true, false) => Outcome::SearchIncomplete,
        _ if facts.failure.as_ref().is_some_and(more_than_not_found) => Outcome::Failed,
        _ => Outcome::SearchIncomplete,
    }
}

/// `attempt`, with `conclude`, `Confirmation::proof`, `look` and `judge_look`.
fn attempt(visit: &Visit, mode: Mode, facts: &mut Facts) -> Attempt {
    if visit.protection == Some(Protection::Named) {
        return look(visit, facts, Outcome::Protected);
    }
    if mode == Mode::DryRun {
        let attempt = look(visit, facts, Outcome::DryRun);
        let tagged = visit.protection == Some(Protection::Tagged);
        return if tagged && attempt == Attempt::Ended(Outcome::DryRun) {
            Attempt::Ended(Outcome::Protected)
        } else {
            attempt
        };
    }
    let Some(delete) = &visit.delete else { return look(visit, facts, Outcome::Failed) };
    let Some(accepted) = &delete.accepted else {
        facts.fail(visit.failures[0].clone());
        let denied = facts.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::AccessDenied);
        let tagged = visit.protection == Some(Protection::Tagged);
        let if_listed = if denied && tagged { Outcome::Protected } else { Outcome::Failed };
        return look(visit, facts, if_listed);
    };
    facts.listed |= matches!(visit.evidence, Some(Evidence::Listed(_)));
    let absent = visit.listing == Some(Listing::NotListed);
    if accepted.operations.iter().any(Operation::has_failed) {
        Attempt::Ended(Outcome::Failed)
    } else if absent && accepted.operations.is_empty() {
        Attempt::Accepted
    } else if absent && accepted.operations.iter().all(Operation::succeeded) {
        Attempt::Ended(Outcome::Revoked)
    } else {
        Attempt::Ended(Outcome::Unconfirmed)
    }
}

fn look(visit: &Visit, facts: &mut Facts, if_listed: Outcome) -> Attempt {
    match visit.listing.unwrap() {
        Listing::Listed => {
            facts.listed = true;
            Attempt::Ended(if_listed)
        }
        Listing::NotListed => Attempt::NotThere,
        Listing::NoBucket => Attempt::NoBucket,
        Listing::Unread => {
            facts.fail(failure("ServiceException"));
            Attempt::Unknown
        }
    }
}
