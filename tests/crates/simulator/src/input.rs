//! Turns the body of a request into a [`Call`], or into the refusal that AWS answers.
//!
//! The rules are those of botocore's model: required members, `BucketName`'s pattern,
//! `NonEmptyString`'s pattern. What a rule forbids is an `InvalidInputException`; what is not
//! JSON, or JSON of the wrong type, never gets as far as the service and is a
//! `SerializationException`. Members that the model does not have are ignored, as AWS does.

use serde::Deserialize;
use serde_json::Value;

use crate::{bucket::Tag, operation::Operation, refusal::Refusal};

/// A request whose members keep to the rules.
#[derive(Debug, PartialEq)]
pub(crate) enum Call {
    GetRegions { zones: bool, database_zones: bool },
    CreateBucket { bucket: String, bundle: String, tags: Vec<Tag>, versioning: bool },
    GetBuckets { bucket: Option<String>, page: Option<String>, connected: bool },
    DeleteBucket { bucket: String, force: bool },
    CreateBucketAccessKey { bucket: String },
    GetBucketAccessKeys { bucket: String },
    DeleteBucketAccessKey { bucket: String, key: String },
    GetOperation { id: String },
    GetOperations { page: Option<String> },
}

/// Reads the body as JSON and then as the input of `operation`. A bucket that `exists` is not asked for its name.
pub(crate) fn parse(operation: Operation, body: &[u8], exists: impl Fn(&str) -> bool) -> Result<Call, Refusal> {
    let value: Value = serde_json::from_slice(body).map_err(|_| Refusal::not_readable("The body is not JSON."))?;
    if !value.is_object() {
        return Err(Refusal::not_readable("The body is not a JSON object."));
    }
    let given: Members = serde_json::from_value(value)
        .map_err(|error| Refusal::not_readable(format!("The body is not readable: {error}")))?;
    let bucket_name = |name: &str| if exists(name) { Ok(name.to_owned()) } else { bucket_name(name) };
    let bucket = |given: &Members| bucket_name(required("bucketName", given.bucket_name.as_ref())?);
    Ok(match operation {
        Operation::GetRegions => Call::GetRegions {
            zones: given.include_availability_zones.unwrap_or_default(),
            database_zones: given.include_relational_database_availability_zones.unwrap_or_default(),
        },
        Operation::CreateBucket => Call::CreateBucket {
            bucket: bucket(&given)?,
            bundle: not_blank("bundleId", required("bundleId", given.bundle_id.as_ref())?)?,
            tags: given.tags.unwrap_or_default().into_iter().map(WireTag::into_tag).collect(),
            versioning: given.enable_object_versioning.unwrap_or_default(),
        },
        Operation::GetBuckets => Call::GetBuckets {
            bucket: given.bucket_name.as_deref().map(bucket_name).transpose()?,
            page: given.page_token,
            connected: given.include_connected_resources.unwrap_or_default(),
        },
        Operation::DeleteBucket => {
            Call::DeleteBucket { bucket: bucket(&given)?, force: given.force_delete.unwrap_or_default() }
        }
        Operation::CreateBucketAccessKey => Call::CreateBucketAccessKey { bucket: bucket(&given)? },
        Operation::GetBucketAccessKeys => Call::GetBucketAccessKeys { bucket: bucket(&given)? },
        Operation::DeleteBucketAccessKey => Call::DeleteBucketAccessKey {
            bucket: bucket(&given)?,
            key: not_blank("accessKeyId", required("accessKeyId", given.access_key_id.as_ref())?)?,
        },
        Operation::GetOperation => {
            Call::GetOperation { id: not_blank("operationId", required("operationId", given.operation_id.as_ref())?)? }
        }
        Operation::GetOperations => Call::GetOperations { page: given.page_token },
        // Its input is a form, and this is for those that come as JSON.
        Operation::AssumeRole => return Err(Refusal::unknown_operation()),
    })
}

/// Whether `name` fits `^[a-z0-9][a-z0-9-]{1,52}[a-z0-9]$`, the model's `BucketName`.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let letter_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=54).contains(&name.len())
        && name.bytes().all(|byte| letter_or_digit(byte) || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The members of all the inputs; none has two meanings, and a JSON null is a member left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    bucket_name: Option<String>,
    bundle_id: Option<String>,
    tags: Option<Vec<WireTag>>,
    enable_object_versioning: Option<bool>,
    page_token: Option<String>,
    include_connected_resources: Option<bool>,
    force_delete: Option<bool>,
    access_key_id: Option<String>,
    operation_id: Option<String>,
    include_availability_zones: Option<bool>,
    include_relational_database_availability_zones: Option<bool>,
}

/// Neither member of `Tag` is required in the model.
#[derive(Deserialize)]
struct WireTag {
    key: Option<String>,
    value: Option<String>,
}

impl WireTag {
    fn into_tag(self) -> Tag {
        Tag { key: self.key.unwrap_or_default(), value: self.value.unwrap_or_default() }
    }
}

fn required<'a>(member: &str, value: Option<&'a String>) -> Result<&'a str, Refusal> {
    value.map(String::as_str).ok_or_else(|| Refusal::invalid_input(format!("{member} is required.")))
}

fn bucket_name(name: &str) -> Result<String, Refusal> {
    if is_bucket_name(name) {
        return Ok(name.to_owned());
    }
    Err(Refusal::invalid_input("bucketName must match ^[a-z0-9][a-z0-9-]{1,52}[a-z0-9]$."))
}

/// `NonEmptyString`: `.*\S.*`.
fn not_blank(member: &str, value: &str) -> Result<String, Refusal> {
    if value.trim().is_empty() {
        return Err(Refusal::invalid_input(format!("{member} must not be blank.")));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(operation: Operation, body: &str) -> String {
        parse(operation, body.as_bytes(), |_| false).unwrap_err().kind
    }

    #[test]
    fn a_bucket_name_is_held_to_the_models_pattern() {
        let longest = "a".repeat(54);
        for name in ["abc", "a-1", "0b0", longest.as_str()] {
            assert!(is_bucket_name(name), "{name}");
        }
        let too_long = "a".repeat(55);
        for name in ["ab", "-abc", "abc-", "Abc", "a.b", "a_b", "äbc", "", too_long.as_str()] {
            assert!(!is_bucket_name(name), "{name}");
        }
    }

    #[test]
    fn a_required_member_that_is_missing_null_or_blank_is_invalid_input() {
        for body in [
            "{}",
            r#"{"bucketName": "abc"}"#,
            r#"{"bucketName": null, "accessKeyId": "AKIA"}"#,
            r#"{"bucketName": "abc", "accessKeyId": " "}"#,
            r#"{"bucketName": "A", "accessKeyId": "AKIA"}"#,
        ] {
            assert_eq!(refused(Operation::DeleteBucketAccessKey, body), "InvalidInputException", "{body}");
        }
        assert_eq!(refused(Operation::GetBuckets, r#"{"bucketName": ""}"#), "InvalidInputException");
        assert_eq!(refused(Operation::CreateBucket, r#"{"bucketName": "abc"}"#), "InvalidInputException");
        assert_eq!(refused(Operation::GetOperation, "{}"), "InvalidInputException");
    }

    #[test]
    fn what_is_not_json_of_the_right_type_is_not_readable() {
        for body in ["", "x", "[]", "null", r#"{"bucketName": 1}"#, r#"{"bucketName": "abc", "forceDelete": "yes"}"#] {
            assert_eq!(refused(Operation::DeleteBucket, body), "SerializationException", "{body}");
        }
    }

    #[test]
    fn a_member_that_the_model_does_not_have_is_ignored() {
        let call = parse(Operation::GetBucketAccessKeys, br#"{"bucketName": "abc", "later": {}}"#, |_| false);
        assert_eq!(call, Ok(Call::GetBucketAccessKeys { bucket: "abc".to_owned() }));
    }
}
