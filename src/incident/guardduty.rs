//! GuardDuty finding (the `detail` of its EventBridge event) -> [`Incident`].
//!
//! Paths: GuardDuty user guide, "Creating custom responses to GuardDuty findings with Amazon EventBridge", and the API
//! model's wire names. The owner is `accountId` and `region` of the finding: the envelope's are those of whoever got the
//! event, which is the delegated administrator as well. Invariant: the key comes from
//! `resource.accessKeyDetails.accessKeyId` and from nowhere else.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Alert, Exposure, Ignored, Incident, Unactionable, Unreadable, hint, key};
use crate::names::{BucketName, NameError};
use crate::plain_text::PlainText;

/// `source` of the event. EventBridge lets nobody but AWS put events of `aws.*` on the default bus.
pub(super) const SOURCE: &str = "aws.guardduty";

/// `detail-type` of the event.
pub(super) const DETAIL_TYPE: &str = "GuardDuty Finding";

/// What stands for the key in a sample finding (GuardDuty user guide, "Sample findings").
const SAMPLE_KEY: &str = "GeneratedFindingAccessKeyId";

/// Types in which the key is only the actor of a configuration change (GuardDuty user guide, "IAM finding types" and
/// "S3 Protection finding types"). AWS's own Automated Security Response leaves such keys alone too.
const ACTOR_ONLY: [&str; 3] = ["Policy:", "Stealth:", "DefenseEvasion:IAMUser/BedrockLoggingDisabled"];

/// Reads one finding.
pub(super) fn read(finding: &Value) -> Incident {
    let mut alert = Alert {
        source: Some(PlainText::of(SOURCE)),
        id: text(finding, "/id").map(PlainText::of),
        kind: text(finding, "/type").map(PlainText::of),
        severity: finding.pointer("/severity").and_then(Value::as_f64),
        observed_at: moment(finding, "/service/eventLastSeen").or_else(|| moment(finding, "/updatedAt")),
        ..Alert::default()
    };
    let reading = exposure(finding, &mut alert).map(|exposure| vec![exposure]);
    Incident { alert, reading }
}

fn exposure(finding: &Value, alert: &mut Alert) -> Result<Exposure, Unactionable> {
    let named = text(finding, "/resource/accessKeyDetails/accessKeyId").filter(|id| !id.is_empty());
    if sample(finding) || named == Some(SAMPLE_KEY) {
        return Err(Ignored::Sample.into());
    }
    if finding.pointer("/service/archived") == Some(&Value::Bool(true)) {
        return Err(Ignored::Archived.into());
    }
    let kind = text(finding, "/type").ok_or(Unreadable::Missing { member: "detail.type" })?;
    if ACTOR_ONLY.iter().any(|prefix| kind.starts_with(prefix)) {
        return Err(Ignored::ActorOnly { kind: PlainText::of(kind) }.into());
    }
    let named = named.ok_or_else(|| no_key(finding))?;
    let account = text(finding, "/accountId").map(str::parse).transpose();
    Ok(Exposure {
        key: key("detail.resource.accessKeyDetails.accessKeyId", named)?,
        buckets: buckets(finding, alert),
        account: account.map_err(|error: NameError| Unreadable::Name { member: "detail.accountId", error })?,
        region: hint("detail.region", text(finding, "/region"), alert),
    })
}

/// A finding without a key ID: is that a surprise?
fn no_key(finding: &Value) -> Unactionable {
    let resource = text(finding, "/resource/resourceType").unwrap_or("something else");
    let has_details = finding.pointer("/resource/accessKeyDetails").is_some_and(Value::is_object);
    match resource {
        "AttackSequence" => Unreadable::AttackSequence.into(),
        "AccessKey" => Unreadable::Missing { member: "detail.resource.accessKeyDetails.accessKeyId" }.into(),
        _ if has_details => Unreadable::Missing { member: "detail.resource.accessKeyDetails.accessKeyId" }.into(),
        resource => Ignored::NoAccessKey { resource: PlainText::of(resource) }.into(),
    }
}

/// Samples say so as a member, or inside JSON text in `value`; published findings have either or both.
fn sample(finding: &Value) -> bool {
    let says = |info: &Value| info.get("sample") == Some(&Value::Bool(true));
    let inner = text(finding, "/service/additionalInfo/value").and_then(|text| serde_json::from_str(text).ok());
    finding.pointer("/service/additionalInfo").is_some_and(says) || inner.is_some_and(|info: Value| says(&info))
}

fn buckets(finding: &Value, alert: &mut Alert) -> Vec<BucketName> {
    let details = finding.pointer("/resource/s3BucketDetails").and_then(Value::as_array);
    let mut buckets: Vec<BucketName> = Vec::new();
    for details in details.into_iter().flatten() {
        let name = text(details, "/name");
        if let Some(bucket) = hint("detail.resource.s3BucketDetails[].name", name, alert)
            && !buckets.contains(&bucket)
        {
            buckets.push(bucket);
        }
    }
    buckets
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str()
}

fn moment(finding: &Value, path: &str) -> Option<DateTime<Utc>> {
    text(finding, path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding() -> Value {
        json!({
            "id": "60baffd3f9042e38640f2300d5c5a631", "accountId": "111122223333", "region": "eu-west-1", "severity": 8,
            "type": "Exfiltration:S3/MaliciousIPCaller", "updatedAt": "2026-11-24T02:58:00.000Z",
            "resource": {
                "resourceType": "S3Bucket",
                "accessKeyDetails": {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "userType": "IAMUser"},
                "s3BucketDetails": [{"name": "photos"}, {"name": "My.Bucket"}, {"name": "logs"}, {"name": "photos"}]
            },
            "service": {"archived": false, "additionalInfo": {"value": "{}", "type": "default"}}
        })
    }

    fn with(path: &str, value: Value) -> Value {
        let mut finding = finding();
        *finding.pointer_mut(path).unwrap() = value;
        finding
    }

    #[test]
    fn key_buckets_owner_and_region_are_read() {
        let incident = read(&finding());
        let exposures = incident.reading.unwrap();
        assert_eq!(exposures.len(), 1);
        assert_eq!(exposures[0].key.as_str(), "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(exposures[0].buckets.iter().map(BucketName::as_str).collect::<Vec<_>>(), ["photos", "logs"]);
        assert_eq!(exposures[0].account.as_ref().unwrap().as_str(), "111122223333");
        assert_eq!(exposures[0].region.as_ref().unwrap().as_str(), "eu-west-1");
        assert_eq!(incident.alert.set_aside.len(), 1);
        assert_eq!(incident.alert.severity, Some(8.0));
        assert_eq!(incident.alert.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
    }

    #[test]
    fn samples_are_ignored_in_every_form_that_gets_published() {
        for sample in [
            with("/service/additionalInfo", json!({"sample": true})),
            with("/service/additionalInfo/value", json!("{\"sample\":true}")),
            with("/resource/accessKeyDetails/accessKeyId", json!("GeneratedFindingAccessKeyId")),
        ] {
            assert_eq!(read(&sample).reading.unwrap_err(), Ignored::Sample.into());
        }
    }

    #[test]
    fn an_actor_of_a_configuration_change_is_not_exposed() {
        for kind in [
            "Policy:S3/BucketBlockPublicAccessDisabled",
            "Stealth:IAMUser/CloudTrailLoggingDisabled",
            "DefenseEvasion:IAMUser/BedrockLoggingDisabled",
        ] {
            let why = read(&with("/type", json!(kind))).reading.unwrap_err();
            assert!(matches!(why, Unactionable::Ignored(Ignored::ActorOnly { .. })), "{kind}: {why}");
        }
    }

    #[test]
    fn archived_findings_and_temporary_credentials_are_ignored() {
        assert_eq!(read(&with("/service/archived", json!(true))).reading.unwrap_err(), Ignored::Archived.into());
        let why = read(&with("/resource/accessKeyDetails/accessKeyId", json!("ASIAIOSFODNN7EXAMPLE"))).reading;
        assert!(matches!(why, Err(Unactionable::Ignored(Ignored::Temporary(_)))));
    }

    #[test]
    fn a_missing_key_is_an_error_only_where_there_should_be_one() {
        let mut without = finding();
        without["resource"].as_object_mut().unwrap().remove("accessKeyDetails");
        assert!(matches!(read(&without).reading, Err(Unactionable::Ignored(Ignored::NoAccessKey { .. }))));
        without["resource"]["resourceType"] = json!("AccessKey");
        assert!(matches!(read(&without).reading, Err(Unactionable::Unreadable(Unreadable::Missing { .. }))));
        without["resource"]["resourceType"] = json!("AttackSequence");
        assert_eq!(read(&without).reading.unwrap_err(), Unreadable::AttackSequence.into());
        for odd in [json!(""), json!(null), json!(5)] {
            let why = read(&with("/resource/accessKeyDetails/accessKeyId", odd)).reading.unwrap_err();
            assert!(matches!(why, Unactionable::Unreadable(_)), "{why}");
        }
    }

    #[test]
    fn a_key_that_stands_anywhere_else_is_not_read() {
        let mut elsewhere = with("/resource/accessKeyDetails/accessKeyId", json!("****"));
        elsewhere["resource"]["s3BucketDetails"] =
            json!([{"name": "AKIAIOSFODNN7EXAMPLE", "eTag": "AKIAIOSFODNN7EXAMPLE"}]);
        let incident = read(&elsewhere);
        assert!(matches!(incident.reading, Err(Unactionable::Unreadable(Unreadable::Name { .. }))));
    }

    #[test]
    fn an_owner_that_is_no_account_is_an_error_since_the_search_could_not_be_complete() {
        let why = read(&with("/accountId", json!("me"))).reading.unwrap_err();
        assert!(why.to_string().starts_with("detail.accountId is not an account ID"), "{why}");
    }
}
