//! `{"accessKeyId", "bucketName", "region", "accountId", "reason", "dryRun"}` -> [`Incident`]s: the door for people, scanners and scripts.
//!
//! Comes by direct invocation, or as the `detail` of an EventBridge event of our own [`DETAIL_TYPE`]. Only the key is
//! required, and it may be a list of keys. Invariant: a field that we do not know is refused, since it may ask for caution
//! that this version cannot give; a bucket or Region that cannot be one is set aside, since the key can be found without it;
//! of a list, what is a key is acted on, and what is none is an error of its own.

use serde_json::{Map, Value};

use super::{Alert, Exposure, Origin, Unactionable, Unreadable, hint, keys, owner};
use crate::safe_text::SafeText;

/// The `detail-type` of the EventBridge event that scanners and scripts send.
pub(super) const DETAIL_TYPE: &str = "Lightsail Bucket Access Key Exposed";

/// The fields that we know.
const ACCEPTED: &str = "accessKeyId, bucketName, region, accountId, reason, dryRun";

/// Whether this is ours, whatever else it looks like: nothing else has the field.
pub(super) fn is_one(value: &Value) -> bool {
    value.get("accessKeyId").is_some()
}

/// Reads the object that a person, scanner or script sent.
pub(super) fn read(value: &Value) -> Vec<Alert> {
    let nothing = Map::new();
    let fields = value.as_object().unwrap_or(&nothing);
    let mut origin = Origin::of("direct");
    origin.reason = text(fields, "reason").ok().flatten().map(SafeText::of);
    let ids = match ids(fields) {
        Ok(ids) => ids,
        Err(reason) => return vec![Alert::without_key(origin, reason)],
    };
    // A list with nothing in it is as good as none.
    let ids = if ids.is_empty() { vec![Vec::new()] } else { ids.into_iter().map(|id| vec![id]).collect() };
    let mut alerts: Vec<Alert> = Vec::new();
    let mut found = Vec::new();
    for id in ids {
        let mut origin = origin.clone();
        match exposures(fields, id, &mut origin) {
            Ok(exposures) => found.push((origin, exposures)),
            Err(reason) => alerts.push(Alert::without_key(origin, reason)),
        }
    }
    if let Some((origin, _)) = found.first() {
        let origin = origin.clone();
        let exposures = found.into_iter().flat_map(|(_, exposures)| exposures).collect();
        alerts.insert(0, Alert { origin, exposures: Ok(exposures) });
    }
    alerts
}

fn exposures(fields: &Map<String, Value>, ids: Vec<&str>, origin: &mut Origin) -> Result<Vec<Exposure>, Unactionable> {
    let buckets: Vec<_> = hint("bucketName", text(fields, "bucketName")?, origin).into_iter().collect();
    let region = hint("region", text(fields, "region")?, origin);
    let account = owner("accountId", text(fields, "accountId")?)?;
    let dry_run = fields.get("dryRun").and_then(Value::as_bool).unwrap_or_default();
    let keys = keys("accessKeyId", ids, origin)?;
    let exposure = |key| {
        let (buckets, account, region) = (buckets.clone(), account.clone(), region.clone());
        Exposure { key, buckets, account, region, dry_run }
    };
    Ok(keys.into_iter().map(exposure).collect())
}

/// What is given as keys, if all else is as it may be.
fn ids(fields: &Map<String, Value>) -> Result<Vec<&str>, Unreadable> {
    let wrong = |value| Unreadable::wrong_type("accessKeyId", value, "a string or an array of strings");
    let ids = match fields.get("accessKeyId") {
        None | Some(Value::Null) => return Err(Unreadable::Missing { field: "accessKeyId" }),
        Some(Value::String(id)) => vec![id.as_str()],
        Some(Value::Array(ids)) => {
            ids.iter().map(|id| id.as_str().ok_or_else(|| wrong(id))).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(wrong(other)),
    };
    if let Some(field) = fields.keys().find(|field| !ACCEPTED.split(", ").any(|known| known == *field)) {
        return Err(Unreadable::UnknownField { field: SafeText::of(field).to_string(), accepted: ACCEPTED });
    }
    for field in ["bucketName", "region", "accountId", "reason"] {
        text(fields, field)?;
    }
    match fields.get("dryRun") {
        None | Some(Value::Null | Value::Bool(_)) => {}
        Some(other) => return Err(Unreadable::wrong_type("dryRun", other, "a boolean")),
    }
    Ok(ids)
}

/// A field that is a string; `null` counts as absent, as serializers of optional fields write it.
fn text<'a>(fields: &'a Map<String, Value>, field: &'static str) -> Result<Option<&'a str>, Unreadable> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Unreadable::wrong_type(field, other, "a string")),
    }
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
    fn the_key_alone_is_enough() {
        let alert = reading(&json!({"accessKeyId": KEY, "bucketName": null}));
        let exposures = alert.exposures.unwrap();
        assert_eq!(exposures.len(), 1);
        assert_eq!(exposures[0].key.as_str(), KEY);
        assert_eq!((exposures[0].buckets.len(), &exposures[0].region), (0, &None));
    }

    #[test]
    fn bucket_region_and_reason_are_read() {
        let alert = reading(
            &json!({"accessKeyId": KEY, "bucketName": "photos", "region": "eu-west-1", "reason": "pushed to Git"}),
        );
        let exposures = alert.exposures.unwrap();
        assert_eq!(exposures[0].buckets[0].as_str(), "photos");
        assert_eq!(exposures[0].region.as_ref().unwrap().as_str(), "eu-west-1");
        assert_eq!(alert.origin.reason.unwrap().as_str(), "pushed to Git");
    }

    #[test]
    fn a_bucket_or_region_that_cannot_be_one_is_set_aside_and_the_key_still_read() {
        let alert = reading(&json!({"accessKeyId": KEY, "bucketName": "My.Bucket", "region": "mars"}));
        let exposures = alert.exposures.unwrap();
        assert_eq!((exposures[0].buckets.len(), &exposures[0].region), (0, &None));
        assert_eq!(alert.origin.ignored_fields.len(), 2);
        assert!(alert.origin.ignored_fields[0].starts_with("bucketName is not a Lightsail bucket name"));
    }

    #[test]
    fn a_wish_that_this_version_cannot_grant_stops_it() {
        assert_eq!(
            reason_of(&json!({"accessKeyId": KEY, "notBefore": "2026-12-01"})).to_string(),
            "unknown field \"notBefore\"; accepted: accessKeyId, bucketName, region, accountId, reason, dryRun"
        );
    }

    #[test]
    fn a_wish_to_delete_nothing_and_the_owner_are_read() {
        let alert = reading(&json!({"accessKeyId": KEY, "dryRun": true, "accountId": "111122223333"}));
        let exposure = &alert.exposures.unwrap()[0];
        assert_eq!((exposure.dry_run, exposure.account.as_ref().unwrap().as_str()), (true, "111122223333"));
        for more in [json!(false), json!(null)] {
            assert!(!reading(&json!({"accessKeyId": KEY, "dryRun": more})).exposures.unwrap()[0].dry_run);
        }
    }

    #[test]
    fn an_owner_that_is_none_is_an_error_since_the_key_would_be_looked_for_in_the_wrong_place() {
        let reason = reason_of(&json!({"accessKeyId": KEY, "accountId": "1111"})).to_string();
        assert!(reason.starts_with("accountId is not an account ID: 4 characters"), "{reason}");
    }

    #[test]
    fn each_member_of_a_wrong_type_is_named() {
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
    fn a_temporary_credential_is_ignored() {
        let reason = reason_of(&json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"}));
        assert!(matches!(reason, Unactionable::Ignored(Ignored::Temporary(_))), "{reason}");
    }

    #[test]
    fn of_a_list_every_key_is_read_and_the_rest_is_an_error() {
        let alerts = read(&json!({"accessKeyId": [KEY, "oops", OTHER_KEY], "bucketName": "photos"}));
        assert_eq!(alerts.len(), 2);
        assert_eq!(keys_of(&alerts[0]), [KEY, OTHER_KEY]);
        assert!(matches!(alerts[1].exposures, Err(Unactionable::Unreadable(Unreadable::Name { .. }))));
    }
}
