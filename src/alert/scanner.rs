//! Alert of a secret scanner -> [`Alert`]: GitHub secret scanning, TruffleHog, GitGuardian.
//!
//! No scanner sends EventBridge events by itself, so an alert arrives bare, or as the `detail` of an event that another
//! function made. Its shape identifies the scanner. Such an alert can hold the secret access key, so only the field
//! that the scanner documents for the ID is parsed. Invariant: text that is not a key ID never leaves the parser.

mod git_guardian;
mod git_hub;
mod truffle_hog;

use serde_json::Value;

use super::{Alert, Origin, Unreadable};

/// Test for the shape of one scanner's alerts.
type Recognises = fn(&Value) -> bool;

/// Parser of one scanner.
type Reader = fn(&Value) -> Alert;

/// Tests for an alert of a known scanner.
pub(super) fn recognises(value: &Value) -> bool {
    reader(value).is_some()
}

/// Parses one alert.
pub(super) fn read(value: &Value) -> Vec<Alert> {
    let missing = Unreadable::Missing { field: "secret_type, DetectorName or incident" };
    vec![reader(value).map_or_else(|| Alert::without_key(Origin::of("scanner"), missing), |reader| reader(value))]
}

fn reader(value: &Value) -> Option<Reader> {
    let scanners: [(Recognises, Reader); 3] = [
        (git_hub::recognises, git_hub::read),
        (truffle_hog::recognises, truffle_hog::read),
        (git_guardian::recognises, git_guardian::read),
    ];
    scanners.into_iter().find(|(recognises, _)| recognises(value)).map(|(_, reader)| reader)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::Unactionable;
    use crate::alert::testing::refusal;

    #[test]
    fn scanners_are_recognised_by_their_shape() {
        for (origin, source) in [
            (json!({"action": "created", "alert": {"secret_type": "x"}}), "GitHub secret scanning"),
            (json!({"number": 1, "secret_type": "x"}), "GitHub secret scanning"),
            (json!({"DetectorName": "AWS", "Raw": "x"}), "TruffleHog"),
            (json!({"source": "GitGuardian", "incident": {}}), "GitGuardian"),
        ] {
            assert!(recognises(&origin), "{origin}");
            assert_eq!(read(&origin)[0].origin.source.as_ref().unwrap().as_str(), source);
        }
    }

    #[test]
    fn other_alerts_are_not_recognised() {
        for other in [
            json!({}),
            json!(null),
            json!([]),
            json!({"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "bucketName": "photos"}),
            json!({"action": "created", "alert": {"number": 1}, "repository": {}}),
            json!({"Raw": "AKIAIOSFODNN7EXAMPLE"}),
            json!({"source": "GitGuardian"}),
            json!({"secret": "AKIAIOSFODNN7EXAMPLE"}),
        ] {
            assert!(!recognises(&other), "{other}");
            let reason = refusal(read(&other).remove(0));
            assert!(matches!(reason, Unactionable::Unreadable(Unreadable::Missing { .. })), "{reason}");
        }
    }
}
