//! Exposure -> [`Target`]: the bucket that holds the key, named by the alert or found by reading every bucket.
//!
//! Lightsail has no call that finds a key's bucket, and its API is regional. Invariant: "nowhere" is said only when every
//! page, bucket and Region was read; whatever could not be is named.

use std::ops::ControlFlow;
use std::pin::pin;

use futures_util::future::Either;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use serde::Serialize;

use crate::alert::Exposure;
use crate::aws::lightsail::{Bucket, AccessKey, InRegion};
use crate::aws::{Failure, FailureKind};
use crate::deadline::Deadline;
use crate::names::{AccessKeyId, BucketName, Region};
use crate::regions::{REGIONS, has_lightsail, is_opt_in};
use crate::respond::accounts::{Account, Member, SessionName};

/// Buckets of one Region that are read side by side. With the page that may be on its way this makes at most eight
/// connections a Region: each costs a TLS handshake, and a small function has a fraction of a processor. An account has
/// some twenty buckets (Lightsail FAQ): three round trips.
const BUCKETS_AT_ONCE: usize = 7;

/// Accounts that are searched side by side, each in all Regions. They share connections.
const ACCOUNTS_AT_ONCE: usize = 4;

/// Buckets that are tried by name. A finding about S3 may name any number; the search finds the key on any other.
const MOST_NAMED: usize = 10;

/// A bucket to delete the key from.
#[derive(Clone, Debug)]
pub struct Target {
    /// The account that it is in.
    pub account: Account,
    /// The bucket.
    pub bucket: BucketName,
    /// Its Region.
    pub region: Region,
    /// How we know of it.
    pub found_by: FoundBy,
}

/// How a bucket became a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The alert names it.
    Alert,
    /// The key was seen on it.
    Search,
}

/// What one look at a bucket's keys shows.
#[derive(Debug)]
pub enum Look {
    /// The key is on the bucket.
    Listed(AccessKey),
    /// The bucket is there, and the key is not on it.
    NotListed,
    /// AWS says that there is no such bucket in this Region and account.
    NoBucket(Failure),
    /// It could not be read.
    Unread(Failure),
}

/// How a search ended.
#[derive(Debug)]
pub enum Search {
    /// The first bucket on which the key was seen.
    Found(Box<Found>),
    /// It is on no bucket of any Region, and all were read.
    Nowhere(Extent),
    /// It was not seen, and some of what there is could not be read.
    Incomplete(Extent),
}

/// Where a key was seen.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub target: Target,
    /// The bucket, as it was listed.
    pub bucket: Bucket,
    /// The key, as it was listed.
    pub key: AccessKey,
}

/// How far a search went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Extent {
    /// Accounts of which everything was read.
    pub accounts_read: usize,
    /// Regions whose list of buckets was read to its end, or that the account has not enabled; of all accounts.
    pub regions_read: usize,
    /// Buckets whose keys were read.
    pub buckets_read: usize,
    /// Regions with Lightsail that were not searched, since `SEARCH_REGIONS` leaves them out.
    pub regions_left_out: usize,
    /// What could not be read, and why.
    pub unread: Vec<Unread>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unread {
    /// The account, if we know its ID.
    pub account: Option<String>,
    /// The Region, or none where the account could not be entered.
    pub region: Option<String>,
    /// The bucket, or none where the Region's list of buckets could not be read.
    pub bucket: Option<String>,
    /// Why.
    pub failure: Failure,
}

/// The buckets that the alert names, in its Region or else our own; the first ten.
pub fn named(exposure: &Exposure, account: &Account, own: &Region) -> Vec<Target> {
    let Some(region) = named_region(exposure, own) else { return Vec::new() };
    let target = |bucket: &BucketName| Target {
        account: account.clone(),
        bucket: bucket.clone(),
        region: region.clone(),
        found_by: FoundBy::Alert,
    };
    exposure.buckets.iter().take(MOST_NAMED).map(target).collect()
}

/// Looks whether `key` is on `bucket`.
pub async fn look(lightsail: &InRegion, bucket: &BucketName, key: &AccessKeyId) -> Look {
    match lightsail.get_bucket_access_keys(bucket).await {
        Ok(keys) => keys.into_iter().find(|seen| seen.id == key.as_str()).map_or(Look::NotListed, Look::Listed),
        Err(failure) if failure.kind == FailureKind::NotFound => Look::NoBucket(failure),
        Err(failure) => Look::Unread(failure),
    }
}

/// The bucket of `target` with its tags; none if it is not there.
pub async fn describe(target: &Target, deadline: Deadline) -> Result<Option<Bucket>, Failure> {
    target.lightsail(deadline).bucket(&target.bucket).await
}

/// The Regions to search in the order in which they are asked: that of the alert, which is read even where `chosen` leaves
/// it out, our own, the rest.
pub fn regions_to_search(chosen: &[Region], alert: Option<&Region>, own: &Region) -> Vec<Region> {
    let alert = alert.filter(|region| has_lightsail(region));
    let mut regions = chosen.to_vec();
    regions.extend(alert.filter(|region| !chosen.contains(region)).cloned());
    regions.sort_by_key(|region| (Some(region) != alert, region != own));
    regions
}

/// Looks for `key` on every bucket of `regions` in `home` and `others`, side by side, and stops at the first that has it.
pub async fn search(
    home: Account,
    others: Vec<Member<'_>>,
    session: &SessionName,
    regions: &[Region],
    key: &AccessKeyId,
    deadline: Deadline,
) -> Search {
    let home = Either::Left(async move { search_account(home, regions, key, deadline).await });
    let others = others.into_iter().map(|member| {
        Either::Right(async move {
            match member.enter(session, deadline).await {
                Ok(account) => search_account(account, regions, key, deadline).await,
                Err(failure) => {
                    let account = Some(member.id().to_string());
                    let unread = vec![Unread { account, region: None, bucket: None, failure }];
                    ControlFlow::Continue(Extent { unread, ..Extent::default() })
                }
            }
        })
    });
    let searches = stream::iter(std::iter::once(home).chain(others)).buffer_unordered(ACCOUNTS_AT_ONCE);
    let mut extent = match first_or_all(searches).await {
        ControlFlow::Break(found) => return Search::Found(found),
        ControlFlow::Continue(extent) => extent,
    };
    extent.regions_left_out = REGIONS.len().saturating_sub(regions.len());
    if extent.unread.is_empty() { Search::Nowhere(extent) } else { Search::Incomplete(extent) }
}

/// Whether `failure` is how an opt-in Region answers an account that has not enabled it: it does not know the account's
/// credentials (AWS Account Management guide, "Enable or disable AWS Regions"). In any other Region it is a failure.
pub fn is_disabled(region: &Region, failure: &Failure) -> bool {
    let code = failure.code.as_ref().map(|code| code.as_str());
    let unknown = matches!(code, Some("UnrecognizedClientException" | "InvalidClientTokenId"));
    unknown && is_opt_in(region)
}

fn named_region<'a>(exposure: &'a Exposure, own: &'a Region) -> Option<&'a Region> {
    exposure.region.as_ref().filter(|region| has_lightsail(region)).or(Some(own).filter(|own| has_lightsail(own)))
}

/// A search under way: it breaks off where the key is seen, and else says how far it went.
type Step = ControlFlow<Box<Found>, Extent>;

async fn search_account(account: Account, regions: &[Region], key: &AccessKeyId, deadline: Deadline) -> Step {
    let searches: FuturesUnordered<_> =
        regions.iter().map(|region| search_region(&account, region, key, deadline)).collect();
    let mut extent = first_or_all(searches).await?;
    extent.accounts_read = usize::from(extent.unread.is_empty());
    ControlFlow::Continue(extent)
}

/// Buckets are looked at while further pages are on their way: a key on the first page does not wait for the last.
async fn search_region(account: &Account, region: &Region, key: &AccessKeyId, deadline: Deadline) -> Step {
    let lightsail = &account.lightsail.in_region(region, deadline);
    let looks = lightsail.buckets().enumerate().map(|(number, bucket)| async move {
        let bucket = bucket.map_err(|failure| (number, failure))?;
        let look = look(lightsail, &bucket.name, key).await;
        Ok((bucket, look))
    });
    let mut looks = pin!(looks.buffer_unordered(BUCKETS_AT_ONCE));
    let unread = |bucket: Option<&Bucket>, failure| Unread {
        account: account.id.as_ref().map(ToString::to_string),
        region: Some(region.to_string()),
        bucket: bucket.map(|bucket| bucket.name.to_string()),
        failure,
    };
    let mut extent = Extent { regions_read: 1, ..Extent::default() };
    while let Some(read) = looks.next().await {
        match read {
            Ok((bucket, Look::Listed(key))) => {
                let name = bucket.name.clone();
                let (account, region) = (account.clone(), region.clone());
                let target = Target { account, bucket: name, region, found_by: FoundBy::Search };
                return ControlFlow::Break(Box::new(Found { target, bucket, key }));
            }
            Ok((_, Look::NotListed)) => extent.buckets_read += 1,
            // Not found, though AWS has just listed it: perhaps deleted since, but nothing proves that.
            Ok((bucket, Look::NoBucket(failure) | Look::Unread(failure))) => {
                extent.unread.push(unread(Some(&bucket), failure));
            }
            // It can hold nothing of the account. (A Region that has listed buckets is enabled.)
            Err((0, failure)) if is_disabled(region, &failure) => {}
            // What was listed before and after it is looked at all the same: the key may be there.
            Err((_, failure)) => {
                extent.regions_read = 0;
                extent.unread.push(unread(None, failure));
            }
        }
    }
    ControlFlow::Continue(extent)
}

/// The first that found the key, without waiting for the others, or how far all of them went.
async fn first_or_all(searches: impl stream::Stream<Item = Step>) -> Step {
    let mut searches = pin!(searches);
    let mut extent = Extent::default();
    while let Some(part) = searches.next().await {
        extent.add(part?);
    }
    ControlFlow::Continue(extent)
}

impl Target {
    /// Lightsail where it is.
    pub fn lightsail(&self, deadline: Deadline) -> InRegion {
        self.account.lightsail.in_region(&self.region, deadline)
    }
}

impl Extent {
    fn add(&mut self, part: Extent) {
        self.accounts_read += part.accounts_read;
        self.regions_read += part.regions_read;
        self.buckets_read += part.buckets_read;
        self.unread.extend(part.unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(region: Option<&str>) -> Exposure {
        Exposure {
            key: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
            buckets: Vec::new(),
            account: None,
            region: region.map(|region| region.parse().unwrap()),
            dry_run: false,
        }
    }

    fn region(exposure: &Exposure, own: &str) -> Option<String> {
        named_region(exposure, &own.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn the_region_of_the_alert_goes_before_our_own() {
        assert_eq!(region(&exposure(Some("eu-west-1")), "us-east-1").unwrap(), "eu-west-1");
        assert_eq!(region(&exposure(None), "us-east-1").unwrap(), "us-east-1");
        let regions = ["us-east-1", "us-east-2", "eu-west-1", "sa-east-1"].map(|name| name.parse().unwrap());
        let ordered = regions_to_search(&regions, regions.get(3), &regions[2]);
        assert_eq!(
            ordered.iter().map(Region::as_str).collect::<Vec<_>>(),
            ["sa-east-1", "eu-west-1", "us-east-1", "us-east-2"]
        );
        assert_eq!(regions_to_search(&regions, Some(&"me-south-1".parse().unwrap()), &regions[0]), regions);
    }

    #[test]
    fn the_region_of_the_alert_is_searched_even_where_it_is_left_out() {
        let chosen: Vec<Region> = vec!["eu-west-1".parse().unwrap()];
        let searched = regions_to_search(&chosen, Some(&"us-east-1".parse().unwrap()), &chosen[0]);
        assert_eq!(searched.iter().map(Region::as_str).collect::<Vec<_>>(), ["us-east-1", "eu-west-1"]);
    }

    #[test]
    fn a_region_without_lightsail_is_never_called() {
        assert_eq!(region(&exposure(Some("me-south-1")), "us-east-1").unwrap(), "us-east-1");
        assert_eq!(region(&exposure(Some("me-south-1")), "us-west-1"), None);
    }
}
