//! Exposure -> the buckets that can hold the key: hints of the alert, or every bucket there is.
//!
//! Lightsail has no call that finds a key's bucket, and its API is regional. Invariant: the [`Coverage`] of a search
//! names every page, bucket, Region and account that could not be read. The reads themselves are in
//! `respond/sweep.rs`, because all keys of an invocation share them.

use std::pin::pin;

use futures_util::future::{Either, join, select};

use super::accounts::{Account, Entrance, Reach, SessionName};
use super::lane::Pass;
use super::sweep::{Found, Part, Sweep, may_be_disabled};
use crate::alert::{Exposure, Hint};
use crate::aws::lightsail::InRegion;
use crate::aws::{Failure, FailureKind};
use crate::case::{Coverage, FoundBy, Look, Place, Target};
use crate::names::{AccessKeyId, BucketName, Region};
use crate::regions::{REGIONS, has_lightsail};

/// Most hints that are tried. A finding about S3 may name any number of buckets, and the search reads the others.
const MAX_HINTS: usize = 10;

/// Result of a search.
#[derive(Debug)]
pub(super) struct Search {
    /// Sighting that ended the search.
    pub(super) found: Option<Found>,
    /// Extent of the search until then.
    pub(super) coverage: Coverage,
}

/// Key to search for, and where.
#[derive(Debug)]
pub(super) struct Wanted<'a, 'b> {
    /// The key.
    pub(super) key: &'b AccessKeyId,
    /// Accounts that can hold it.
    pub(super) reach: Reach<'a>,
    /// Regions that can hold it.
    pub(super) regions: Regions<'b>,
    /// Name of sessions in member accounts.
    pub(super) session: &'b SessionName,
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

    /// Returns whether a refusal of credentials may mean that an account has not enabled `region`. This function runs in
    /// the own Region, and the alert saw the key in the named ones.
    fn may_be_disabled(&self, region: &Region) -> bool {
        may_be_disabled(region) && region != self.own && !self.named.contains(region)
    }
}

/// Searches for the key on every bucket of all Regions in all accounts that can hold it, until the first sighting.
/// Accounts that this function may not act in are unread.
///
/// AWS is asked for its list of Regions beside the search, because Regions are added and the build knows those of its
/// day only.
pub(super) async fn search<'a>(sweep: &Sweep<'a>, wanted: Wanted<'a, '_>) -> Search {
    let Wanted { key, reach, regions, session } = wanted;
    let accounts: Vec<_> = std::iter::once(reach.home).chain(reach.others).collect();
    let everything = async {
        let listed = async {
            let listed = match accounts.first() {
                Some(account) => sweep.list_regions(account, regions.adviser(), session).await,
                None => Ok(Vec::new()),
            };
            let new = listed.as_ref().map_or_else(|_| Vec::new(), |listed| regions.new_among(listed));
            sweep.read(&accounts, &new, session, Pass::First).await;
            (listed, new)
        };
        let known = sweep.read(&accounts, &regions.known, session, Pass::First);
        let ((), (listed, new)) = join(known, listed).await;
        let all = [regions.known.clone(), new].concat();
        sweep.read(&accounts, &all, session, Pass::Second).await;
        (listed, all)
    };
    // A sighting that is known already needs no read.
    let (found, listed, all) = match select(pin!(sweep.sighting(key)), pin!(everything)).await {
        Either::Left((found, _)) => (Some(found), None, regions.known.clone()),
        // The last read of all may have shown the key.
        Either::Right(((listed, all), _)) => (sweep.seen(key), Some(listed), all),
    };
    let mut coverage = covered(sweep, &accounts, &regions, &all);
    coverage.ended_early = found.is_some();
    let unknown = |region: &Region| Place { region: Some(region.clone()), ..Place::default() };
    if let Some(listed) = listed.filter(|_| found.is_none()) {
        let known = listed.as_deref().unwrap_or_default();
        coverage.regions_excluded = match &listed {
            Ok(listed) => listed.iter().filter(|region| !all.contains(region)).count(),
            Err(failure) => {
                let account = accounts.first().and_then(Entrance::id).cloned();
                let place = Place { account, region: Some(regions.adviser().clone()), bucket: None };
                coverage.add_unread(place, failure.clone());
                REGIONS.len().saturating_sub(all.len())
            }
        };
        for region in regions.unknown(known) {
            coverage.add_unread(unknown(region), Failure::unknown_region(listed.is_ok()));
        }
        for id in &reach.foreign {
            let place = Place { account: Some(id.clone()), ..Place::default() };
            coverage.add_unread(place, Failure::foreign_account());
        }
        let incomplete = |account: &&Entrance<'_>| coverage.incomplete.contains(&account.id().cloned());
        coverage.accounts_read = accounts.iter().filter(|account| !incomplete(account)).count();
    }
    Search { found, coverage }
}

/// Returns what `sweep` has read of `accounts` and `searched` Regions so far.
fn covered(sweep: &Sweep<'_>, accounts: &[Entrance<'_>], regions: &Regions<'_>, searched: &[Region]) -> Coverage {
    let mut coverage = Coverage { regions: searched.to_vec(), ..Coverage::default() };
    for account in accounts {
        let id = account.id().cloned();
        if let Some(failure) = sweep.closed(account) {
            coverage.add_unread(Place { account: id, ..Place::default() }, failure);
            continue;
        }
        let part = |region| Some((region, sweep.part(account, region)?));
        let parts: Vec<(&Region, Part)> = searched.iter().filter_map(part).collect();
        let is_accepted = parts.iter().any(|(_, part)| part.is_listed);
        for (region, part) in parts {
            let place = Place { account: id.clone(), region: Some(region.clone()), bucket: None };
            coverage.regions_read += usize::from(part.is_listed);
            coverage.buckets_read += part.buckets_read;
            for (bucket, failure) in part.unread {
                coverage.add_unread(Place { bucket: bucket.map(|bucket| bucket.name), ..place.clone() }, failure);
            }
            match part.refusal {
                // A refusal is no proof of absence.
                Some(refusal) if is_accepted && refusal.is_repeated && regions.may_be_disabled(region) => {
                    coverage.add_not_enabled(place);
                }
                Some(refusal) => coverage.add_unread(place, refusal.failure),
                None => {}
            }
        }
    }
    coverage
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
