//! Text from outside -> the four names that this function acts on: access key, bucket, Region, account.
//!
//! A name exists only after it has been parsed, so that no irreversible call is made with a string that only looks
//! right. Invariant: an error describes the text and never repeats it, because the text in place of a key ID is
//! sometimes the secret itself.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::safe_text::SafeText;

/// ID of a long-term access key: `AKIA` and 16 characters of `A-Z0-9`.
///
/// Lightsail's `IAMAccessKeyId` is `^[A-Z0-9]{20}$` (API model); its bucket keys begin with `AKIA`, IAM's prefix of
/// long-term keys (IAM user guide, "Understanding unique ID prefixes"). Surrounding white space is removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKeyId(String);

/// Name of a Lightsail bucket. An alert may only say 3-54 characters of `a-z0-9-` with no hyphen at either end (API
/// model, `BucketName`). What AWS lists is opaque, and its `Display` is sanitised.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName(String);

/// Code of an AWS Region such as `eu-central-1`. The form is checked strictly, because it becomes part of a host name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(String);

/// AWS account ID: 12 digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(String);

/// Reason why a text is not a valid name. Caused by the sender of the alert. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// `ASIA` and 16 characters: a temporary STS credential. No bucket has one, and it expires by itself.
    #[error("is a temporary STS credential (ASIA...), which no Lightsail bucket has")]
    TemporaryKey,
    /// Not an access key ID.
    #[error("is not an access key ID: {found} given; accepted: AKIA followed by 16 characters of A-Z and 0-9")]
    AccessKeyId {
        /// Description of the text.
        found: Description,
    },
    /// Not a name that a Lightsail bucket can have.
    #[error(
        "is not a Lightsail bucket name: {found} given; accepted: 3 to 54 characters of a-z, 0-9 and hyphen, no hyphen at either end"
    )]
    BucketName {
        /// Description of the text.
        found: Description,
    },
    /// Not a Region code.
    #[error("is not a Region code: {found} given; accepted: the form of eu-central-1")]
    Region {
        /// Description of the text.
        found: Description,
    },
    /// Not an account ID.
    #[error("is not an account ID: {found} given; accepted: 12 digits")]
    AccountId {
        /// Description of the text.
        found: Description,
    },
}

/// Length of a text and the kinds of characters in it, without the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    length: usize,
    /// Bit set over [`KINDS`].
    kinds: u8,
}

const KINDS: [&str; 5] = ["digits", "hyphens", "lower-case letters", "other characters", "upper-case letters"];

impl FromStr for AccessKeyId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim_ascii();
        let twenty = text.len() == 20 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        match (twenty, text.get(..4)) {
            (true, Some("AKIA")) => Ok(Self(text.to_owned())),
            (true, Some("ASIA")) => Err(NameError::TemporaryKey),
            _ => Err(NameError::AccessKeyId { found: Description::of(text) }),
        }
    }
}

impl FromStr for BucketName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim_ascii();
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits =
            (3..=54).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-');
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::BucketName { found: Description::of(text) }) }
    }
}

impl BucketName {
    /// Takes a name that AWS lists or that the operator protects, whatever its form. None for an empty name.
    ///
    /// S3 has buckets with upper-case letters, periods and underscores (S3 user guide, "General purpose bucket naming
    /// rules"), and Lightsail's buckets are S3 buckets. A key on such a bucket must be found and deleted too.
    pub fn opaque(name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self(name.to_owned()))
    }

    /// Returns the name as AWS knows it, for requests and comparisons. It is not safe in a log or record: use
    /// `Display` there.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SafeText::of(&self.0).fmt(f)
    }
}

impl FromStr for Region {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim_ascii();
        let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
        let (words, number) = text.rsplit_once('-').unwrap_or_default();
        let fits = text.len() <= 25
            && words.split('-').count() >= 2
            && words.split('-').all(letters)
            && words.find('-') == Some(2)
            && (1..=2).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Region { found: Description::of(text) }) }
    }
}

impl FromStr for AccountId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.trim_ascii();
        let fits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::AccountId { found: Description::of(text) }) }
    }
}

impl Description {
    /// Describes `text`.
    pub fn of(text: &str) -> Self {
        let kind = |c: char| match c {
            '0'..='9' => 0,
            '-' => 1,
            'a'..='z' => 2,
            'A'..='Z' => 4,
            _ => 3,
        };
        // One pass without a copy, because an alert can have a hundred thousand malformed names.
        let (length, kinds) = text.chars().fold((0, 0), |(length, kinds), c| (length + 1, kinds | 1 << kind(c)));
        Self { length, kinds }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = KINDS.iter().enumerate().filter(|(bit, _)| self.kinds & (1 << bit) != 0).map(|(_, kind)| *kind);
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        match self.length {
            0 => write!(f, "an empty text"),
            1 => write!(f, "1 character ({kinds})"),
            n => write!(f, "{n} characters ({kinds})"),
        }
    }
}

macro_rules! reads_as_text {
    ($($name:ty),*) => {$(
        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

reads_as_text!(AccessKeyId, Region, AccountId);

macro_rules! writes_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

writes_as_text!(Region, AccountId, BucketName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_term_key_is_trimmed() {
        let key: AccessKeyId = " AKIAIOSFODNN7EXAMPLE\n".parse().unwrap();
        assert_eq!(key.as_str(), "AKIAIOSFODNN7EXAMPLE");
    }

    #[test]
    fn opaque_bucket_name_is_sanitised_for_display() {
        let name = BucketName::opaque("My.Bucket_1\u{1b}[31m\n").unwrap();
        assert_eq!((name.as_str(), name.to_string().as_str()), ("My.Bucket_1\u{1b}[31m\n", r"My.Bucket_1\u{1b}[31m\n"));
        assert_eq!(BucketName::opaque("photos"), "photos".parse().ok());
        assert_eq!(BucketName::opaque(""), None);
    }

    #[test]
    fn temporary_key_has_its_own_error() {
        assert_eq!("ASIAIOSFODNN7EXAMPLE".parse::<AccessKeyId>(), Err(NameError::TemporaryKey));
    }

    #[test]
    fn malformed_key_is_rejected() {
        for text in [
            "",
            "AKIA",
            "akiaiosfodnn7example",
            "AKIAIOSFODNN7EXAMPL",
            "AKIAIOSFODNN7EXAMPLES",
            "AIDAIOSFODNN7EXAMPLE",
            "AKIAIOSFODNN7EXAMPL\u{c9}",
            "AKIA IOSFODNN7EXAMPL",
            "GeneratedFindingAccessKeyId",
            "********************",
        ] {
            assert!(matches!(text.parse::<AccessKeyId>(), Err(NameError::AccessKeyId { .. })), "{text}");
        }
    }

    #[test]
    fn errors_never_repeat_the_text() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let errors = [
            secret.parse::<AccessKeyId>().unwrap_err(),
            secret.parse::<BucketName>().unwrap_err(),
            secret.parse::<Region>().unwrap_err(),
            secret.parse::<AccountId>().unwrap_err(),
        ];
        for error in errors {
            let text = format!("{error} {error:?}");
            assert!(text.contains("40"), "{text}");
            assert!(!secret.split('/').any(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn bucket_names_follow_the_model() {
        for good in ["abc", "photos", "a1-b2", &"a".repeat(54)] {
            assert!(good.parse::<BucketName>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "-abc", "abc-", "Photos", "my.bucket", "my_bucket", "${bucket_name}", &"a".repeat(55)] {
            assert!(bad.parse::<BucketName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn region_cannot_contain_a_host_name() {
        for good in ["us-east-1", "ap-southeast-5", "us-gov-west-1"] {
            assert!(good.parse::<Region>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "useast1",
            "us-east-",
            "us--1",
            "-east-1",
            "us-east-1.evil.test",
            "us-east-1/",
            "evil.test#-a-1",
            "US-EAST-1",
        ] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }

    #[test]
    fn accounts_are_twelve_digits() {
        assert!("012345678912".parse::<AccountId>().is_ok());
        for bad in ["", "12345", "0123456789123", "AKIAIOSFODNN", "\u{661}12345678901"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }
}
