//! Trusted Advisor check item (the `detail` of its EventBridge event) -> [`Alert`].
//!
//! Paths: AWS Support user guide, "Monitoring AWS Trusted Advisor check results with Amazon EventBridge", and the event
//! of the check "Exposed Access Keys" in the CloudWatch Events user guide, "Event types". The owner is the account of
//! the event, because the item names none. Invariant: the key comes only from `check-item-detail["Access Key ID"]` of
//! that one check.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Alert, Exposure, Ignored, Origin, Unactionable, Unreadable, keys, owner, text};
use crate::safe_text::{SafeId, SafeText};

/// Name of the check for exposed keys (AWS Support user guide, "Security", check 12Fnkpl8Y5).
const CHECK: &str = "Exposed Access Keys";

/// Tests for a bare check item.
pub(super) fn recognises(value: &Value) -> bool {
    value.get("check-name").is_some() && value.get("check-item-detail").is_some()
}

/// Parses one check item that arrived without its envelope.
pub(super) fn read(item: &Value) -> Vec<Alert> {
    read_with(item, None)
}

/// Parses one check item. `account` is that of the event: the check is about the keys of that account (AWS Support user
/// guide, "Security").
pub(super) fn read_with(item: &Value, account: Option<&str>) -> Vec<Alert> {
    let check = text(item, "/check-name").map(str::trim_ascii);
    let kind = match (check, text(item, "/check-item-detail/Fraud Type")) {
        (Some(check), Some(fraud)) => Some(format!("{check}: {fraud}")),
        (check, _) => check.map(str::to_owned),
    };
    let id = text(item, "/uuid").filter(|id| !id.is_empty()).or_else(|| text(item, "/check-item-detail/Case ID"));
    let mut origin = Origin {
        id: id.map(SafeId::of),
        kind: kind.as_deref().map(SafeText::of),
        observed_at: updated(item),
        ..Origin::of("aws.trustedadvisor")
    };
    let exposures = exposures(item, check, account, &mut origin);
    vec![Alert { origin, exposures }]
}

fn exposures(
    item: &Value,
    check: Option<&str>,
    account: Option<&str>,
    origin: &mut Origin,
) -> Result<Vec<Exposure>, Unactionable> {
    let check = check.ok_or(Unreadable::Missing { field: "detail.check-name" })?;
    if check != CHECK {
        return Err(Ignored::NoAccessKey { what: SafeText::of(check) }.into());
    }
    check_status(item.get("status"))?;
    let id = text(item, "/check-item-detail/Access Key ID").filter(|id| !id.is_empty());
    let keys = keys("detail.check-item-detail[\"Access Key ID\"]", id, origin)?;
    let owner = owner("account", account)?;
    Ok(keys.into_iter().map(|key| Exposure { owner: owner.clone(), ..Exposure::of(key) }).collect())
}

/// Checks that the status reports an exposure. AWS found every key of this check in public, and only `OK` takes that
/// back. An unknown status might as well, so it is an error.
fn check_status(status: Option<&Value>) -> Result<(), Unactionable> {
    const FIELD: &str = "detail.status";
    const ACCEPTED: &str = "ERROR, WARN, INFO or OK";
    match status {
        None => Err(Unreadable::Missing { field: FIELD }.into()),
        Some(Value::String(status)) => match status.to_ascii_uppercase().as_str() {
            "ERROR" | "WARN" | "INFO" => Ok(()),
            "OK" => Err(Ignored::Closed { state: "recovered: Trusted Advisor's status is OK" }.into()),
            _ => Err(Unreadable::WrongType { field: FIELD, kind: "another status", accepted: ACCEPTED }.into()),
        },
        Some(other) => Err(Unreadable::wrong_type(FIELD, other, ACCEPTED).into()),
    }
}

/// Parses `Time Updated`, which is milliseconds since 1970 as text.
fn updated(item: &Value) -> Option<DateTime<Utc>> {
    let milliseconds = text(item, "/check-item-detail/Time Updated")?.parse().ok()?;
    DateTime::from_timestamp_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::{KEY, SECRET, changed, keys_of, only, refusal};

    fn item() -> Value {
        json!({
            "check-name": "Exposed Access Keys", "status": "ERROR", "resource_id": "AKIARESOURCE00000000",
            "uuid": "aa12345f-55c7-498e-b7ac-123456789012",
            "check-item-detail": {
                "Access Key ID": KEY, "User Name (IAM or Root)": "AKIAUSERNAME00000000", "Fraud Type": "Exposed",
                "Case ID": "case-7", "Time Updated": "1795489080000", "Deadline": "1795921080000",
                "Location": "https://example.com/AKIAADDRESS000000000", "Usage (USD per Day)": "0"
            }
        })
    }

    fn with(path: &str, value: Value) -> Value {
        changed(item(), &[(path, value)])
    }

    fn read(item: &Value) -> Alert {
        assert!(recognises(item));
        only(super::read(item))
    }

    fn reason_of(item: &Value) -> Unactionable {
        refusal(read(item))
    }

    #[test]
    fn only_the_key_field_is_exposed() {
        let alert = read(&item());
        let exposures = alert.exposures.unwrap();
        assert_eq!(exposures.len(), 1);
        assert_eq!(exposures[0].key.as_str(), KEY);
        assert_eq!((&exposures[0].owner, exposures[0].regions.len(), exposures[0].hints.len()), (&None, 0, 0));
        assert_eq!(alert.origin.id.unwrap().as_str(), "aa12345f-55c7-498e-b7ac-123456789012");
        assert_eq!(alert.origin.kind.unwrap().as_str(), "Exposed Access Keys: Exposed");
        assert_eq!(alert.origin.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
    }

    #[test]
    fn every_status_but_ok_exposes_the_key() {
        for status in ["ERROR", "WARN", "INFO", "warn"] {
            assert_eq!(keys_of(&read(&with("/status", json!(status)))), [KEY], "{status}");
        }
        let reason = reason_of(&with("/status", json!("OK")));
        assert_eq!(reason, Ignored::Closed { state: "recovered: Trusted Advisor's status is OK" }.into());
        for (odd, kind) in [(json!("GREEN"), "another status"), (json!(null), "null"), (json!(5), "a number")] {
            let reason = reason_of(&with("/status", odd));
            let accepted = "ERROR, WARN, INFO or OK";
            assert_eq!(reason, Unreadable::WrongType { field: "detail.status", kind, accepted }.into());
        }
    }

    #[test]
    fn other_checks_have_no_key() {
        for check in ["IAM Access Key Rotation", "Amazon S3 Bucket Versioning"] {
            let reason = reason_of(&with("/check-name", json!(check)));
            assert_eq!(reason, Ignored::NoAccessKey { what: SafeText::of(check) }.into());
        }
        assert_eq!(keys_of(&read(&with("/check-name", json!("Exposed Access Keys ")))), [KEY]);
    }

    #[test]
    fn malformed_key_is_an_error_and_temporary_ignored() {
        for masked in ["ACCESS_KEY_ID_HERE", "AKIA****************"] {
            let reason = reason_of(&with("/check-item-detail/Access Key ID", json!(masked)));
            assert!(matches!(reason, Unactionable::Unreadable(Unreadable::Name { .. })), "{reason}");
        }
        for (path, odd) in [("/check-item-detail/Access Key ID", json!("")), ("/check-item-detail", json!(null))] {
            let reason = reason_of(&with(path, odd));
            assert!(matches!(reason, Unactionable::Unreadable(Unreadable::Missing { .. })), "{reason}");
        }
        let reason = reason_of(&with("/check-item-detail/Access Key ID", json!("ASIAIOSFODNN7EXAMPLE")));
        assert!(matches!(reason, Unactionable::Ignored(Ignored::Temporary(_))), "{reason}");
    }

    #[test]
    fn missing_check_name_is_an_error() {
        let reason = reason_of(&with("/check-name", json!(null)));
        assert_eq!(reason, Unreadable::Missing { field: "detail.check-name" }.into());
    }

    #[test]
    fn malformed_description_keeps_the_key() {
        let mut odd = with("/check-item-detail/Time Updated", json!("99999999999999999999"));
        odd["uuid"] = json!(null);
        odd["check-item-detail"]["Fraud Type"] = json!([]);
        let origin = read(&odd).origin;
        assert_eq!(
            (origin.observed_at, origin.id.unwrap().as_str(), origin.kind.unwrap().as_str()),
            (None, "case-7", CHECK)
        );
        assert_eq!(keys_of(&read(&odd)), [KEY]);
    }

    #[test]
    fn secrets_never_leave_the_parser() {
        for path in
            ["/check-name", "/status", "/uuid", "/check-item-detail/Access Key ID", "/check-item-detail/Fraud Type"]
        {
            let alert = read(&with(path, json!(SECRET)));
            assert!(!format!("{alert:?}").contains("wJalr"), "{path}: {alert:?}");
        }
    }
}
