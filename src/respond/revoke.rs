//! The delete.
//!
//! Invariant: nothing is read, written or waited for before the delete, and it names exactly the key of the alert. AWS
//! refuses to delete a key that is already gone, so a repeated alert does no harm.

use tokio::time::Instant;

use crate::aws::lightsail::InRegion;
use crate::aws::{Failure, Transmission};
use crate::case::Acceptance;
use crate::names::{AccessKeyId, BucketName};

/// Deletes `key` from `bucket`. `transmission` observes the attempts, also if this future is dropped.
///
/// A failed delete may have taken effect: the failure says so.
pub(super) async fn revoke(
    lightsail: &InRegion,
    bucket: &BucketName,
    key: &AccessKeyId,
    transmission: &Transmission,
) -> Result<Acceptance, Failure> {
    let accepted = lightsail.delete_bucket_access_key(bucket, key, transmission).await?;
    Ok(Acceptance { at: Instant::now(), request_id: accepted.request_id, operations: accepted.operations })
}
