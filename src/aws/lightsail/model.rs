//! Shapes of the Lightsail API -> types that can be recorded.
//!
//! Invariant: AWS may leave out any field (API model), and a missing field stays missing. Free text is sanitised here.

use aws_sdk_lightsail::{primitives, types};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use crate::names::BucketName;
use crate::safe_text::SafeText;

/// Operation with every field that the API returns (API reference, `Operation`). AWS may leave out any.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Operation {
    /// ID, for `GetOperation`.
    pub id: Option<String>,
    /// `operationType`, such as `DeleteBucketAccessKey`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `NotStarted`, `Started`, `Failed`, `Completed`, `Succeeded`, or a later addition of AWS.
    pub status: Option<String>,
    /// Whether it has ended.
    pub is_terminal: Option<bool>,
    /// The bucket.
    pub resource_name: Option<String>,
    /// `Bucket`.
    pub resource_type: Option<String>,
    /// Location of the resource.
    pub location: Option<Location>,
    /// `operationDetails`.
    pub details: Option<SafeText>,
    /// Time of creation.
    pub created_at: Option<DateTime<Utc>>,
    /// Time of the last change of status.
    pub status_changed_at: Option<DateTime<Utc>>,
    /// Error code, if it failed.
    pub error_code: Option<SafeText>,
    /// Error message, if it failed.
    pub error_details: Option<SafeText>,
}

/// Location of a resource (API reference, `ResourceLocation`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Location {
    /// `all` for a bucket.
    pub availability_zone: Option<String>,
    /// The Region.
    pub region_name: Option<String>,
}

/// Access key as `GetBucketAccessKeys` lists it, without the secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessKey {
    /// ID of the key.
    pub id: String,
    /// `Active` or `Inactive`.
    pub status: Option<String>,
    /// Time of creation.
    pub created_at: Option<DateTime<Utc>>,
    /// Last use that AWS knows of.
    pub last_used: Option<LastUsed>,
}

/// Last use of a key (API reference, `AccessKeyLastUsed`): `N/A` and no time for a key that was never used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastUsed {
    /// Time of use.
    pub at: Option<DateTime<Utc>>,
    /// Region of use.
    pub region: String,
    /// Service that the key was used with.
    pub service: String,
}

/// Bucket as `GetBuckets` lists it (API reference, `Bucket`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Name of the bucket.
    pub name: BucketName,
    /// Tags, as key and value.
    pub tags: Vec<(String, String)>,
}

impl Operation {
    /// Returns whether it has ended, well or not. Reads both fields, because AWS may leave out either.
    pub fn has_ended(&self) -> bool {
        self.is_terminal == Some(true) || self.succeeded() || self.has_failed()
    }

    /// Returns whether it succeeded. `Completed` and `Succeeded` both count (Terraform's Lightsail waiter takes
    /// either).
    pub fn succeeded(&self) -> bool {
        matches!(self.status.as_deref(), Some("Completed" | "Succeeded"))
    }

    /// Returns whether it ended as `Failed`.
    pub fn has_failed(&self) -> bool {
        self.status.as_deref() == Some("Failed")
    }
}

impl From<types::Operation> for Operation {
    fn from(operation: types::Operation) -> Self {
        Self {
            id: operation.id,
            kind: operation.operation_type.map(|kind| kind.as_str().to_owned()),
            status: operation.status.map(|status| status.as_str().to_owned()),
            is_terminal: operation.is_terminal,
            resource_name: operation.resource_name.map(|name| SafeText::of(&name).to_string()),
            resource_type: operation.resource_type.map(|kind| kind.as_str().to_owned()),
            location: operation.location.map(|location| Location {
                availability_zone: location.availability_zone,
                region_name: location.region_name.map(|region| region.as_str().to_owned()),
            }),
            details: operation.operation_details.as_deref().map(SafeText::of),
            created_at: moment(operation.created_at),
            status_changed_at: moment(operation.status_changed_at),
            error_code: operation.error_code.as_deref().map(SafeText::of),
            error_details: operation.error_details.as_deref().map(SafeText::of),
        }
    }
}

impl AccessKey {
    /// Reads a key. None without an ID.
    pub(super) fn read(key: types::AccessKey) -> Option<Self> {
        Some(Self {
            id: key.access_key_id?,
            status: key.status.map(|status| status.as_str().to_owned()),
            created_at: moment(key.created_at),
            last_used: key.last_used.map(|used| LastUsed {
                at: moment(used.last_used_date),
                region: used.region.unwrap_or_default(),
                service: used.service_name.unwrap_or_default(),
            }),
        })
    }
}

impl Bucket {
    /// Reads a bucket. None without a name.
    pub(super) fn read(bucket: types::Bucket) -> Option<Self> {
        let tags = bucket.tags.unwrap_or_default().into_iter();
        let tags = tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect();
        Some(Self { name: BucketName::opaque(&bucket.name?)?, tags })
    }
}

/// Converts a time. AWS sends epoch seconds as a floating-point number with milliseconds. Smaller parts are rounding
/// error.
fn moment(time: Option<primitives::DateTime>) -> Option<DateTime<Utc>> {
    let time = time?;
    DateTime::from_timestamp(time.secs(), time.subsec_nanos()).map(|at| at.round_subsecs(3))
}
