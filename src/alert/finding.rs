//! Candidates for keys and buckets of a finding -> [`Alert`]s: the common spellings of GuardDuty, ASFF and OCSF.
//!
//! The parsers select the key fields, and `finding_type` decides whether the key is exposed. Invariant: a key is acted
//! on in the accounts that its own resource names, or not at all.

use std::collections::HashMap;

use serde_json::Value;

use super::taken::Taken;
use super::{
    Alert, Exposure, Hint, Ignored, Origin, Unactionable, Unreadable, distinct, distinct_hints, hint, is_key_id, keys,
    owner,
};
use crate::names::{AccountId, BucketName, Region};
use crate::safe_text::SafeText;

/// Text in the key field of one resource, and the owner of the resource.
pub(super) struct Candidate<'a> {
    /// Text of the key field. It may be something other than a key ID.
    pub(super) id: &'a str,
    /// Account in the finding's own form. No source says that it owns the key.
    pub(super) account: Option<&'a Value>,
    /// Account of the caller, if the finding names it beside its own.
    pub(super) caller: Option<&'a Value>,
    /// Region in the finding's own form.
    pub(super) region: Option<&'a str>,
}

/// Exposures of one finding: each key, or the reason why its owner is malformed.
pub(super) type Reading = Result<Vec<Result<Exposure, Unreadable>>, Unactionable>;

/// Returns the findings in an event's `detail` or in the output of an API call, or the value as the only finding.
pub(super) fn listed(value: &Value) -> Vec<&Value> {
    match value.get("findings").or_else(|| value.get("Findings")) {
        Some(Value::Array(findings)) => findings.iter().collect(),
        Some(finding @ Value::Object(_)) => vec![finding],
        _ => vec![value],
    }
}

/// Parses each finding in `value`. An empty list is an error.
pub(super) fn read_all(
    value: &Value,
    source: &str,
    field: &'static str,
    read_one: impl Fn(&Value) -> Vec<Alert>,
) -> Vec<Alert> {
    let findings = listed(value);
    if findings.is_empty() {
        return vec![Alert::without_key(Origin::of(source), Unreadable::Missing { field })];
    }
    let mut taken = Taken::default();
    findings.into_iter().for_each(|finding| taken.value(finding, 1, || read_one(finding)));
    taken.into_alerts()
}

/// Returns the value at a path in API casing (`accountId`) or in that of the CLI and boto3 (`AccountId`), which tools
/// put into events.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').try_fold(value, |value, field| {
        let pascal = || field.get(..1).map(|first| first.to_ascii_uppercase() + &field[1..]);
        let camel = value.get(field).filter(|inner| !inner.is_null());
        camel.or_else(|| value.get(pascal()?)).filter(|inner| !inner.is_null())
    })
}

/// Returns the text at a path in either casing.
pub(super) fn text_at<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    at(value, path)?.as_str()
}

/// Iterates over the array at a path in either casing. Without an array there are no elements.
pub(super) fn each_at<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

/// Tests for the placeholder of a key in a sample finding: `GeneratedFindingAccessKeyId` (GuardDuty user guide, "Sample
/// findings").
pub(super) fn is_sample_name(id: &str) -> bool {
    bare_id(id).starts_with("GeneratedFinding")
}

/// Tests whether GuardDuty's `additionalInfo` says that the finding is a sample: as a field, or inside JSON text.
/// Published samples have either or both. Security Hub flattens them to text.
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

/// Kind of a finding's resource.
#[derive(PartialEq)]
pub(super) enum Resource {
    Key,
    Bucket,
    Object,
    Other,
}

impl Resource {
    /// Parses all spellings: `AwsIamAccessKey` (ASFF), `AWSIAMAccessKey` (2018), `AWS::IAM::AccessKey` (Security Hub
    /// V2), `ACCESS_KEY` (GuardDuty API model, `FindingResourceType`).
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

/// Removes the prefix that Security Hub puts in front of an access key ID.
pub(super) fn bare_id(text: &str) -> &str {
    text.trim_ascii().strip_prefix("AWS::IAM::AccessKey:").unwrap_or(text)
}

/// Tests for `null` in place of the ID, as in the finding of a console sign-in: `AWS::IAM::AccessKey:null`.
pub(super) fn is_null(text: &str) -> bool {
    bare_id(text).trim_ascii() == "null"
}

/// Returns the first text that is a key ID, else the first text that is not empty, for the error.
pub(super) fn best_id(texts: [Option<&str>; 2]) -> &str {
    let texts = || texts.into_iter().flatten();
    let has_text = |text: &&str| !text.is_empty() && !is_null(text);
    texts().find(|text| is_key(text)).or_else(|| texts().find(has_text)).or_else(|| texts().next()).unwrap_or_default()
}

/// Tests for the ID of a long-term or temporary key, with or without the prefix.
pub(super) fn is_key(text: &str) -> bool {
    is_key_id(bare_id(text))
}

/// Returns the bucket of `arn:<partition>:s3:::<bucket>/<object>`, `<bucket>/<object>` or `<bucket>`. Other ARNs have
/// none.
pub(super) fn bucket_in(text: &str) -> Option<&str> {
    let name = match text.split_once(":::") {
        Some((arn, name)) if arn.starts_with("arn:") && arn.ends_with(":s3") => name,
        _ if text.starts_with("arn:") => return None,
        _ => text,
    };
    name.split('/').next()
}

/// Returns the text of an object if it has the form `<bucket>/<object>`. An object alone does not name its bucket.
pub(super) fn object_path(text: Option<&str>) -> Option<&str> {
    text.filter(|text| text.contains('/'))
}

/// Buckets that a finding names, in its order, and their Regions.
#[derive(Default)]
pub(super) struct Buckets<'a> {
    hints: Vec<(BucketName, Option<&'a str>)>,
}

impl<'a> Buckets<'a> {
    /// Adds the bucket that one of `texts` names.
    pub(super) fn add<const N: usize>(
        &mut self,
        field: &str,
        texts: [Option<&str>; N],
        region: Option<&'a str>,
        origin: &mut Origin,
    ) {
        if let Some(name) = bucket(field, texts, origin) {
            self.hints.push((name, region));
        }
    }
}

/// Returns the first bucket that `texts` name.
fn bucket<'a>(
    field: &str,
    texts: impl IntoIterator<Item = Option<&'a str>>,
    origin: &mut Origin,
) -> Option<BucketName> {
    let names: Vec<&str> = texts.into_iter().flatten().filter_map(bucket_in).filter(|name| !name.is_empty()).collect();
    // A malformed name is recorded once, and only if there is no valid one.
    names.iter().find_map(|name| name.parse().ok()).or_else(|| hint(field, names.first().copied(), origin))
}

/// Parses a Region. A resource of IAM has `global` (OCSF) or none.
fn region(field: &str, text: Option<&str>, origin: &mut Origin) -> Option<Region> {
    hint(field, text.filter(|text| !matches!(*text, "" | "global")), origin)
}

/// Parses an account. A malformed one is an error, because a search of other accounts cannot prove that the key is
/// gone.
fn account(field: &'static str, value: Option<&Value>) -> Result<Option<AccountId>, Unreadable> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => owner(field, Some(text)),
        Some(other) => Err(Unreadable::wrong_type(field, other, "a string of 12 digits")),
    }
}

/// Paths of a finding format, for errors.
pub(super) struct Fields {
    /// Path of the key ID.
    pub(super) key: &'static str,
    /// Path of its owner.
    pub(super) account: &'static str,
    /// Path of the Region.
    pub(super) region: &'static str,
}

/// Limit of buckets, above what a finding names. It bounds memory, because every key gets all of them.
const MAX_BUCKETS: usize = 100;

/// Combines the candidates with the buckets. A malformed account stops its own key and no other.
pub(super) fn expose(fields: &Fields, candidates: &[Candidate], buckets: Buckets, origin: &mut Origin) -> Reading {
    let hints = buckets.hints.into_iter();
    let hints: Vec<Hint> =
        hints.map(|(bucket, text)| Hint { bucket, region: region(fields.region, text, origin) }).collect();
    let mut hints = distinct_hints(hints);
    let keys = keys(fields.key, candidates.iter().map(|candidate| bare_id(candidate.id)), origin)?;
    let mut owners: HashMap<&str, &Candidate> = HashMap::new();
    for candidate in candidates {
        owners.entry(bare_id(candidate.id).trim_ascii()).or_insert(candidate);
    }
    if hints.len() > MAX_BUCKETS {
        origin.ignored_fields.push(format!("all buckets but the first {MAX_BUCKETS} of {}", hints.len()));
        hints.truncate(MAX_BUCKETS);
    }
    let mut exposures = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(candidate) = owners.get(key.as_str()) else { continue };
        let region = region(fields.region, candidate.region, origin);
        // A bucket without a Region is in that of another bucket, or of the finding.
        let default = hints.iter().find_map(|hint| hint.region.clone()).or_else(|| region.clone());
        let hints = hints.iter().cloned();
        let hints: Vec<Hint> =
            hints.map(|hint| Hint { region: hint.region.or_else(|| default.clone()), ..hint }).collect();
        let regions = hints.iter().filter_map(|hint| hint.region.clone()).chain(region).collect();
        let accounts = [candidate.account, candidate.caller].map(|value| account(fields.account, value));
        let accounts = accounts.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>();
        exposures.push(accounts.map(|accounts| Exposure {
            hints,
            accounts: distinct(accounts),
            regions: distinct(regions),
            ..Exposure::of(key)
        }));
    }
    Ok(exposures)
}

/// Returns the reason for a finding without a key, with the types of its first nine resources.
pub(super) fn no_key<'a>(types: impl Iterator<Item = &'a str>) -> Ignored {
    let types: Vec<&str> = types.take(9).collect();
    let what = if types.is_empty() { "no resource".to_owned() } else { types.join(", ") };
    Ignored::NoAccessKey { what: SafeText::of(&what) }
}

/// Makes one alert with all exposures, and one for each distinct reason why a key cannot be acted on.
pub(super) fn alerts(origin: &Origin, reading: Reading) -> Vec<Alert> {
    let results = match reading {
        Ok(results) => results,
        Err(reason) => return vec![Alert::without_key(origin.clone(), reason)],
    };
    let (mut exposures, mut refused) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(exposure) => exposures.push(exposure),
            Err(reason) if refused.contains(&reason) => {}
            Err(reason) => refused.push(reason),
        }
    }
    let exposed = (!exposures.is_empty()).then(|| Alert { origin: origin.clone(), exposures: Ok(exposures) });
    exposed.into_iter().chain(refused.into_iter().map(|reason| Alert::without_key(origin.clone(), reason))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sample_is_recognised_in_every_form() {
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
    fn only_s3_arns_and_plain_names_have_a_bucket() {
        for text in ["photos", "photos/a/b.jpg", "arn:aws:s3:::photos", "arn:aws-us-gov:s3:::photos/a:::b"] {
            assert_eq!(bucket_in(text), Some("photos"), "{text}");
        }
        for text in ["arn:aws:s3:eu-west-1:111122223333:accesspoint/photos", "arn:aws:sns:::photos", "arn:aws:s3"] {
            assert_eq!(bucket_in(text), None, "{text}");
        }
    }

    #[test]
    fn path_is_found_in_both_casings() {
        assert_eq!(
            at(&json!({"service": null, "Service": {"archived": true}}), "service/archived"),
            Some(&json!(true))
        );
        assert_eq!(at(&json!({"resource": {"S3BucketDetails": []}}), "resource/s3BucketDetails"), Some(&json!([])));
        assert_eq!(at(&json!({"service": {"archived": null}}), "service/archived"), None);
        assert_eq!(at(&json!("x"), "service"), None);
    }
}
