//! The record of a case with several visits has nothing of a bucket that it does not name.

use chrono::DateTime;
use serde_json::{Value, json};

use super::space::{EXCLUDED, SEARCHED, Search, describe, exposed, hints, searches};
use crate::audit::Audit;
use crate::case::{CaseFile, Evidence};
use crate::policy::Mode;
use crate::respond::verdict::decide;

/// Calls `check` with the record of every case with two hints, in both orders, and with the number of the visit that
/// the record names. Every observation has the number of its visit: see [`number`].
fn walk_records(mut check: impl FnMut(&Value, Option<usize>, &str)) {
    let audit = Audit::new(std::io::sink());
    for (mode, region) in [(Mode::Enforce, SEARCHED), (Mode::Enforce, EXCLUDED), (Mode::DryRun, SEARCHED)] {
        let (hints, searches) = (hints(mode, region), searches(mode));
        let (unsighted, sighted): (Vec<_>, Vec<_>) = searches.iter().partition(|search| search.sighted.is_none());
        let mut tell = |case: &mut CaseFile, search: &Search| {
            case.coverage.clone_from(&search.coverage);
            case.visits.extend(search.sighted.clone());
            number(case);
            let record = serde_json::to_value(audit.record(case, &decide(case))).unwrap();
            let bucket = record["unmapped"]["bucket"]["name"].as_str();
            let named = bucket.map(|name| name.trim_start_matches("bucket-").parse().unwrap());
            check(&record, named, &describe(case, &[], search));
        };
        for first in &hints {
            for search in &sighted {
                let mut case = exposed(mode);
                case.visits.push(first.visit.clone());
                tell(&mut case, search);
            }
            for second in &hints {
                for search in &unsighted {
                    let mut case = exposed(mode);
                    case.visits.extend([&first.visit, &second.visit].map(Clone::clone));
                    tell(&mut case, search);
                }
            }
        }
    }
}

/// Writes the number of each visit on its bucket, its evidence, its operations, its delete and its reads.
fn number(case: &mut CaseFile) {
    for (number, visit) in case.visits.iter_mut().enumerate() {
        visit.target.bucket = format!("bucket-{number}").parse().unwrap();
        let is_accepted = visit.accepted().is_some();
        if let Some(accepted) = visit.delete.as_mut().and_then(|delete| delete.accepted.as_mut()) {
            accepted.request_id = Some(format!("delete-{number}"));
        }
        let refused = visit.delete.is_some() && !is_accepted;
        for (index, failure) in visit.failures.iter_mut().enumerate() {
            let is_delete = refused && index == 0;
            failure.operation = if is_delete { "DeleteBucketAccessKey" } else { "GetBucketAccessKeys" };
            failure.request_id = Some(format!("{}-{number}", if is_delete { "delete" } else { "read" }));
        }
        if let Some(Evidence::Listed(key)) = &mut visit.evidence {
            key.created_at = DateTime::from_timestamp(i64::try_from(number).unwrap(), 0);
            key.status = Some(format!("status-{number}"));
        }
    }
}

#[test]
fn request_uid_is_of_delete_on_record_bucket() {
    let (mut with_uid, mut without_uid) = (0, 0);
    walk_records(|record, named, case| {
        let of_delete = named.map(|number| format!("delete-{number}"));
        let uid = record.pointer("/api/request/uid");
        if let Some(uid) = uid {
            assert_eq!(uid, &json!(of_delete), "{case}: {record}");
            with_uid += 1;
        } else {
            without_uid += 1;
        }
        let command = uid.unwrap_or(&record["unmapped"]["invocation"]["request_id"]);
        assert_eq!(&record["command_uid"], command, "{case}: {record}");
    });
    assert!(with_uid > 1000 && without_uid > 100, "{with_uid}, {without_uid}");
}

#[test]
fn evidence_is_of_record_bucket() {
    let mut listed = 0;
    walk_records(|record, named, case| {
        let key = &record["unmapped"]["access_key"];
        if key["evidence"] == "listed" {
            let number = named.unwrap();
            assert_eq!(key["status"], format!("status-{number}"), "{case}: {record}");
            assert_eq!(key["created_at"], format!("1970-01-01T00:00:0{number}Z"), "{case}: {record}");
            listed += 1;
        } else {
            assert_eq!((&key["status"], &key["created_at"]), (&json!(null), &json!(null)), "{case}: {record}");
        }
    });
    assert!(listed > 1000, "{listed}");
}
