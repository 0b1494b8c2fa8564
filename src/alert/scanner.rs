//! Alert of a secret scanner -> [`Incident`]: GitHub secret scanning, TruffleHog, GitGuardian.
//!
//! No scanner sends EventBridge events by itself, so an alert comes bare or as the `detail` of an event that somebody
//! else's function made, and its shape tells the scanner. Such an alert can hold the secret access key: only the field
//! that the scanner documents for the ID is looked at. Invariant: a text that is no key ID gets into nothing that this
//! makes.

mod git_guardian;
mod git_hub;
mod truffle_hog;

use serde_json::Value;

use super::{Alert, Origin, Unreadable};

/// Tells an alert of one scanner by its shape.
type IsOne = fn(&Value) -> bool;

/// Reads one alert of one scanner.
type Reader = fn(&Value) -> Alert;

/// Whether `value` is an alert of a scanner that we know.
pub(super) fn is_one(value: &Value) -> bool {
    reader(value).is_some()
}

/// Reads one alert.
pub(super) fn read(value: &Value) -> Vec<Alert> {
    let missing = Unreadable::Missing { field: "secret_type, DetectorName or incident" };
    vec![reader(value).map_or_else(|| Alert::without_key(Origin::of("scanner"), missing), |reader| reader(value))]
}

fn reader(value: &Value) -> Option<Reader> {
    let scanners: [(IsOne, Reader); 3] = [
        (git_hub::is_one, git_hub::read),
        (truffle_hog::is_one, truffle_hog::read),
        (git_guardian::is_one, git_guardian::read),
    ];
    scanners.into_iter().find(|(is_one, _)| is_one(value)).map(|(_, reader)| reader)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::Unactionable;
    use crate::alert::testing::refusal;

    #[test]
    fn each_scanner_is_told_by_its_shape() {
        for (origin, source) in [
            (json!({"action": "created", "alert": {"secret_type": "x"}}), "GitHub secret scanning"),
            (json!({"number": 1, "secret_type": "x"}), "GitHub secret scanning"),
            (json!({"DetectorName": "AWS", "Raw": "x"}), "TruffleHog"),
            (json!({"source": "GitGuardian", "incident": {}}), "GitGuardian"),
        ] {
            assert!(is_one(&origin), "{origin}");
            assert_eq!(read(&origin)[0].origin.source.as_ref().unwrap().as_str(), source);
        }
    }

    #[test]
    fn what_is_another_s_or_by_hand_is_not_claimed_and_reading_it_is_an_error() {
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
            assert!(!is_one(&other), "{other}");
            let reason = refusal(read(&other).remove(0));
            assert!(matches!(reason, Unactionable::Unreadable(Unreadable::Missing { .. })), "{reason}");
        }
    }
}
