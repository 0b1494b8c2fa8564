//! Security Hub CSPM findings (ASFF; the `detail` of its EventBridge events) -> [`Alert`]s.
//!
//! Paths: Security Hub user guide, "AWS Security Finding Format (ASFF)". Findings come from many products, and from any
//! caller of `BatchImportFindings`. GuardDuty's follow GuardDuty's rules, those that only claim to be GuardDuty's are
//! an error, and others expose a key only as threats. A custom action on a finding that exposes no key now is for a
//! person to decide, because the action and the finding contradict each other. The owner is `AwsAccountId` and `Region`
//! of the finding, because the envelope's are those of the administrator account. Invariant: a key comes only from a
//! resource of type `AwsIamAccessKey`, or from the actors' credentials of GuardDuty's attack sequence.

use serde_json::Value;

use super::finding::{
    Buckets, Candidate, Fields, Reading, Resource, alerts, best_id, expose, is_key, is_null, is_sample, is_sample_name,
    listed, no_key, object_path, read_all,
};
use super::finding_type::{Claim, expects_key, is_guardduty_arn, is_sequence, names_guardduty};
use super::{Alert, Contradicted, Ignored, Origin, Unactionable, each, ocsf, text, timestamp};
use crate::safe_text::{SafeId, SafeText};

const FIELDS: Fields = Fields {
    key: "detail.findings[].Resources[].Id",
    account: "detail.findings[].AwsAccountId",
    region: "detail.findings[].Region",
};

/// Tests for a finding, a list of findings as in events and the output of `GetFindings`, or the results of an insight.
pub(super) fn recognises(value: &Value) -> bool {
    let is_finding = |finding: &Value| {
        let has = |field| finding.get(field).is_some();
        has("Resources") && ["AwsAccountId", "ProductArn", "SchemaVersion", "Types"].into_iter().any(has)
    };
    value.get("insightResults").is_some() || listed(value).into_iter().any(is_finding)
}

/// Parses the findings of one event.
pub(super) fn read(detail: &Value) -> Vec<Alert> {
    // Only events of custom actions have `actionName` (Security Hub user guide, "EventBridge event formats").
    let custom_action = detail.get("actionName").is_some();
    let mut alerts = if detail.get("insightResults").is_some() {
        let what = SafeText::of("the results of an insight");
        vec![Alert::without_key(Origin::of("aws.securityhub"), Ignored::NoAccessKey { what })]
    } else {
        read_all(detail, "aws.securityhub", "detail.findings", |finding| match ocsf::recognises(finding) {
            true => ocsf::read(finding),
            false => read_one(finding, custom_action),
        })
    };
    if custom_action {
        alerts.iter_mut().for_each(contradict);
    }
    alerts
}

/// Turns an ignored finding of a custom action into an error, so that the person who sent it gets a notice. A sample and
/// a temporary key need no decision.
fn contradict(alert: &mut Alert) {
    if let Err(Unactionable::Ignored(ignored)) = &alert.exposures
        && !matches!(ignored, Ignored::Sample | Ignored::Temporary(_))
    {
        alert.exposures = Err(Contradicted(ignored.clone()).into());
    }
}

fn read_one(finding: &Value, custom_action: bool) -> Vec<Alert> {
    let claim = claim(finding, custom_action);
    let mut origin = Origin {
        id: text(finding, "/Id").map(SafeId::of),
        product_arn: text(finding, "/ProductArn").map(SafeId::of),
        kind: claim.kind().map(SafeText::of),
        severity: finding.pointer("/Severity/Normalized").and_then(Value::as_f64),
        observed_at: timestamp(finding, "/LastObservedAt").or_else(|| timestamp(finding, "/UpdatedAt")),
        ..Origin::of("aws.securityhub")
    };
    let exposures = exposures(finding, &claim, &mut origin);
    alerts(&origin, exposures)
}

fn exposures(finding: &Value, claim: &Claim, origin: &mut Origin) -> Reading {
    let candidates = candidates(finding, claim);
    if sample(finding) || candidates.iter().any(|candidate| is_sample_name(candidate.id)) {
        return Err(Ignored::Sample.into());
    }
    if let Some(state) = closed(finding) {
        return Err(Ignored::Closed { state }.into());
    }
    let candidates: Vec<Candidate> = candidates.into_iter().filter(|candidate| !is_null(candidate.id)).collect();
    let key_expected = claim.guardduty && claim.kind().is_some_and(expects_key);
    if candidates.is_empty() && !key_expected {
        return Err(no_key(each(finding, "/Resources").filter_map(|resource| text(resource, "/Type"))).into());
    }
    claim.judge()?;
    expose(&FIELDS, &candidates, buckets(finding, origin), origin)
}

fn claim(finding: &Value, custom_action: bool) -> Claim<'_> {
    let product = text(finding, "/ProductArn");
    let fields = finding.get("ProductFields").and_then(Value::as_object);
    let names = [product, text(finding, "/ProductName"), text(finding, "/ProductFields/aws~1securityhub~1ProductName")];
    let ids = [text(finding, "/Id"), text(finding, "/GeneratorId")];
    let guardduty = names.into_iter().flatten().any(names_guardduty)
        || ids.into_iter().flatten().any(is_guardduty_arn)
        || fields.is_some_and(|fields| fields.keys().any(|field| field.starts_with("aws/guardduty/")));
    // `BatchUpdateFindings` lets people change `Types`. `FindingProviderFields` keeps the product's own.
    let types = each(finding, "/Types").chain(each(finding, "/FindingProviderFields/Types"));
    Claim {
        types: types.filter_map(Value::as_str).collect(),
        field: "detail.findings[].Types",
        product: (product, "detail.findings[].ProductArn"),
        guardduty,
        is_check: finding.get("Compliance").is_some_and(|compliance| !compliance.is_null()),
        custom_action,
    }
}

/// Returns the candidates in all key fields of the finding.
fn candidates<'a>(finding: &'a Value, claim: &Claim) -> Vec<Candidate<'a>> {
    let account = finding.get("AwsAccountId");
    let mut candidates = Vec::new();
    for resource in key_resources(finding) {
        let id = best_id([text(resource, "/Id"), text(resource, "/Details/AwsIamAccessKey/AccessKeyId")]);
        candidates.push(Candidate {
            id,
            account,
            caller: None,
            region: text(finding, "/Region").or_else(|| text(resource, "/Region")),
        });
    }
    // ASFF has no resources of a sequence (API model, `Sequence`), and only GuardDuty writes sequences.
    if claim.guardduty && claim.types.iter().any(|kind| is_sequence(kind)) {
        let credentials = each(finding, "/Detection/Sequence/Actors").map(|actor| text(actor, "/User/CredentialUid"));
        for id in credentials.flatten().filter(|id| is_key(id)) {
            candidates.push(Candidate { id, account, caller: None, region: text(finding, "/Region") });
        }
    }
    candidates
}

fn key_resources(finding: &Value) -> impl Iterator<Item = &Value> {
    each(finding, "/Resources").filter(|resource| Resource::of(text(resource, "/Type")) == Resource::Key)
}

/// Tests for a sample. GuardDuty's marks are flattened into `ProductFields`. Those of 2018 have no prefix.
fn sample(finding: &Value) -> bool {
    let fields = finding.get("ProductFields").and_then(Value::as_object).into_iter().flatten();
    let is_mark = |field: &str| {
        ["additionalInfo", "additionalInfo/sample", "additionalInfo/value"]
            .iter()
            .any(|end| field.strip_suffix(end).is_some_and(|start| matches!(start, "" | "aws/guardduty/service/")))
    };
    finding.get("Sample").is_some_and(is_sample)
        || fields.into_iter().any(|(field, value)| is_mark(field) && is_sample(value))
}

fn closed(finding: &Value) -> Option<&'static str> {
    let is = |pointer, state: &str| text(finding, pointer).is_some_and(|written| written.eq_ignore_ascii_case(state));
    let archived = ["/ProductFields/aws~1guardduty~1service~1archived", "/ProductFields/archived"];
    if is("/RecordState", "ARCHIVED") || archived.into_iter().any(|pointer| is(pointer, "true")) {
        return Some("archived");
    }
    // `WorkflowState` is the deprecated form.
    let state = text(finding, "/Workflow/Status").or_else(|| text(finding, "/WorkflowState"));
    match state.map(str::to_ascii_uppercase).as_deref() {
        Some("SUPPRESSED") => Some("suppressed"),
        Some("RESOLVED") => Some("resolved"),
        _ => None,
    }
}

fn buckets<'a>(finding: &'a Value, origin: &mut Origin) -> Buckets<'a> {
    let mut buckets = Buckets::default();
    for resource in each(finding, "/Resources") {
        let id = text(resource, "/Id");
        let names = match Resource::of(text(resource, "/Type")) {
            Resource::Bucket => [id, text(resource, "/Details/AwsS3Bucket/Name")],
            Resource::Object => [object_path(id), None],
            _ => continue,
        };
        buckets.add(FIELDS.key, names, text(resource, "/Region"), origin);
    }
    buckets
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::{self, DECOY, KEY, OTHER_KEY, changed, only, refusal};
    use crate::alert::{Exposure, Unreadable};
    use crate::names::NameError;

    const OWN_PRODUCT: &str = "arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default";

    fn finding() -> Value {
        json!({
            "SchemaVersion": "2018-10-08", "Id": "arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/f",
            "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/guardduty", "GeneratorId": DECOY,
            "AwsAccountId": "111122223333", "Region": "eu-west-1", "Types": ["TTPs/Discovery/IAMUser-AnomalousBehavior"],
            "Severity": {"Normalized": 40}, "UpdatedAt": "2026-11-24T02:58:00.000Z", "Title": DECOY, "Sample": false,
            "ProductFields": {"aws/guardduty/service/additionalInfo/value": "{}", "x": DECOY},
            "Resources": [
                {"Type": "AwsIamUser", "Id": DECOY},
                {"Type": "AwsIamAccessKey", "Id": format!("AWS::IAM::AccessKey:{KEY}"), "Region": "us-east-1", "Tags": {DECOY: DECOY},
                 "Details": {"AwsIamAccessKey": {"PrincipalId": DECOY, "PrincipalName": DECOY, "UserName": DECOY}}}
            ],
            "RecordState": "ACTIVE", "Workflow": {"Status": "NEW"}
        })
    }

    fn with(path: &str, value: Value) -> Value {
        changed(finding(), &[(path, value)])
    }

    fn with_resources(resources: Value) -> Value {
        with("/Resources", resources)
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

    fn exposure(key: &str, buckets: &[&str], region: &str) -> Exposure {
        testing::exposure(key, buckets, "111122223333", region)
    }

    #[test]
    fn key_is_parsed_in_every_wrapper() {
        for detail in [
            finding(),
            json!({"findings": [finding()]}),
            json!({"Findings": [finding()]}),
            json!({"findings": finding()}),
        ] {
            assert!(recognises(&detail));
            let Alert { origin, exposures } = read(&detail);
            assert_eq!(exposures.unwrap(), [exposure(KEY, &[], "eu-west-1")]);
            assert_eq!(origin.kind, Some(SafeText::of("TTPs/Discovery/IAMUser-AnomalousBehavior")));
            assert_eq!((origin.severity, origin.ignored_fields.len()), (Some(40.0), 0));
            assert_eq!(origin.product_arn, text(&finding(), "/ProductArn").map(SafeId::of));
            assert_eq!(origin.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
        }
    }

    #[test]
    fn every_spelling_of_a_key_is_parsed_once() {
        let user = "arn:aws:iam::111122223333:user/bob";
        let finding = with_resources(json!([
            {"Type": "AWSIAMAccessKey", "Id": KEY},
            {"Type": "AWS::IAM::AccessKey", "Id": user, "Details": {"AwsIamAccessKey": {"AccessKeyId": OTHER_KEY}}},
            {"Type": "AwsIamAccessKey", "Id": format!("AWS::IAM::AccessKey:{OTHER_KEY}")},
            {"Type": "AwsIamAccessKey", "Id": "AWS::IAM::AccessKey:null"},
            {"Type": "AwsIamAccessKey", "Id": user}
        ]));
        assert_eq!(exposed(&finding), [exposure(KEY, &[], "eu-west-1"), exposure(OTHER_KEY, &[], "eu-west-1")]);
        assert_eq!(read(&finding).origin.ignored_fields.len(), 1);
    }

    #[test]
    fn buckets_are_parsed_with_their_region() {
        let finding = with_resources(json!([
            {"Type": "AwsIamAccessKey", "Id": KEY, "Region": "us-east-1"},
            {"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::photos", "Region": "us-east-2"},
            {"Type": "AWS::S3::Bucket", "Id": "No trails", "Details": {"AwsS3Bucket": {"Name": "logs"}}},
            {"Type": "AwsS3Object", "Id": format!("arn:aws:s3:::films/{DECOY}")},
            {"Type": "AwsS3Object", "Id": "just-an-object"},
            {"Type": "AwsS3AccessPoint", "Id": "arn:aws:s3:eu-west-1:111122223333:accesspoint/point"},
            {"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::photos"}
        ]));
        assert_eq!(
            exposed(&finding),
            [exposure(KEY, &["photos", "logs", "films"], "us-east-2").in_region("eu-west-1")]
        );
    }

    #[test]
    fn only_attack_sequences_expose_actors() {
        let actors = json!({"Sequence": {"Actors": [
            {"User": {"Uid": DECOY, "Name": DECOY, "CredentialUid": OTHER_KEY}}, {"User": {"CredentialUid": "AIDAX"}}, null
        ]}});
        let mut finding = with("/Detection", actors);
        assert_eq!(exposed(&finding), [exposure(KEY, &[], "eu-west-1")]);
        finding["Types"] = json!(["TTPs/AttackSequence:IAM/CompromisedCredentials"]);
        assert_eq!(exposed(&finding), [exposure(KEY, &[], "eu-west-1"), exposure(OTHER_KEY, &[], "eu-west-1")]);
        finding["Resources"] = json!([]);
        assert_eq!(exposed(&finding), [exposure(OTHER_KEY, &[], "eu-west-1")]);
        finding["Detection"] = json!(null);
        assert_eq!(reason_of(&finding), Unreadable::Missing { field: FIELDS.key }.into());
    }

    #[test]
    fn malformed_key_is_an_error_and_no_key_is_ignored() {
        // GuardDuty's finding of a console sign-in has no key, and its other findings on users have.
        let mut null = with_resources(json!([{"Type": "AwsIamAccessKey", "Id": "AWS::IAM::AccessKey:null"}]));
        assert_eq!(reason_of(&null), Unreadable::Missing { field: FIELDS.key }.into());
        null["Types"] = json!(["TTPs/UnauthorizedAccess:IAMUser-ConsoleLoginSuccess.B"]);
        assert_eq!(reason_of(&null), Ignored::NoAccessKey { what: SafeText::of("AwsIamAccessKey") }.into());
        let mut check =
            with_resources(json!([{"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::photos"}, {"Type": "Other", "Id": KEY}]));
        check["Types"] = json!(["Effects/Data Exposure"]);
        assert_eq!(reason_of(&check), Ignored::NoAccessKey { what: SafeText::of("AwsS3Bucket, Other") }.into());
        for id in [
            json!("arn:aws:iam::111122223333:user/bob"),
            json!("********************"),
            json!("AWS::IAM::AccessKey:"),
            json!(5),
        ] {
            let resources = json!([{"Type": "AwsIamAccessKey", "Id": id}]);
            let reason = reason_of(&with_resources(resources));
            assert!(
                matches!(reason, Unactionable::Unreadable(Unreadable::Name { field, .. }) if field == FIELDS.key),
                "{reason}"
            );
        }
        let temporary =
            with_resources(json!([{"Type": "AwsIamAccessKey", "Id": "AWS::IAM::AccessKey:ASIAIOSFODNN7EXAMPLE"}]));
        assert_eq!(reason_of(&temporary), Ignored::Temporary(NameError::TemporaryKey).into());
    }

    #[test]
    fn samples_and_closed_findings_are_ignored() {
        for sample in [
            with("/Sample", json!(true)),
            with("/ProductFields", json!({"aws/guardduty/service/additionalInfo/sample": "true"})),
            with("/ProductFields", json!({"aws/guardduty/service/additionalInfo/value": "{\"sample\":true}"})),
            with("/ProductFields", json!({"additionalInfo": "{\"sample\":true}"})),
            with("/Resources/1/Id", json!("AWS::IAM::AccessKey:GeneratedFindingAccessKeyId")),
        ] {
            assert_eq!(reason_of(&sample), Ignored::Sample.into());
        }
        for (path, value, state) in [
            ("/RecordState", json!("ARCHIVED"), "archived"),
            ("/ProductFields", json!({"aws/guardduty/service/archived": "true"}), "archived"),
            ("/ProductFields", json!({"archived": "true"}), "archived"),
            ("/Workflow/Status", json!("RESOLVED"), "resolved"),
            ("/Workflow/Status", json!("SUPPRESSED"), "suppressed"),
        ] {
            assert_eq!(reason_of(&with(path, value)), Ignored::Closed { state }.into(), "{path}");
        }
        let mut old = finding();
        (old["Workflow"], old["WorkflowState"]) = (json!(null), json!("RESOLVED"));
        assert_eq!(reason_of(&old), Ignored::Closed { state: "resolved" }.into());
        assert_eq!(exposed(&with("/Workflow/Status", json!("NOTIFIED"))).len(), 1);
    }

    #[test]
    fn type_rules_hold_for_provider_fields() {
        let kind = "Effects/Data Exposure/Policy:S3-BucketBlockPublicAccessDisabled";
        for path in ["/Types", "/FindingProviderFields"] {
            let types = json!([kind]);
            let value = if path == "/Types" { types } else { json!({"Types": types}) };
            assert_eq!(reason_of(&with(path, value)), Ignored::ActorOnly { kind: SafeText::of(kind) }.into());
        }
        let mut untyped = finding();
        untyped["Types"] = json!(null);
        assert_eq!(reason_of(&untyped), Unreadable::Missing { field: "detail.findings[].Types" }.into());
    }

    #[test]
    fn guardduty_claim_needs_its_product_arn() {
        let forged: Unactionable = Unreadable::Forged { field: "detail.findings[].ProductArn" }.into();
        let mut imported = with("/ProductArn", json!(OWN_PRODUCT));
        assert_eq!(reason_of(&imported), forged);
        imported["Id"] = json!("x");
        assert_eq!(reason_of(&imported), forged, "by its ProductFields");
        imported["ProductFields"] = json!({});
        assert_eq!(exposed(&imported).len(), 1, "a threat from another product");
        for (field, value) in [
            ("ProductName", json!("GuardDuty")),
            ("ProductFields", json!({"aws/securityhub/ProductName": "GuardDuty"})),
            ("GeneratorId", json!("arn:aws-cn:guardduty:cn-north-1:111122223333:detector/d")),
        ] {
            let mut imported = imported.clone();
            imported[field] = value;
            assert_eq!(reason_of(&imported), forged, "{field}");
        }
    }

    #[test]
    fn custom_action_exposes_all_but_checks() {
        let mut own = finding();
        (own["Id"], own["ProductArn"], own["ProductFields"]) = (json!("x"), json!(OWN_PRODUCT), json!({}));
        let mut check = own.clone();
        check["Types"] = json!(["Software and Configuration Checks/AWS Security Best Practices"]);
        let mut compliance = own.clone();
        compliance["Compliance"] = json!({"Status": "FAILED"});
        let mut untyped = own.clone();
        untyped["Types"] = json!([]);
        let sent = |finding: &Value| read(&json!({"actionName": "Revoke", "findings": [finding]})).exposures;
        for check in [check, compliance] {
            assert!(matches!(reason_of(&check), Unactionable::Ignored(Ignored::Check { .. })));
            assert!(matches!(sent(&check), Err(Unactionable::Contradicted(Contradicted(Ignored::Check { .. })))));
        }
        assert_eq!(reason_of(&untyped), Unreadable::Missing { field: "detail.findings[].Types" }.into());
        assert_eq!(sent(&untyped).unwrap(), [exposure(KEY, &[], "eu-west-1")]);
    }

    #[test]
    fn every_finding_makes_an_alert_also_in_ocsf() {
        let ocsf = json!({"class_uid": 2003, "class_name": "Compliance Finding"});
        let alerts = super::read(&json!({"findings": [finding(), null, ocsf, finding()]}));
        assert_eq!(alerts.iter().map(|alert| alert.exposures.is_ok()).collect::<Vec<_>>(), [true, false, false]);
        let missing = Unreadable::Missing { field: "detail.findings" };
        assert_eq!(refusal(read(&json!({"findings": []}))), missing.into());
    }

    #[test]
    fn insight_results_have_no_key() {
        let results = json!({"insightName": "x", "insightResults": [{KEY: 5}]});
        assert!(recognises(&results));
        let what = SafeText::of("the results of an insight");
        assert_eq!(refusal(read(&results)), Ignored::NoAccessKey { what }.into());
    }

    #[test]
    fn malformed_owner_is_an_error() {
        assert!(
            reason_of(&with("/AwsAccountId", json!("me"))).to_string().contains("AwsAccountId is not an account ID")
        );
        assert!(reason_of(&with("/AwsAccountId", json!(1))).to_string().contains("AwsAccountId is a number"));
    }

    #[test]
    fn wrong_types_never_panic() {
        for odd in [json!(null), json!(-1.5), json!("\u{e9}"), json!([[]]), json!({"": {"a": []}}), json!(true)] {
            assert_eq!(super::read(&odd).len(), 1);
            for field in finding().as_object().unwrap().keys() {
                assert_eq!(super::read(&with(&format!("/{field}"), odd.clone())).len(), 1, "{field}");
            }
            for field in ["Type", "Id", "Region", "Details"] {
                assert_eq!(super::read(&with(&format!("/Resources/1/{field}"), odd.clone())).len(), 1, "{field}");
            }
        }
    }
}
