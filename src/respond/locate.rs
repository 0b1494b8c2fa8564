//! Exposure -> the buckets that can hold the key: hints of the alert, or every bucket there is.
//!
//! Lightsail has no call that finds a key's bucket, and its API is regional. Invariant: the [`Coverage`] of a search
//! names every page, bucket, Region and account that could not be read.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, FuturesUnordered, Stream, StreamExt};

use super::accounts::{Account, Entrance, Reach, SessionName};
use super::key::beside;
use crate::alert::{Exposure, Hint};
use crate::aws::lightsail::{AccessKey, Bucket, InRegion};
use crate::aws::{Failure, FailureKind};
use crate::case::{Coverage, FoundBy, Look, Place, Target};
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
    /// Extent of the search until then.
    pub(super) coverage: Coverage,
}

/// Result of a search: breaks off at the first sighting, and otherwise says how far it went.
pub(super) type Search = ControlFlow<Box<Found>, Coverage>;

/// Key to search for, and end of the search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The key.
    pub(super) key: &'a AccessKeyId,
    /// Name of sessions in member accounts.
    pub(super) session: &'a SessionName,
    /// End of the search.
    pub(super) deadline: Deadline,
    /// Pause before a refused Region is asked again.
    pub(super) pause: Duration,
}

/// Regions to search.
#[derive(Clone, Debug)]
pub(super) struct Regions<'a> {
    /// Region of this function.
    own: &'a Region,
    /// Regions that the alert names. They are searched even if `SEARCH_REGIONS` excludes them.
    named: &'a [Region],
    /// Regions that this build knows, in the order of requests.
    known: Vec<Region>,
    /// Whether `SEARCH_REGIONS` excludes nothing.
    all: bool,
}

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

impl<'a> Regions<'a> {
    /// Returns the Regions to search: those that the alert names, the own one, all others of `chosen`.
    pub(super) fn new(chosen: &[Region], named: &'a [Region], own: &'a Region) -> Self {
        let mut known = chosen.to_vec();
        known.extend(named.iter().filter(|region| has_lightsail(region) && !chosen.contains(region)).cloned());
        let rank = |region: &Region| named.iter().position(|named| named == region).unwrap_or(named.len());
        known.sort_by_key(|region| (rank(region), region != own));
        Self { own, named, known, all: chosen.len() >= REGIONS.len() }
    }

    /// Returns the Region to ask for the list of Regions: any that has Lightsail.
    fn adviser(&self) -> &Region {
        if has_lightsail(self.own) { self.own } else { self.known.first().unwrap_or(self.own) }
    }

    /// Returns those of the `listed` Regions that are new to this build and to be searched.
    fn new_among(&self, listed: &[Region]) -> Vec<Region> {
        let wanted = |region: &&Region| self.all || self.named.contains(region);
        listed.iter().filter(|region| !has_lightsail(region)).filter(wanted).cloned().collect()
    }

    /// Returns the Regions that the alert names, and that neither this build nor AWS's list has.
    fn unknown(&self, listed: &[Region]) -> impl Iterator<Item = &'a Region> {
        self.named.iter().filter(move |region| !has_lightsail(region) && !listed.contains(region))
    }

    /// Returns whether a refusal of credentials may mean that an account has not enabled `region`. Only Regions that an
    /// account must opt in to can be disabled, and all new ones are of this kind (AWS Account Management guide, "Enable
    /// or disable AWS Regions"). This function runs in the own Region, and the alert saw the key in the named ones.
    fn may_be_disabled(&self, region: &Region) -> bool {
        (is_opt_in(region) || !has_lightsail(region)) && region != self.own && !self.named.contains(region)
    }
}

/// Searches for the key on every bucket of all Regions in all accounts of `reach`, concurrently, until the first
/// sighting. Accounts that this function may not act in are unread.
///
/// The first account asks AWS for its list of Regions beside the search, because Regions are added and the build knows
/// those of its day only.
pub(super) async fn search(reach: Reach<'_>, regions: Regions<'_>, wanted: Wanted<'_>) -> Search {
    let accounts: Vec<_> = std::iter::once(reach.home).chain(reach.others).collect();
    let mut listing = pin!(list(&accounts, &regions, wanted).fuse());
    let (swept, listed) = {
        let none = BTreeSet::new();
        beside(sweep(&accounts, &regions, &regions.known, &none, wanted), listing.as_mut()).await
    };
    let mut coverage = swept?;
    let unknown = |region: &Region| Place { region: Some(region.clone()), ..Place::default() };
    coverage.regions.clone_from(&regions.known);
    let listed = match listed {
        Some(listed) => listed,
        None => listing.await,
    };
    match listed {
        Ok(listed) => {
            let new = regions.new_among(&listed);
            match sweep(&accounts, &regions, &new, &coverage.accepted_by, wanted).await {
                ControlFlow::Continue(part) => coverage.add(part),
                ControlFlow::Break(found) => return ended_early(found, coverage),
            }
            coverage.regions.extend(new);
            for region in regions.unknown(&listed) {
                coverage.add_unread(unknown(region), Failure::unknown_region());
            }
            coverage.regions_excluded = listed.iter().filter(|region| !coverage.regions.contains(region)).count();
        }
        Err(failure) => {
            let account = accounts.first().and_then(|home| home.id()).cloned();
            let place = Place { account, region: Some(regions.adviser().clone()), bucket: None };
            coverage.add_unread(place, failure);
            for region in regions.unknown(&[]) {
                coverage.add_unread(unknown(region), Failure::unknown_region());
            }
            coverage.regions_excluded = REGIONS.len().saturating_sub(regions.known.len());
        }
    }
    for id in &reach.foreign {
        let place = Place { account: Some(id.clone()), ..Place::default() };
        coverage.add_unread(place, Failure::foreign_account());
    }
    coverage.accounts_read =
        accounts.iter().filter(|account| !coverage.incomplete.contains(&account.id().cloned())).count();
    ControlFlow::Continue(coverage)
}

/// Asks for the Regions that have Lightsail.
async fn list(accounts: &[Entrance<'_>], regions: &Regions<'_>, wanted: Wanted<'_>) -> Result<Vec<Region>, Failure> {
    let Some(home) = accounts.first() else { return Ok(Vec::new()) };
    let account = home.enter(wanted.session, wanted.deadline).await?;
    account.lightsail.in_region(regions.adviser(), wanted.deadline).get_regions().await
}

/// Searches `regions` in all accounts. Those in `accepted_by` have accepted their credentials before.
async fn sweep(
    accounts: &[Entrance<'_>],
    all: &Regions<'_>,
    regions: &[Region],
    accepted_by: &BTreeSet<Option<AccountId>>,
    wanted: Wanted<'_>,
) -> Search {
    if regions.is_empty() {
        return ControlFlow::Continue(Coverage::default());
    }
    let searches = accounts.iter().map(|entrance| async move {
        match entrance.enter(wanted.session, wanted.deadline).await {
            Ok(account) => search_account(account, all, regions, accepted_by, wanted).await,
            Err(failure) => {
                let mut coverage = Coverage::default();
                coverage.add_unread(Place { account: entrance.id().cloned(), ..Place::default() }, failure);
                ControlFlow::Continue(coverage)
            }
        }
    });
    first_or_all(stream::iter(searches).buffer_unordered(CONCURRENT_ACCOUNTS)).await
}

/// Searches `regions` in one account. A Region that refused the credentials twice is not enabled if another Region has
/// accepted them, and unread otherwise: a refusal is no proof of absence.
async fn search_account(
    account: Account,
    all: &Regions<'_>,
    regions: &[Region],
    accepted_by: &BTreeSet<Option<AccountId>>,
    wanted: Wanted<'_>,
) -> Search {
    let account = &account;
    let searches = regions.iter().map(|region| async move {
        let searched = search_region(account, region, all.may_be_disabled(region), wanted).await;
        (region, searched)
    });
    let mut searches: FuturesUnordered<_> = searches.collect();
    let (mut coverage, mut refusals) = (Coverage::default(), Vec::new());
    while let Some((region, part)) = searches.next().await {
        match part {
            ControlFlow::Continue((part, refusal)) => {
                coverage.add(part);
                refusals.extend(refusal.map(|failure| (region, failure)));
            }
            ControlFlow::Break(found) => return ended_early(found, coverage),
        }
    }
    if coverage.regions_read > 0 {
        coverage.accepted_by.insert(account.id.clone());
    }
    let accepted = accepted_by.contains(&account.id) || coverage.accepted_by.contains(&account.id);
    for (region, failure) in refusals {
        let place = Place { account: account.id.clone(), region: Some(region.clone()), bucket: None };
        if accepted {
            coverage.add_not_enabled(place);
        } else {
            coverage.add_unread(place, failure);
        }
    }
    ControlFlow::Continue(coverage)
}

/// Returns whether `failure` is the response of a Region that the account has not enabled: it does not know the
/// account's credentials (AWS Account Management guide, "Enable or disable AWS Regions").
fn refuses_credentials(failure: &Failure) -> bool {
    let code = failure.code.as_ref().map(|code| code.as_str());
    matches!(code, Some("UnrecognizedClientException" | "InvalidClientTokenId"))
}

/// Reads buckets while further pages are in flight, so that a key on the first page does not wait for the last. If the
/// Region `may_be_disabled` and refuses the credentials, it is asked once more: a refusal may be passing. Then the
/// second refusal is returned, for its account to judge.
async fn search_region(
    account: &Account,
    region: &Region,
    may_be_disabled: bool,
    wanted: Wanted<'_>,
) -> ControlFlow<Box<Found>, (Coverage, Option<Failure>)> {
    let first = read_region(account, region, wanted).await?;
    if !may_be_disabled || first.1.is_none() {
        return ControlFlow::Continue((settle(account, region, first), None));
    }
    if wanted.deadline.within(tokio::time::sleep(wanted.pause)).await.is_err() {
        return ControlFlow::Continue((settle(account, region, first), None));
    }
    let second = read_region(account, region, wanted).await?;
    ControlFlow::Continue(second)
}

/// Writes down that a Region which refused the credentials is unread.
fn settle(account: &Account, region: &Region, (mut coverage, failure): (Coverage, Option<Failure>)) -> Coverage {
    if let Some(failure) = failure {
        let place = Place { account: account.id.clone(), region: Some(region.clone()), bucket: None };
        coverage.add_unread(place, failure);
    }
    coverage
}

/// Reads a Region once. A refusal of the credentials is returned beside the coverage.
async fn read_region(
    account: &Account,
    region: &Region,
    Wanted { key, deadline, .. }: Wanted<'_>,
) -> ControlFlow<Box<Found>, (Coverage, Option<Failure>)> {
    let lightsail = &account.lightsail.in_region(region, deadline);
    let looks = lightsail.buckets().enumerate().map(|(number, bucket)| async move {
        let bucket = bucket.map_err(|failure| (number, failure))?;
        let look = look(lightsail, &bucket.name, key).await;
        Ok((bucket, look))
    });
    let mut looks = pin!(looks.buffer_unordered(CONCURRENT_BUCKETS));
    let place = |bucket: Option<&Bucket>| Place {
        account: account.id.clone(),
        region: Some(region.clone()),
        bucket: bucket.map(|bucket| bucket.name.clone()),
    };
    let mut coverage = Coverage { regions_read: 1, ..Coverage::default() };
    while let Some(read) = looks.next().await {
        match read {
            Ok((bucket, Look::Listed(key))) => {
                let (account, region) = (account.clone(), region.clone());
                return ControlFlow::Break(Box::new(Found { account, region, bucket, key, coverage }));
            }
            Ok((_, Look::NotListed)) => coverage.buckets_read += 1,
            // A bucket that AWS has just listed and does not find may have been deleted since, but nothing proves that.
            Ok((bucket, Look::NoBucket(failure) | Look::Unread(failure))) => {
                coverage.add_unread(place(Some(&bucket)), failure);
            }
            Err((0, failure)) if refuses_credentials(&failure) => {
                return ControlFlow::Continue((Coverage::default(), Some(failure)));
            }
            // Buckets that were listed before and after the failure are read too: the key may be there.
            Err((_, failure)) => {
                coverage.regions_read = 0;
                coverage.add_unread(place(None), failure);
            }
        }
    }
    ControlFlow::Continue((coverage, None))
}

/// Returns the first sighting without waiting for the others, or the coverage of all searches.
async fn first_or_all(searches: impl Stream<Item = Search>) -> Search {
    let mut searches = pin!(searches);
    let mut coverage = Coverage::default();
    while let Some(part) = searches.next().await {
        match part {
            ControlFlow::Continue(part) => coverage.add(part),
            ControlFlow::Break(found) => return ended_early(found, coverage),
        }
    }
    ControlFlow::Continue(coverage)
}

/// Returns a sighting with everything that the search had read by then.
fn ended_early(mut found: Box<Found>, mut before: Coverage) -> Search {
    before.add(std::mem::take(&mut found.coverage));
    found.coverage = Coverage { ended_early: true, ..before };
    ControlFlow::Break(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions<const N: usize>(names: [&str; N]) -> [Region; N] {
        names.map(|name| name.parse().unwrap())
    }

    fn searched(chosen: &[Region], named: &[Region], own: &str) -> Vec<String> {
        let own = own.parse().unwrap();
        Regions::new(chosen, named, &own).known.iter().map(ToString::to_string).collect()
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

    #[test]
    fn only_opt_in_regions_can_be_disabled() {
        let (own, named) = (regions(["ap-southeast-3"]), regions(["ap-southeast-5"]));
        let all = Regions::new(&[], &named, &own[0]);
        let [opt_in, new] = regions(["ap-east-1", "mx-central-1"]);
        assert!(all.may_be_disabled(&opt_in) && all.may_be_disabled(&new));
        let [old] = regions(["us-east-1"]);
        assert!(![&old, &own[0], &named[0]].into_iter().any(|region| all.may_be_disabled(region)));
    }
}
