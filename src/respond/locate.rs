//! Exposure -> the buckets that can hold the key: hints of the alert, or every bucket there is.
//!
//! Lightsail has no call that finds a key's bucket, and its API is regional. Invariant: the [`Coverage`] of a search
//! names every page, bucket, Region and account that could not be read.

use std::ops::ControlFlow;
use std::pin::pin;

use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt};

use super::accounts::{Account, Reach, SessionName};
use crate::alert::{Exposure, Hint};
use crate::aws::lightsail::{AccessKey, Bucket, InRegion};
use crate::aws::{Failure, FailureKind};
use crate::case::{Coverage, FoundBy, Look, Target, Unread};
use crate::deadline::Deadline;
use crate::names::{AccessKeyId, AccountId, BucketName, Region};
use crate::regions::{REGIONS, has_lightsail, is_opt_in};

/// Concurrency limit of buckets in one Region. Together with an in-flight page this makes at most eight connections per
/// Region. Each costs a TLS handshake, and a small function has a fraction of a processor. An account has some twenty
/// buckets (Lightsail FAQ): three round trips.
const CONCURRENT_BUCKETS: usize = 7;

/// Concurrency limit of accounts, each searched in all Regions. They share connections.
const CONCURRENT_ACCOUNTS: usize = 4;

/// Most hints that are tried. A finding about S3 may name any number of buckets, and the search reads the others.
const MAX_HINTS: usize = 10;

/// A sighting: where the search saw the key.
#[derive(Debug)]
pub(super) struct Found {
    /// Account that has the bucket.
    pub(super) account: Account,
    /// Region of the bucket.
    pub(super) region: Region,
    /// The bucket as it was listed.
    pub(super) bucket: Bucket,
    /// The key as it was listed.
    pub(super) key: AccessKey,
}

/// Result of a search: breaks off at the first sighting, and otherwise says how far it went.
pub(super) type Search = ControlFlow<Box<Found>, Coverage>;

/// Returns the buckets that the alert names, each in its Region, or else in the first that the alert names, or else in
/// the own one: the first ten.
pub(super) fn hints(exposure: &Exposure, account: &Account, own: &Region) -> Vec<Target> {
    let default = exposure.regions.first().unwrap_or(own);
    let target = |hint: &Hint| Target {
        account: account.id.clone(),
        bucket: hint.bucket.clone(),
        region: hint.region.as_ref().unwrap_or(default).clone(),
        found_by: FoundBy::Alert,
    };
    let known = |target: &Target| has_lightsail(&target.region);
    exposure.hints.iter().map(target).filter(known).take(MAX_HINTS).collect()
}

/// Reads the keys of `bucket` once.
pub(super) async fn look(lightsail: &InRegion, bucket: &BucketName, key: &AccessKeyId) -> Look {
    match lightsail.get_bucket_access_keys(bucket).await {
        Ok(keys) => keys.into_iter().find(|listed| listed.id == key.as_str()).map_or(Look::NotListed, Look::Listed),
        Err(failure) if failure.kind == FailureKind::NotFound => Look::NoBucket(failure),
        Err(failure) => Look::Unread(failure),
    }
}

/// Returns the Regions to search, in the order of requests: those that the alert names, which are searched even if
/// `chosen` excludes them, the own one, all others.
pub(super) fn regions_to_search(chosen: &[Region], named: &[Region], own: &Region) -> Vec<Region> {
    let named: Vec<&Region> = named.iter().filter(|region| has_lightsail(region)).collect();
    let mut regions = chosen.to_vec();
    regions.extend(named.iter().filter(|region| !chosen.contains(region)).copied().cloned());
    let rank = |region: &Region| named.iter().position(|named| *named == region).unwrap_or(named.len());
    regions.sort_by_key(|region| (rank(region), region != own));
    regions
}

/// Searches for `key` on every bucket of `regions` in all accounts of `reach`, concurrently, until the first sighting.
/// Accounts that this function may not act in are unread.
pub(super) async fn search(
    reach: Reach<'_>,
    session: &SessionName,
    regions: Vec<Region>,
    key: &AccessKeyId,
    deadline: Deadline,
) -> Search {
    let wanted = regions.as_slice();
    let unread = |account: Option<&AccountId>, failure| Unread {
        account: account.map(ToString::to_string),
        region: None,
        bucket: None,
        failure,
    };
    let searches = std::iter::once(reach.home).chain(reach.others).map(|entrance| async move {
        match entrance.enter(session, deadline).await {
            Ok(account) => search_account(account, wanted, key, deadline).await,
            Err(failure) => {
                let unread = vec![unread(entrance.id(), failure)];
                ControlFlow::Continue(Coverage { unread, ..Coverage::default() })
            }
        }
    });
    let mut coverage = first_or_all(stream::iter(searches).buffer_unordered(CONCURRENT_ACCOUNTS)).await?;
    coverage.unread.extend(reach.foreign.iter().map(|id| unread(Some(id), Failure::foreign_account())));
    let regions_excluded = REGIONS.len().saturating_sub(regions.len());
    ControlFlow::Continue(Coverage { regions, regions_excluded, ..coverage })
}

/// Returns whether `failure` is the response of an opt-in Region that the account has not enabled: it does not know the
/// account's credentials (AWS Account Management guide, "Enable or disable AWS Regions"). In other Regions it is a
/// failure.
fn is_disabled(region: &Region, failure: &Failure) -> bool {
    let code = failure.code.as_ref().map(|code| code.as_str());
    matches!(code, Some("UnrecognizedClientException" | "InvalidClientTokenId")) && is_opt_in(region)
}

async fn search_account(account: Account, regions: &[Region], key: &AccessKeyId, deadline: Deadline) -> Search {
    let searches: FuturesUnordered<_> =
        regions.iter().map(|region| search_region(&account, region, key, deadline)).collect();
    let mut coverage = first_or_all(searches).await?;
    coverage.accounts_read = usize::from(coverage.is_complete());
    ControlFlow::Continue(coverage)
}

/// Reads buckets while further pages are in flight, so that a key on the first page does not wait for the last.
async fn search_region(account: &Account, region: &Region, key: &AccessKeyId, deadline: Deadline) -> Search {
    let lightsail = &account.lightsail.in_region(region, deadline);
    let looks = lightsail.buckets().enumerate().map(|(number, bucket)| async move {
        let bucket = bucket.map_err(|failure| (number, failure))?;
        let look = look(lightsail, &bucket.name, key).await;
        Ok((bucket, look))
    });
    let mut looks = pin!(looks.buffer_unordered(CONCURRENT_BUCKETS));
    let unread = |bucket: Option<&Bucket>, failure| Unread {
        account: account.id.as_ref().map(ToString::to_string),
        region: Some(region.to_string()),
        bucket: bucket.map(|bucket| bucket.name.to_string()),
        failure,
    };
    let mut coverage = Coverage { regions_read: 1, ..Coverage::default() };
    while let Some(read) = looks.next().await {
        match read {
            Ok((bucket, Look::Listed(key))) => {
                let (account, region) = (account.clone(), region.clone());
                return ControlFlow::Break(Box::new(Found { account, region, bucket, key }));
            }
            Ok((_, Look::NotListed)) => coverage.buckets_read += 1,
            // A bucket that AWS has just listed and does not find may have been deleted since, but nothing proves that.
            Ok((bucket, Look::NoBucket(failure) | Look::Unread(failure))) => {
                coverage.unread.push(unread(Some(&bucket), failure));
            }
            // A Region that is not enabled can hold nothing of the account. (One that has listed buckets is enabled.)
            Err((0, failure)) if is_disabled(region, &failure) => {}
            // Buckets that were listed before and after the failure are read too: the key may be there.
            Err((_, failure)) => {
                coverage.regions_read = 0;
                coverage.unread.push(unread(None, failure));
            }
        }
    }
    ControlFlow::Continue(coverage)
}

/// Returns the first sighting without waiting for the others, or the coverage of all searches.
async fn first_or_all(searches: impl Stream<Item = Search>) -> Search {
    let mut searches = pin!(searches);
    let mut coverage = Coverage::default();
    while let Some(part) = searches.next().await {
        let part = part?;
        coverage.accounts_read += part.accounts_read;
        coverage.regions_read += part.regions_read;
        coverage.buckets_read += part.buckets_read;
        coverage.unread.extend(part.unread);
    }
    ControlFlow::Continue(coverage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions<const N: usize>(names: [&str; N]) -> [Region; N] {
        names.map(|name| name.parse().unwrap())
    }

    fn searched(chosen: &[Region], named: &[Region], own: &str) -> Vec<String> {
        let searched = regions_to_search(chosen, named, &own.parse().unwrap());
        searched.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn named_regions_precede_own_region() {
        let chosen = regions(["us-east-1", "us-east-2", "eu-west-1", "sa-east-1"]);
        let named = regions(["sa-east-1", "us-east-2"]);
        assert_eq!(searched(&chosen, &named, "eu-west-1"), ["sa-east-1", "us-east-2", "eu-west-1", "us-east-1"]);
        assert_eq!(searched(&chosen, &[], "us-east-2")[0], "us-east-2");
    }

    #[test]
    fn excluded_regions_of_alert_are_searched() {
        let named = regions(["us-east-1", "sa-east-1"]);
        assert_eq!(searched(&regions(["eu-west-1"]), &named, "eu-west-1"), ["us-east-1", "sa-east-1", "eu-west-1"]);
    }

    #[test]
    fn region_without_lightsail_is_not_called() {
        let chosen = regions(["us-east-1"]);
        assert_eq!(searched(&chosen, &regions(["me-south-1"]), "us-east-1"), ["us-east-1"]);
    }
}
