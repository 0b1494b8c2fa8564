//! Alert of GitHub secret scanning -> [`Alert`].
//!
//! Paths: GitHub's "Webhook events and payloads", `secret_scanning_alert` (`action`, `alert`, `repository`), and "REST
//! API endpoints for secret scanning", whose alert is the same object bare. GitHub's own webhook omits `secret`
//! (octokit/openapi-webhooks, `secret-scanning-alert-webhook`), so that a person must look it up. The REST alert has
//! it, and so have alerts that a script forwards. Invariant: `secret` is parsed only if the alert's type says that it
//! is a key ID, because in other types it is the secret itself.

use serde_json::Value;

use crate::alert::{Alert, Exposure, Ignored, Origin, Unactionable, Unreadable, keys, text, timestamp};
use crate::safe_text::{SafeId, SafeText};

const NAME: &str = "GitHub secret scanning";

/// Alert types whose secret is a key ID (GitHub docs, "Supported secret scanning patterns", Amazon AWS).
const IDS: [&str; 2] = ["aws_access_key_id", "aws_temporary_access_key_id"];

/// Alert types whose secret belongs to a key ID that the alert does not name (same page). `aws_api_key` is something
/// else.
const SECRETS: [&str; 2] = ["aws_secret_access_key", "aws_session_token"];

/// Actions that change an alert which was reported before (GitHub docs, "Webhook events and payloads",
/// `secret_scanning_alert`). All others, also unknown ones, report a leak.
const UPDATES: [&str; 5] = ["assigned", "unassigned", "validated", "metadata_created", "metadata_removed"];

/// Tests for the body of the webhook, or a bare alert.
pub(super) fn recognises(value: &Value) -> bool {
    value.get("secret_type").is_some() || value.pointer("/alert/secret_type").is_some()
}

/// Parses one alert.
pub(super) fn read(body: &Value) -> Alert {
    let (found, field) = match body.get("alert") {
        Some(found) if found.get("secret_type").is_some() => (found, "alert.secret"),
        _ => (body, "secret"),
    };
    let number = found.get("number").and_then(Value::as_u64);
    let repository = text(body, "/repository/full_name").unwrap_or_default();
    let mut origin = Origin {
        id: number.map(|number| SafeId::of(&format!("{}#{number}", SafeId::of(repository)))),
        kind: text(found, "/secret_type").map(SafeText::of),
        observed_at: timestamp(found, "/updated_at").or_else(|| timestamp(found, "/created_at")),
        ..Origin::of(NAME)
    };
    let exposures = exposures(body, found, field, &mut origin);
    Alert { origin, exposures }
}

fn exposures(
    body: &Value,
    found: &Value,
    field: &'static str,
    origin: &mut Origin,
) -> Result<Vec<Exposure>, Unactionable> {
    let secret_type = text(found, "/secret_type").ok_or(Unreadable::Missing { field: "secret_type" })?;
    let among = |types: [&str; 2]| types.iter().any(|known| secret_type.contains(known));
    if !among(IDS) && !among(SECRETS) {
        return Err(Ignored::NoAccessKey { what: SafeText::of(secret_type) }.into());
    }
    if is_resolved(text(body, "/action"), found) {
        return Err(Ignored::Closed { state: "resolved" }.into());
    }
    let secret = match found.get("secret") {
        Some(Value::String(secret)) if among(IDS) => Some(secret.as_str()).filter(|secret| !secret.is_empty()),
        Some(other) if among(IDS) && !other.is_null() => {
            return Err(Unreadable::wrong_type(field, other, "a string").into());
        }
        _ => None,
    };
    let secret = secret.ok_or_else(|| not_told(text(body, "/action")))?;
    Ok(keys(field, [secret], origin)?.into_iter().map(Exposure::of).collect())
}

/// Returns the reason for an open alert without the key. Each change of an alert is a webhook of its own, and people
/// are told of the leak once.
fn not_told(action: Option<&str>) -> Unactionable {
    match action.filter(|action| UPDATES.contains(action)) {
        Some(action) => Ignored::Update { source_name: NAME, action: SafeText::of(action) }.into(),
        None => Unreadable::NotTold { source_name: NAME }.into(),
    }
}

/// Tests for an alert that was settled as revoked, false positive or otherwise. All other actions update an open alert.
/// The webhook's alert has no `state` and only a `resolution`. The action `revoked` is of old GitHub Enterprise
/// Servers.
fn is_resolved(action: Option<&str>, found: &Value) -> bool {
    match (action, text(found, "/state")) {
        (Some("resolved" | "revoked"), _) | (_, Some("resolved")) => true,
        (Some("reopened"), _) | (_, Some(_)) => false,
        (_, None) => text(found, "/resolution").is_some_and(|resolution| !resolution.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::{KEY, SECRET, changed, keys_of, refusal};

    fn body() -> Value {
        json!({
            "action": "created",
            "alert": {"number": 7, "secret_type": "aws_access_key_id", "secret": KEY, "resolution": null,
                      "html_url": "https://github.com/o/r/AKIAADDRESS000000000", "updated_at": "2026-11-24T02:58:00Z",
                      "resolution_comment": "AKIACOMMENT000000000", "metadata": [{"key": "k", "value": "AKIAMETADATA00000000"}]},
            "repository": {"full_name": "octo/photos", "description": "AKIADESCRIPTION00000"}, "secret": "AKIATOPLEVEL00000000"
        })
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        changed(body(), changes)
    }

    fn read(body: &Value) -> Alert {
        assert!(recognises(body));
        super::read(body)
    }

    fn reason_of(body: &Value) -> Unactionable {
        refusal(read(body))
    }

    #[test]
    fn only_the_secret_of_a_webhook_is_exposed() {
        let alert = read(&body());
        assert_eq!(keys_of(&alert), [KEY]);
        let exposure = &alert.exposures.unwrap()[0];
        assert_eq!((&exposure.owner, exposure.regions.len(), exposure.hints.len()), (&None, 0, 0));
        assert_eq!(alert.origin.id.unwrap().as_str(), "octo/photos#7");
        assert_eq!(alert.origin.kind.unwrap().as_str(), "aws_access_key_id");
        assert_eq!(alert.origin.observed_at.unwrap().to_rfc3339(), "2026-11-24T02:58:00+00:00");
    }

    #[test]
    fn key_of_a_bare_alert_is_parsed() {
        let origin = json!({"number": 9, "state": "open", "secret_type": "aws_access_key_id", "secret": KEY, "validity": "inactive"});
        assert_eq!(keys_of(&read(&origin)), [KEY]);
    }

    #[test]
    fn webhook_without_secret_does_not_name_the_key() {
        for hidden in [json!(null), json!("")] {
            assert_eq!(
                reason_of(&with(&[("/alert/secret", hidden)])),
                Unreadable::NotTold { source_name: NAME }.into()
            );
        }
        let location = json!({"action": "created", "location": {"details": {"path": KEY}}, "alert": {"secret_type": "aws_access_key_id"}});
        assert_eq!(reason_of(&location), Unreadable::NotTold { source_name: NAME }.into());
    }

    #[test]
    fn secret_of_a_secret_type_is_never_parsed() {
        for (kind, secret) in
            [("aws_secret_access_key", SECRET), ("aws_session_token", SECRET), ("aws_secret_access_key", KEY)]
        {
            let body = with(&[("/alert/secret_type", json!(kind)), ("/alert/secret", json!(secret))]);
            assert_eq!(reason_of(&body), Unreadable::NotTold { source_name: NAME }.into());
            assert!(!format!("{:?}", read(&body)).contains("wJalr"));
        }
    }

    #[test]
    fn other_secret_types_have_no_access_key() {
        for kind in ["aws_api_key", "adafruit_io_key", "alibaba_cloud_access_key_id", "my_pattern"] {
            let reason = reason_of(&with(&[("/alert/secret_type", json!(kind))]));
            assert_eq!(reason, Ignored::NoAccessKey { what: SafeText::of(kind) }.into());
        }
    }

    #[test]
    fn resolved_alert_is_closed_until_reopened() {
        let closed: Unactionable = Ignored::Closed { state: "resolved" }.into();
        for changes in [
            [("/action", json!("resolved")), ("/alert/resolution", json!("false_positive"))],
            [("/action", json!("revoked")), ("/alert/resolution", json!(null))],
            [("/action", json!("assigned")), ("/alert/resolution", json!("used_in_tests"))],
            [("/action", json!("validated")), ("/alert/state", json!("resolved"))],
        ] {
            assert_eq!(reason_of(&with(&changes)), closed, "{changes:?}");
        }
        let rest =
            json!({"secret_type": "aws_access_key_id", "secret": KEY, "state": "resolved", "resolution": "revoked"});
        assert_eq!(reason_of(&rest), closed);
        for action in ["created", "reopened", "publicly_leaked", "validated", "assigned", "something_new"] {
            assert_eq!(keys_of(&read(&with(&[("/action", json!(action))]))), [KEY], "{action}");
        }
        let reopened = with(&[("/action", json!("reopened")), ("/alert/resolution", json!("revoked"))]);
        assert_eq!(keys_of(&read(&reopened)), [KEY]);
    }

    #[test]
    fn malformed_key_is_an_error_and_temporary_ignored() {
        for masked in [SECRET.to_owned(), format!("{KEY}:{SECRET}"), "AKIASHORT".to_owned()] {
            let reason = reason_of(&with(&[("/alert/secret", json!(masked))]));
            assert!(
                matches!(reason, Unactionable::Unreadable(Unreadable::Name { field: "alert.secret", .. })),
                "{reason}"
            );
            assert!(!format!("{reason} {reason:?}").contains("wJalr"), "{reason}");
        }
        let wrong = Unreadable::WrongType { field: "alert.secret", kind: "an object", accepted: "a string" };
        assert_eq!(reason_of(&with(&[("/alert/secret", json!({"id": KEY}))])), wrong.into());
        assert_eq!(
            reason_of(&with(&[("/alert/secret_type", json!(5))])),
            Unreadable::Missing { field: "secret_type" }.into()
        );
        let temporary = [
            ("/alert/secret_type", json!("aws_temporary_access_key_id")),
            ("/alert/secret", json!("ASIAIOSFODNN7EXAMPLE")),
        ];
        assert!(matches!(reason_of(&with(&temporary)), Unactionable::Ignored(Ignored::Temporary(_))));
    }
}
