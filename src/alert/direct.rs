//! `{"accessKeyId", "bucketName", "region", "accountId", "reason", "dryRun"}` -> [`Alert`]s: the manual event, for
//! people, scanners and scripts.
//!
//! The fields are also read in the casing of boto3 and the CLI (`AccessKeyId`) and in snake case (`access_key_id`).
//! It arrives by direct invocation, or as the `detail` of an EventBridge event of our own [`DETAIL_TYPE`]. Only the key
//! is required, and it may be a list of keys. Invariants: an unknown field is an error, because it may ask for caution
//! that this version cannot give. A malformed bucket or Region is ignored, because the search finds the key without it.
//! In a list, each valid key is exposed, and each malformed key is an error of its own.

use serde_json::{Map, Value};

use super::taken::Taken;
use super::{Alert, Exposure, Hint, Origin, Unactionable, Unreadable, distinct, hint, keys, owner};
use crate::names::{AccessKeyId, Region};
use crate::safe_text::SafeText;

/// `detail-type` of the EventBridge event that scanners and scripts send.
pub(super) const DETAIL_TYPE: &str = "Lightsail Bucket Access Key Exposed";

/// Known fields, for error texts.
const ACCEPTED: &str = "accessKeyId, bucketName, region, accountId, reason, dryRun";

/// Spellings of the known fields. The first one is the field's name in errors.
const SPELLINGS: [&[&str]; 6] = [
    &["accessKeyId", "AccessKeyId", "access_key_id"],
    &["bucketName", "BucketName", "bucket_name"],
    &["region", "Region"],
    &["accountId", "AccountId", "account_id"],
    &["reason", "Reason"],
    &["dryRun", "DryRun", "dry_run"],
];

/// Tests for a manual event. No other source has the field at the top level.
pub(super) fn recognises(value: &Value) -> bool {
    SPELLINGS[0].iter().any(|spelling| value.get(spelling).is_some())
}

/// Parses one manual event. Each malformed key of a list is an alert of its own.
pub(super) fn read(value: &Value) -> Vec<Alert> {
    let mut origin = Origin::of("direct");
    let fields = match Fields::of(value) {
        Ok(fields) => fields,
        Err(reason) => return vec![Alert::without_key(origin, reason)],
    };
    origin.reason = fields.text("reason").ok().flatten().map(SafeText::of);
    let ids = match ids(&fields) {
        Ok(ids) => ids,
        Err(reason) => return vec![Alert::without_key(origin, reason)],
    };
    let mut taken = Taken::default();
    match exposures(&fields, &ids, &mut origin) {
        Ok(exposures) if !exposures.is_empty() => {
            taken.add(Alert { origin: origin.clone(), exposures: Ok(exposures) }, 1);
        }
        Ok(_) => {}
        Err(reason) => return vec![Alert::without_key(origin, reason)],
    }
    // Each malformed key is an error of its own. An empty list has a missing key.
    let ids = if ids.is_empty() { vec![None] } else { ids.into_iter().map(Some).collect() };
    for id in ids {
        if id.is_none_or(|id| id.parse::<AccessKeyId>().is_err())
            && let Err(reason) = keys("accessKeyId", id, &mut origin)
        {
            taken.add(Alert::without_key(origin.clone(), reason), 1);
        }
    }
    taken.into_alerts()
}

/// Fields of a manual event, by the first of their spellings.
struct Fields<'a> {
    all: Option<&'a Map<String, Value>>,
    known: [Option<&'a Value>; SPELLINGS.len()],
}

impl<'a> Fields<'a> {
    /// Finds the known fields. Two spellings of one field are an error, because one of them may ask for caution.
    fn of(value: &'a Value) -> Result<Self, Unreadable> {
        let mut known = [None; SPELLINGS.len()];
        for (place, spellings) in SPELLINGS.iter().enumerate() {
            let mut found = spellings.iter().filter_map(|spelling| Some((*spelling, value.get(spelling)?)));
            let first = found.next();
            if let (Some((first, _)), Some((second, _))) = (first, found.next()) {
                return Err(Unreadable::TwoSpellings { field: spellings[0], first, second });
            }
            known[place] = first.map(|(_, value)| value);
        }
        Ok(Self { all: value.as_object(), known })
    }

    /// Returns the field. `null` counts as absent, because serializers write it for optional fields.
    fn get(&self, field: &str) -> Option<&'a Value> {
        let place = SPELLINGS.iter().position(|spellings| spellings[0] == field)?;
        self.known[place].filter(|value| !value.is_null())
    }

    /// Returns the string in a field.
    fn text(&self, field: &'static str) -> Result<Option<&'a str>, Unreadable> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Unreadable::wrong_type(field, other, "a string")),
        }
    }

    /// Returns the first field that is not known in any spelling.
    fn unknown(&self) -> Option<&'a String> {
        let is_known = |field: &String| SPELLINGS.iter().flat_map(|spellings| *spellings).any(|known| known == field);
        self.all?.keys().find(|field| !is_known(field))
    }
}

/// Returns the exposures of the valid keys among `ids`.
fn exposures(fields: &Fields, ids: &[&str], origin: &mut Origin) -> Result<Vec<Exposure>, Unactionable> {
    let bucket = hint("bucketName", fields.text("bucketName")?, origin);
    let region: Option<Region> = hint("region", fields.text("region")?, origin);
    let hints: Vec<_> = bucket.map(|bucket| Hint { bucket, region: region.clone() }).into_iter().collect();
    let owner = owner("accountId", fields.text("accountId")?)?;
    let dry_run = fields.get("dryRun").and_then(Value::as_bool).unwrap_or_default();
    let keys = distinct(ids.iter().filter_map(|id| id.parse::<AccessKeyId>().ok()).collect());
    let exposure = |key| {
        let (hints, owner, regions) = (hints.clone(), owner.clone(), region.iter().cloned().collect());
        Exposure { hints, owner, regions, dry_run, ..Exposure::of(key) }
    };
    Ok(keys.into_iter().map(exposure).collect())
}

/// Returns the keys as text, after a check of the types and names of all fields.
fn ids<'a>(fields: &Fields<'a>) -> Result<Vec<&'a str>, Unreadable> {
    let wrong = |value| Unreadable::wrong_type("accessKeyId", value, "a string or an array of strings");
    let ids = match fields.get("accessKeyId") {
        None => return Err(Unreadable::Missing { field: "accessKeyId" }),
        Some(Value::String(id)) => vec![id.as_str()],
        Some(Value::Array(ids)) => {
            ids.iter().map(|id| id.as_str().ok_or_else(|| wrong(id))).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(wrong(other)),
    };
    if let Some(field) = fields.unknown() {
        return Err(Unreadable::UnknownField { field: SafeText::of(field).to_string(), accepted: ACCEPTED });
    }
    for field in ["bucketName", "region", "accountId", "reason"] {
        fields.text(field)?;
    }
    match fields.get("dryRun") {
        None | Some(Value::Bool(_)) => {}
        Some(other) => return Err(Unreadable::wrong_type("dryRun", other, "a boolean")),
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::Ignored;
    use crate::alert::testing::{KEY, OTHER_KEY, keys_of, only, refusal};

    fn reading(value: &Value) -> Alert {
        only(read(value))
    }

    fn reason_of(value: &Value) -> Unactionable {
        refusal(reading(value))
    }

    #[test]
    fn only_the_key_is_required() {
        let alert = reading(&json!({"accessKeyId": KEY, "bucketName": null}));
        let exposures = alert.exposures.unwrap();
        assert_eq!(exposures.len(), 1);
        assert_eq!(exposures[0].key.as_str(), KEY);
        assert_eq!((exposures[0].hints.len(), exposures[0].regions.len()), (0, 0));
    }

    #[test]
    fn bucket_region_and_reason_are_parsed() {
        let alert = reading(
            &json!({"accessKeyId": KEY, "bucketName": "photos", "region": "eu-west-1", "reason": "pushed to Git"}),
        );
        let exposures = alert.exposures.unwrap();
        assert_eq!(exposures[0].hints[0].bucket.as_str(), "photos");
        assert_eq!(exposures[0].regions[0].as_str(), "eu-west-1");
        assert_eq!(alert.origin.reason.unwrap().as_str(), "pushed to Git");
    }

    #[test]
    fn malformed_bucket_and_region_keep_the_key() {
        let alert = reading(&json!({"accessKeyId": KEY, "bucketName": "My.Bucket", "region": "mars"}));
        let exposures = alert.exposures.unwrap();
        assert_eq!((exposures[0].hints.len(), exposures[0].regions.len()), (0, 0));
        assert_eq!(alert.origin.ignored_fields.len(), 2);
        assert!(alert.origin.ignored_fields[0].starts_with("bucketName is not a Lightsail bucket name"));
    }

    #[test]
    fn unknown_field_is_an_error() {
        assert_eq!(
            reason_of(&json!({"accessKeyId": KEY, "notBefore": "2026-12-01"})).to_string(),
            "unknown field \"notBefore\"; accepted: accessKeyId, bucketName, region, accountId, reason, dryRun"
        );
    }

    #[test]
    fn dry_run_and_owner_are_parsed() {
        let alert = reading(&json!({"accessKeyId": KEY, "dryRun": true, "accountId": "111122223333"}));
        let exposure = &alert.exposures.unwrap()[0];
        assert_eq!((exposure.dry_run, exposure.owner.as_ref().unwrap().as_str()), (true, "111122223333"));
        for more in [json!(false), json!(null)] {
            assert!(!reading(&json!({"accessKeyId": KEY, "dryRun": more})).exposures.unwrap()[0].dry_run);
        }
    }

    #[test]
    fn malformed_owner_is_an_error() {
        let reason = reason_of(&json!({"accessKeyId": KEY, "accountId": "1111"})).to_string();
        assert!(reason.starts_with("accountId is not an account ID: 4 characters"), "{reason}");
    }

    #[test]
    fn wrong_types_are_named() {
        for (event, says) in [
            (json!({}), "accessKeyId is missing"),
            (json!({"key1": "value1"}), "accessKeyId is missing"),
            (json!({"accessKeyId": null}), "accessKeyId is missing"),
            (json!({"accessKeyId": []}), "accessKeyId is missing"),
            (json!({"accessKeyId": [[KEY]]}), "accessKeyId is an array, not a string or an array of strings"),
            (json!({"accessKeyId": 5}), "accessKeyId is a number, not a string or an array of strings"),
            (json!({"accessKeyId": "AKIA"}), "accessKeyId is not an access key ID: 4 characters"),
            (json!({"accessKeyId": KEY, "bucketName": 1}), "bucketName is a number, not a string"),
            (json!({"accessKeyId": KEY, "region": {}}), "region is an object, not a string"),
            (json!({"accessKeyId": KEY, "reason": true}), "reason is a boolean, not a string"),
            (json!({"accessKeyId": KEY, "accountId": 111_122_223_333_u64}), "accountId is a number, not a string"),
            (json!({"accessKeyId": KEY, "dryRun": "true"}), "dryRun is a string, not a boolean"),
        ] {
            let reason = reason_of(&event);
            assert!(matches!(reason, Unactionable::Unreadable(_)), "{event}");
            assert!(reason.to_string().starts_with(says), "{event}: {reason}");
        }
    }

    #[test]
    fn temporary_key_is_ignored() {
        let reason = reason_of(&json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"}));
        assert!(matches!(reason, Unactionable::Ignored(Ignored::Temporary(_))), "{reason}");
    }

    #[test]
    fn malformed_key_in_a_list_stops_no_other_key() {
        let alerts = read(&json!({"accessKeyId": [KEY, "oops", OTHER_KEY], "bucketName": "photos"}));
        assert_eq!(alerts.len(), 2);
        assert_eq!(keys_of(&alerts[0]), [KEY, OTHER_KEY]);
        assert!(matches!(alerts[1].exposures, Err(Unactionable::Unreadable(Unreadable::Name { .. }))));
    }
}
