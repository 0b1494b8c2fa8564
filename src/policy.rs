//! What the operator forbids: which buckets' keys are never deleted, and whether any are.
//!
//! Exclusion wins: over the alert, over the mode, over a wish of whoever invokes by hand. Invariant: nothing that comes
//! with an alert makes this function less careful than it is configured to be.

use std::collections::HashSet;
use std::fmt;

use crate::aws::lightsail::Bucket;
use crate::names::BucketName;

/// A bucket with this tag is protected. The template's IAM policy enforces it too, in `aws:ResourceTag/responder:protect`,
/// and there in any case: before a delete right away nobody has read a tag.
pub const PROTECT_TAG: (&str, &str) = ("responder:protect", "true");

/// What the operator forbids and allows.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether keys are deleted.
    pub mode: Mode,
    /// How many keys one alert may name; more are for a person to approve.
    pub most_keys: usize,
    /// Buckets whose keys are never deleted.
    pub protected: HashSet<BucketName>,
}

/// Whether keys are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are only looked for; the record says what would have been done.
    DryRun,
}

/// Why the keys of a bucket are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// It is in `PROTECTED_BUCKETS`.
    Named,
    /// It has the [tag](PROTECT_TAG).
    Tagged,
}

impl Policy {
    /// Whether the keys of a bucket with this name are left alone. Its tags may say so too.
    pub fn protects_name(&self, bucket: &BucketName) -> Option<Protection> {
        self.protected.contains(bucket).then_some(Protection::Named)
    }

    /// Whether the keys of `bucket` are left alone.
    pub fn protects(&self, bucket: &Bucket) -> Option<Protection> {
        // Either in any case, as IAM compares names of condition keys, and the template values of this one.
        let (key, value) = PROTECT_TAG;
        let tagged = bucket.tags.iter().any(|(k, v)| k.eq_ignore_ascii_case(key) && v.eq_ignore_ascii_case(value));
        self.protects_name(&bucket.name).or_else(|| tagged.then_some(Protection::Tagged))
    }
}

impl Mode {
    /// The mode as it is written in `RESPONDER_MODE` and in the record.
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

    fn bucket(tags: &[(&str, &str)]) -> Bucket {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Bucket { name: "photos".parse().unwrap(), tags }
    }

    #[test]
    fn a_bucket_is_protected_by_its_name_or_by_its_tag() {
        let mut policy = Policy { mode: Mode::Enforce, most_keys: 20, protected: HashSet::new() };
        assert_eq!(policy.protects(&bucket(&[("Responder:Protect", "True")])), Some(Protection::Tagged));
        for tags in [vec![], vec![("responder:protect", "false")], vec![("protect", "true"), ("stage", "responder")]] {
            assert_eq!(policy.protects(&bucket(&tags)), None, "{tags:?}");
        }
        policy.protected.insert("photos".parse().unwrap());
        assert_eq!(policy.protects(&bucket(&[])), Some(Protection::Named));
        assert_eq!(policy.protects_name(&"logs".parse().unwrap()), None);
    }
}
