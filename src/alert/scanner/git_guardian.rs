//! Incident of GitGuardian's custom webhook -> [`Alert`] without a key.
//!
//! Paths: GitGuardian docs, "Custom webhook". The webhook carries hashes of the secret and never the key ID, so a
//! person must look up the key there, and the report of a leak is an error. Invariant: this parser never exposes a key.

use serde_json::Value;

use crate::alert::{Alert, Ignored, Origin, Unactionable, Unreadable, text, timestamp};
use crate::safe_text::{SafeId, SafeText};

const NAME: &str = "GitGuardian";

/// Actions that change an incident which was reported before (GitGuardian docs, "Custom webhook"). All others, also
/// unknown ones, report a leak.
const UPDATES: [&str; 6] = [
    "incident_assigned",
    "incident_reassigned",
    "incident_unassigned",
    "incident_severity_changed",
    "incident_validity_changed",
    "incident_access_granted",
];

/// Tests for the body of the webhook.
pub(super) fn recognises(value: &Value) -> bool {
    text(value, "/source") == Some(NAME) && value.get("incident").is_some()
}

/// Parses one incident of GitGuardian.
pub(super) fn read(body: &Value) -> Alert {
    let id = body.pointer("/incident/id").and_then(Value::as_u64);
    let detector = text(body, "/incident/detector/name");
    let origin = Origin {
        id: id.map(|id| SafeId::of(&id.to_string())),
        kind: detector.map(SafeText::of),
        observed_at: timestamp(body, "/timestamp"),
        ..Origin::of(NAME)
    };
    Alert::without_key(origin, reason(body, detector))
}

fn reason(body: &Value, detector: Option<&str>) -> Unactionable {
    // The detectors of AWS credentials are named `aws_iam` and the like.
    match detector {
        None => return Unreadable::Missing { field: "incident.detector.name" }.into(),
        Some(detector) if !detector.starts_with("aws") => {
            return Ignored::NoAccessKey { what: SafeText::of(detector) }.into();
        }
        Some(_) => {}
    }
    match (text(body, "/incident/status"), text(body, "/action")) {
        (Some("resolved"), _) | (None, Some("incident_resolved")) => Ignored::Closed { state: "resolved" }.into(),
        (Some("ignored"), _) | (None, Some("incident_ignored")) => Ignored::Closed { state: "ignored" }.into(),
        (_, Some(action)) if UPDATES.contains(&action) => {
            Ignored::Update { source_name: NAME, action: SafeText::of(action) }.into()
        }
        _ => Unreadable::NotTold { source_name: NAME }.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::{KEY, refusal};

    fn alert(detector: &str, action: &str, status: Value) -> Value {
        json!({
            "source": "GitGuardian", "timestamp": "2026-11-24T02:58:00Z", "action": action, "message": KEY,
            "incident": {"id": 31, "detector": {"name": detector}, "secret_hash": KEY, "hmsl_hash": KEY, "status": status}
        })
    }

    fn reason_of(body: &Value) -> Unactionable {
        assert!(recognises(body));
        refusal(read(body))
    }

    #[test]
    fn open_aws_incident_does_not_name_the_key() {
        for (detector, action) in
            [("aws_iam", "incident_triggered"), ("aws_iam", "incident_regression"), ("aws_iam_ses", "new")]
        {
            let body = alert(detector, action, json!("triggered"));
            assert_eq!(reason_of(&body), Unreadable::NotTold { source_name: NAME }.into());
        }
        let origin = read(&alert("aws_iam", "incident_triggered", json!("assigned"))).origin;
        assert_eq!((origin.id.unwrap().as_str(), origin.kind.unwrap().as_str()), ("31", "aws_iam"));
        assert_eq!(origin.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
    }

    #[test]
    fn settled_incident_is_closed() {
        for (action, status, state) in [
            ("incident_resolved", json!("resolved"), "resolved"),
            ("incident_ignored", json!("ignored"), "ignored"),
            ("incident_severity_changed", json!("resolved"), "resolved"),
            ("incident_ignored", json!(null), "ignored"),
            ("incident_resolved", json!(null), "resolved"),
        ] {
            assert_eq!(reason_of(&alert("aws_iam", action, status)), Ignored::Closed { state }.into());
        }
        let reopened = alert("aws_iam", "incident_reopened", json!("triggered"));
        assert_eq!(reason_of(&reopened), Unreadable::NotTold { source_name: NAME }.into());
    }

    #[test]
    fn other_detector_has_no_access_key() {
        let reason = reason_of(&alert("slack_bot_token", "incident_triggered", json!("triggered")));
        assert_eq!(reason, Ignored::NoAccessKey { what: SafeText::of("slack_bot_token") }.into());
    }

    #[test]
    fn missing_detector_is_an_error() {
        for odd in [json!(null), json!({"detector": KEY}), json!([])] {
            let body = json!({"source": "GitGuardian", "incident": odd});
            assert_eq!(reason_of(&body), Unreadable::Missing { field: "incident.detector.name" }.into());
        }
    }
}
