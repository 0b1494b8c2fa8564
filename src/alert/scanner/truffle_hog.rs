//! Finding of TruffleHog, one line of its `--json` output -> [`Alert`].
//!
//! Paths: trufflesecurity/trufflehog, `pkg/output/json.go`. Values of the AWS detectors: `pkg/detectors/aws`. `Raw` and
//! `Redacted` are the key ID. `RawV2` and `SecretParts` are the secret. A key that TruffleHog could not verify is still
//! exposed in a place that it scanned, and a canary's key is on no bucket, so both are parsed like any other finding.
//! Invariant: a key comes only from `Raw` or `Redacted`.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::alert::{Alert, Exposure, Ignored, Origin, Unactionable, Unreadable, is_key_id, keys, text};
use crate::safe_text::SafeText;

/// Names of the detectors that find key IDs, of long-term keys and of temporary ones.
const DETECTORS: [&str; 2] = ["AWS", "AWSSessionKey"];

/// Number of the detector `AWS`, for findings without its name (`proto/detectors.proto`).
const DETECTOR_TYPE: u64 = 2;

/// Tests for a finding.
pub(super) fn recognises(value: &Value) -> bool {
    let has = |field| value.get(field).is_some();
    (has("DetectorName") || has("DetectorType")) && (has("Raw") || has("SourceMetadata"))
}

/// Parses one finding.
pub(super) fn read(finding: &Value) -> Alert {
    let verified = match finding.get("Verified").and_then(Value::as_bool) {
        Some(true) => "verified",
        _ => "unverified",
    };
    let detector = text(finding, "/DetectorName");
    let mut origin = Origin {
        kind: detector.map(|detector| SafeText::of(&format!("{detector}, {verified}"))),
        ..Origin::of("TruffleHog")
    };
    let exposures = exposures(finding, detector, &mut origin);
    Alert { origin, exposures }
}

fn exposures(finding: &Value, detector: Option<&str>, origin: &mut Origin) -> Result<Vec<Exposure>, Unactionable> {
    let number = finding.get("DetectorType").and_then(Value::as_u64);
    match (detector, number) {
        (Some(detector), _) if DETECTORS.contains(&detector) => {}
        (None, Some(DETECTOR_TYPE)) => {}
        (None, None) => return Err(Unreadable::Missing { field: "DetectorName" }.into()),
        (detector, _) => {
            let what = SafeText::of(detector.unwrap_or("another kind of secret"));
            return Err(Ignored::NoAccessKey { what }.into());
        }
    }
    let texts: Vec<Cow<str>> =
        ["/Raw", "/Redacted"].iter().filter_map(|path| text(finding, path)).map(decode).collect();
    let best = texts.iter().find(|text| is_key_id(text)).or(texts.first());
    let keys = keys("Raw", best.map(AsRef::as_ref), origin)?;
    // `ExtraData.account` is the account of the key's IAM user, and not used as the owner. AWS has not published which
    // account has the users that Lightsail makes for its bucket keys. If it is AWS's own, the owner would be wrong.
    Ok(keys.into_iter().map(Exposure::of).collect())
}

/// Decodes a `[]byte` such as `Raw`, which Go's `encoding/json` writes in Base64. Newer versions write text. A key ID
/// is valid Base64 too, so plain text takes precedence.
fn decode(text: &str) -> Cow<'_, str> {
    let inner = || String::from_utf8(BASE64_STANDARD.decode(text.trim_ascii()).ok()?).ok();
    if is_key_id(text) { text.into() } else { inner().filter(|inner| is_key_id(inner)).map_or(text.into(), Cow::from) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::{KEY, SECRET, changed, keys_of, refusal};

    fn finding() -> Value {
        json!({
            "DetectorType": 2, "DetectorName": "AWS", "Verified": true, "Raw": KEY, "Redacted": "AKIAREDACTED00000000",
            "RawV2": format!("AKIARAWV200000000000:{SECRET}"), "SecretParts": {"access_key_id": "AKIAPARTS00000000000", "secret": SECRET},
            "ExtraData": {"account": "111122223333", "arn": "arn:aws:iam::111122223333:user/AKIAUSERNAME00000000", "message": SECRET},
            "SourceMetadata": {"Data": {"Git": {"file": "AKIAFILE000000000000", "commit": SECRET}}}
        })
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        changed(finding(), changes)
    }

    fn read(finding: &Value) -> Alert {
        assert!(recognises(finding));
        super::read(finding)
    }

    fn reason_of(finding: &Value) -> Unactionable {
        refusal(read(finding))
    }

    #[test]
    fn only_raw_is_exposed_and_without_an_owner() {
        let alert = read(&finding());
        assert_eq!(keys_of(&alert), [KEY]);
        assert_eq!(alert.exposures.as_ref().unwrap()[0].owner, None, "the user's account is not the owner");
        assert_eq!(alert.origin.kind.as_ref().unwrap().as_str(), "AWS, verified");
        assert!(!format!("{alert:?}").contains("wJalr"));
    }

    #[test]
    fn raw_as_base64_and_redacted_are_parsed() {
        assert_eq!(keys_of(&read(&with(&[("/Raw", json!(BASE64_STANDARD.encode(KEY)))]))), [KEY]);
        for raw in [json!("****"), json!(null), json!(7), json!(SECRET), json!(BASE64_STANDARD.encode(SECRET))] {
            assert_eq!(keys_of(&read(&with(&[("/Raw", raw), ("/Redacted", json!(KEY))]))), [KEY]);
        }
    }

    #[test]
    fn malformed_key_is_an_error_without_the_secret() {
        for raw in [
            json!(SECRET),
            json!(BASE64_STANDARD.encode(SECRET)),
            json!("AKIA****************"),
            json!("/w=="),
            json!(""),
        ] {
            let reason = reason_of(&with(&[("/Raw", raw), ("/Redacted", json!(SECRET))]));
            assert!(matches!(reason, Unactionable::Unreadable(Unreadable::Name { field: "Raw", .. })), "{reason}");
            assert!(!format!("{reason} {reason:?}").contains("wJalr"));
        }
        let neither = with(&[("/Raw", json!(null)), ("/Redacted", json!([]))]);
        assert_eq!(reason_of(&neither), Unreadable::Missing { field: "Raw" }.into());
    }

    #[test]
    fn unverified_finding_and_canary_are_parsed() {
        let failed = [("/Verified", json!(false)), ("/VerificationError", json!(SECRET)), ("/ExtraData", json!(null))];
        let alert = read(&with(&failed));
        assert_eq!(alert.origin.kind.as_ref().unwrap().as_str(), "AWS, unverified");
        assert!(!format!("{alert:?}").contains("wJalr"));
        assert_eq!(alert.exposures.unwrap()[0].owner, None);
        assert_eq!(keys_of(&read(&with(&[("/ExtraData", json!({"is_canary": "true"}))]))), [KEY]);
    }

    #[test]
    fn other_detectors_have_no_access_key() {
        for detector in ["URI", "PrivateKey", "CustomRegex"] {
            let reason = reason_of(&with(&[("/DetectorName", json!(detector))]));
            assert_eq!(reason, Ignored::NoAccessKey { what: SafeText::of(detector) }.into());
        }
        let numbered = with(&[("/DetectorName", json!(null)), ("/DetectorType", json!(17))]);
        assert_eq!(reason_of(&numbered), Ignored::NoAccessKey { what: SafeText::of("another kind of secret") }.into());
        assert_eq!(keys_of(&read(&with(&[("/DetectorName", json!(null))]))), [KEY]);
        let nothing = with(&[("/DetectorName", json!(null)), ("/DetectorType", json!(null))]);
        assert_eq!(reason_of(&nothing), Unreadable::Missing { field: "DetectorName" }.into());
    }

    #[test]
    fn temporary_key_is_ignored() {
        for raw in ["ASIAIOSFODNN7EXAMPLE".to_owned(), BASE64_STANDARD.encode("ASIAIOSFODNN7EXAMPLE")] {
            let reason = reason_of(&with(&[
                ("/DetectorName", json!("AWSSessionKey")),
                ("/Raw", json!(raw)),
                ("/Redacted", json!("")),
            ]));
            assert!(matches!(reason, Unactionable::Ignored(Ignored::Temporary(_))), "{reason}");
        }
    }
}
