//! The whole input space of the verdict: every kind of visit, up to three hints, every result of a search, both modes.
//!
//! Asserts the promises on each element, and snapshots the outcomes in `table.snap` for review.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::json;
use tokio::time::Instant;

use super::{Finding, decide, finding};
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

/// Calls `check` with every element of the input space: a case, the kinds of its hints, and the result of its search. No two
/// elements have the same hints in another order.
fn walk(mut check: impl FnMut(&mut CaseFile, &[&Kind], &Search)) {
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
                    check(&mut case, &hints, search);
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
    assert_eq!(proofs.len(), 3, "each proof occurs: {proofs:?}");
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

/// A hint in the own account and a sighting in a member account: the record is the same as without the hint.
#[test]
fn record_has_nothing_of_another_account() {
    let audit = Audit::new(std::io::sink());
    let record = |case: &CaseFile| {
        let mut record = serde_json::to_value(audit.record(case, &decide(case))).unwrap();
        // The first delete on the wire may be that of the hint.
        record["api"] = json!(null);
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

/// The table for review: `INSTA_UPDATE=always cargo test --lib verdict` writes it.
#[test]
fn table() {
    let mut table = String::new();
    for mode in [Mode::Enforce, Mode::DryRun] {
        write_table(&mut table, mode).unwrap();
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(".");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("table", table));
}

/// Results of a search without a sighting, in a Region of the hints that the search reads or excludes.
const COLUMNS: [(&str, &str); 4] =
    [(SEARCHED, "complete"), (SEARCHED, "incomplete"), (EXCLUDED, "complete"), (EXCLUDED, "incomplete")];

fn write_table(table: &mut String, mode: Mode) -> std::fmt::Result {
    let searches = searches(mode);
    let outcome = |region: &str, hints: &[usize], search: &str| {
        let kinds = super::tests::hints(mode, region);
        let mut case = exposed(mode);
        case.coverage = searches.iter().find(|known| known.name == search).unwrap().coverage.clone();
        case.visits = hints.iter().map(|index| kinds[*index].visit.clone()).collect();
        decide(&case).outcome.code()
    };
    let row = |hints: &[usize]| COLUMNS.map(|(region, search)| outcome(region, hints, search));
    let kinds = super::tests::hints(mode, SEARCHED);
    let name = mode.as_str();
    writeln!(table, "== {name}: one hinted bucket\n")?;
    writeln!(table, "{:62} outcome, whatever a search finds", "delete, keys, evidence")?;
    let (settled, open): (Vec<_>, Vec<_>) =
        (0..kinds.len()).partition(|index| matches!(finding(&kinds[*index].visit, mode), Finding::Settled(_)));
    for index in &settled {
        let outcomes = row(&[*index]).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(outcomes.len(), 1, "{}", kinds[*index].name);
        writeln!(table, "{:62} {}", kinds[*index].name, outcomes.first().unwrap())?;
    }
    let header = "search complete    search incomplete  Region excluded:   and incomplete";
    writeln!(table, "\n{:62} {header}", "")?;
    let line = |table: &mut String, name: &str, row: [&str; 4]| {
        let [a, b, c, d] = row;
        writeln!(table, "{name:62} {a:18} {b:18} {c:18} {d}")
    };
    line(table, "no hint", row(&[]))?;
    for index in &open {
        line(table, &kinds[*index].name, row(&[*index]))?;
    }
    writeln!(table, "\n== {name}: two hinted buckets, neither of which settles the case\n")?;
    for (number, a) in open.iter().enumerate() {
        for b in &open[number..] {
            let name = format!("{} + {}", short(&kinds[*a].name), short(&kinds[*b].name));
            line(table, &name, row(&[*a, *b]))?;
        }
    }
    writeln!(table, "\n== {name}: bucket on which the search saw the key\n")?;
    for search in searches.iter().filter(|search| search.sighted.is_some()) {
        let mut case = exposed(mode);
        case.visits = search.sighted.iter().cloned().collect();
        writeln!(table, "{:62} {}", search.name, decide(&case).outcome.code())?;
    }
    let mut counts = BTreeMap::<_, usize>::new();
    walk(|case, hints, _| {
        if case.mode == mode {
            *counts.entry((hints.len(), decide(case).outcome.code())).or_default() += 1;
        }
    });
    writeln!(table, "\n== {name}: combinations by number of hints and outcome, every result of the search\n")?;
    for ((hints, outcome), count) in counts {
        writeln!(table, "{hints} hints  {outcome:18} {count:>9}")?;
    }
    writeln!(table)
}

fn short(name: &str) -> String {
    name.replace("accepted, no operation, not listed", "accepted")
        .replace("Exception", "")
        .replace(" before", "")
        .replace("protected, not deleted", "protected")
}
