//! The names in a finding -> [`Incident`]s: how GuardDuty, ASFF and OCSF write keys, buckets and owners.
//!
//! Which resource is a key, and whether it is exposed, is for the readers and `finding_type` to say. Invariant: a key is
//! acted on in the account that its own resource names, or not at all.

use std::collections::HashMap;

use serde_json::Value;

use super::{Alert, Exposure, Ignored, Origin, Unactionable, Unreadable, distinct, hint, is_key_id, keys, owner};
use crate::names::{AccountId, BucketName, Region};
use crate::safe_text::SafeText;

/// What stands in the key field of one resource, and whose the resource is.
pub(super) struct Named<'a> {
    /// What stands there: a key ID or not.
    pub(super) id: &'a str,
    /// The owner as the finding gives it.
    pub(super) account: Option<&'a Value>,
    /// The Region as the finding gives it.
    pub(super) region: Option<&'a str>,
}

/// What one finding exposes: each key, or why its owner cannot be read.
pub(super) type Reading = Result<Vec<Result<Exposure, Unreadable>>, Unactionable>;

/// The findings in an event's `detail`, in the output of an API call, or one by itself.
pub(super) fn listed(value: &Value) -> Vec<&Value> {
    match value.get("findings").or_else(|| value.get("Findings")) {
        Some(Value::Array(findings)) => findings.iter().collect(),
        Some(finding @ Value::Object(_)) => vec![finding],
        _ => vec![value],
    }
}

/// Reads each of the findings in `value`, of which there is at least one.
pub(super) fn read_all(
    value: &Value,
    source: &str,
    field: &'static str,
    read_one: impl FnMut(&Value) -> Vec<Alert>,
) -> Vec<Alert> {
    let findings = listed(value);
    if findings.is_empty() {
        return vec![Alert::without_key(Origin::of(source), Unreadable::Missing { field })];
    }
    findings.into_iter().flat_map(read_one).collect()
}

/// The path in API casing (`accountId`) or in that of the CLI and boto3 (`AccountId`), which tools put into events.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').try_fold(value, |value, field| {
        let pascal = || field.get(..1).map(|first| first.to_ascii_uppercase() + &field[1..]);
        let camel = value.get(field).filter(|inner| !inner.is_null());
        camel.or_else(|| value.get(pascal()?)).filter(|inner| !inner.is_null())
    })
}

/// The text at such a path.
pub(super) fn text_at<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    at(value, path)?.as_str()
}

/// The elements of the array at such a path; none where there is no array.
pub(super) fn each_at<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

/// Whether the key stands for none in a sample finding: `GeneratedFindingAccessKeyId` (GuardDuty user guide, "Sample
/// findings").
pub(super) fn is_sample_name(id: &str) -> bool {
    bare_id(id).starts_with("GeneratedFinding")
}

/// Whether GuardDuty's `additionalInfo` says that the finding is a sample: as a field, or inside JSON text. Published
/// samples have either or both; Security Hub flattens them to text.
pub(super) fn is_sample(info: &Value) -> bool {
    match info {
        Value::Bool(sample) => *sample,
        Value::String(text) if text == "true" => true,
        Value::String(text) => {
            serde_json::from_str(text).is_ok_and(|inner: Value| inner.is_object() && is_sample(&inner))
        }
        info => ["sample", "value"].iter().any(|field| at(info, field).is_some_and(is_sample)),
    }
}

/// What a resource of a finding is, as far as it matters here.
#[derive(PartialEq)]
pub(super) enum Resource {
    /// An access key.
    Key,
    /// A bucket.
    Bucket,
    /// An object in a bucket.
    Object,
    /// Anything else.
    Other,
}

impl Resource {
    /// Of all spellings: `AwsIamAccessKey` (ASFF), `AWSIAMAccessKey` (2018), `AWS::IAM::AccessKey` (Security Hub V2),
    /// `ACCESS_KEY` (GuardDuty API model, `FindingResourceType`).
    pub(super) fn of(kind: Option<&str>) -> Self {
        let letters: String = kind.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(40).collect();
        match letters.to_ascii_lowercase().as_str() {
            "awsiamaccesskey" | "accesskey" => Self::Key,
            "awss3bucket" | "s3bucket" => Self::Bucket,
            "awss3object" | "s3object" => Self::Object,
            _ => Self::Other,
        }
    }
}

/// The ID of an access key without what Security Hub puts in front of it.
pub(super) fn bare_id(text: &str) -> &str {
    text.trim_ascii().strip_prefix("AWS::IAM::AccessKey:").unwrap_or(text)
}

/// Whether `null` stands for the ID, as it does for a sign-in to the console: `AWS::IAM::AccessKey:null`.
pub(super) fn is_null(text: &str) -> bool {
    bare_id(text).trim_ascii() == "null"
}

/// Of the fields that may hold a key's ID: the first that does, else the first with any text, for the refusal.
pub(super) fn best_id(texts: [Option<&str>; 2]) -> &str {
    let texts = || texts.into_iter().flatten();
    let some = |text: &&str| !text.is_empty() && !is_null(text);
    texts().find(|text| is_key(text)).or_else(|| texts().find(some)).or_else(|| texts().next()).unwrap_or_default()
}

/// Whether the text is a key's ID, of either kind.
pub(super) fn is_key(text: &str) -> bool {
    is_key_id(bare_id(text))
}

/// The bucket in `arn:<partition>:s3:::<bucket>/<object>`, in `<bucket>/<object>`, or by itself. No other ARN has one.
pub(super) fn bucket_in(text: &str) -> Option<&str> {
    let name = match text.split_once(":::") {
        Some((arn, name)) if arn.starts_with("arn:") && arn.ends_with(":s3") => name,
        _ if text.starts_with("arn:") => return None,
        _ => text,
    };
    name.split('/').next()
}

/// The text of an object, if it has the bucket in front. One without says nothing of the bucket.
pub(super) fn with_bucket(text: Option<&str>) -> Option<&str> {
    text.filter(|text| text.contains('/'))
}

/// The buckets that a finding names, and their Regions.
#[derive(Default)]
pub(super) struct Buckets<'a> {
    /// First named first.
    pub(super) names: Vec<BucketName>,
    /// The first that is one is taken for all.
    pub(super) regions: Vec<&'a str>,
}

impl<'a> Buckets<'a> {
    /// Adds the bucket that `texts` name, if they do.
    pub(super) fn add<const N: usize>(
        &mut self,
        field: &str,
        texts: [Option<&str>; N],
        region: Option<&'a str>,
        origin: &mut Origin,
    ) {
        if let Some(name) = bucket(field, texts, origin) {
            self.names.push(name);
            self.regions.extend(region);
        }
    }
}

/// The first of `texts` that has a bucket's name in it.
fn bucket<'a>(
    field: &str,
    texts: impl IntoIterator<Item = Option<&'a str>>,
    origin: &mut Origin,
) -> Option<BucketName> {
    let names: Vec<&str> = texts.into_iter().flatten().filter_map(bucket_in).filter(|name| !name.is_empty()).collect();
    // What is refused is told once, and only if there is nothing better.
    names.iter().find_map(|name| name.parse().ok()).or_else(|| hint(field, names.first().copied(), origin))
}

/// The first of `texts` that is a Region. A resource of IAM's has `global` (OCSF) or none.
fn region<'a>(field: &str, texts: impl IntoIterator<Item = &'a str>, origin: &mut Origin) -> Option<Region> {
    texts.into_iter().filter(|text| !matches!(*text, "" | "global")).find_map(|text| hint(field, Some(text), origin))
}

/// Reads the owner. What is no account is an error: in our own account we could not say that the key is nowhere.
fn account(field: &'static str, value: Option<&Value>) -> Result<Option<AccountId>, Unreadable> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => owner(field, Some(text)),
        Some(other) => Err(Unreadable::wrong_type(field, other, "a string of 12 digits")),
    }
}

/// The paths of a format, for errors.
pub(super) struct Fields {
    /// Of the key's ID.
    pub(super) key: &'static str,
    /// Of its owner.
    pub(super) account: &'static str,
    /// Of the Region.
    pub(super) region: &'static str,
}

/// More buckets than a finding names. Every key gets them all, so that their number must have an end.
const MOST_BUCKETS: usize = 100;

/// What the finding exposes. An owner that cannot be read keeps its own key from being acted on, and no other.
pub(super) fn expose(fields: &Fields, named: &[Named], buckets: Buckets, origin: &mut Origin) -> Reading {
    let mut names = distinct(buckets.names);
    let bucket_region = region(fields.region, buckets.regions, origin);
    let keys = keys(fields.key, named.iter().map(|named| bare_id(named.id)), origin)?;
    let mut owners: HashMap<&str, &Named> = HashMap::new();
    for named in named {
        owners.entry(bare_id(named.id).trim_ascii()).or_insert(named);
    }
    if names.len() > MOST_BUCKETS {
        origin.ignored_fields.push(format!("all buckets but the first {MOST_BUCKETS} of {}", names.len()));
        names.truncate(MOST_BUCKETS);
    }
    let mut exposures = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(named) = owners.get(key.as_str()) else { continue };
        let region = bucket_region.clone().or_else(|| region(fields.region, named.region, origin));
        let account = account(fields.account, named.account);
        exposures.push(account.map(|account| Exposure {
            buckets: names.clone(),
            account,
            region,
            ..Exposure::of(key)
        }));
    }
    Ok(exposures)
}

/// What a finding without a key is about: its first resources.
pub(super) fn no_key<'a>(types: impl Iterator<Item = &'a str>) -> Ignored {
    let types: Vec<&str> = types.take(9).collect();
    let what = if types.is_empty() { "no resource".to_owned() } else { types.join(", ") };
    Ignored::NoAccessKey { what: SafeText::of(&what) }
}

/// One incident with all that can be acted on, and one for each reason why something cannot.
pub(super) fn alerts(origin: &Origin, reading: Reading) -> Vec<Alert> {
    let all = match reading {
        Ok(all) => all,
        Err(reason) => return vec![Alert::without_key(origin.clone(), reason)],
    };
    let (mut exposures, mut refused) = (Vec::new(), Vec::new());
    for exposure in all {
        match exposure {
            Ok(exposure) => exposures.push(exposure),
            Err(reason) if refused.contains(&reason) => {}
            Err(reason) => refused.push(reason),
        }
    }
    let acted_on = (!exposures.is_empty()).then(|| Alert { origin: origin.clone(), exposures: Ok(exposures) });
    acted_on.into_iter().chain(refused.into_iter().map(|reason| Alert::without_key(origin.clone(), reason))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_says_so_in_several_forms() {
        for info in [
            json!({"sample": true}),
            json!({"Sample": "true"}),
            json!({"value": "{\"sample\":true}"}),
            json!({"Value": "{\"threatName\":\"x\",\"sample\":true}"}),
            json!("{\"sample\":true}"),
        ] {
            assert!(is_sample(&info), "{info}");
        }
        for info in
            [json!({}), json!({"sample": false}), json!({"value": "sample"}), json!({"value": ["sample"]}), json!(1)]
        {
            assert!(!is_sample(&info), "{info}");
        }
    }

    #[test]
    fn only_arns_of_s3_and_plain_names_have_a_bucket() {
        for text in ["photos", "photos/a/b.jpg", "arn:aws:s3:::photos", "arn:aws-us-gov:s3:::photos/a:::b"] {
            assert_eq!(bucket_in(text), Some("photos"), "{text}");
        }
        for text in ["arn:aws:s3:eu-west-1:111122223333:accesspoint/photos", "arn:aws:sns:::photos", "arn:aws:s3"] {
            assert_eq!(bucket_in(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_is_found_in_both_casings_and_a_null_is_nothing() {
        assert_eq!(
            at(&json!({"service": null, "Service": {"archived": true}}), "service/archived"),
            Some(&json!(true))
        );
        assert_eq!(at(&json!({"resource": {"S3BucketDetails": []}}), "resource/s3BucketDetails"), Some(&json!([])));
        assert_eq!(at(&json!({"service": {"archived": null}}), "service/archived"), None);
        assert_eq!(at(&json!("x"), "service"), None);
    }
}
