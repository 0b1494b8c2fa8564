//! The whole input space of the verdict: every kind of visit, up to three hints, every result of a search, both modes.
//!
//! Asserts the promises on each element, and snapshots the table in `tests/snapshots/verdict.txt` for review.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use tokio::time::Instant;

use super::{decide, finding};
use crate::alert::{Exposure, Ignored, Origin, TooMany, Unactionable, Unreadable};
use crate::audit::Audit;
use crate::aws::lightsail::{AccessKey, Operation};
use crate::aws::{Failure, Transmission};
use crate::case::{
    Acceptance, CaseFile, Coverage, Delete, Evidence, FoundBy, Listing, Obstacle, Target, Unread, Visit,
};
use crate::invocation::Invocation;
use crate::outcome::Outcome;
use crate::policy::{Mode, Protection};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const OWN: &str = "012345678912";
const MEMBER: &str = "111122223333";
/// A Region that the search reads, and one that it excludes.
const SEARCHED: &str = "us-east-1";
const EXCLUDED: &str = "eu-west-1";

/// A kind of visit, by its name in the table.
#[derive(Clone)]
struct Kind {
    name: String,
    visit: Visit,
}

/// A result of the search, by its name in the table.
#[derive(Clone)]
struct Search {
    name: String,
    coverage: Option<Coverage>,
    /// The visit of the bucket on which the search saw the key.
    sighted: Option<Visit>,
}

fn visit(found_by: FoundBy, account: &str, region: &str) -> Visit {
    Visit::new(Target {
        account: account.parse().ok(),
        bucket: "photos".parse().unwrap(),
        region: region.parse().unwrap(),
        found_by,
    })
}

fn key() -> AccessKey {
    AccessKey { id: KEY.to_owned(), status: None, created_at: None, last_used: None }
}

fn failure(code: &str) -> Failure {
    Failure::for_tests(code)
}

/// Every kind of visit on the bucket of `blank`: what AWS answered to a delete, and what the keys showed.
fn kinds(blank: &Visit, mode: Mode) -> Vec<Kind> {
    let mut kinds = not_deleted(blank, mode);
    if mode == Mode::Enforce {
        kinds.extend(refused(blank));
        kinds.extend(accepted(blank));
    }
    kinds
}

const LISTINGS: [(&str, Listing); 4] = [
    ("listed", Listing::Listed),
    ("not listed", Listing::NotListed),
    ("no bucket", Listing::NoBucket),
    ("unread", Listing::Unread),
];

/// Visits without a delete, because policy or mode forbids it. Tags are read only of a bucket that lists the key.
fn not_deleted(blank: &Visit, mode: Mode) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (listing_name, listing) in LISTINGS {
        for (name, protection) in
            [("", None), ("protected, ", Some(Protection::Named)), ("tagged, ", Some(Protection::Tagged))]
        {
            let sighted = blank.target.found_by == FoundBy::Search;
            let possible = match protection {
                None => mode == Mode::DryRun,
                Some(Protection::Named) => true,
                Some(Protection::Tagged) => listing == Listing::Listed && (sighted || mode == Mode::DryRun),
            };
            // After a sighting nothing more is read, unless to delete.
            if possible && (!sighted || listing == Listing::Listed) {
                let failures = if listing == Listing::Unread { vec![failure("ServiceException")] } else { vec![] };
                let name = format!("{name}not deleted, {listing_name}");
                kinds.push(Kind {
                    name,
                    visit: Visit { protection, listing: Some(listing), failures, ..blank.clone() },
                });
            }
        }
    }
    kinds
}

/// Visits with a delete that AWS did not accept. Tags are read if the delete was denied and the key is listed.
fn refused(blank: &Visit) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (listing_name, listing) in LISTINGS {
        for (code, protection) in [
            ("NotFoundException", None),
            ("AccessDenied", None),
            ("AccessDenied", Some(Protection::Tagged)),
            ("ServiceException", None),
        ] {
            if protection.is_some() && listing != Listing::Listed {
                continue;
            }
            let mut failures = vec![failure(code)];
            failures.extend((listing == Listing::Unread).then(|| failure("ServiceException")));
            let delete = Some(Delete { transmission: Transmission::for_tests(1, 1), accepted: None });
            let tagged = if protection.is_some() { "tagged, " } else { "" };
            let name = format!("{tagged}{code}, {listing_name}");
            let visit = Visit { protection, delete, listing: Some(listing), failures, ..blank.clone() };
            kinds.push(Kind { name, visit });
        }
    }
    kinds
}

/// Visits with a delete that AWS accepted.
fn accepted(blank: &Visit) -> Vec<Kind> {
    let operation = |status: Option<&str>| Operation { status: status.map(str::to_owned), ..Operation::default() };
    let operations = [
        ("no operation", vec![]),
        ("Succeeded", vec![operation(Some("Succeeded"))]),
        ("Completed, Failed", vec![operation(Some("Completed")), operation(Some("Failed"))]),
        ("Succeeded, Started", vec![operation(Some("Succeeded")), operation(Some("Started"))]),
        ("no status", vec![operation(None)]),
    ];
    let evidence = [
        ("sighted before", Some(Evidence::Listed(key()))),
        ("gone before", Some(Evidence::AlreadyGone)),
        ("unseen before", Some(Evidence::Unavailable)),
    ];
    let mut kinds = Vec::new();
    for (operations_name, operations) in operations {
        for (listing_name, listing) in LISTINGS.iter().filter(|(_, listing)| *listing != Listing::NoBucket) {
            for (evidence_name, evidence) in &evidence {
                // The search has seen the key already.
                if blank.evidence.is_some() && blank.evidence != *evidence {
                    continue;
                }
                let accepted = Acceptance { at: Instant::now(), request_id: None, operations: operations.clone() };
                let delete = Some(Delete { transmission: Transmission::for_tests(1, 0), accepted: Some(accepted) });
                let name = format!("accepted, {operations_name}, {listing_name}, {evidence_name}");
                let (listing, evidence) = (Some(*listing), evidence.clone());
                kinds.push(Kind { name, visit: Visit { delete, listing, evidence, ..blank.clone() } });
            }
        }
    }
    kinds
}

/// Kinds of hinted buckets. All hints of an alert are in one Region, which the search may exclude.
fn hints(mode: Mode, region: &str) -> Vec<Kind> {
    kinds(&visit(FoundBy::Alert, OWN, region), mode)
}

fn searches(mode: Mode) -> Vec<Search> {
    let search = |name: &str, unread: Vec<Unread>| Search {
        name: name.to_owned(),
        coverage: Some(Coverage { regions: vec![SEARCHED.parse().unwrap()], unread, ..Coverage::default() }),
        sighted: None,
    };
    let unread = Unread { account: None, region: None, bucket: None, failure: failure("AccessDenied") };
    let mut blank = visit(FoundBy::Search, MEMBER, SEARCHED);
    blank.evidence = Some(Evidence::Listed(key()));
    let sighted = kinds(&blank, mode).into_iter();
    let sighted = sighted.map(|Kind { name, visit }| Search { name, coverage: None, sighted: Some(visit) });
    [search("complete", vec![]), search("incomplete", vec![unread])].into_iter().chain(sighted).collect()
}

fn case(mode: Mode, exposure: Result<Exposure, Unactionable>) -> CaseFile {
    CaseFile::new(&Invocation::for_tests(), &"us-east-1".parse().unwrap(), mode, &Origin::default(), exposure)
}

fn exposed(mode: Mode) -> CaseFile {
    case(
        mode,
        Ok(Exposure { key: KEY.parse().unwrap(), buckets: Vec::new(), account: None, region: None, dry_run: false }),
    )
}

/// What proves that no live Lightsail key with this ID remains, written down without the verdict's own code.
fn proof(case: &CaseFile) -> Option<&'static str> {
    let accepted = |visit: &&Visit| visit.delete.as_ref().is_some_and(|delete| delete.accepted.is_some());
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
    if case.coverage.as_ref().is_some_and(covered) {
        return Some("complete search");
    }
    let succeeded = |visit: &&Visit| {
        let operations = visit.accepted().map(|accepted| accepted.operations.as_slice()).unwrap_or_default();
        !operations.is_empty() && operations.iter().all(Operation::succeeded)
    };
    let unseen = case.visits.iter().filter(accepted).filter(gone).any(|visit| succeeded(&visit));
    unseen.then_some("AWS's word: operation succeeded, read back, never sighted")
}

const SUCCESS: [Outcome; 3] = [Outcome::Revoked, Outcome::AlreadyAbsent, Outcome::NotLightsailKey];

/// Multisets of up to three hints, by index.
fn combinations(count: usize) -> impl Iterator<Item = Vec<usize>> {
    let none = std::iter::once(Vec::new());
    let one = (0..count).map(|a| vec![a]);
    let two = (0..count).flat_map(move |a| (a..count).map(move |b| vec![a, b]));
    let three = (0..count).flat_map(move |a| (a..count).flat_map(move |b| (b..count).map(move |c| vec![a, b, c])));
    none.chain(one).chain(two).chain(three)
}

/// Calls `check` with every element of the input space: the case, and the names of its hints and of its search result. No
/// two elements have the same hints in another order.
fn walk(mut check: impl FnMut(&CaseFile, &[&Kind], &Search)) {
    for mode in [Mode::Enforce, Mode::DryRun] {
        for region in [SEARCHED, EXCLUDED] {
            let kinds = hints(mode, region);
            for search in &searches(mode) {
                let mut case = exposed(mode);
                case.coverage.clone_from(&search.coverage);
                for hints in combinations(kinds.len()) {
                    let hints = hints.iter().map(|index| &kinds[*index]).collect::<Vec<_>>();
                    case.visits.clear();
                    case.visits.extend(hints.iter().map(|kind| &kind.visit).chain(&search.sighted).cloned());
                    check(&case, &hints, search);
                }
            }
        }
    }
}

/// Describes an element for a failed assertion.
fn describe(case: &CaseFile, hints: &[&Kind], search: &Search) -> String {
    let region = hints.first().map(|kind| kind.visit.target.region.as_str());
    let hints = hints.iter().map(|kind| kind.name.as_str()).collect::<Vec<_>>();
    format!("{:?}, hints {hints:?} in {region:?}, search {}", case.mode, search.name)
}

#[test]
fn success_implies_proof_of_absence() {
    let mut proofs = BTreeMap::<_, usize>::new();
    walk(|case, hints, search| {
        let outcome = decide(case).outcome;
        if SUCCESS.contains(&outcome) {
            let proof = proof(case);
            assert!(proof.is_some(), "{outcome:?} without proof: {}", describe(case, hints, search));
            *proofs.entry(proof).or_default() += 1;
        }
    });
    assert_eq!(proofs.len(), 3, "each proof occurs: {proofs:?}");
}

mod old;

#[test]
fn verdict_agrees_with_old_logic() {
    let (mut agreed, mut unreachable, mut tagged) = (0, 0, 0);
    walk(|case, hints, search| {
        let count = hints.len();
        let (hints_visited, sighted) = case.visits.split_at(count);
        // The function stops at the first hint that settles the case, and searches after the first accepted delete.
        let ends = |visit: &Visit| old::ends(visit, case.mode);
        let ended = hints_visited.iter().filter(|visit| ends(visit)).count();
        let settled = hints_visited.iter().any(|visit| old::settles(visit, case.mode));
        if ended > 1 || (settled && !sighted.is_empty()) {
            unreachable += 1;
            return;
        }
        let new = decide(case).outcome;
        for order in orders(hints_visited, ends) {
            let old = old::outcome(&order, sighted.first(), case.coverage.as_ref(), case.mode);
            if old == new {
                agreed += 1;
                continue;
            }
            // The old logic took an earlier bucket's failure for the reason of this one's, and so did not read its tags.
            let denied = order.iter().copied().chain(sighted).any(|visit| visit.protection == Some(Protection::Tagged));
            let expected = (old, new) == (Outcome::Failed, Outcome::Protected) && denied;
            assert!(expected, "{old:?} became {new:?}: {}", describe(case, hints, search));
            tagged += 1;
        }
    });
    println!("{agreed} agreed, {tagged} tagged buckets after another failure, {unreachable} unreachable");
    assert!(agreed > 0 && tagged > 0);
}

/// Every order of hints that the function can visit: one that ends the visits is the last.
fn orders<'a>(hints: &'a [Visit], ends: impl Fn(&Visit) -> bool) -> Vec<Vec<&'a Visit>> {
    let indices: &[&[usize]] = match hints.len() {
        0 => &[&[]],
        1 => &[&[0]],
        2 => &[&[0, 1], &[1, 0]],
        _ => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
    };
    let orders = indices.iter().map(|order| order.iter().map(|index| &hints[*index]).collect::<Vec<_>>());
    orders
        .filter(|order| order.split_last().is_none_or(|(_, before)| !before.iter().any(|visit| ends(visit))))
        .collect()
}
