//! [`Revocation`] -> [`Confirmation`]: follows every operation to its end, then looks that the key is gone.
//!
//! An accepted delete is a promise, not a fact. Invariant: [`Proof::Dead`] is given only when every operation ended
//! well and a list of the bucket's keys, read after that, does not have the key.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use tokio::time::Instant;

use crate::aws::Failure;
use crate::aws::lightsail::{InRegion, Operation};
use crate::deadline::Timeouts;
use crate::deadline::{Deadline, Pauses};
use crate::names::{AccessKeyId, BucketName};
use crate::respond::revoke::Revocation;

/// Kept of the time for work so that the key is looked for even when an operation does not end.
const FOR_THE_LOOK: Duration = Duration::from_secs(2);

/// How a revocation ended, as far as it could be seen.
#[derive(Debug)]
pub struct Confirmation {
    /// The operations, as they last stood.
    pub operations: Vec<Operation>,
    /// What reading the keys showed.
    pub verification: Verification,
    /// When the key was seen to be gone.
    pub absent_at: Option<Instant>,
    /// The last failure to read an operation or the keys.
    pub failure: Option<Failure>,
}

/// What reading the bucket's keys after the delete showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Whether the key is gone; none when the keys could not be read.
    pub absent: Option<bool>,
    /// How many times the keys were read.
    pub reads: u32,
    /// When they were last read.
    pub at: Option<DateTime<Utc>>,
    /// How many keys the bucket has now.
    pub keys_left: Option<usize>,
}

impl Verification {
    /// So many looks at the keys of a bucket, the last one just now.
    pub fn of_looks(absent: bool, reads: u32) -> Self {
        Self { absent: Some(absent), reads, at: Some(now()), keys_left: None }
    }
}

/// What a confirmation proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The delete ended well, and the key is gone.
    Dead,
    /// The key is not on the bucket, but AWS named no operation: it may never have been there.
    AbsentHere,
    /// AWS says that the delete failed.
    OperationFailed,
    /// The end, or the absence of the key, was not seen.
    Missing,
}

/// Follows `revocation` to its end.
pub async fn confirm(revocation: Revocation, deadline: Deadline, timeouts: &Timeouts) -> Confirmation {
    let Revocation { target, key, mut operations, .. } = revocation;
    let followed = deadline.less(FOR_THE_LOOK);
    let mut failure = follow(&target.lightsail(followed), &mut operations, followed.pauses(timeouts)).await;
    // A delete that failed leaves the key where it is: one look, to say so, and the time goes to Lambda's retry.
    let failed = operations.iter().any(Operation::has_failed);
    let pauses = (!failed).then(|| deadline.at_most(timeouts.verify_for).pauses(timeouts));
    let (verification, absent_at) =
        verify(&target.lightsail(deadline), &target.bucket, &key, pauses, &mut failure).await;
    Confirmation { operations, verification, absent_at, failure }
}

impl Confirmation {
    /// What this proves.
    pub fn proof(&self) -> Proof {
        let absent = self.verification.absent == Some(true);
        if self.failed_operation().is_some() {
            Proof::OperationFailed
        } else if absent && self.operations.is_empty() {
            Proof::AbsentHere
        } else if absent && self.operations.iter().all(Operation::succeeded) {
            Proof::Dead
        } else {
            Proof::Missing
        }
    }

    /// The first operation that AWS says failed.
    pub fn failed_operation(&self) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.has_failed())
    }
}

/// Reads the operations that have not ended, again and again, until all have or the time is over.
async fn follow(lightsail: &InRegion, operations: &mut [Operation], mut pauses: Pauses) -> Option<Failure> {
    let mut lost = vec![false; operations.len()];
    let mut failure = None;
    loop {
        let mut pending = false;
        for (operation, lost) in operations.iter_mut().zip(&mut lost) {
            let Some(id) = operation.id.clone().filter(|_| !operation.has_ended() && !*lost) else { continue };
            match lightsail.get_operation(&id).await {
                Ok(Some(now)) => *operation = now,
                Ok(None) => {}
                Err(why) => {
                    *lost = !why.retryable;
                    failure = Some(why);
                }
            }
            pending |= !operation.has_ended() && !*lost;
        }
        if !pending || pauses.pause().await.is_err() {
            return failure;
        }
    }
}

/// Reads the keys of `bucket` until `key` is not among them or there is no pause left.
async fn verify(
    lightsail: &InRegion,
    bucket: &BucketName,
    key: &AccessKeyId,
    mut pauses: Option<Pauses>,
    failure: &mut Option<Failure>,
) -> (Verification, Option<Instant>) {
    let mut verification = Verification::default();
    loop {
        verification.reads += 1;
        match lightsail.get_bucket_access_keys(bucket).await {
            Ok(keys) => {
                let absent = keys.iter().all(|left| left.id != key.as_str());
                verification =
                    Verification { absent: Some(absent), at: Some(now()), keys_left: Some(keys.len()), ..verification };
                if absent {
                    return (verification, Some(Instant::now()));
                }
            }
            Err(why) => {
                let retryable = why.retryable;
                *failure = Some(why);
                if !retryable {
                    return (verification, None);
                }
            }
        }
        let Some(pauses) = &mut pauses else { return (verification, None) };
        if pauses.pause().await.is_err() {
            return (verification, None);
        }
    }
}

fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}
