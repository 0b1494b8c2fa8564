//! The promises, held on every element of the verdict's input space.

mod space;
mod subject;
mod table;

use std::collections::BTreeMap;

use serde_json::json;

use self::space::{KEY, SEARCHED, Search, case, describe, exposed, failure, hints, searches, walk};
use super::{Finding, decide, finding};
use crate::alert::{Ignored, TooMany, Unreadable};
use crate::audit::Audit;
use crate::case::{CaseFile, Coverage, Delete, Evidence, Listing, Obstacle, Visit};
use crate::outcome::Outcome;
use crate::policy::Mode;

#[test]
fn success_needs_proof_in_any_order_of_hints() {
    let mut proofs = BTreeMap::<_, usize>::new();
    walk(|case, hints, search| {
        let told = |case: &CaseFile| {
            let verdict = decide(case);
            (verdict.outcome, verdict.visit.map(|visit| finding(visit, case.mode)))
        };
        let verdict = told(case);
        if SUCCESS.contains(&verdict.0) {
            let proof = proof(case);
            assert!(proof.is_some(), "{:?} without proof: {}", verdict.0, describe(case, hints, search));
            *proofs.entry(proof).or_default() += 1;
        }
        for (a, b) in swaps(hints.len(), search) {
            case.visits.swap(*a, *b);
            assert_eq!(told(case), verdict, "order of hints: {}", describe(case, hints, search));
        }
    });
    assert_eq!(proofs.len(), 2, "each proof occurs: {proofs:?}");
}

/// Swaps that bring the hints into every other order. Beside a sighting one other order is enough.
fn swaps(hints: usize, search: &Search) -> &'static [(usize, usize)] {
    match (hints, &search.sighted) {
        (0 | 1, _) => &[],
        (2, _) => &[(0, 1)],
        (_, Some(_)) => &[(0, 2)],
        (_, None) => &[(0, 1), (1, 2), (0, 1), (1, 2), (0, 1)],
    }
}

/// No stage leaves the second or third visit behind. Each would hide a live key if it counted as a dry run.
#[test]
fn live_key_is_dry_run_only_without_delete() {
    for (mode, delete, outcome) in [
        (Mode::DryRun, None, Outcome::DryRun),
        (Mode::Enforce, None, Outcome::Failed),
        (Mode::DryRun, Some(Delete::default()), Outcome::Failed),
    ] {
        let mut visit = hints(mode, SEARCHED)[0].visit.clone();
        visit.protection = None;
        visit.delete = delete;
        visit.listing = Some(Listing::Listed);
        assert_eq!(finding(&visit, mode), Finding::Settled(outcome), "{mode:?}");
    }
}

/// A hint in the own account and a sighting in a member account: the record is the same as without the hint.
#[test]
fn record_has_nothing_of_another_account() {
    let audit = Audit::new(std::io::sink());
    let record = |case: &CaseFile| {
        let mut record = serde_json::to_value(audit.record(case, &decide(case))).unwrap();
        record["time"] = json!(null);
        record
    };
    let mut compared = 0;
    for mode in [Mode::Enforce, Mode::DryRun] {
        let searches = searches(mode);
        for hint in hints(mode, SEARCHED) {
            if matches!(finding(&hint.visit, mode), Finding::Settled(_)) {
                continue;
            }
            for search in searches.iter().filter(|search| search.sighted.is_some()) {
                let mut case = exposed(mode);
                case.visits = search.sighted.iter().cloned().collect();
                let alone = record(&case);
                case.visits.insert(0, hint.visit.clone());
                assert_eq!(record(&case), alone, "{}", describe(&case, &[&hint], search));
                compared += 1;
            }
        }
    }
    assert!(compared > 400, "{compared}");
}

#[test]
fn cases_without_visits_are_decided_by_the_alert() {
    let named = vec![KEY.parse().unwrap()];
    let wrong_account = Obstacle::ForeignAccount { has_members: false };
    for (exposure, outcome) in [
        (TooMany { named, allowed: 0 }.into(), Outcome::Protected),
        (Ignored::Sample.into(), Outcome::Ignored),
        (Unreadable::Panicked.into(), Outcome::Unreadable),
    ] {
        assert_eq!(decide(&case(Mode::Enforce, Err(exposure))).outcome, outcome);
    }
    for (obstacle, outcome) in [
        (wrong_account, Outcome::WrongAccount),
        (Obstacle::NoSession(failure("AccessDenied")), Outcome::Failed),
        (Obstacle::Panicked, Outcome::Failed),
    ] {
        let case = CaseFile { obstacle: Some(obstacle), ..exposed(Mode::Enforce) };
        assert_eq!(decide(&case).outcome, outcome);
    }
    // A search that never ended proves nothing.
    assert_eq!(decide(&exposed(Mode::Enforce)).outcome, Outcome::SearchIncomplete);
}

/// A panic anywhere overrules what was observed, and leaves the visit on file.
#[test]
fn panic_is_failed_whatever_was_observed() {
    for hint in hints(Mode::Enforce, SEARCHED) {
        let mut case = exposed(Mode::Enforce);
        case.visits = vec![hint.visit];
        case.obstacle = Some(Obstacle::Panicked);
        let verdict = decide(&case);
        assert_eq!(verdict.outcome, Outcome::Failed, "{}", hint.name);
        assert_eq!(verdict.visit.is_some(), case.visits[0].listing != Some(Listing::NoBucket), "{}", hint.name);
    }
}

/// Returns the proof that no live Lightsail key with this ID remains, without the verdict's own code.
fn proof(case: &CaseFile) -> Option<&'static str> {
    let gone = |visit: &&Visit| visit.listing == Some(Listing::NotListed);
    let live = |visit: &Visit| visit.listing == Some(Listing::Listed);
    if case.visits.iter().any(live) {
        return None;
    }
    let sighted = |visit: &&Visit| matches!(visit.evidence, Some(Evidence::Listed(_)));
    if case.visits.iter().filter(gone).any(|visit| sighted(&visit)) {
        return Some("sighting and read-back on that bucket");
    }
    let covered = |coverage: &Coverage| {
        let unread = |visit: &&Visit| !matches!(visit.listing, Some(Listing::NotListed | Listing::NoBucket));
        coverage.unread.is_empty()
            && case.visits.iter().filter(unread).all(|visit| coverage.regions.contains(&visit.target.region))
    };
    case.coverage.as_ref().is_some_and(covered).then_some("complete search")
}

const SUCCESS: [Outcome; 3] = [Outcome::Revoked, Outcome::AlreadyAbsent, Outcome::NotLightsailKey];
