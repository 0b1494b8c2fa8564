//! CloudTrail record (the `detail` of its EventBridge event, bare, or in a log file) -> [`Alert`]
//! without a key.
//!
//! Paths: CloudTrail user guide, "CloudTrail record contents". The key in `userIdentity.accessKeyId` is the caller's.
//! It was used, and nothing says that it leaked. S3's event notifications have nearly the shape of a log file, and are
//! parsed here as well. Invariant: this parser never exposes a key.

use serde_json::Value;

use super::{Alert, Ignored, Origin, each, text, timestamp};
use crate::safe_text::{SafeId, SafeText};

/// Tests for a bare record, a log file of records, or a notification of S3.
pub(super) fn recognises(value: &Value) -> bool {
    is_record(value) || each(value, "/Records").any(is_record)
}

/// Tests for a record. Records of streams and queues have these fields too, with an `eventSource` that begins with
/// `aws:` (Lambda guide, "Using Lambda with Kinesis"). They can carry an alert, so this parser leaves them alone.
fn is_record(value: &Value) -> bool {
    let source = text(value, "/eventSource");
    let described = value.get("eventVersion").is_some() || value.get("userIdentity").is_some();
    let is_stream = source.is_some_and(|source| source.starts_with("aws:")) && !is_notification(value);
    source.is_some() && text(value, "/eventName").is_some() && described && !is_stream
}

/// Tests for a notification of S3 (S3 user guide, "Event message structure").
fn is_notification(record: &Value) -> bool {
    record.get("s3").is_some_and(Value::is_object)
}

/// Parses a record, or all records of a log file as one alert.
pub(super) fn read(value: &Value) -> Vec<Alert> {
    let records: Vec<&Value> = match value.get("Records").and_then(Value::as_array) {
        Some(records) => records.iter().collect(),
        None => vec![value],
    };
    let record = records.first().copied().unwrap_or(value);
    let origin = Origin {
        id: text(record, "/eventID").map(SafeId::of),
        kind: text(record, "/eventType").map(SafeText::of),
        observed_at: timestamp(record, "/eventTime"),
        ..Origin::of(if is_notification(record) { "aws.s3" } else { "aws.cloudtrail" })
    };
    let [source, name] = ["/eventSource", "/eventName"].map(|path| text(record, path).unwrap_or("unknown"));
    let more = match records.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let what = SafeText::of(&format!("{source} {name}{more}"));
    let reason = if is_notification(record) { Ignored::NoAccessKey { what } } else { Ignored::Caller { call: what } };
    vec![Alert::without_key(origin, reason)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::Unactionable;
    use crate::alert::testing::{KEY, only, refusal};

    fn record() -> Value {
        json!({
            "eventVersion": "1.11", "eventID": "e-1", "eventTime": "2026-11-24T02:58:00Z", "eventType": "AwsApiCall",
            "eventSource": "s3.amazonaws.com", "eventName": "GetObject",
            "userIdentity": {"type": "IAMUser", "accessKeyId": KEY},
            "requestParameters": {"bucketName": "photos", "accessKeyId": KEY}, "responseElements": {"accessKey": {"accessKeyId": KEY}}
        })
    }

    fn read(value: &Value) -> Alert {
        only(super::read(value))
    }

    fn reason_of(value: &Value) -> Unactionable {
        refusal(read(value))
    }

    fn caller(call: &str) -> Unactionable {
        Ignored::Caller { call: SafeText::of(call) }.into()
    }

    #[test]
    fn key_of_a_caller_is_never_exposed() {
        let alert = read(&record());
        assert!(recognises(&record()));
        assert_eq!(alert.exposures.unwrap_err(), caller("s3.amazonaws.com GetObject"));
        assert_eq!(alert.origin.id.unwrap().as_str(), "e-1");
        assert_eq!(alert.origin.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
    }

    #[test]
    fn log_file_is_one_alert() {
        let file = json!({"Records": [record(), record(), record()]});
        assert!(recognises(&file));
        assert_eq!(reason_of(&file), caller("s3.amazonaws.com GetObject and 2 more"));
    }

    #[test]
    fn s3_notification_has_no_key() {
        let notice = json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                            "userIdentity": {"principalId": KEY}, "s3": {"object": {"key": KEY, "eTag": KEY}}});
        for value in [notice.clone(), json!({"Records": [notice]})] {
            assert!(recognises(&value));
            let what = SafeText::of("aws:s3 ObjectCreated:Put");
            assert_eq!(reason_of(&value), Ignored::NoAccessKey { what }.into());
        }
    }

    #[test]
    fn other_records_are_not_recognised() {
        let stream = json!({"eventVersion": "1.0", "eventSource": "aws:kinesis", "eventName": "aws:kinesis:record", "kinesis": {}});
        for value in [
            json!({"Records": [stream]}),
            json!({"Records": []}),
            json!({"Records": null}),
            json!({"eventSource": 1, "eventName": null, "eventVersion": "1"}),
            json!({"eventSource": "s3.amazonaws.com", "eventName": "GetObject"}),
            json!({}),
            json!(null),
        ] {
            assert!(!recognises(&value), "{value}");
        }
    }

    #[test]
    fn malformed_record_has_no_key() {
        for odd in [json!({}), json!(null), json!({"Records": []}), json!({"Records": [5]}), json!({"eventName": {}})] {
            let reason = reason_of(&odd);
            assert_eq!(reason.to_string().matches("unknown unknown").count(), 1, "{reason}");
        }
    }
}
