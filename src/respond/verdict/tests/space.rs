//! Input space of the verdict: every kind of visit, up to three hints, every result of a search, both modes.

use tokio::time::Instant;

use crate::alert::{Exposure, Origin, Unactionable};
use crate::aws::lightsail::{AccessKey, Operation};
use crate::aws::{Failure, Transmission};
use crate::case::{Acceptance, CaseFile, Coverage, Delete, Evidence, FoundBy, Listing, Place, Target, Unread, Visit};
use crate::invocation::Invocation;
use crate::policy::{Mode, Protection};

pub(super) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(super) const OWN: &str = "012345678912";
const MEMBER: &str = "111122223333";
/// A Region that the search reads, and one that it excludes.
pub(super) const SEARCHED: &str = "us-east-1";
pub(super) const EXCLUDED: &str = "eu-west-1";

/// A kind of visit, by its name in the table.
#[derive(Clone)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) visit: Visit,
}

/// A result of the search, by its name in the table.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) name: String,
    pub(super) coverage: Option<Coverage>,
    /// The visit of the bucket on which the search saw the key.
    pub(super) sighted: Option<Visit>,
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

pub(super) fn failure(code: &str) -> Failure {
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
pub(super) fn hints(mode: Mode, region: &str) -> Vec<Kind> {
    kinds(&visit(FoundBy::Alert, OWN, region), mode)
}

pub(super) fn searches(mode: Mode) -> Vec<Search> {
    let search = |name: &str, unread: Vec<Unread>| Search {
        name: name.to_owned(),
        coverage: Some(Coverage { regions: vec![SEARCHED.parse().unwrap()], unread, ..Coverage::default() }),
        sighted: None,
    };
    let unread = Unread { count: 1, places: vec![Place::default()], failure: failure("AccessDenied") };
    let mut blank = visit(FoundBy::Search, MEMBER, SEARCHED);
    blank.evidence = Some(Evidence::Listed(key()));
    let sighted = kinds(&blank, mode).into_iter();
    let sighted = sighted.map(|Kind { name, visit }| Search { name, coverage: None, sighted: Some(visit) });
    let foreign = Unread { failure: Failure::foreign_account(), ..unread.clone() };
    let unsighted =
        [search("complete", vec![]), search("incomplete", vec![unread]), search("foreign account", vec![foreign])];
    unsighted.into_iter().chain(sighted).collect()
}

pub(super) fn case(mode: Mode, exposure: Result<Exposure, Unactionable>) -> CaseFile {
    CaseFile::new(&Invocation::for_tests(), &"us-east-1".parse().unwrap(), mode, &Origin::default(), exposure)
}

pub(super) fn exposed(mode: Mode) -> CaseFile {
    case(
        mode,
        Ok(Exposure {
            key: KEY.parse().unwrap(),
            hints: Vec::new(),
            owner: None,
            accounts: Vec::new(),
            regions: Vec::new(),
            dry_run: false,
        }),
    )
}

/// Multisets of up to three hints, by index.
fn combinations(count: usize) -> impl Iterator<Item = Vec<usize>> {
    let none = std::iter::once(Vec::new());
    let one = (0..count).map(|a| vec![a]);
    let two = (0..count).flat_map(move |a| (a..count).map(move |b| vec![a, b]));
    let three = (0..count).flat_map(move |a| (a..count).flat_map(move |b| (b..count).map(move |c| vec![a, b, c])));
    none.chain(one).chain(two).chain(three)
}

/// Calls `check` with every element of the input space: a case, the kinds of its hints, and the result of its search.
/// No two elements have the same hints in another order.
pub(super) fn walk(mut check: impl FnMut(&mut CaseFile, &[&Kind], &Search)) {
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
pub(super) fn describe(case: &CaseFile, hints: &[&Kind], search: &Search) -> String {
    let region = hints.first().map(|kind| kind.visit.target.region.as_str());
    let hints = hints.iter().map(|kind| kind.name.as_str()).collect::<Vec<_>>();
    format!("{:?}, hints {hints:?} in {region:?}, search {}", case.mode, search.name)
}
