//! The operations that the simulator knows, nine of Lightsail and one of STS: turns the
//! `X-Amz-Target` of a request into an [`Operation`] and back.
//!
//! The list is closed, so that a script or a test which names an operation that the simulator
//! does not have is refused instead of never matching anything.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `targetPrefix` in the metadata of botocore's Lightsail model.
const TARGET_PREFIX: &str = "Lightsail_20161128.";

/// An operation of the Lightsail API that has to do with buckets, or of STS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Lists the Regions that Lightsail has.
    GetRegions,
    /// Creates a bucket.
    CreateBucket,
    /// Lists the buckets of one account in one Region, page by page.
    GetBuckets,
    /// Deletes a bucket.
    DeleteBucket,
    /// Creates an access key and tells its secret this one time.
    CreateBucketAccessKey,
    /// Lists the access keys of a bucket, without secrets.
    GetBucketAccessKeys,
    /// Deletes an access key of a bucket.
    DeleteBucketAccessKey,
    /// Tells how an operation that was started is getting on.
    GetOperation,
    /// Lists the operations of one account in one Region, page by page.
    GetOperations,
    /// Gives credentials for the account of a role. Of STS.
    AssumeRole,
}

impl Operation {
    /// Every operation that the simulator answers.
    pub const ALL: [Self; 10] = [
        Self::GetRegions,
        Self::CreateBucket,
        Self::GetBuckets,
        Self::DeleteBucket,
        Self::CreateBucketAccessKey,
        Self::GetBucketAccessKeys,
        Self::DeleteBucketAccessKey,
        Self::GetOperation,
        Self::GetOperations,
        Self::AssumeRole,
    ];

    /// The name as AWS spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetRegions => "GetRegions",
            Self::CreateBucket => "CreateBucket",
            Self::GetBuckets => "GetBuckets",
            Self::DeleteBucket => "DeleteBucket",
            Self::CreateBucketAccessKey => "CreateBucketAccessKey",
            Self::GetBucketAccessKeys => "GetBucketAccessKeys",
            Self::DeleteBucketAccessKey => "DeleteBucketAccessKey",
            Self::GetOperation => "GetOperation",
            Self::GetOperations => "GetOperations",
            Self::AssumeRole => "AssumeRole",
        }
    }

    /// Whether its answer carries `operations` that it started itself.
    pub(crate) fn starts_an_operation(self) -> bool {
        matches!(
            self,
            Self::CreateBucket | Self::DeleteBucket | Self::CreateBucketAccessKey | Self::DeleteBucketAccessKey
        )
    }

    /// The operation of Lightsail that an `X-Amz-Target` header names.
    pub(crate) fn from_target(target: &str) -> Option<Self> {
        target.strip_prefix(TARGET_PREFIX)?.parse().ok().filter(|operation| *operation != Self::AssumeRole)
    }
}

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(name: &str) -> Result<Self, UnknownOperation> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
            .ok_or_else(|| UnknownOperation(name.to_owned()))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Lets a test write `seen.operation == Operation::GetBuckets`; a seen operation is a string
/// because clients may name operations that do not exist.
impl PartialEq<Operation> for String {
    fn eq(&self, operation: &Operation) -> bool {
        self == operation.name()
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The name is of no operation that the simulator has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown operation `{0}`, expected one of {known}", known = Operation::ALL.map(Operation::name).join(", "))]
pub struct UnknownOperation(pub(crate) String);
