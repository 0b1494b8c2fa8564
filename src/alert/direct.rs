//! `{"accessKeyId", "bucketName", "region", "accountId", "reason", "dryRun"}` -> [`Incident`]s: the door for people, scanners and scripts.
//!
//! Comes by direct invocation, or as the `detail` of an EventBridge event of our own [`DETAIL_TYPE`]. Only the key is
//! required, and it may be a list of keys. Invariant: a member that we do not know is refused, since it may ask for caution
//! that this version cannot give; a bucket or Region that cannot be one is set aside, since the key can be found without it;
//! of a list, what is a key is acted on, and what is none is an error of its own.

use serde_json::{Map, Value};

use super::{Alert, Exposure, Origin, Unactionable, Unreadable, hint, keys, owner};
use crate::safe_text::SafeText;

/// The `detail-type` of the EventBridge event that scanners and scripts send.
pub(super) const DETAIL_TYPE: &str = "Lightsail Bucket Access Key Exposed";

/// The members that we know.
const ACCEPTED: &str = "accessKeyId, bucketName, region, accountId, reason, dryRun";

/// Whether this is ours, whatever else it looks like: nothing else has the member.
pub(super) fn is_one(value: &Value) -> bool {
    value.get("accessKeyId").is_some()
}

/// Reads the object that a person, scanner or script sent.
pub(super) fn read(value: &Value) -> Vec<Alert> {
    let nothing = Map::new();
    let members = value.as_object().unwrap_or(&nothing);
    let mut origin = Origin::of("direct");
    origin.reason = text(members, "reason").ok().flatten().map(SafeText::of);
    let ids = match ids(members) {
        Ok(ids) => ids,
        Err(why) => return vec![Alert::without_key(origin, why)],
    };
    // A list with nothing in it is as good as none.
    let ids = if ids.is_empty() { vec![Vec::new()] } else { ids.into_iter().map(|id| vec![id]).collect() };
    let mut alerts: Vec<Alert> = Vec::new();
    let mut found = Vec::new();
    for id in ids {
        let mut origin = origin.clone();
        match exposures(members, id, &mut origin) {
            Ok(exposures) => found.push((origin, exposures)),
            Err(why) => alerts.push(Alert::without_key(origin, why)),
        }
    }
    if let Some((origin, _)) = found.first() {
        let origin = origin.clone();
        let exposures = found.into_iter().flat_map(|(_, exposures)| exposures).collect();
        alerts.insert(0, Alert { origin, exposures: Ok(exposures) });
    }
    alerts
}

fn exposures(members: &Map<String, Value>, ids: Vec<&str>, origin: &mut Origin) -> Result<Vec<Exposure>, Unactionable> {
    let buckets: Vec<_> = hint("bucketName", text(members, "bucketName")?, origin).into_iter().collect();
    let region = hint("region", text(members, "region")?, origin);
    let account = owner("accountId", text(members, "accountId")?)?;
    let dry_run = members.get("dryRun").and_then(Value::as_bool).unwrap_or_default();
    let keys = keys("accessKeyId", ids, origin)?;
    let exposure = |key| {
        let (buckets, account, region) = (buckets.clone(), account.clone(), region.clone());
        Exposure { key, buckets, account, region, dry_run }
    };
    Ok(keys.into_iter().map(exposure).collect())
}

/// What is given as keys, if all else is as it may be.
fn ids(members: &Map<String, Value>) -> Result<Vec<&str>, Unreadable> {
    let wrong = |value| Unreadable::wrong_type("accessKeyId", value, "a string or an array of strings");
    let ids = match members.get("accessKeyId") {
        None | Some(Value::Null) => return Err(Unreadable::Missing { member: "accessKeyId" }),
        Some(Value::String(id)) => vec![id.as_str()],
        Some(Value::Array(ids)) => {
            ids.iter().map(|id| id.as_str().ok_or_else(|| wrong(id))).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(wrong(other)),
    };
    if let Some(member) = members.keys().find(|member| !ACCEPTED.split(", ").any(|known| known == *member)) {
        return Err(Unreadable::UnknownMember { member: SafeText::of(member).to_string(), accepted: ACCEPTED });
    }
    for member in ["bucketName", "region", "accountId", "reason"] {
        text(members, member)?;
    }
    match members.get("dryRun") {
        None | Some(Value::Null | Value::Bool(_)) => {}
        Some(other) => return Err(Unreadable::wrong_type("dryRun", other, "a boolean")),
    }
    Ok(ids)
}

/// A member that is a string; `null` counts as absent, as serializers of optional members write it.
fn text<'a>(members: &'a Map<String, Value>, member: &'static str) -> Result<Option<&'a str>, Unreadable> {
    match members.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Unreadable::wrong_type(member, other, "a string")),
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
        assert_eq!(alert.origin.set_aside.len(), 2);
        assert!(alert.origin.set_aside[0].starts_with("bucketName is not a Lightsail bucket name"));
    }

    #[test]
    fn a_wish_that_this_version_cannot_grant_stops_it() {
        assert_eq!(
            reason_of(&json!({"accessKeyId": KEY, "notBefore": "2026-12-01"})).to_string(),
            "unknown member \"notBefore\"; accepted: accessKeyId, bucketName, region, accountId, reason, dryRun"
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
        let why = reason_of(&json!({"accessKeyId": KEY, "accountId": "1111"})).to_string();
        assert!(why.starts_with("accountId is not an account ID: 4 characters"), "{why}");
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
            let why = reason_of(&event);
            assert!(matches!(why, Unactionable::Unreadable(_)), "{event}");
            assert!(why.to_string().starts_with(says), "{event}: {why}");
        }
    }

    #[test]
    fn a_temporary_credential_is_ignored() {
        let why = reason_of(&json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"}));
        assert!(matches!(why, Unactionable::Ignored(Ignored::Temporary(_))), "{why}");
    }

    #[test]
    fn of_a_list_every_key_is_read_and_the_rest_is_an_error() {
        let alerts = read(&json!({"accessKeyId": [KEY, "oops", OTHER_KEY], "bucketName": "photos"}));
        assert_eq!(alerts.len(), 2);
        assert_eq!(keys_of(&alerts[0]), [KEY, OTHER_KEY]);
        assert!(matches!(alerts[1].exposures, Err(Unactionable::Unreadable(Unreadable::Name { .. }))));
    }
}
