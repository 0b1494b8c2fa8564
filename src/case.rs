//! Case file of one exposed key: everything that was observed, written down stage by stage.
//!
//! Stages write, the verdict decides, the record tells. Invariant: a [`Visit`] is opened before its first request, so
//! that a panic, a dropped future or the deadline leaves it on file.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use tokio::time::Instant;

use crate::alert::{Exposure, Origin, Unactionable};
use crate::aws::lightsail::{AccessKey, Operation};
use crate::aws::{Failure, FailureKind, Transmission};
use crate::invocation::Invocation;
use crate::names::{AccountId, BucketName, Region};
use crate::outcome::Outcome;
use crate::policy::{Mode, Protection};

/// Everything that was observed of one exposed key, or of an alert without one.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// Invocation that delivered the alert.
    pub invocation: Invocation,
    /// Region of this function.
    pub own_region: Region,
    /// Mode of this case: an alert can ask for a dry run.
    pub mode: Mode,
    /// Origin of the alert.
    pub origin: Origin,
    /// The exposed key, or the reason why the alert yields none to act on.
    pub exposure: Result<Exposure, Unactionable>,
    /// Account that the hints are about: the own account until another one is entered.
    pub account: Option<AccountId>,
    /// Obstacle that kept this function from finishing.
    pub obstacle: Option<Obstacle>,
    /// Visited buckets: hints in the order of the alert, then the bucket on which the search saw the key.
    pub visits: Vec<Visit>,
    /// Extent of the search. None if there was none.
    pub coverage: Option<Coverage>,
}

/// Obstacle that kept this function from acting on a key, or from finishing.
#[derive(Clone, Debug)]
pub enum Obstacle {
    /// The alert is about an account in which this function may not act.
    ForeignAccount {
        /// This function may act in other accounts than its own.
        has_members: bool,
    },
    /// The role in the account could not be assumed. Nothing was sent to Lightsail.
    NoSession(Failure),
    /// This function's own code panicked.
    Panicked,
}

/// Everything that happened on one bucket.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The bucket.
    pub target: Target,
    /// Protection by the operator's policy, as far as name and tags were read.
    pub protection: Option<Protection>,
    /// The delete. None if policy or mode forbade it.
    pub delete: Option<Delete>,
    /// Evidence of the key before its delete. None if it was not looked for.
    pub evidence: Option<Evidence>,
    /// Last read of the bucket's keys. After an accepted delete only reads after it count. None if they were not read.
    pub listing: Option<Listing>,
    /// Reads of the keys that verify the effect of a delete. None if the key's absence was not in question.
    pub verification: Option<Verification>,
    /// Failures on this bucket, in order.
    pub failures: Vec<Failure>,
}

/// A bucket to delete the key from.
#[derive(Clone, Debug)]
pub struct Target {
    /// Account that has the bucket. None for the own account if Lambda does not say it.
    pub account: Option<AccountId>,
    /// Name of the bucket.
    pub bucket: BucketName,
    /// Region of the bucket.
    pub region: Region,
    /// Source of this function's knowledge of the bucket.
    pub found_by: FoundBy,
}

/// Source of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The alert names it.
    Alert,
    /// The search saw the key on it.
    Search,
}

/// A delete, sent or not.
#[derive(Clone, Debug, Default)]
pub struct Delete {
    /// Attempts on the wire.
    pub transmission: Transmission,
    /// AWS's response. None if AWS did not accept the delete, as far as is known.
    pub accepted: Option<Acceptance>,
}

/// Response to an accepted delete.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Arrival of the response.
    pub at: Instant,
    /// AWS's ID of the request.
    pub request_id: Option<String>,
    /// Operations that AWS started, in their last known state. May be empty.
    pub operations: Vec<Operation>,
}

/// Evidence of the key before its delete. AWS forgets the last use together with the key.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// The key as it was listed: a sighting.
    Listed(AccessKey),
    /// The delete was faster than the read beside it.
    AlreadyGone,
    /// The keys could not be read, or not in time.
    Unavailable,
}

/// Result of one read of a bucket's keys.
#[derive(Debug)]
pub enum Look {
    /// The key is on the bucket.
    Listed(AccessKey),
    /// The bucket exists without the key.
    NotListed,
    /// AWS knows no such bucket in this Region and account.
    NoBucket(Failure),
    /// The keys could not be read.
    Unread(Failure),
}

/// [`Look`] without the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// The key is on the bucket.
    Listed,
    /// The bucket exists without the key.
    NotListed,
    /// AWS knows no such bucket in this Region and account.
    NoBucket,
    /// The keys could not be read.
    Unread,
}

/// Reads of a bucket's keys that verify the effect of a delete.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Number of reads.
    pub reads: u32,
    /// Time of the last read that succeeded.
    pub at: Option<DateTime<Utc>>,
    /// Number of keys that the bucket had then. None after a delete that AWS did not accept.
    pub remaining_keys: Option<usize>,
    /// When the key that this function deleted was first seen to be gone.
    pub absent_at: Option<Instant>,
}

/// Extent of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Regions that the search was to read in each account.
    #[serde(skip)]
    pub regions: Vec<Region>,
    /// Accounts of which everything was read.
    pub accounts_read: usize,
    /// Regions whose list of buckets was read to its end. Counts all accounts.
    pub regions_read: usize,
    /// Buckets whose keys were read.
    pub buckets_read: usize,
    /// Regions with Lightsail that `SEARCH_REGIONS` excludes.
    pub regions_excluded: usize,
    /// Regions that the account has not enabled: they refused credentials that other Regions accepted.
    /// The first twenty.
    pub regions_not_enabled: Vec<Place>,
    /// Number of Regions that are not enabled. Counts all accounts.
    pub regions_not_enabled_count: usize,
    /// Accounts, Regions and buckets that could not be read, by failure: the first twenty failures.
    pub unread: Vec<Unread>,
    /// Number of places that could not be read because of further failures.
    pub unread_for_other_reasons: usize,
    /// True if the search ended at a sighting, with things left to read.
    pub ended_early: bool,
    /// Accounts that refused this function's credentials somewhere.
    #[serde(skip)]
    pub refused_by: BTreeSet<AccountId>,
    /// Accounts of which something is unread.
    #[serde(skip)]
    pub incomplete: BTreeSet<Option<AccountId>>,
}

/// Things that a search could not read for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unread {
    /// Number of things.
    pub count: usize,
    /// The first of them.
    pub places: Vec<Place>,
    /// Failure at the first place.
    pub failure: Failure,
}

/// A place where a key can be: an account, a Region or a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Account, if its ID is known.
    pub account: Option<AccountId>,
    /// Region. None for all Regions of the account.
    pub region: Option<Region>,
    /// Bucket. None for all buckets of the Region.
    pub bucket: Option<BucketName>,
}

/// Failures that a search names. Places of further ones are only counted.
const MAX_FAILURES: usize = 20;

/// Places that are kept for one failure. There are 19 Regions.
const MAX_PLACES: usize = 20;

/// Outcome of a case, and the visit that the record describes.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// The outcome.
    pub outcome: Outcome,
    /// The visit that decided, or the last one whose bucket exists. None if there is no such visit.
    pub visit: Option<&'a Visit>,
}

impl CaseFile {
    /// Opens a case of which only the alert is known.
    pub fn new(
        invocation: &Invocation,
        own_region: &Region,
        mode: Mode,
        origin: &Origin,
        exposure: Result<Exposure, Unactionable>,
    ) -> Self {
        Self {
            invocation: invocation.clone(),
            own_region: own_region.clone(),
            mode,
            origin: origin.clone(),
            exposure,
            account: invocation.account.clone(),
            obstacle: None,
            visits: Vec::new(),
            coverage: None,
        }
    }

    /// Opens a visit of the bucket.
    pub fn open_visit(&mut self, target: Target) -> &mut Visit {
        self.visits.push_mut(Visit::new(target))
    }

    /// Returns what tells this alert from others: the source's ID of it, else the event's, else the invocation's.
    pub fn alert_id(&self) -> String {
        let id = self.origin.id.as_ref().or(self.origin.event_id.as_ref());
        id.map_or_else(|| self.invocation.request_id.clone(), ToString::to_string)
    }

    /// Returns the accounts that refused this function's credentials, for one call or in the search.
    pub fn refused_by(&self) -> Vec<AccountId> {
        let visits = self.visits.iter().filter(|visit| visit.failures.iter().any(Failure::refuses_caller));
        let visited = visits.filter_map(|visit| visit.target.account.clone());
        let searched = self.coverage.iter().flat_map(|coverage| &coverage.refused_by);
        visited.chain(searched.cloned()).collect()
    }

    /// Returns the transmissions of all deletes.
    pub fn deletes(&self) -> impl Iterator<Item = &Transmission> {
        self.visits.iter().filter_map(|visit| Some(&visit.delete.as_ref()?.transmission))
    }

    /// Returns whether a delete may have removed the key. After a sighting by the search only one on that bucket can
    /// have.
    pub fn may_have_taken_effect(&self) -> bool {
        let sighted = self.visits.iter().rfind(|visit| visit.target.found_by == FoundBy::Search);
        let visits =
            self.visits.iter().filter(|visit| sighted.is_none_or(|it| it.target.is_same_bucket(&visit.target)));
        visits.filter_map(|visit| visit.delete.as_ref()).any(|delete| delete.transmission.may_have_taken_effect())
    }
}

impl Target {
    /// Returns whether `other` is the same bucket.
    pub fn is_same_bucket(&self, other: &Self) -> bool {
        (&self.account, &self.bucket, &self.region) == (&other.account, &other.bucket, &other.region)
    }
}

impl Visit {
    /// Opens a visit.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            protection: None,
            delete: None,
            evidence: None,
            listing: None,
            verification: None,
            failures: Vec::new(),
        }
    }

    /// Returns AWS's response to an accepted delete.
    pub fn accepted(&self) -> Option<&Acceptance> {
        self.delete.as_ref()?.accepted.as_ref()
    }

    /// Returns the operations of an accepted delete, in their last known state.
    pub fn operations(&self) -> &[Operation] {
        self.accepted().map(|accepted| accepted.operations.as_slice()).unwrap_or_default()
    }

    /// Returns the key as it was listed before it was deleted.
    pub fn sighting(&self) -> Option<&AccessKey> {
        match self.evidence.as_ref()? {
            Evidence::Listed(key) => Some(key),
            Evidence::AlreadyGone | Evidence::Unavailable => None,
        }
    }

    /// Returns whether the reads after a delete show that the key is gone from this bucket. None if there was no such
    /// read.
    pub fn verified_absent(&self) -> Option<bool> {
        self.verification.as_ref()?;
        match self.listing? {
            Listing::Listed => Some(false),
            Listing::NotListed => Some(true),
            Listing::NoBucket | Listing::Unread => None,
        }
    }

    /// Returns the failure that says most: the first that is more than "not found".
    pub fn failure(&self) -> Option<&Failure> {
        self.failures.iter().find(|failure| failure.kind != FailureKind::NotFound).or(self.failures.last())
    }

    /// Writes down one read of the bucket's keys.
    pub fn note(&mut self, look: Look) {
        self.listing = Some(look.listing());
        match look {
            Look::Listed(key) => self.evidence = Some(Evidence::Listed(key)),
            Look::Unread(failure) => self.failures.push(failure),
            Look::NotListed | Look::NoBucket(_) => {}
        }
    }
}

impl Look {
    /// Returns what the read shows, without the details.
    pub fn listing(&self) -> Listing {
        match self {
            Self::Listed(_) => Listing::Listed,
            Self::NotListed => Listing::NotListed,
            Self::NoBucket(_) => Listing::NoBucket,
            Self::Unread(_) => Listing::Unread,
        }
    }
}

impl Evidence {
    /// Evidence of a read beside the delete. None stands for a read that did not end in time.
    pub fn of(look: Option<Look>) -> Self {
        match look {
            Some(Look::Listed(key)) => Self::Listed(key),
            Some(Look::NotListed | Look::NoBucket(_)) => Self::AlreadyGone,
            Some(Look::Unread(_)) | None => Self::Unavailable,
        }
    }
}

impl Verification {
    /// Counts a read that succeeded at the time `now`.
    pub fn read(&mut self, now: DateTime<Utc>, remaining_keys: Option<usize>) {
        self.reads += 1;
        self.at = Some(now.trunc_subsecs(3));
        self.remaining_keys = remaining_keys;
    }
}

impl Coverage {
    /// Returns whether everything was read.
    pub fn is_complete(&self) -> bool {
        self.unread.is_empty() && !self.ended_early
    }

    /// Writes down that `place` could not be read. Failures of one kind are counted together, and most of their places
    /// are only counted: a denied Region of 300 accounts must not make a record that no log accepts.
    pub fn add_unread(&mut self, place: Place, failure: Failure) {
        if failure.refuses_caller() {
            self.refused_by.extend(place.account.clone());
        }
        self.incomplete.insert(place.account.clone());
        let full = self.unread.len() >= MAX_FAILURES;
        match self.unread.iter_mut().find(|unread| unread.failure.is_like(&failure)) {
            Some(unread) => {
                unread.count += 1;
                if unread.places.len() < MAX_PLACES {
                    unread.places.push(place);
                }
            }
            // Never beside another failure: a place keeps its reason.
            None if full => self.unread_for_other_reasons += 1,
            None => self.unread.push(Unread { count: 1, places: vec![place], failure }),
        }
    }

    /// Writes down a Region that its account has not enabled.
    pub fn add_not_enabled(&mut self, place: Place) {
        self.regions_not_enabled_count += 1;
        if self.regions_not_enabled.len() < MAX_PLACES {
            self.regions_not_enabled.push(place);
        }
    }

    /// Returns whether everything was read but accounts in which this function may not act.
    pub fn lacks_foreign_accounts_only(&self) -> bool {
        let foreign = |unread: &Unread| unread.failure.kind == FailureKind::ForeignAccount;
        !self.is_complete() && self.unread_for_other_reasons == 0 && self.unread.iter().all(foreign)
    }

    /// Returns whether the search was to read `region`.
    pub fn includes(&self, region: &Region) -> bool {
        self.regions.contains(region)
    }
}
