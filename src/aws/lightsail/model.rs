//! The API's shapes -> ours: what AWS answers, in types that can be recorded.
//!
//! Invariant: AWS may leave out any member (API model), and what is missing stays missing; free text is made safe here.

use aws_sdk_lightsail::{primitives, types};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use crate::names::BucketName;
use crate::safe_text::SafeText;

/// An operation with every member that the API returns (API reference, `Operation`); AWS may leave out any of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Operation {
    /// ID, for `GetOperation`.
    pub id: Option<String>,
    /// `operationType`, such as `DeleteBucketAccessKey`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `NotStarted`, `Started`, `Failed`, `Completed`, `Succeeded`, or what AWS will think of next.
    pub status: Option<String>,
    /// Whether it has ended.
    pub is_terminal: Option<bool>,
    /// The bucket.
    pub resource_name: Option<String>,
    /// `Bucket`.
    pub resource_type: Option<String>,
    /// Where it runs.
    pub location: Option<Location>,
    /// `operationDetails`.
    pub details: Option<SafeText>,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// When its status last changed.
    pub status_changed_at: Option<DateTime<Utc>>,
    /// Why it failed, as a code.
    pub error_code: Option<SafeText>,
    /// Why it failed, in words.
    pub error_details: Option<SafeText>,
}

/// API reference, `ResourceLocation`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Location {
    /// For a bucket: `all`.
    pub availability_zone: Option<String>,
    /// The Region.
    pub region_name: Option<String>,
}

/// A key as `GetBucketAccessKeys` lists it: never with the secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BucketKey {
    /// The key.
    pub id: String,
    /// `Active` or `Inactive`.
    pub status: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// Its last use that AWS knows of.
    pub last_used: Option<LastUsed>,
}

/// API reference, `AccessKeyLastUsed`; `N/A` and no time for a key that was never used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastUsed {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// In which Region.
    pub region: String,
    /// With which service.
    pub service: String,
}

/// A bucket as `GetBuckets` lists it (API reference, `Bucket`), as far as we ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: BucketName,
    /// Its tags, key and value.
    pub tags: Vec<(String, String)>,
}

impl Operation {
    /// Whether it has ended, well or not. Both members are looked at, since AWS may leave out either.
    pub fn has_ended(&self) -> bool {
        self.is_terminal == Some(true) || self.ended_well() || self.has_failed()
    }

    /// `Completed` and `Succeeded` are both good (Terraform's Lightsail waiter takes either).
    pub fn ended_well(&self) -> bool {
        matches!(self.status.as_deref(), Some("Completed" | "Succeeded"))
    }

    /// `Failed`.
    pub fn has_failed(&self) -> bool {
        self.status.as_deref() == Some("Failed")
    }
}

impl From<types::Operation> for Operation {
    fn from(wire: types::Operation) -> Self {
        Self {
            id: wire.id,
            kind: wire.operation_type.map(|kind| kind.as_str().to_owned()),
            status: wire.status.map(|status| status.as_str().to_owned()),
            is_terminal: wire.is_terminal,
            resource_name: wire.resource_name,
            resource_type: wire.resource_type.map(|kind| kind.as_str().to_owned()),
            location: wire.location.map(|location| Location {
                availability_zone: location.availability_zone,
                region_name: location.region_name.map(|region| region.as_str().to_owned()),
            }),
            details: wire.operation_details.as_deref().map(SafeText::of),
            created_at: moment(wire.created_at),
            status_changed_at: moment(wire.status_changed_at),
            error_code: wire.error_code.as_deref().map(SafeText::of),
            error_details: wire.error_details.as_deref().map(SafeText::of),
        }
    }
}

impl BucketKey {
    /// None without an ID.
    pub(super) fn read(wire: types::AccessKey) -> Option<Self> {
        Some(Self {
            id: wire.access_key_id?,
            status: wire.status.map(|status| status.as_str().to_owned()),
            created_at: moment(wire.created_at),
            last_used: wire.last_used.map(|used| LastUsed {
                at: moment(used.last_used_date),
                region: used.region.unwrap_or_default(),
                service: used.service_name.unwrap_or_default(),
            }),
        })
    }
}

impl Bucket {
    /// None without a name.
    pub(super) fn read(wire: types::Bucket) -> Option<Self> {
        let tags = wire.tags.unwrap_or_default().into_iter();
        let tags = tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect();
        Some(Self { name: wire.name?.parse().ok()?, tags })
    }
}

/// AWS sends epoch seconds as a floating-point number with milliseconds; what lies below them is its rounding error.
fn moment(wire: Option<primitives::DateTime>) -> Option<DateTime<Utc>> {
    let wire = wire?;
    DateTime::from_timestamp(wire.secs(), wire.subsec_nanos()).map(|at| at.round_subsecs(3))
}
