//! [`Target`] -> [`Revocation`]: deletes the key at once.
//!
//! Invariant: nothing is read, written or waited for before the delete, and it names exactly the key of the alert.
//! Deleting a key that is already gone is refused as not found, so a repeated alert does no harm.

use tokio::time::Instant;

use crate::aws::lightsail::{InRegion, Operation};
use crate::aws::{Failure, Transmission};
use crate::names::AccessKeyId;
use crate::respond::locate::Target;

/// A delete that AWS accepted. It is not yet known to have ended.
#[derive(Debug)]
pub struct Revocation {
    /// The bucket that the key was on.
    pub target: Target,
    /// The key.
    pub key: AccessKeyId,
    /// What AWS set going, as it stood in the answer.
    pub operations: Vec<Operation>,
    /// AWS's ID of the request.
    pub request_id: Option<String>,
    /// When the answer came.
    pub accepted_at: Instant,
}

/// Deletes `key` from the bucket of `target`; `wire` tells of the attempts, also when this is dropped midway.
///
/// A failure may have been carried out where it says so.
pub async fn revoke(
    lightsail: &InRegion,
    target: &Target,
    key: &AccessKeyId,
    wire: &Transmission,
) -> Result<Revocation, Failure> {
    let accepted = lightsail.delete_bucket_access_key(&target.bucket, key, wire).await?;
    Ok(Revocation {
        target: target.clone(),
        key: key.clone(),
        operations: accepted.operations,
        request_id: accepted.request_id,
        accepted_at: Instant::now(),
    })
}
