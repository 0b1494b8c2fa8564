//! Accepted delete -> the end of its operations, and what the bucket's keys show after it.
//!
//! An accepted delete is a promise, not a fact. Invariant: only reads that begin after all operations have ended, or
//! after the time for following them is over, count as verification.

use std::time::Duration;

use tokio::time::Instant;

use crate::aws::Failure;
use crate::aws::lightsail::{InRegion, Lightsail, Operation};
use crate::case::{Listing, Verification, Visit};
use crate::clock::Clock;
use crate::deadline::{Deadline, Pauses, Timeouts};
use crate::names::AccessKeyId;

/// Time kept for reading the keys even if an operation does not end.
const TIME_FOR_VERIFICATION: Duration = Duration::from_secs(2);

/// Follows the operations of an accepted delete to their end, then reads the keys until `key` is not listed.
pub(super) async fn confirm(
    lightsail: &Lightsail,
    visit: &mut Visit,
    key: &AccessKeyId,
    deadline: Deadline,
    timeouts: &Timeouts,
    clock: &Clock,
) {
    // A list from before the delete proves nothing after it.
    visit.listing = Some(Listing::Unread);
    visit.verification = Some(Verification::default());
    let Some(delete) = &mut visit.delete else { return };
    let Some(accepted) = &mut delete.accepted else { return };
    let until = deadline.less(TIME_FOR_VERIFICATION);
    let in_region = lightsail.in_region(&visit.target.region, until);
    let unfinished = follow(&in_region, &mut accepted.operations, until.pauses(timeouts)).await;
    let failed = accepted.operations.iter().find(|operation| operation.has_failed());
    let failure = failed.map(|operation| {
        Failure::operation_failed(operation.error_code.clone(), operation.error_details.clone(), &delete.transmission)
    });
    // A failed delete leaves the key in place: one read says so, and Lambda's retry gets the rest of the time.
    let pauses = failure.is_none().then(|| deadline.at_most(timeouts.verify_for).pauses(timeouts));
    visit.failures.extend(failure.or(unfinished));
    verify(&lightsail.in_region(&visit.target.region, deadline), visit, key, pauses, clock).await;
}

/// Polls the operations that have not ended, until all have or the time is over. Returns the failure that kept the last
/// one from being read.
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
                Err(error) => {
                    *lost = !error.retryable;
                    failure = Some(error);
                }
            }
            pending |= !operation.has_ended() && !*lost;
        }
        if !pending || pauses.pause().await.is_err() {
            return failure.filter(|_| !operations.iter().all(Operation::has_ended));
        }
    }
}

/// Reads the keys until `key` is not listed or there is no pause left.
async fn verify(lightsail: &InRegion, visit: &mut Visit, key: &AccessKeyId, mut pauses: Option<Pauses>, clock: &Clock) {
    loop {
        let verification = visit.verification.get_or_insert_default();
        let failure = match lightsail.get_bucket_access_keys(&visit.target.bucket).await {
            Ok(keys) => {
                verification.read(clock.now(), Some(keys.len()));
                if keys.iter().all(|listed| listed.id != key.as_str()) {
                    visit.listing = Some(Listing::NotListed);
                    verification.absent_at = Some(Instant::now());
                    return;
                }
                visit.listing = Some(Listing::Listed);
                None
            }
            Err(failure) => {
                verification.reads += 1;
                Some(failure)
            }
        };
        let retryable = failure.as_ref().is_none_or(|failure| failure.retryable);
        let pause = async { pauses.as_mut()?.pause().await.ok() };
        if !retryable || pause.await.is_none() {
            visit.failures.extend(failure);
            return;
        }
    }
}
