//! Size of the largest record, and the call that a record names.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::alert::{Exposure, Origin};
use crate::audit::Audit;
use crate::aws::lightsail::Operation;
use crate::aws::{Failure, Transmission};
use crate::case::{Acceptance, CaseFile, Coverage, Delete, FoundBy, Place, Target, Verdict, Visit};
use crate::invocation::Invocation;
use crate::names::AccessKeyId;
use crate::outcome::{ALL, Outcome};
use crate::policy::Mode;
use crate::regions::REGIONS;
use crate::safe_text::{SafeId, SafeText};

/// Sizes of the lines of a log.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<Vec<usize>>>);

impl Write for Sizes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The longest text, of characters that take most bytes.
fn longest() -> SafeText {
    SafeText::of(&"\u{1f511}".repeat(600))
}

/// 300 accounts of 20 buckets in each Region, none of which could be read, for many reasons.
fn nothing_read() -> Coverage {
    let failure = |number| {
        let code = format!("{number}{}", longest());
        Failure { message: Some(longest()), ..Failure::for_tests(&code) }
    };
    let failures: Vec<_> = (0..50).map(failure).collect();
    let mut coverage = Coverage::default();
    let mut number = 0;
    for account in 0..300 {
        for (region, _) in REGIONS {
            let place = |bucket: Option<usize>| Place {
                account: format!("{account:012}").parse().ok(),
                region: region.parse().ok(),
                bucket: bucket.and_then(|number| format!("{number:0>54}").parse().ok()),
            };
            coverage.add_not_enabled(place(None));
            for bucket in 0..20 {
                number += 1;
                coverage.add_unread(place(Some(bucket)), failures[number % failures.len()].clone());
            }
        }
    }
    coverage
}

/// The record of a case in which every list and every text is as long as possible.
#[tokio::test]
async fn largest_record_is_below_200_kb() {
    let text = || Some(longest());
    let id = || Some(SafeId::of(&"\u{1f511}".repeat(600)));
    let origin = Origin {
        source: text(),
        id: id(),
        product_arn: id(),
        event_id: id(),
        kind: text(),
        reason: text(),
        ignored_fields: vec!["x".repeat(400); 20],
        ..Origin::default()
    };
    let mut case = case(&origin);
    let operation = Operation { details: text(), error_code: text(), error_details: text(), ..Operation::default() };
    let accepted = Acceptance { at: Instant::now(), request_id: None, operations: vec![operation; 50] };
    let mut visit = visit("photos", "us-east-1");
    visit.delete = Some(Delete { transmission: Transmission::for_tests(1, 0), accepted: Some(accepted) });
    visit.failures.push(Failure { message: text(), ..Failure::for_tests(longest().as_str()) });
    case.visits.push(visit);
    case.coverage = Some(nothing_read());
    let sizes = Sizes::default();
    let audit = Audit::new(sizes.clone());
    for outcome in ALL {
        audit.record(&case, &Verdict { outcome, visit: case.visits.first() });
    }
    let largest = sizes.0.lock().unwrap().iter().copied().max();
    assert!(largest < Some(200_000), "{largest:?} bytes");
    let record = audit.record(&case, &Verdict { outcome: Outcome::SearchIncomplete, visit: None });
    assert!(record.message().contains("; and 107160 more for other reasons"));
}

/// For example after a panic in the SDK: CloudTrail has nothing of such a delete.
#[tokio::test]
async fn delete_without_attempt_is_not_in_api() {
    let mut case = case(&Origin::default());
    let mut visit = visit("photos", "us-east-1");
    visit.delete = Some(Delete::default());
    case.visits.push(visit);
    let audit = Audit::new(io::sink());
    for visit in [case.visits.first(), None] {
        let record = audit.record(&case, &Verdict { outcome: Outcome::Failed, visit });
        assert!(record.api.is_none(), "{record:?}");
    }
}

fn case(origin: &Origin) -> CaseFile {
    let key: AccessKeyId = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
    let exposure = Exposure {
        key,
        hints: Vec::new(),
        owner: None,
        accounts: (0..300).filter_map(|account| format!("{account:012}").parse().ok()).collect(),
        regions: Vec::new(),
        dry_run: false,
    };
    let own_region = "us-east-1".parse().unwrap();
    CaseFile::new(&Invocation::for_tests(), &own_region, Mode::Enforce, origin, Ok(exposure))
}

fn visit(bucket: &str, region: &str) -> Visit {
    let (bucket, region) = (bucket.parse().unwrap(), region.parse().unwrap());
    Visit::new(Target { account: None, bucket, region, found_by: FoundBy::Alert })
}
