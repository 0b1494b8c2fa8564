//! Exposure -> [`Target`]: the bucket that holds the key, named by the alert or found by reading every bucket.
//!
//! Lightsail has no call that finds a key's bucket, and its API is regional. Invariant: "nowhere" is said only when every
//! page, bucket and Region was read; whatever could not be is named.

use futures_util::stream::{self, FuturesUnordered, StreamExt};
use serde::Serialize;

use crate::deadline::Deadline;
use crate::incident::Exposure;
use crate::lightsail::{BucketKey, Failure, FailureKind, InRegion, Lightsail};
use crate::names::{AccessKeyId, BucketName, Region};

/// Where Lightsail has an API endpoint, and whether an account must first opt in to the Region: botocore's endpoint list
/// and the SDK model's `RegionName`, less `us-west-1`, which is in the model but has no endpoint; opt-in Regions from
/// the AWS Account Management guide, "Enable or disable AWS Regions".
pub const REGIONS: [(&str, bool); 19] = [
    ("us-east-1", false),
    ("us-east-2", false),
    ("us-west-2", false),
    ("eu-west-1", false),
    ("eu-west-2", false),
    ("eu-west-3", false),
    ("eu-central-1", false),
    ("eu-north-1", false),
    ("eu-south-2", true),
    ("ca-central-1", false),
    ("sa-east-1", false),
    ("ap-east-1", true),
    ("ap-south-1", false),
    ("ap-southeast-1", false),
    ("ap-southeast-2", false),
    ("ap-southeast-3", true),
    ("ap-southeast-5", true),
    ("ap-northeast-1", false),
    ("ap-northeast-2", false),
];

/// Buckets of one Region that are read side by side: an account has some twenty (Lightsail FAQ).
const BUCKETS_AT_ONCE: usize = 4;

/// A bucket to delete the key from.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
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
    Listed(BucketKey),
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
    Found(Target, BucketKey),
    /// It is on no bucket of any Region, and all were read.
    Nowhere(Extent),
    /// It was not seen, and some of what there is could not be read.
    Incomplete(Extent),
}

/// How far a search went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Extent {
    /// Regions whose list of buckets was read to its end, or that the account has not enabled.
    pub regions_read: usize,
    /// Buckets whose keys were read.
    pub buckets_read: usize,
    /// What could not be read, and why.
    pub unread: Vec<Unread>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unread {
    /// The Region.
    pub region: String,
    /// The bucket, or none where the Region's list of buckets could not be read.
    pub bucket: Option<String>,
    /// Why.
    pub failure: Failure,
}

/// The buckets that the alert names, in its Region or else our own.
pub fn named(exposure: &Exposure, own: &Region) -> Vec<Target> {
    let hinted = exposure.region.as_ref().filter(|region| is_lightsail_region(region));
    let region = hinted.or(Some(own).filter(|region| is_lightsail_region(region)));
    let Some(region) = region else { return Vec::new() };
    let target =
        |bucket: &BucketName| Target { bucket: bucket.clone(), region: region.clone(), found_by: FoundBy::Alert };
    exposure.buckets.iter().map(target).collect()
}

/// Looks whether `key` is on `bucket`.
pub async fn look(lightsail: &InRegion, bucket: &BucketName, key: &AccessKeyId) -> Look {
    match lightsail.get_bucket_access_keys(bucket).await {
        Ok(keys) => keys.into_iter().find(|seen| seen.id == key.as_str()).map_or(Look::NotListed, Look::Listed),
        Err(failure) if failure.kind == FailureKind::NotFound => Look::NoBucket(failure),
        Err(failure) => Look::Unread(failure),
    }
}

/// Looks for `key` on every bucket of every Region, all Regions side by side, and stops at the first that has it.
pub async fn search(lightsail: &Lightsail, key: &AccessKeyId, deadline: Deadline) -> Search {
    let regions = REGIONS.iter().filter_map(|(name, _)| name.parse::<Region>().ok());
    let mut searches: FuturesUnordered<_> = regions
        .map(|region| async move { search_region(&lightsail.in_region(&region, deadline), &region, key).await })
        .collect();
    let mut extent = Extent::default();
    while let Some(search) = searches.next().await {
        match search {
            Search::Found(..) => return search,
            Search::Nowhere(part) | Search::Incomplete(part) => extent.add(part),
        }
    }
    extent.judge()
}

/// Whether `failure` is how an opt-in Region answers an account that has not enabled it: it does not know the account's
/// credentials (AWS Account Management guide, "Enable or disable AWS Regions"). In any other Region it is a failure.
pub fn is_disabled(region: &Region, failure: &Failure) -> bool {
    let code = failure.code.as_ref().map(|code| code.as_str());
    let unknown = matches!(code, Some("UnrecognizedClientException" | "InvalidClientTokenId"));
    unknown && REGIONS.iter().any(|(name, opt_in)| *opt_in && *name == region.as_str())
}

/// Whether Lightsail has an endpoint in `region`.
fn is_lightsail_region(region: &Region) -> bool {
    REGIONS.iter().any(|(name, _)| *name == region.as_str())
}

async fn search_region(lightsail: &InRegion, region: &Region, key: &AccessKeyId) -> Search {
    let (buckets, failure) = lightsail.get_buckets().await;
    let mut extent = Extent::default();
    match failure {
        // It can hold nothing of the account. (One that has listed buckets is enabled.)
        Some(failure) if buckets.is_empty() && is_disabled(region, &failure) => extent.regions_read = 1,
        // What was listed before the failure is looked at all the same: the key may be there.
        Some(failure) => extent.unread.push(Unread { region: region.to_string(), bucket: None, failure }),
        None => extent.regions_read = 1,
    }
    let looks = buckets.into_iter().map(|bucket| async {
        let look = look(lightsail, &bucket, key).await;
        (bucket, look)
    });
    let mut looks = stream::iter(looks).buffer_unordered(BUCKETS_AT_ONCE);
    while let Some((bucket, look)) = looks.next().await {
        match look {
            Look::Listed(seen) => {
                return Search::Found(Target { bucket, region: region.clone(), found_by: FoundBy::Search }, seen);
            }
            Look::NotListed => extent.buckets_read += 1,
            // Not found, though AWS has just listed it: perhaps deleted since, but nothing proves that.
            Look::NoBucket(failure) | Look::Unread(failure) => {
                extent.unread.push(Unread { region: region.to_string(), bucket: Some(bucket.to_string()), failure });
            }
        }
    }
    extent.judge()
}

impl Extent {
    fn add(&mut self, part: Extent) {
        self.regions_read += part.regions_read;
        self.buckets_read += part.buckets_read;
        self.unread.extend(part.unread);
    }

    fn judge(self) -> Search {
        if self.unread.is_empty() { Search::Nowhere(self) } else { Search::Incomplete(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(buckets: &[&str], region: Option<&str>) -> Exposure {
        Exposure {
            key: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
            buckets: buckets.iter().map(|name| name.parse().unwrap()).collect(),
            account: None,
            region: region.map(|region| region.parse().unwrap()),
        }
    }

    fn regions(exposure: &Exposure, own: &str) -> Vec<String> {
        named(exposure, &own.parse().unwrap()).into_iter().map(|target| target.region.to_string()).collect()
    }

    #[test]
    fn the_region_of_the_alert_goes_before_our_own() {
        assert_eq!(regions(&exposure(&["photos"], Some("eu-west-1")), "us-east-1"), ["eu-west-1"]);
        assert_eq!(regions(&exposure(&["photos"], None), "us-east-1"), ["us-east-1"]);
    }

    #[test]
    fn a_region_without_lightsail_is_never_called() {
        assert_eq!(regions(&exposure(&["photos"], Some("me-south-1")), "us-east-1"), ["us-east-1"]);
        assert!(regions(&exposure(&["photos"], Some("me-south-1")), "us-west-1").is_empty());
    }

    #[test]
    fn every_region_in_the_list_has_the_form_of_one() {
        assert!(REGIONS.iter().all(|(name, _)| name.parse::<Region>().is_ok()));
    }
}
