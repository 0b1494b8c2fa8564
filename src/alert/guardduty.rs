//! GuardDuty finding (the `detail` of its EventBridge event) -> [`Alert`].
//!
//! Paths: GuardDuty user guide, "Creating custom responses to GuardDuty findings with Amazon EventBridge", and the API
//! model's wire names. The casing of the CLI is parsed as well. The accounts that may own the key are `accountId` of
//! the finding, where the activity took place, and that of the caller. The envelope's are those of the event's
//! recipient, which can be the delegated administrator. Invariant: a key comes only from
//! `resource.accessKeyDetails.accessKeyId`, or from the ACCESS_KEY resources and the actors' credentials of an attack
//! sequence.

use serde_json::Value;

use super::finding::{
    Buckets, Candidate, Fields, Reading, Resource, alerts, at, best_id, each_at, expose, is_key, is_null, is_sample,
    is_sample_name, listed, object_path, read_all, text_at,
};
use super::finding_type::{expects_key, is_change, is_sequence, not_suspected};
use super::{Alert, Ignored, Origin, Unactionable, Unreadable};
use crate::safe_text::{SafeId, SafeText};

/// `source` of GuardDuty's EventBridge events.
pub(super) const SOURCE: &str = "aws.guardduty";
/// `detail-type` of the events that hold a finding.
pub(super) const DETAIL_TYPE: &str = "GuardDuty Finding";

const FIELDS: Fields = Fields {
    key: "detail.resource.accessKeyDetails.accessKeyId",
    account: "detail.accountId",
    region: "detail.region",
};
const SEQUENCE: Fields = Fields { key: "detail.service.detection.sequence", ..FIELDS };

/// Tests for a bare finding, or the list that `GetFindings` returns.
pub(super) fn recognises(value: &Value) -> bool {
    listed(value).into_iter().any(|finding| {
        let has = |path| at(finding, path).is_some();
        // Only GuardDuty's types have the form `purpose:resource/what`.
        let has_type = text_at(finding, "type").is_some_and(|kind| kind.contains(':') && kind.contains('/'));
        is_scan(finding)
            || has("accountId") && has("resource") && has("service")
            || has_type && (has("accountId") || has("resource"))
    })
}

/// Parses one finding, or a list of findings.
pub(super) fn read(value: &Value) -> Vec<Alert> {
    read_all(value, SOURCE, "findings", read_one)
}

/// Parses an event about a scan for malware or the state of a protection plan (GuardDuty user guide, "Monitoring S3
/// object scans with Amazon EventBridge"). It names buckets and objects, and no key.
pub(super) fn read_scan(_: &Value) -> Vec<Alert> {
    let what = SafeText::of("a scan for malware");
    vec![Alert::without_key(Origin::of(SOURCE), Ignored::NoAccessKey { what })]
}

fn is_scan(value: &Value) -> bool {
    value.get("scanStatus").is_some() && value.get("s3ObjectDetails").is_some()
}

fn read_one(finding: &Value) -> Vec<Alert> {
    if is_scan(finding) {
        return read_scan(finding);
    }
    let timestamp = |path| text_at(finding, path).and_then(|time| time.parse().ok());
    let mut origin = Origin {
        id: text_at(finding, "id").map(SafeId::of),
        kind: text_at(finding, "type").map(SafeText::of),
        severity: at(finding, "severity").and_then(Value::as_f64),
        observed_at: timestamp("service/eventLastSeen").or_else(|| timestamp("updatedAt")),
        ..Origin::of(SOURCE)
    };
    let exposures = exposures(finding, &mut origin);
    alerts(&origin, exposures)
}

fn exposures(finding: &Value, origin: &mut Origin) -> Reading {
    let kind = text_at(finding, "type");
    let resources: Vec<&Value> = each_at(finding, "service/detection/sequence/resources").collect();
    // Findings of Custom Detection Rules have signals as well, but only an attack sequence suspects its actors.
    let sequence = kind.is_some_and(is_sequence);
    let mut candidates: Vec<Candidate> = details(finding).into_iter().collect();
    if sequence {
        candidates.extend(resources.iter().filter_map(|resource| key_resource(resource, finding)));
        candidates.extend(
            each_at(finding, "service/detection/sequence/actors").filter_map(|actor| credential(actor, finding)),
        );
    }
    if at(finding, "service/additionalInfo").is_some_and(is_sample)
        || candidates.iter().any(|candidate| is_sample_name(candidate.id))
    {
        return Err(Ignored::Sample.into());
    }
    if at(finding, "service/archived").is_some_and(|archived| archived == true || archived == "true") {
        return Err(Ignored::Closed { state: "archived" }.into());
    }
    let kind = kind.ok_or(Unreadable::Missing { field: "detail.type" })?;
    if is_change(kind) {
        return Err(Ignored::ActorOnly { kind: SafeText::of(kind) }.into());
    }
    if candidates.is_empty() {
        return Err(no_key(finding, kind));
    }
    if let Some(reason) = not_suspected(kind) {
        return Err(reason);
    }
    let buckets = buckets(finding, if sequence { &resources } else { &[] }, origin);
    expose(if sequence { &SEQUENCE } else { &FIELDS }, &candidates, buckets, origin)
}

fn details(finding: &Value) -> Option<Candidate<'_>> {
    let id = text_at(finding, "resource/accessKeyDetails/accessKeyId").filter(|id| !id.is_empty() && !is_null(id))?;
    let caller = at(finding, "service/action/awsApiCallAction/remoteAccountDetails/accountId");
    Some(Candidate { id, account: at(finding, "accountId"), caller, region: text_at(finding, "region") })
}

/// Returns the candidate in a sequence's resource. The API model (`ResourceV2`) has no field for the ID of a key, and
/// does not say which of its two names holds it.
fn key_resource<'a>(resource: &'a Value, finding: &'a Value) -> Option<Candidate<'a>> {
    let is_key = Resource::of(text_at(resource, "resourceType")) == Resource::Key;
    is_key.then(|| Candidate {
        id: best_id([text_at(resource, "uid"), text_at(resource, "name")]),
        account: at(resource, "accountId").or_else(|| at(finding, "accountId")),
        caller: None,
        region: text_at(resource, "region").filter(|region| *region != "global").or_else(|| text_at(finding, "region")),
    })
}

/// Returns the key that an actor of a sequence used: "the credentials of the user ID" (API model,
/// `User.credentialUid`).
fn credential<'a>(actor: &'a Value, finding: &'a Value) -> Option<Candidate<'a>> {
    // An actor inside a cluster or machine has another kind of credential, which is not an error.
    let id = text_at(actor, "user/credentialUid").filter(|id| is_key(id) || is_sample_name(id))?;
    // The actor's account "may differ from the account that owns the user identity" (API model, `User.account`).
    let (account, caller) = (at(finding, "accountId"), at(actor, "user/account/uid"));
    Some(Candidate { id, account, caller, region: text_at(finding, "region") })
}

/// Returns the reason for a finding without a key ID. It is an error only if the type of finding has a key.
fn no_key(finding: &Value, kind: &str) -> Unactionable {
    let resource = text_at(finding, "resource/resourceType").unwrap_or("something else");
    let details = at(finding, "resource/accessKeyDetails").and_then(Value::as_object);
    let key_expected = match resource {
        _ if is_sequence(kind) => expects_key(kind),
        // A console sign-in needs no key.
        "AccessKey" => !kind.contains("ConsoleLogin"),
        "S3Bucket" => details.is_some_and(|details| !details.is_empty()),
        _ => expects_key(kind),
    };
    match key_expected {
        true if is_sequence(kind) => Unreadable::Missing { field: SEQUENCE.key }.into(),
        true => Unreadable::Missing { field: FIELDS.key }.into(),
        false => Ignored::NoAccessKey { what: SafeText::of(resource) }.into(),
    }
}

fn buckets<'a>(finding: &'a Value, sequence: &[&'a Value], origin: &mut Origin) -> Buckets<'a> {
    const OF_SEQUENCE: &str = "detail.service.detection.sequence.resources[].uid";
    let mut buckets = Buckets::default();
    for details in each_at(finding, "resource/s3BucketDetails") {
        let names = [text_at(details, "name"), text_at(details, "arn")];
        buckets.add("detail.resource.s3BucketDetails[].name", names, None, origin);
    }
    let of_kind = |kind| {
        let resources = sequence.iter().copied();
        resources.filter(move |resource| Resource::of(text_at(resource, "resourceType")) == kind)
    };
    for resource in of_kind(Resource::Bucket) {
        let region = text_at(resource, "region");
        buckets.add(OF_SEQUENCE, [text_at(resource, "name"), text_at(resource, "uid")], region, origin);
        for uid in each_at(resource, "data/s3Bucket/s3ObjectUids") {
            buckets.add(OF_SEQUENCE, [object_path(uid.as_str())], region, origin);
        }
    }
    for resource in of_kind(Resource::Object) {
        buckets.add(OF_SEQUENCE, [object_path(text_at(resource, "uid"))], text_at(resource, "region"), origin);
    }
    buckets
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::Exposure;
    use crate::alert::testing::{DECOY, KEY, OTHER_KEY, changed, exposure, keys_of, only, refusal};

    fn finding() -> Value {
        json!({
            "id": "60baffd3f9042e38640f2300d5c5a631", "accountId": "111122223333", "region": "eu-west-1", "severity": 8,
            "type": "Exfiltration:S3/MaliciousIPCaller", "updatedAt": "2026-11-24T02:58:00.000Z",
            "resource": {
                "resourceType": "S3Bucket",
                "accessKeyDetails": {"accessKeyId": KEY, "userType": "IAMUser", "principalId": OTHER_KEY},
                "s3BucketDetails": [{"name": "photos"}, {"name": "My.Bucket"}, {"arn": "arn:aws:s3:::logs"}, {"name": "photos"}]
            },
            "service": {"archived": false, "additionalInfo": {"value": "{}", "type": "default"}}
        })
    }

    fn with(path: &str, value: Value) -> Value {
        changed(finding(), &[(path, value)])
    }

    /// Converts field names to the casing of the CLI.
    fn pascal(value: &Value) -> Value {
        match value {
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, inner)| (name[..1].to_ascii_uppercase() + &name[1..], pascal(inner)))
                    .collect(),
            ),
            Value::Array(values) => values.iter().map(pascal).collect(),
            other => other.clone(),
        }
    }

    fn sequence(kind: &str, resources: Value, actors: Value) -> Value {
        json!({
            "id": "1", "accountId": "111122223333", "region": "eu-west-1", "severity": 9.5, "type": kind,
            "resource": {"resourceType": "AttackSequence"},
            "service": {"archived": false, "detection": {"sequence": {"resources": resources, "actors": actors}}}
        })
    }

    fn read(finding: &Value) -> Alert {
        only(super::read(finding))
    }

    fn exposed(finding: &Value) -> Vec<Exposure> {
        read(finding).exposures.unwrap()
    }

    fn reason_of(finding: &Value) -> Unactionable {
        refusal(read(finding))
    }

    #[test]
    fn exposure_is_parsed_in_both_casings() {
        for finding in [finding(), pascal(&finding())] {
            assert!(recognises(&finding) && recognises(&json!({"Findings": [finding]})));
            assert_eq!(exposed(&finding), [exposure(KEY, &["photos", "logs"], "111122223333", "eu-west-1")]);
            let origin = read(&finding).origin;
            assert_eq!(origin.ignored_fields.len(), 1);
            assert_eq!(origin.severity, Some(8.0));
            assert_eq!(origin.id, Some(SafeId::of("60baffd3f9042e38640f2300d5c5a631")));
            assert_eq!(origin.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
        }
    }

    #[test]
    fn every_listed_finding_makes_an_alert() {
        let alerts = super::read(&json!({"findings": [finding(), {"type": "x"}, null]}));
        assert_eq!(alerts.iter().map(|alert| alert.exposures.is_ok()).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(super::read(&json!({"findings": []})).len(), 1);
    }

    #[test]
    fn samples_are_ignored_in_every_published_form() {
        for sample in [
            with("/service/additionalInfo", json!({"sample": true})),
            with("/service/additionalInfo/value", json!("{\"sample\":true}")),
            with("/resource/accessKeyDetails/accessKeyId", json!("GeneratedFindingAccessKeyId")),
            sequence(
                "AttackSequence:S3/X",
                json!([{"resourceType": "ACCESS_KEY", "uid": "GeneratedFindingUid"}]),
                json!([]),
            ),
        ] {
            assert_eq!(reason_of(&sample), Ignored::Sample.into());
            assert_eq!(reason_of(&pascal(&sample)), Ignored::Sample.into());
        }
    }

    #[test]
    fn actor_of_configuration_change_is_not_exposed() {
        for kind in [
            "Policy:S3/BucketBlockPublicAccessDisabled",
            "Stealth:IAMUser/CloudTrailLoggingDisabled",
            "DefenseEvasion:IAMUser/BedrockLoggingDisabled",
            "Impact:S3/DataDestruction",
        ] {
            assert_eq!(reason_of(&with("/type", json!(kind))), Ignored::ActorOnly { kind: SafeText::of(kind) }.into());
        }
    }

    #[test]
    fn configuration_change_without_key_is_ignored() {
        let kind = "Policy:IAMUser/RootCredentialUsage";
        let finding = json!({"type": kind, "accountId": "111122223333", "resource": {"resourceType": "AccessKey"}});
        assert_eq!(reason_of(&finding), Ignored::ActorOnly { kind: SafeText::of(kind) }.into());
    }

    #[test]
    fn archived_findings_and_temporary_keys_are_ignored() {
        assert_eq!(reason_of(&with("/service/archived", json!(true))), Ignored::Closed { state: "archived" }.into());
        let temporary = with("/resource/accessKeyDetails/accessKeyId", json!("ASIAIOSFODNN7EXAMPLE"));
        assert_eq!(reason_of(&temporary), Ignored::Temporary(crate::names::NameError::TemporaryKey).into());
    }

    #[test]
    fn missing_key_is_an_error_only_if_expected() {
        let missing: Unactionable = Unreadable::Missing { field: FIELDS.key }.into();
        let without =
            |kind: &str, resource: Value| json!({"type": kind, "accountId": "111122223333", "resource": resource});
        let s3 = || without("Discovery:S3/MaliciousIPCaller", json!({"resourceType": "S3Bucket"}));
        assert_eq!(reason_of(&s3()), Ignored::NoAccessKey { what: SafeText::of("S3Bucket") }.into());
        let ec2 =
            without("Recon:EC2/Portscan", json!({"resourceType": "Instance", "accessKeyDetails": {"accessKeyId": ""}}));
        assert_eq!(reason_of(&ec2), Ignored::NoAccessKey { what: SafeText::of("Instance") }.into());
        let sign_in = without("UnauthorizedAccess:IAMUser/ConsoleLoginSuccess.B", json!({"resourceType": "AccessKey"}));
        assert_eq!(reason_of(&sign_in), Ignored::NoAccessKey { what: SafeText::of("AccessKey") }.into());
        assert_eq!(reason_of(&without("Recon:IAMUser/TorIPCaller", json!({"resourceType": "AccessKey"}))), missing);
        assert_eq!(reason_of(&without("Recon:IAMUser/TorIPCaller", json!({}))), missing);
        for odd in [json!(""), json!("null"), json!(null), json!(5), json!([KEY])] {
            assert_eq!(reason_of(&with("/resource/accessKeyDetails/accessKeyId", odd)), missing);
        }
        assert_eq!(reason_of(&with("/type", json!(null))), Unreadable::Missing { field: "detail.type" }.into());
    }

    #[test]
    fn malware_scan_has_no_key() {
        let scan = json!({
            "scanStatus": "COMPLETED", "resourceType": "S3_OBJECT",
            "s3ObjectDetails": {"bucketName": "photos", "objectKey": KEY, "eTag": KEY}
        });
        assert!(recognises(&scan));
        for alert in [read(&scan), read_scan(&scan).remove(0)] {
            let what = SafeText::of("a scan for malware");
            assert_eq!(refusal(alert), Ignored::NoAccessKey { what }.into());
        }
    }

    #[test]
    fn keys_in_other_fields_are_not_exposed() {
        let mut elsewhere = with("/resource/accessKeyDetails/accessKeyId", json!("****"));
        elsewhere["resource"]["s3BucketDetails"] =
            json!([{"name": KEY, "eTag": KEY, "tags": [{"key": KEY, "value": KEY}]}]);
        elsewhere["resource"]["accessKeyDetails"]["userName"] = json!(KEY);
        // Only an attack sequence suspects these. Findings of Custom Detection Rules have signals and actors too.
        elsewhere["service"]["detection"] = json!({"sequence": {
            "actors": [{"user": {"credentialUid": KEY}}], "resources": [{"resourceType": "ACCESS_KEY", "uid": KEY}]
        }});
        assert!(
            matches!(reason_of(&elsewhere), Unactionable::Unreadable(Unreadable::Name { field, .. }) if field == FIELDS.key)
        );
    }

    #[test]
    fn attack_sequence_exposes_resources_and_actors() {
        let resources = json!([
            {"resourceType": "ACCESS_KEY", "uid": "AIDAIOSFODNN7EXAMPLE", "name": KEY, "accountId": "444455556666", "region": "global",
             "data": {"accessKey": {"principalId": DECOY, "userName": DECOY}}},
            {"resourceType": "S3_BUCKET", "uid": "arn:aws:s3:::photos", "name": "photos", "region": "us-east-2",
             "data": {"s3Bucket": {"s3ObjectUids": ["arn:aws:s3:::photos/a", DECOY]}}},
            {"resourceType": "S3_OBJECT", "uid": "arn:aws-cn:s3:::logs/a/b", "name": DECOY,
             "data": {"s3Object": {"eTag": DECOY, "key": DECOY}}},
            {"resourceType": "EC2_INSTANCE", "uid": DECOY}, 7, null
        ]);
        let actors = json!([
            {"id": DECOY, "user": {"uid": DECOY, "credentialUid": OTHER_KEY}},
            {"user": {"credentialUid": KEY}}, {"user": {"credentialUid": "AROAIOSFODNN7EXAMPLE"}}, {"user": null}
        ]);
        let finding = sequence("AttackSequence:S3/CompromisedData", resources, actors);
        for finding in [finding.clone(), pascal(&finding)] {
            assert_eq!(
                exposed(&finding),
                [
                    exposure(KEY, &["photos", "logs"], "444455556666", "us-east-2").in_region("eu-west-1"),
                    exposure(OTHER_KEY, &["photos", "logs"], "111122223333", "us-east-2").in_region("eu-west-1"),
                ]
            );
        }
    }

    #[test]
    fn keyless_attack_sequence_is_an_error_if_iam_or_s3() {
        for kind in ["AttackSequence:IAM/CompromisedCredentials", "AttackSequence:S3/CompromisedData"] {
            let missing = Unreadable::Missing { field: "detail.service.detection.sequence" };
            assert_eq!(reason_of(&sequence(kind, json!(null), json!(null))), missing.into());
        }
        let cluster = sequence(
            "AttackSequence:EKS/CompromisedCluster",
            json!([{"resourceType": "EKS_CLUSTER", "uid": KEY}]),
            json!([{"user": {"credentialUid": "i-0123456789abcdef0"}}]),
        );
        assert_eq!(reason_of(&cluster), Ignored::NoAccessKey { what: SafeText::of("AttackSequence") }.into());
        let unnamed = sequence("AttackSequence:ECS/X", json!([{"resourceType": "ACCESS_KEY"}]), json!([]));
        assert!(matches!(reason_of(&unnamed), Unactionable::Unreadable(Unreadable::Name { .. })));
    }

    #[test]
    fn malformed_owner_is_an_error() {
        let text = |account| reason_of(&with("/accountId", account)).to_string();
        assert!(text(json!("me")).starts_with("detail.accountId is not an account ID"));
        assert!(
            text(json!(111_122_223_333_u64)).starts_with("detail.accountId is a number, not a string of 12 digits")
        );
    }

    #[test]
    fn malformed_owner_stops_only_its_own_key() {
        let key = |id: &str, account: &str| json!({"resourceType": "ACCESS_KEY", "uid": id, "accountId": account});
        let resources = json!([key(KEY, "me"), key(OTHER_KEY, "444455556666"), key("AKIAIOSFODNN8EXAMPLE", "me")]);
        let alerts = super::read(&sequence("AttackSequence:IAM/CompromisedCredentials", resources, json!([])));
        assert_eq!(alerts.len(), 2);
        assert_eq!(keys_of(&alerts[0]), [OTHER_KEY]);
        assert!(matches!(
            &alerts[1].exposures,
            Err(Unactionable::Unreadable(Unreadable::Name { field: "detail.accountId", .. }))
        ));
    }

    #[test]
    fn wrong_types_never_panic() {
        let good = [
            finding(),
            sequence("AttackSequence:S3/X", json!([{"resourceType": "ACCESS_KEY", "uid": KEY}]), json!([{}])),
        ];
        for odd in [json!(null), json!(-1.5), json!("\u{e9}"), json!([[]]), json!({"": {"a": []}}), json!(true)] {
            assert_eq!(super::read(&odd).len(), 1);
            for finding in &good {
                for path in
                    ["/type", "/resource", "/service", "/resource/resourceType", "/accountId", "/region", "/severity"]
                {
                    let finding = changed(finding.clone(), &[(path, odd.clone())]);
                    assert_eq!(super::read(&finding).len(), 1, "{path}");
                }
            }
        }
    }
}
