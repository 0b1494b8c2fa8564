//! Kinds of alerts, and the buckets that each of their worlds has.

use lightsail_simulator::{Dialect, OptInRegions};

use crate::{ACCOUNT, MEMBER, NEW_REGION, OPT_IN_REGION, OTHER_REGION, REGION};

/// Exposed keys. The first is on [`BUCKET`], the second in another Region, the third in the other account.
pub const KEYS: [&str; 3] = ["AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7SECONDK", "AKIAIOSFODNN7MEMBERK"];
/// Bucket of the first key.
pub const BUCKET: &str = "photos";
/// Bucket of the second key.
const OTHER_BUCKET: &str = "backups";
/// Bucket of the third key.
pub(crate) const LEDGER: &str = "ledger";
/// Bucket without keys, which hints name by mistake.
pub(crate) const EMPTY: &str = "empty";
/// Name of a bucket that neither account has.
pub(crate) const MISSING: &str = "missing";

/// Contents of an alert, and where its keys are.
///
/// Known gap, so left out: an alert that names the wrong owner. The function searches only the owner's account, and
/// answers `not_lightsail_key` although the key is alive in another account that it may act in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Key and bucket.
    Named,
    /// Key and another existing bucket.
    NamedWrong,
    /// Key and a bucket that does not exist.
    NamedMissing,
    /// Key only.
    Searched,
    /// Key only, and no bucket has it.
    Nowhere,
    /// Key, bucket and member account.
    Member,
    /// Two keys, without bucket or owner.
    Several,
    /// The same key twice, first with another existing bucket.
    Twice,
    /// Two keys with their buckets, one in each account.
    Accounts,
    /// Two keys without bucket or owner, one in each account.
    Unowned,
    /// Key without bucket or owner. The member account has never used Lightsail.
    NeverUsed,
    /// An SQS batch: a key of each account with its bucket, and one without.
    Batch,
    /// An SQS batch with the same key twice, first with another existing bucket.
    BatchTwice,
    /// Key, bucket and Region: [`NEW_REGION`].
    NamedNew,
    /// Key only. It is in [`NEW_REGION`].
    SearchedNew,
    /// Key, bucket and Region: [`OPT_IN_REGION`].
    NamedOptIn,
    /// Key and Region, without bucket: [`OPT_IN_REGION`].
    RegionOptIn,
    /// Key and another existing bucket. The key is in [`OPT_IN_REGION`].
    WrongOptIn,
    /// Key only. It is in [`OPT_IN_REGION`].
    SearchedOptIn,
    /// Key and bucket, which is protected by its tag.
    NamedProtected,
    /// Key only. Its bucket is protected by its tag.
    SearchedProtected,
}

/// A bucket, and the keys that it has at first.
#[derive(Clone, Debug)]
pub struct Place {
    /// Account of the bucket.
    pub account: &'static str,
    /// Region of the bucket.
    pub region: &'static str,
    /// Name of the bucket.
    pub bucket: &'static str,
    /// The exposed key on it.
    pub exposed: Option<&'static str>,
    /// The key on it that no alert names.
    pub other: Option<&'static str>,
    /// Whether it has the tag that protects it.
    pub is_protected: bool,
}

impl Route {
    /// All routes.
    pub const ALL: [Self; 21] = [
        Self::Named,
        Self::NamedWrong,
        Self::NamedMissing,
        Self::Searched,
        Self::Nowhere,
        Self::Member,
        Self::Several,
        Self::Twice,
        Self::Accounts,
        Self::Unowned,
        Self::NeverUsed,
        Self::Batch,
        Self::BatchTwice,
        Self::NamedNew,
        Self::SearchedNew,
        Self::NamedOptIn,
        Self::RegionOptIn,
        Self::WrongOptIn,
        Self::SearchedOptIn,
        Self::NamedProtected,
        Self::SearchedProtected,
    ];

    /// Returns whether SQS delivers it.
    pub fn is_batch(self) -> bool {
        matches!(self, Self::Batch | Self::BatchTwice)
    }

    /// Returns whether a member account is entered.
    pub fn has_member(self) -> bool {
        matches!(self, Self::Member | Self::Several | Self::Accounts | Self::Unowned | Self::NeverUsed | Self::Batch)
    }

    /// Returns whether the first key is in [`NEW_REGION`].
    pub fn is_new(self) -> bool {
        matches!(self, Self::NamedNew | Self::SearchedNew)
    }

    /// Returns whether the first key is in [`OPT_IN_REGION`].
    pub fn is_opt_in(self) -> bool {
        matches!(self, Self::NamedOptIn | Self::RegionOptIn | Self::WrongOptIn | Self::SearchedOptIn)
    }

    /// Returns whether the bucket of the first key is protected by its tag.
    pub fn is_protected(self) -> bool {
        matches!(self, Self::NamedProtected | Self::SearchedProtected)
    }

    /// Returns the Regions of the buckets.
    pub fn regions(self) -> &'static [&'static str] {
        match self {
            _ if self.is_new() => &[REGION, OTHER_REGION, NEW_REGION],
            _ if self.is_opt_in() => &[REGION, OTHER_REGION, OPT_IN_REGION],
            _ => &[REGION, OTHER_REGION],
        }
    }

    /// Returns the value of `SEARCH_REGIONS`: as few Regions as the route needs, because each costs time. Empty means all
    /// Regions, and only then are new ones searched that no alert names.
    pub fn search_regions(self) -> String {
        match self {
            Self::SearchedNew => String::new(),
            _ if self.is_opt_in() => [OTHER_REGION, REGION, OPT_IN_REGION].join(","),
            _ => [OTHER_REGION, REGION].join(","),
        }
    }

    /// Returns all buckets of both accounts.
    pub fn places(self) -> Vec<Place> {
        let (home, away) = if self == Self::Member { (MEMBER, ACCOUNT) } else { (ACCOUNT, MEMBER) };
        let region = match self {
            _ if self.is_new() => NEW_REGION,
            _ if self.is_opt_in() => OPT_IN_REGION,
            _ => REGION,
        };
        let first = self != Self::Nowhere;
        let second = matches!(self, Self::Several | Self::Batch);
        let third = matches!(self, Self::Accounts | Self::Unowned | Self::Batch);
        let place = |account, region, bucket, exposed, other| Place {
            account,
            region,
            bucket,
            exposed,
            other,
            is_protected: bucket == BUCKET && self.is_protected(),
        };
        let mut places = vec![
            place(home, region, BUCKET, first.then_some(KEYS[0]), Some("AKIAI44QH8DHBEXAMPLE")),
            place(home, OTHER_REGION, OTHER_BUCKET, second.then_some(KEYS[1]), Some("AKIAQQQQQQQQQQQQQQQQ")),
        ];
        if self != Self::NeverUsed {
            places.push(place(away, OTHER_REGION, LEDGER, third.then_some(KEYS[2]), Some("AKIAI44QH8DHBMEMBERK")));
        }
        if matches!(self, Self::NamedWrong | Self::WrongOptIn | Self::Twice | Self::BatchTwice) {
            places.push(place(home, REGION, EMPTY, None, None));
        }
        places
    }
}

impl Place {
    /// Returns whether AWS refuses all credentials in the Region of the bucket: an account has disabled the Region, and its
    /// buckets stay there (J10). A new Region is one to opt in to.
    pub fn is_disabled(&self, dialect: Dialect) -> bool {
        dialect.opt_in_regions == OptInRegions::Disabled && [OPT_IN_REGION, NEW_REGION].contains(&self.region)
    }
}
