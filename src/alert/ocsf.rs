//! OCSF findings (Security Hub's EventBridge event "Findings Imported V2", rows of Security Lake) -> [`Alert`]s.
//!
//! Paths: Security Hub user guide, "OCSF findings in Security Hub", and the OCSF schema, class "Detection Finding". The
//! rules for products and types are those of the same findings in ASFF. The owner is that of the resource, else
//! `cloud`. Invariant: a key comes from the `uid` of a resource of type `AWS::IAM::AccessKey`. Keys in `actor` belong
//! to callers, and are never exposed.

use chrono::DateTime;
use serde_json::Value;

use super::finding::{
    Buckets, Candidate, Fields, Reading, Resource, alerts, best_id, expose, is_null, is_sample, is_sample_name, listed,
    no_key, object_path, read_all,
};
use super::finding_type::{Claim, expects_key, is_guardduty_arn, names_guardduty};
use super::{Alert, Ignored, Origin, each, text, timestamp};
use crate::safe_text::{SafeId, SafeText};

const FIELDS: Fields = Fields {
    key: "detail.findings[].resources[].uid",
    account: "detail.findings[].resources[].owner.account.uid",
    region: "detail.findings[].cloud.region",
};

/// Tests for an OCSF event, or a list of findings.
pub(super) fn recognises(value: &Value) -> bool {
    let is_event = |event: &Value| {
        number(event, "/class_uid").is_some()
            || event.get("finding_info").is_some_and(Value::is_object)
            || event.pointer("/metadata/product").is_some() && event.get("resources").is_some()
    };
    listed(value).into_iter().any(is_event)
}

/// Parses the findings of one event.
pub(super) fn read(detail: &Value) -> Vec<Alert> {
    read_all(detail, "aws.securityhub", "detail.findings", read_one)
}

fn read_one(finding: &Value) -> Vec<Alert> {
    let claim = claim(finding);
    let last_seen = number(finding, "/finding_info/last_seen_time").and_then(DateTime::from_timestamp_millis);
    let mut origin = Origin {
        id: text(finding, "/finding_info/uid").or_else(|| text(finding, "/metadata/uid")).map(SafeId::of),
        kind: claim.kind().map(SafeText::of),
        severity: number(finding, "/severity_id").map(|severity| f64::from(u8::try_from(severity).unwrap_or(0))),
        observed_at: last_seen.or_else(|| timestamp(finding, "/finding_info/last_seen_time_dt")),
        ..Origin::of("aws.securityhub")
    };
    let exposures = exposures(finding, &claim, &mut origin);
    alerts(&origin, exposures)
}

fn exposures(finding: &Value, claim: &Claim, origin: &mut Origin) -> Reading {
    if let Some(not_a_threat) = other_class(finding, claim) {
        return Err(not_a_threat.into());
    }
    let candidates: Vec<Candidate> = key_resources(finding).map(|resource| candidate(resource, finding)).collect();
    if sample(finding) || candidates.iter().any(|candidate| is_sample_name(candidate.id)) {
        return Err(Ignored::Sample.into());
    }
    if let Some(state) = closed(finding) {
        return Err(Ignored::Closed { state }.into());
    }
    let key_expected = claim.guardduty && claim.kind().is_some_and(expects_key);
    let candidates: Vec<Candidate> = candidates.into_iter().filter(|candidate| !is_null(candidate.id)).collect();
    if candidates.is_empty() && !key_expected {
        return Err(no_key(resources(finding).filter_map(|resource| text(resource, "/type"))).into());
    }
    claim.judge()?;
    expose(&FIELDS, &candidates, buckets(finding, origin), origin)
}

/// Returns the reason for a class that is not a threat (OCSF schema), or nothing for a possible threat or a missing
/// class.
fn other_class(finding: &Value, claim: &Claim) -> Option<Ignored> {
    let class = number(finding, "/class_uid")?;
    let name = SafeText::of(text(finding, "/class_name").unwrap_or("an event of another class"));
    let kind = || claim.kind().map_or_else(|| name.clone(), SafeText::of);
    let call = || text(finding, "/api/operation").map_or_else(|| name.clone(), SafeText::of);
    let has_key = || key_resources(finding).next().is_some();
    let has_caller = || {
        let paths = ["/actor/user/credential_uid", "/actor/session/credential_uid"];
        paths.into_iter().any(|path| text(finding, path).is_some_and(|id| !is_null(id)))
    };
    match class {
        // Security Finding (deprecated), Detection Finding, Incident Finding, Data Security Finding.
        2001 | 2004 | 2005 | 2006 => None,
        2000..=2999 if has_key() => Some(Ignored::Check { kind: kind() }),
        _ if has_caller() => Some(Ignored::Caller { call: call() }),
        _ => Some(Ignored::NoAccessKey { what: name }),
    }
}

fn claim(finding: &Value) -> Claim<'_> {
    let product = text(finding, "/metadata/product/uid");
    let names = [product, text(finding, "/metadata/product/name")];
    let guardduty = names.into_iter().flatten().any(names_guardduty)
        || text(finding, "/finding_info/uid").is_some_and(is_guardduty_arn);
    let types = each(finding, "/finding_info/types").chain(each(finding, "/finding/types"));
    Claim {
        types: types.filter_map(Value::as_str).collect(),
        field: "detail.findings[].finding_info.types",
        product: (product, "detail.findings[].metadata.product.uid"),
        guardduty,
        is_check: finding.get("compliance").is_some_and(|compliance| !compliance.is_null()),
        custom_action: false,
    }
}

/// Returns the candidate in a resource. Some of Security Lake's rows have the key with a prefix, as in ASFF.
fn candidate<'a>(resource: &'a Value, finding: &'a Value) -> Candidate<'a> {
    let accounts = ["/owner/account/uid", "/account/uid", "/account_uid"].map(|path| resource.pointer(path));
    let account = accounts.into_iter().flatten().find(|account| !account.is_null());
    let own = text(resource, "/region").filter(|region| *region != "global");
    Candidate {
        id: best_id([text(resource, "/uid"), text(resource, "/name")]),
        account: account
            .or_else(|| finding.pointer("/cloud/account/uid"))
            .or_else(|| finding.pointer("/cloud/account_uid")),
        caller: None,
        region: own.or_else(|| text(finding, "/cloud/region")),
    }
}

/// Tests for a sample. Security Lake keeps fields that OCSF does not have in `unmapped`, by their ASFF path.
fn sample(finding: &Value) -> bool {
    let unmapped = finding.get("unmapped").and_then(Value::as_object).into_iter().flatten();
    let is_mark = |field: &str| {
        field == "Sample"
            || field.ends_with("service/additionalInfo/sample")
            || field.ends_with("service/additionalInfo/value")
    };
    unmapped.into_iter().any(|(field, value)| is_mark(field) && is_sample(value))
}

/// Returns the state of a closed finding (OCSF schema, "Detection Finding": `activity_id` 3 is Close; `status_id` 3 to
/// 6). `status` takes precedence over the numbers, because some tools write other numbers beside it.
fn closed(finding: &Value) -> Option<&'static str> {
    let by_number = || match number(finding, "/status_id") {
        Some(3) => Some("suppressed"),
        Some(4) => Some("resolved"),
        Some(5) => Some("archived"),
        Some(6) => Some("deleted"),
        _ => None,
    };
    let status = text(finding, "/status").map(str::to_ascii_lowercase);
    let by_name = match status.as_deref() {
        Some("suppressed") => Some("suppressed"),
        Some("resolved") => Some("resolved"),
        Some("archived") => Some("archived"),
        Some("deleted") => Some("deleted"),
        Some("closed") => Some("closed"),
        Some("new" | "in progress") => None,
        _ => by_number(),
    };
    by_name.or_else(|| (number(finding, "/activity_id") == Some(3)).then_some("closed"))
}

fn buckets<'a>(finding: &'a Value, origin: &mut Origin) -> Buckets<'a> {
    let mut buckets = Buckets::default();
    for resource in resources(finding) {
        let [uid, uid_alt, name] = ["/uid", "/uid_alt", "/name"].map(|path| text(resource, path));
        let names = match Resource::of(text(resource, "/type")) {
            Resource::Bucket => [uid, uid_alt, name],
            Resource::Object => [object_path(uid), object_path(uid_alt), None],
            _ => continue,
        };
        buckets.add(FIELDS.key, names, text(resource, "/region"), origin);
    }
    buckets
}

fn key_resources(finding: &Value) -> impl Iterator<Item = &Value> {
    resources(finding).filter(|resource| Resource::of(text(resource, "/type")) == Resource::Key)
}

/// Iterates over the resources. Old versions of OCSF have one resource and no list.
fn resources(finding: &Value) -> impl Iterator<Item = &Value> {
    each(finding, "/resources").chain(finding.get("resource"))
}

/// Returns the number at a JSON pointer. Some rows of Security Lake write it as text.
fn number(value: &Value, pointer: &str) -> Option<i64> {
    let number = value.pointer(pointer)?;
    number.as_i64().or_else(|| number.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::{DECOY, KEY, OTHER_KEY, changed, exposure, only, refusal};
    use crate::alert::{Exposure, Unactionable, Unreadable};
    use crate::names::NameError;

    fn finding() -> Value {
        json!({
            "class_uid": 2004, "class_name": "Detection Finding", "activity_id": 1, "status": "New", "status_id": 1, "severity_id": 4,
            "cloud": {"account": {"uid": "111122223333"}, "region": "eu-west-1"},
            "finding_info": {
                "uid": "arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/f", "title": DECOY,
                "types": ["Threats", "UnauthorizedAccess:IAMUser/MaliciousIPCaller"], "last_seen_time": 1_795_489_080_000_i64
            },
            "metadata": {"product": {"name": "GuardDuty", "uid": "arn:aws:securityhub:eu-west-1::productv2/aws/guardduty"}, "uid": DECOY},
            "actor": {"user": {"credential_uid": DECOY}, "session": {"credential_uid": DECOY}},
            "evidences": [{"actor": {"user": {"credential_uid": DECOY}}}],
            "observables": [{"value": DECOY}],
            "resources": [
                {"type": "AWS::IAM::AccessKey", "uid": KEY, "region": "global", "user": {"name": DECOY, "uid": DECOY},
                 "owner": {"account": {"uid": "444455556666"}}, "tags": [{"name": DECOY, "value": DECOY}]},
                {"type": "AWS::IAM::User", "uid": DECOY, "name": DECOY}
            ]
        })
    }

    fn with(path: &str, value: Value) -> Value {
        changed(finding(), &[(path, value)])
    }

    fn read(detail: &Value) -> Alert {
        only(super::read(detail))
    }

    fn exposed(finding: &Value) -> Vec<Exposure> {
        read(&json!({"findings": [finding]})).exposures.unwrap()
    }

    fn reason_of(finding: &Value) -> Unactionable {
        refusal(read(&json!({"findings": [finding]})))
    }

    #[test]
    fn key_is_parsed_with_owner_of_its_resource() {
        for detail in [finding(), json!({"findings": [finding()]})] {
            assert!(recognises(&detail));
            let Alert { origin, exposures } = read(&detail);
            assert_eq!(exposures.unwrap(), [exposure(KEY, &[], "444455556666", "eu-west-1")]);
            assert_eq!(origin.kind, Some(SafeText::of("UnauthorizedAccess:IAMUser/MaliciousIPCaller")));
            assert_eq!((origin.severity, origin.ignored_fields.len()), (Some(4.0), 0));
            assert_eq!(origin.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
        }
    }

    #[test]
    fn security_lake_row_uses_prefix_and_cloud_owner() {
        let mut row = finding();
        row["finding_info"]["types"] = json!(["TTPs/Discovery/IAMUser-AnomalousBehavior"]);
        row["class_uid"] = json!("2001");
        row["metadata"]["product"]["uid"] = json!("arn:aws:securityhub:eu-west-1::product/aws/guardduty");
        row["resources"] = json!([
            {"type": "AwsIamAccessKey", "uid": format!("AWS::IAM::AccessKey:{KEY}"), "data": format!("{{\"x\":\"{DECOY}\"}}")},
            {"type": "AWS::IAM::AccessKey", "uid": "arn:aws:iam::111122223333:user/bob", "name": OTHER_KEY, "region": "us-east-2"}
        ]);
        assert_eq!(
            exposed(&row),
            [exposure(KEY, &[], "111122223333", "eu-west-1"), exposure(OTHER_KEY, &[], "111122223333", "us-east-2"),]
        );
    }

    #[test]
    fn partial_finding_is_recognised() {
        let mut cut = finding();
        for field in ["class_uid", "cloud", "status", "status_id", "activity_id"] {
            cut.as_object_mut().unwrap().remove(field);
        }
        cut["metadata"] = json!({"product": {"name": "GuardDuty"}});
        assert!(recognises(&cut));
        let found: Vec<_> = exposed(&cut)
            .into_iter()
            .map(|exposure| (exposure.key.to_string(), exposure.regions.into_iter().next()))
            .collect();
        assert_eq!(found, [(KEY.to_owned(), None)]);
    }

    #[test]
    fn buckets_are_parsed_with_their_region() {
        let finding = with(
            "/resources",
            json!([
                {"type": "AWS::IAM::AccessKey", "uid": KEY},
                {"type": "AWS::S3::Bucket", "uid": "photos", "uid_alt": "arn:aws:s3:::photos", "region": "us-east-2"},
                {"type": "AwsS3Bucket", "uid": "0A:B", "uid_alt": "arn:aws:s3:::logs"},
                {"type": "AWS::S3::Bucket", "name": "films"},
                {"type": "AWS::S3::Object", "uid": format!("songs/{DECOY}")},
                {"type": "AWS::S3::Object", "uid": "just-an-object", "name": "not-a-bucket/either"}
            ]),
        );
        assert_eq!(
            exposed(&finding),
            [exposure(KEY, &["photos", "logs", "films", "songs"], "111122223333", "us-east-2").in_region("eu-west-1")]
        );
    }

    #[test]
    fn type_rules_hold_in_any_order() {
        let kind = "Policy:S3/BucketBlockPublicAccessDisabled";
        for types in [json!(["Threats", kind]), json!([kind, "Threats"]), json!([kind])] {
            assert_eq!(
                reason_of(&with("/finding_info/types", types)),
                Ignored::ActorOnly { kind: SafeText::of(kind) }.into()
            );
        }
        for types in [json!(["Threats"]), json!([]), json!(null)] {
            let missing = Unreadable::Missing { field: "detail.findings[].finding_info.types" };
            assert_eq!(reason_of(&with("/finding_info/types", types)), missing.into());
        }
    }

    #[test]
    fn guardduty_claim_needs_its_product_arn() {
        let product = json!("arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default");
        let mut imported = with("/metadata/product/uid", product);
        let forged: Unactionable = Unreadable::Forged { field: "detail.findings[].metadata.product.uid" }.into();
        assert_eq!(reason_of(&imported), forged);
        imported["metadata"]["product"]["name"] = json!("Own");
        assert_eq!(reason_of(&imported), forged, "by its ID");
        imported["finding_info"]["uid"] = json!("x");
        assert_eq!(exposed(&imported).len(), 1, "a threat from another product");
        imported["finding_info"]["types"] = json!(["Posture Management"]);
        assert_eq!(reason_of(&imported), Ignored::Check { kind: SafeText::of("Posture Management") }.into());
    }

    #[test]
    fn samples_and_closed_findings_are_ignored() {
        for sample in [
            with("/resources/0/uid", json!("GeneratedFindingAccessKeyId")),
            with("/unmapped", json!({"ProductFields.aws/guardduty/service/additionalInfo/sample": "true"})),
            with("/unmapped", json!({"Sample": true})),
        ] {
            assert_eq!(reason_of(&sample), Ignored::Sample.into());
        }
        for (status, id, state) in [
            (json!("Suppressed"), 3, "suppressed"),
            (json!("RESOLVED"), 0, "resolved"),
            (json!(null), 4, "resolved"),
            (json!(null), 5, "archived"),
            (json!("Other"), 6, "deleted"),
        ] {
            let mut closed = with("/status", status);
            closed["status_id"] = json!(id);
            assert_eq!(reason_of(&closed), Ignored::Closed { state }.into(), "{id}");
        }
        assert_eq!(reason_of(&with("/activity_id", json!(3))), Ignored::Closed { state: "closed" }.into());
        assert_eq!(exposed(&with("/status_id", json!(3))).len(), 1, "status takes precedence");
    }

    #[test]
    fn malformed_key_is_an_error_and_no_key_is_ignored() {
        let without = |kind: &str| {
            let mut finding =
                with("/resources", json!([{"type": "AWS::S3::Object", "uid": format!("{KEY}/{KEY}")}, {"uid": KEY}]));
            finding["finding_info"]["types"] = json!(["Threats", kind]);
            reason_of(&finding)
        };
        let what = SafeText::of("AWS::S3::Object");
        assert_eq!(without("Discovery:S3/MaliciousIPCaller"), Ignored::NoAccessKey { what }.into());
        assert_eq!(without("AttackSequence:S3/CompromisedData"), Unreadable::Missing { field: FIELDS.key }.into());
        let mut null = with("/resources/0/uid", json!("AWS::IAM::AccessKey:null"));
        assert_eq!(reason_of(&null), Unreadable::Missing { field: FIELDS.key }.into());
        null["finding_info"]["types"] = json!(["Threats", "UnauthorizedAccess:IAMUser/ConsoleLoginSuccess.B"]);
        let what = SafeText::of("AWS::IAM::AccessKey, AWS::IAM::User");
        assert_eq!(reason_of(&null), Ignored::NoAccessKey { what }.into());
        for odd in [json!("arn:aws:iam::111122223333:user/bob"), json!("********"), json!(5), json!(null)] {
            let reason = reason_of(&with("/resources/0/uid", odd));
            assert!(
                matches!(reason, Unactionable::Unreadable(Unreadable::Name { field, .. }) if field == FIELDS.key),
                "{reason}"
            );
        }
        let temporary = with("/resources/0/uid", json!("ASIAIOSFODNN7EXAMPLE"));
        assert_eq!(reason_of(&temporary), Ignored::Temporary(NameError::TemporaryKey).into());
    }

    #[test]
    fn other_classes_expose_no_key() {
        let kind = SafeText::of("UnauthorizedAccess:IAMUser/MaliciousIPCaller");
        assert_eq!(reason_of(&with("/class_uid", json!(2003))), Ignored::Check { kind }.into());
        let mut call = with("/class_uid", json!(6003));
        call["api"] = json!({"operation": "GetObject"});
        assert_eq!(reason_of(&call), Ignored::Caller { call: SafeText::of("GetObject") }.into());
        (call["actor"], call["class_name"]) = (json!(null), json!("API Activity"));
        assert_eq!(reason_of(&call), Ignored::NoAccessKey { what: SafeText::of("API Activity") }.into());
    }

    #[test]
    fn malformed_owner_stops_only_its_own_key() {
        let mut finding = with("/resources/0/owner/account/uid", json!("me"));
        assert!(reason_of(&finding).to_string().contains("owner.account.uid is not an account ID"));
        finding["resources"][1] = json!({"type": "AwsIamAccessKey", "uid": OTHER_KEY});
        let alerts = super::read(&finding);
        assert_eq!(alerts.len(), 2);
        assert_eq!(alerts[0].exposures.as_ref().unwrap()[..], [exposure(OTHER_KEY, &[], "111122223333", "eu-west-1")]);
        assert!(matches!(alerts[1].exposures, Err(Unactionable::Unreadable(Unreadable::Name { .. }))));
    }

    #[test]
    fn wrong_types_never_panic() {
        for odd in [
            json!(null),
            json!(i64::MIN),
            json!(1e300),
            json!("\u{e9}"),
            json!([[]]),
            json!({"": {"a": []}}),
            json!(true),
        ] {
            assert_eq!(super::read(&odd).len(), 1);
            for field in finding().as_object().unwrap().keys() {
                assert_eq!(super::read(&with(&format!("/{field}"), odd.clone())).len(), 1, "{field}");
            }
            for path in
                ["/finding_info/last_seen_time", "/finding_info/types", "/resources/0/type", "/resources/0/owner"]
            {
                assert_eq!(super::read(&with(path, odd.clone())).len(), 1, "{path}");
            }
        }
        let missing = Unreadable::Missing { field: "detail.findings" };
        assert_eq!(refusal(read(&json!({"findings": []}))), missing.into());
    }
}
