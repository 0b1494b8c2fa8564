//! AWS Health event (the `detail` of its EventBridge event, and the event's `resources`) -> [`Alert`].
//!
//! Paths: AWS Health user guide, "Reference: AWS Health events Amazon EventBridge schema". Values in a RISK event: the
//! captured event of aws-samples/notify-and-remediate-exposed-access-key. AWS names the key in three places, and each
//! can be masked or hold something else, so all are parsed. The owner is the affected account, because the event's own
//! account is its recipient. Invariant: only a RISK event about credentials exposes a key.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Alert, Exposure, Ignored, Origin, Unactionable, Unreadable, each, hint, keys, text, timestamp};
use crate::names::{AccessKeyId, AccountId};
use crate::safe_text::{SafeId, SafeText};

/// Tests for a bare event, or the Health API's description of an event.
pub(super) fn recognises(value: &Value) -> bool {
    value.get("eventTypeCode").is_some() && value.get("service").is_some()
}

/// Parts of the codes of RISK events about keys. AWS adds codes, and lists them only in `health:DescribeEventTypes`.
/// Known are `AWS_RISK_CREDENTIALS_EXPOSED`, `_EXPOSURE_SUSPECTED`, `_COMPROMISED`, `_COMPROMISE_SUSPECTED` and
/// `AWS_RISK_IAM_QUARANTINE` (hmrc/platsec-compliance-alerting, `EVENT_TYPE_CODES`).
const ABOUT_KEYS: [&str; 2] = ["CREDENTIALS", "IAM_QUARANTINE"];

const KEYS: &str = "a key in detail.affectedEntities[].entityValue, detail.eventMetadata.publicKey or resources[]";

/// Parses one event that arrived without its envelope.
pub(super) fn read(event: &Value) -> Vec<Alert> {
    read_with(event, &[])
}

/// Parses one event. A long list of entities arrives in several events, one for each page.
pub(super) fn read_with(event: &Value, resources: &[String]) -> Vec<Alert> {
    // Sanitised before it is split, because half a secret is not recognisable. Health's own ARNs do not look like one.
    let arn = text(event, "/eventArn").map(SafeText::of);
    let id = arn.as_ref().and_then(|arn| arn.as_str().rsplit('/').next());
    let mut origin = Origin {
        id: id.or(text(event, "/communicationId")).map(SafeId::of),
        kind: text(event, "/eventTypeCode").map(SafeText::of),
        observed_at: started(event),
        ..Origin::of("aws.health")
    };
    let exposures = exposures(event, resources, &mut origin);
    vec![Alert { origin, exposures }]
}

fn exposures(event: &Value, resources: &[String], origin: &mut Origin) -> Result<Vec<Exposure>, Unactionable> {
    let service = text(event, "/service").ok_or(Unreadable::Missing { field: "detail.service" })?;
    let code = text(event, "/eventTypeCode").ok_or(Unreadable::Missing { field: "detail.eventTypeCode" })?;
    if service != "RISK" || !ABOUT_KEYS.iter().any(|part| code.contains(part)) {
        return Err(Ignored::NoAccessKey { what: SafeText::of(code) }.into());
    }
    // No AWS page says when a RISK event is closed. We assume that its case is settled, because the key is gone or was
    // found to be safe, and that the open event arrived before.
    if text(event, "/statusCode") == Some("closed") {
        return Err(Ignored::Closed { state: "closed" }.into());
    }
    let keys = keys(KEYS, candidates(event, resources), origin)?;
    // No single field is reliable: AWS's sample has the key ID in the first.
    let account = hint("detail.affectedAccount", text(event, "/affectedAccount"), origin)
        .or_else(|| hint("detail.eventMetadata.accountId", text(event, "/eventMetadata/accountId"), origin));
    let owners = owners(event);
    let region = hint("detail.eventRegion", text(event, "/eventRegion").filter(|region| *region != "global"), origin);
    let exposure = |key: AccessKeyId| {
        let owner = account.as_ref().or_else(|| owners.get(key.as_str())).cloned();
        Exposure { owner, regions: region.iter().cloned().collect(), ..Exposure::of(key) }
    };
    Ok(keys.into_iter().map(exposure).collect())
}

/// Returns the texts in all key fields, each once. An entity can also be a user name or an account.
fn candidates<'a>(event: &'a Value, resources: &'a [String]) -> Vec<&'a str> {
    let entities = each(event, "/affectedEntities").filter_map(|entity| text(entity, "/entityValue"));
    let mut seen = HashSet::new();
    entities
        .chain(text(event, "/eventMetadata/publicKey"))
        .chain(resources.iter().map(String::as_str))
        .map(str::trim_ascii)
        .filter(|name| !name.is_empty() && seen.insert(*name))
        .collect()
}

/// Maps entities to their accounts, if they name one (Health API reference, "AffectedEntity").
fn owners(event: &Value) -> HashMap<&str, AccountId> {
    let owner =
        |entity| Some((text(entity, "/entityValue")?.trim_ascii(), text(entity, "/awsAccountId")?.parse().ok()?));
    each(event, "/affectedEntities").filter_map(owner).collect()
}

/// Parses the start time. The schema has RFC 1123 times, `Wed, 12 Feb 2025 00:37:54 GMT`. Tools that forward events
/// write RFC 3339.
fn started(event: &Value) -> Option<DateTime<Utc>> {
    let rfc_1123 = |text| DateTime::parse_from_rfc2822(text).ok();
    text(event, "/startTime").and_then(rfc_1123).map(|time| time.to_utc()).or_else(|| timestamp(event, "/startTime"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::{KEY, OTHER_KEY, SECRET, changed, keys_of, only, read_payload, refusal};

    const THIRD_KEY: &str = "AKIA2222222222222222";

    fn event() -> Value {
        json!({
            "eventArn": "arn:aws:health:us-east-1::event/RISK/AWS_RISK_CREDENTIALS_EXPOSED/AWS_RISK_CREDENTIALS_EXPOSED-a1b2",
            "service": "RISK", "eventTypeCode": "AWS_RISK_CREDENTIALS_EXPOSED", "communicationId": "c0ffee",
            "startTime": "Tue, 24 Nov 2026 02:58:00 GMT", "statusCode": "open", "eventRegion": "us-east-1",
            "eventDescription": [{"language": "en_US", "latestDescription": "The key AKIADESCRIPTION00000 is public"}],
            "eventMetadata": {"accountId": "444455556666", "publicKey": KEY, "userName": "AKIAUSERNAME00000000",
                              "exposedUrl": "https://example.com/AKIAADDRESS000000000"},
            "affectedEntities": [{"entityValue": KEY, "awsAccountId": "777788889999", "tags": {"k": "AKIATAGS000000000000"}}],
            "affectedAccount": "111122223333", "page": "1", "totalPages": "1"
        })
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        changed(event(), changes)
    }

    fn read(event: &Value, resources: &[&str]) -> Alert {
        assert!(recognises(event));
        let resources: Vec<String> = resources.iter().map(ToString::to_string).collect();
        only(read_with(event, &resources))
    }

    fn reason_of(event: &Value) -> Unactionable {
        refusal(read(event, &[KEY]))
    }

    fn owner_of(event: &Value) -> Option<String> {
        let alert = read(event, &[]);
        alert.exposures.unwrap()[0].owner.as_ref().map(ToString::to_string)
    }

    #[test]
    fn exposed_key_is_parsed_with_its_owner() {
        let alert = read(&event(), &[KEY]);
        assert_eq!(keys_of(&alert), [KEY]);
        let exposure = &alert.exposures.unwrap()[0];
        assert_eq!(exposure.owner.as_ref().unwrap().as_str(), "111122223333");
        assert_eq!(exposure.regions[0].as_str(), "us-east-1");
        assert!(exposure.hints.is_empty() && alert.origin.ignored_fields.is_empty());
        assert_eq!(alert.origin.id.unwrap().as_str(), "AWS_RISK_CREDENTIALS_EXPOSED-a1b2");
        assert_eq!(alert.origin.kind.unwrap().as_str(), "AWS_RISK_CREDENTIALS_EXPOSED");
        assert_eq!(alert.origin.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
    }

    #[test]
    fn keys_are_parsed_from_every_key_field() {
        let nowhere = with(&[("/affectedEntities", json!([])), ("/eventMetadata/publicKey", json!(null))]);
        assert_eq!(keys_of(&read(&nowhere, &[KEY])), [KEY]);
        assert_eq!(keys_of(&read(&with(&[("/affectedEntities", json!("oops"))]), &[])), [KEY]);
        let several = with(&[("/affectedEntities", json!([{"entityValue": OTHER_KEY}, {"entityValue": KEY}, 5, {}]))]);
        assert_eq!(keys_of(&read(&several, &[THIRD_KEY, OTHER_KEY])), [OTHER_KEY, KEY, THIRD_KEY]);
    }

    #[test]
    fn resources_of_eventbridge_event_are_parsed() {
        let detail = with(&[("/affectedEntities", json!([])), ("/eventMetadata/publicKey", json!(""))]);
        let event =
            json!({"detail-type": "AWS Health Event", "source": "aws.health", "resources": [KEY], "detail": detail});
        assert_eq!(keys_of(&read_payload(&event)[0]), [KEY]);
    }

    #[test]
    fn other_entities_are_an_error_only_without_a_key() {
        let entities = json!([{"entityValue": "deploy-user"}, {"entityValue": "111122223333"}, {"entityValue": KEY}]);
        let alert = read(&with(&[("/affectedEntities", entities)]), &["deploy-user", KEY]);
        assert_eq!((keys_of(&alert), alert.origin.ignored_fields.len()), (vec![KEY], 2));
        let masked =
            [("/affectedEntities", json!([{"entityValue": "ACCESS_KEY_ID_HERE"}])), ("/eventMetadata", json!({}))];
        let reason = refusal(read(&with(&masked), &[]));
        assert!(matches!(reason, Unactionable::Unreadable(Unreadable::Name { field: KEYS, .. })), "{reason}");
        let none = [("/affectedEntities", json!(null)), ("/eventMetadata", json!(7))];
        assert_eq!(refusal(read(&with(&none), &[])), Unreadable::Missing { field: KEYS }.into());
    }

    #[test]
    fn owner_is_the_first_valid_of_three_fields() {
        let (first, second) = ("/affectedAccount", "/eventMetadata/accountId");
        assert_eq!(owner_of(&with(&[(first, json!(KEY))])).as_deref(), Some("444455556666"));
        assert_eq!(owner_of(&with(&[(first, json!(null)), (second, json!("me"))])).as_deref(), Some("777788889999"));
        let none = [(first, json!(1)), (second, json!([])), ("/affectedEntities/0/awsAccountId", json!("x"))];
        assert_eq!(owner_of(&with(&none)), None);
    }

    #[test]
    fn only_risk_codes_about_credentials_expose_keys() {
        for code in
            ["AWS_RISK_CREDENTIALS_COMPROMISE_SUSPECTED", "AWS_RISK_IAM_QUARANTINE", "AWS_RISK_NEW_CREDENTIALS_WORD"]
        {
            assert_eq!(keys_of(&read(&with(&[("/eventTypeCode", json!(code))]), &[])), [KEY], "{code}");
        }
        for (service, code) in [
            ("RISK", "AWS_RISK_ACCOUNT_CONSOLE_COMPROMISE"),
            ("EC2", "AWS_EC2_PERSISTENT_INSTANCE_RETIREMENT_SCHEDULED"),
            ("IAM", "AWS_IAM_CREDENTIALS_REPORT_DELAY"),
        ] {
            let other = with(&[("/service", json!(service)), ("/eventTypeCode", json!(code))]);
            assert_eq!(reason_of(&other), Ignored::NoAccessKey { what: SafeText::of(code) }.into());
        }
    }

    #[test]
    fn closed_event_is_ignored() {
        let reason = reason_of(&with(&[("/statusCode", json!("closed"))]));
        assert_eq!(reason, Ignored::Closed { state: "closed" }.into());
    }

    #[test]
    fn temporary_key_is_ignored() {
        let temporary =
            with(&[("/affectedEntities/0/entityValue", json!("ASIAIOSFODNN7EXAMPLE")), ("/eventMetadata", json!({}))]);
        let reason = refusal(read(&temporary, &[]));
        assert!(matches!(reason, Unactionable::Ignored(Ignored::Temporary(_))), "{reason}");
    }

    #[test]
    fn missing_service_or_type_code_is_an_error() {
        let reason = reason_of(&with(&[("/service", json!(null))]));
        assert_eq!(reason, Unreadable::Missing { field: "detail.service" }.into());
        let reason = reason_of(&with(&[("/eventTypeCode", json!({"type": "string"}))]));
        assert_eq!(reason, Unreadable::Missing { field: "detail.eventTypeCode" }.into());
    }

    #[test]
    fn health_api_description_has_no_key() {
        let described = json!({"arn": "arn:aws:health:us-east-1::event/RISK/A/B", "service": "RISK", "region": "us-east-1",
                               "eventTypeCode": "AWS_RISK_CREDENTIALS_EXPOSED", "startTime": 1_795_489_012.5});
        assert_eq!(refusal(read(&described, &[])), Unreadable::Missing { field: KEYS }.into());
    }

    #[test]
    fn start_time_is_parsed_in_both_forms() {
        for (start, read_as) in [
            (json!("2026-11-24T02:58:00Z"), Some("2026-11-24T02:58:00+00:00")),
            (json!("Tue, 3 Nov 2026 05:01:10 GMT"), Some("2026-11-03T05:01:10+00:00")),
            (json!("soon"), None),
            (json!(7), None),
        ] {
            let observed_at = read(&with(&[("/startTime", start)]), &[]).origin.observed_at;
            assert_eq!(observed_at.map(|time| time.to_rfc3339()).as_deref(), read_as);
        }
    }

    #[test]
    fn secrets_never_leave_the_parser() {
        for path in [
            "/eventArn",
            "/eventTypeCode",
            "/service",
            "/statusCode",
            "/eventRegion",
            "/affectedAccount",
            "/startTime",
            "/eventMetadata/accountId",
            "/eventMetadata/publicKey",
            "/affectedEntities/0/entityValue",
        ] {
            let alert = read(&with(&[(path, json!(SECRET))]), &[SECRET]);
            assert!(!format!("{alert:?}").contains("wJalr"), "{path}: {alert:?}");
        }
    }
}
