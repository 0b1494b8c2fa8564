//! Policy of the operator: whether keys are deleted, and which buckets are protected.
//!
//! Protection takes precedence over the alert, over the mode, and over a manual event. Invariant: nothing that comes
//! with an alert makes this function less careful than it is configured to be.

use std::collections::HashSet;
use std::fmt;

use crate::names::BucketName;

/// Tag of a protected bucket. The template's IAM policy enforces it too, in `aws:ResourceTag/responder:protect`. Only
/// IAM can enforce it for a hinted bucket, because the delete there is sent before any tag is read.
pub const PROTECT_TAG: (&str, &str) = ("responder:protect", "true");

/// Policy of the operator.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Mode for all alerts.
    pub mode: Mode,
    /// Most keys that one alert may name. More need the approval of an operator.
    pub max_keys: usize,
    /// Buckets whose keys are never deleted.
    pub protected: HashSet<BucketName>,
}

/// Choice between deleting keys and only looking for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Keys are deleted.
    #[default]
    Enforce,
    /// Keys are only looked for. The record says what would have been done.
    DryRun,
}

/// Reason why the keys of a bucket are not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The bucket is in `PROTECTED_BUCKETS`.
    Named,
    /// The bucket has the [tag](PROTECT_TAG).
    Tagged,
}

impl Policy {
    /// Returns the protection of a bucket, given its name and those of its tags that are known, as key and value.
    pub fn protection(&self, bucket: &BucketName, tags: &[(String, String)]) -> Option<Protection> {
        // Any case matches, because IAM ignores it in names of condition keys, and the template in the value of this
        // one.
        let (key, value) = PROTECT_TAG;
        let tagged = tags.iter().any(|(k, v)| k.eq_ignore_ascii_case(key) && v.eq_ignore_ascii_case(value));
        // So that a slip in the case of a letter does not unprotect a bucket either.
        let same = |protected: &BucketName| protected.as_str().eq_ignore_ascii_case(bucket.as_str());
        let named = self.protected.iter().any(same).then_some(Protection::Named);
        named.or_else(|| tagged.then_some(Protection::Tagged))
    }
}

impl Mode {
    /// Returns the mode as it is written in `RESPONDER_MODE` and in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::DryRun => "dry_run",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("is in PROTECTED_BUCKETS"),
            Self::Tagged => write!(f, "has the tag {}={}", PROTECT_TAG.0, PROTECT_TAG.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_is_protected_by_name_or_tag() {
        let mut policy = Policy { mode: Mode::Enforce, max_keys: 20, protected: HashSet::new() };
        let photos: BucketName = "photos".parse().unwrap();
        let protection = |policy: &Policy, tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
            policy.protection(&photos, &tags)
        };
        assert_eq!(protection(&policy, &[("Responder:Protect", "True")]), Some(Protection::Tagged));
        for tags in [vec![], vec![("responder:protect", "false")], vec![("protect", "true"), ("stage", "responder")]] {
            assert_eq!(protection(&policy, &tags), None, "{tags:?}");
        }
        policy.protected.insert(photos.clone());
        assert_eq!(protection(&policy, &[]), Some(Protection::Named));
        assert_eq!(policy.protection(&BucketName::opaque("Photos").unwrap(), &[]), Some(Protection::Named));
        assert_eq!(policy.protection(&"logs".parse().unwrap(), &[]), None);
    }
}
