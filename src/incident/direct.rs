//! `{"accessKeyId", "bucketName", "region", "reason"}` -> [`Incident`]: the door for people, scanners and scripts.
//!
//! Comes by direct invocation, or as the `detail` of an EventBridge event of our own [`DETAIL_TYPE`]. Only the key is
//! required. Invariant: a member that we do not know is refused, since it may ask for caution that this version cannot
//! give; a bucket or Region that cannot be one is set aside, since the key can be found without it.

use serde_json::{Map, Value};

use super::{Alert, Exposure, Incident, Unactionable, Unreadable, hint, key};
use crate::envelope::kind;
use crate::plain_text::PlainText;

/// The `detail-type` of the EventBridge event that scanners and scripts send.
pub(super) const DETAIL_TYPE: &str = "Lightsail Bucket Access Key Exposed";

const MEMBERS: [&str; 4] = ["accessKeyId", "bucketName", "region", "reason"];
const ACCEPTED: &str = "accessKeyId, bucketName, region, reason";

/// Reads the object that a person, scanner or script sent.
pub(super) fn read(source: &str, event_type: Option<&str>, members: &Map<String, Value>) -> Incident {
    let mut alert =
        Alert { source: Some(PlainText::of(source)), kind: event_type.map(PlainText::of), ..Alert::default() };
    let reading = exposure(members, &mut alert).map(|exposure| vec![exposure]);
    Incident { alert, reading }
}

fn exposure(members: &Map<String, Value>, alert: &mut Alert) -> Result<Exposure, Unactionable> {
    alert.reason = text(members, "reason").ok().flatten().map(PlainText::of);
    let id = text(members, "accessKeyId")?.ok_or(Unreadable::Missing { member: "accessKeyId" })?;
    if let Some(member) = members.keys().find(|member| !MEMBERS.contains(&member.as_str())) {
        return Err(Unreadable::UnknownMember { member: PlainText::of(member).to_string(), accepted: ACCEPTED }.into());
    }
    text(members, "reason")?;
    Ok(Exposure {
        key: key("accessKeyId", id)?,
        buckets: hint("bucketName", text(members, "bucketName")?, alert).into_iter().collect(),
        account: None,
        region: hint("region", text(members, "region")?, alert),
    })
}

/// A member that is a string; `null` counts as absent, as serializers of optional members write it.
fn text<'a>(members: &'a Map<String, Value>, member: &'static str) -> Result<Option<&'a str>, Unreadable> {
    match members.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Unreadable::NotAString { member, kind: kind(other) }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::incident::Ignored;

    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

    fn reading(value: &Value) -> Incident {
        read("direct", None, value.as_object().unwrap())
    }

    #[test]
    fn the_key_alone_is_enough() {
        let incident = reading(&json!({"accessKeyId": KEY, "bucketName": null}));
        let exposures = incident.reading.unwrap();
        assert_eq!(exposures.len(), 1);
        assert_eq!(exposures[0].key.as_str(), KEY);
        assert_eq!((exposures[0].buckets.len(), &exposures[0].region), (0, &None));
    }

    #[test]
    fn bucket_region_and_reason_are_read() {
        let incident = reading(
            &json!({"accessKeyId": KEY, "bucketName": "photos", "region": "eu-west-1", "reason": "pushed to Git"}),
        );
        let exposures = incident.reading.unwrap();
        assert_eq!(exposures[0].buckets[0].as_str(), "photos");
        assert_eq!(exposures[0].region.as_ref().unwrap().as_str(), "eu-west-1");
        assert_eq!(incident.alert.reason.unwrap().as_str(), "pushed to Git");
    }

    #[test]
    fn a_bucket_or_region_that_cannot_be_one_is_set_aside_and_the_key_still_read() {
        let incident = reading(&json!({"accessKeyId": KEY, "bucketName": "My.Bucket", "region": "mars"}));
        let exposures = incident.reading.unwrap();
        assert_eq!((exposures[0].buckets.len(), &exposures[0].region), (0, &None));
        assert_eq!(incident.alert.set_aside.len(), 2);
        assert!(incident.alert.set_aside[0].starts_with("bucketName is not a Lightsail bucket name"));
    }

    #[test]
    fn a_wish_that_this_version_cannot_grant_stops_it() {
        let incident = reading(&json!({"accessKeyId": KEY, "dryRun": true}));
        let why = incident.reading.unwrap_err().to_string();
        assert_eq!(why, "unknown member \"dryRun\"; accepted: accessKeyId, bucketName, region, reason");
    }

    #[test]
    fn each_member_of_a_wrong_type_is_named() {
        for (event, says) in [
            (json!({}), "accessKeyId is missing"),
            (json!({"key1": "value1"}), "accessKeyId is missing"),
            (json!({"accessKeyId": null}), "accessKeyId is missing"),
            (json!({"accessKeyId": [KEY]}), "accessKeyId is an array, not a string"),
            (json!({"accessKeyId": "AKIA"}), "accessKeyId is not an access key ID: 4 characters"),
            (json!({"accessKeyId": KEY, "bucketName": 1}), "bucketName is a number, not a string"),
            (json!({"accessKeyId": KEY, "region": {}}), "region is an object, not a string"),
            (json!({"accessKeyId": KEY, "reason": true}), "reason is a boolean, not a string"),
        ] {
            let why = reading(&event).reading.unwrap_err();
            assert!(matches!(why, Unactionable::Unreadable(_)), "{event}");
            assert!(why.to_string().starts_with(says), "{event}: {why}");
        }
    }

    #[test]
    fn a_temporary_credential_is_ignored() {
        let why = reading(&json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"})).reading.unwrap_err();
        assert!(matches!(why, Unactionable::Ignored(Ignored::Temporary(_))), "{why}");
    }
}
