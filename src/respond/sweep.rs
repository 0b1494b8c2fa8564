//! Reads of a search, which all keys of an invocation share: each Region of each account is read once.
//!
//! A read serves the keys whose search begins later, too: a key cannot move, so a bucket that did not have it then does
//! not have it now. Invariants: a hung Region delays itself only, what could not be read has its failure in a
//! [`Part`], and a sighting is known at once. Futures of SDK calls are large, so they are boxed: only those in flight
//! take memory.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, ready};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::accounts::{Account, Entrance, SessionName};
use super::lane::{IN_FLIGHT, Lane, Pass};
use super::shared::Once;
use crate::aws::Failure;
use crate::aws::lightsail::{AccessKey, Bucket, InRegion, Page};
use crate::case::{Target, Visit};
use crate::deadline::Deadline;
use crate::names::{AccessKeyId, AccountId, Region};
use crate::regions::{has_lightsail, is_opt_in};

/// A sighting: where a search saw a key.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Account that has the bucket.
    pub(super) account: Account,
    /// Region of the bucket.
    pub(super) region: Region,
    /// The bucket as it was listed.
    pub(super) bucket: Bucket,
    /// The key as it was listed.
    pub(super) key: AccessKey,
    /// When the response that lists it arrived.
    pub(super) at: Instant,
}

impl Found {
    /// Returns whether this sighting is evidence for `visit`: the key was on its bucket before AWS accepted the delete.
    pub(super) fn is_before_delete_of(&self, visit: &Visit) -> bool {
        let Target { account, bucket, region, .. } = &visit.target;
        let is_same = (&self.account.id, &self.bucket.name, &self.region) == (account, bucket, region);
        is_same && visit.accepted().is_some_and(|accepted| self.at < accepted.at)
    }
}

/// Everything that was read of one Region of one account so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// Whether the list of buckets was read to its end.
    pub(super) is_listed: bool,
    /// Buckets whose keys were read.
    pub(super) buckets_read: usize,
    /// Failure of a Region that refused the credentials: twice, if it may be disabled.
    pub(super) refusal: Option<Refusal>,
    /// Failures: of a bucket's keys, or of the list of buckets.
    pub(super) unread: Vec<(Option<Bucket>, Failure)>,
}

impl Part {
    /// Returns whether something could not be read for a reason that may be gone.
    fn may_be_readable_now(&self) -> bool {
        self.unread.iter().any(|(_, failure)| failure.retryable)
    }
}

/// A Region's refusal of the credentials.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The failure.
    pub(super) failure: Failure,
    /// Whether the Region was asked twice. A refusal may be passing.
    pub(super) is_repeated: bool,
}

/// Reads of one invocation.
pub(super) struct Sweep<'a> {
    own: Region,
    deadline: Deadline,
    /// Pause before a refused Region is asked again.
    pause: Duration,
    sightings: Arc<Sightings>,
    sts: Arc<Lane>,
    memo: Mutex<Memo<'a>>,
}

/// ID of an account. None for the own account if Lambda does not say it.
type Id = Option<AccountId>;

#[derive(Default)]
struct Memo<'a> {
    lanes: HashMap<Region, Arc<Lane>>,
    accounts: HashMap<Id, Once<'a, Result<Account, Failure>>>,
    lists: HashMap<Id, Once<'a, Result<Vec<Region>, Failure>>>,
    reads: HashMap<(Id, Region), Reads<'a>>,
}

/// Both passes over one Region of one account.
#[derive(Default)]
struct Reads<'a> {
    part: Arc<Mutex<Part>>,
    first: Once<'a, ()>,
    second: Once<'a, ()>,
}

struct Sightings {
    /// IDs of the invocation's keys. No other key is kept.
    wanted: HashSet<String>,
    seen: watch::Sender<HashMap<String, Found>>,
}

impl<'a> Sweep<'a> {
    /// Prepares the search for all keys of an invocation. Reads nothing yet.
    pub(super) fn new<'k>(
        wanted: impl Iterator<Item = &'k AccessKeyId>,
        own: &Region,
        deadline: Deadline,
        pause: Duration,
    ) -> Self {
        let sightings = Sightings { wanted: wanted.map(ToString::to_string).collect(), seen: watch::Sender::default() };
        Self {
            own: own.clone(),
            deadline,
            pause,
            sightings: Arc::new(sightings),
            sts: Arc::default(),
            memo: Mutex::default(),
        }
    }

    /// Waits until a read shows `key`.
    pub(super) async fn sighting(&self, key: &AccessKeyId) -> Found {
        let mut seen = self.sightings.seen.subscribe();
        loop {
            if let Some(found) = self.seen(key) {
                return found;
            }
            if seen.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Returns the first sighting of `key` so far.
    pub(super) fn seen(&self, key: &AccessKeyId) -> Option<Found> {
        self.sightings.seen.borrow().get(key.as_str()).cloned()
    }

    /// Reads `regions` of `accounts`. Regions are read side by side, the accounts of a Region in their order. The second
    /// pass reads what the first one could not.
    pub(super) async fn read(&self, accounts: &[Entrance<'a>], regions: &[Region], session: &SessionName, pass: Pass) {
        let lanes = regions.iter().map(|region| {
            let reads = accounts.iter().map(move |account| self.region(account, region, session, pass));
            stream::iter(reads).buffer_unordered(IN_FLIGHT).for_each(ready)
        });
        join_all(lanes).await;
    }

    /// Asks AWS for the Regions that have Lightsail, by the Region `adviser` of `account`.
    pub(super) fn list_regions(
        &self,
        account: &Entrance<'a>,
        adviser: &Region,
        session: &SessionName,
    ) -> impl Future<Output = Result<Vec<Region>, Failure>> + use<'a> {
        let (entered, adviser, deadline) = (self.enter(account, session), adviser.clone(), self.deadline);
        let list = async move || entered.await?.lightsail.in_region(&adviser, deadline).get_regions().boxed().await;
        self.memo().lists.entry(account.id().cloned()).or_default().get_or_start(list)
    }

    /// Returns what was read of a Region. None if its read has not begun.
    pub(super) fn part(&self, account: &Entrance<'_>, region: &Region) -> Option<Part> {
        let part = Arc::clone(&self.memo().reads.get(&(account.id().cloned(), region.clone()))?.part);
        let part = locked(&part).clone();
        Some(part)
    }

    /// Returns why an account could not be entered.
    pub(super) fn closed(&self, account: &Entrance<'_>) -> Option<Failure> {
        self.memo().accounts.get(&account.id().cloned())?.get()?.as_ref().err().cloned()
    }

    fn enter(
        &self,
        account: &Entrance<'a>,
        session: &SessionName,
    ) -> impl Future<Output = Result<Account, Failure>> + use<'a> {
        let (entrance, session, sts, deadline) =
            (account.clone(), session.clone(), Arc::clone(&self.sts), self.deadline);
        let enter = async move || {
            let entering = entrance.enter(&session, deadline).boxed();
            match &entrance {
                Entrance::Entered(_) => entering.await,
                Entrance::Member(_) => sts.call(Pass::First, deadline, "AssumeRole", entering).await,
            }
        };
        self.memo().accounts.entry(account.id().cloned()).or_default().get_or_start(enter)
    }

    /// Reads a Region of an account in a pass.
    fn region(
        &self,
        account: &Entrance<'a>,
        region: &Region,
        session: &SessionName,
        pass: Pass,
    ) -> impl Future<Output = ()> + use<'a> {
        let entered = self.enter(account, session);
        let mut memo = self.memo();
        let lane = Arc::clone(memo.lanes.entry(region.clone()).or_default());
        let Reads { part, first, second } = memo.reads.entry((account.id().cloned(), region.clone())).or_default();
        let (sightings, region) = (Arc::clone(&self.sightings), region.clone());
        let (own, deadline, pause) = (self.own.clone(), self.deadline, self.pause);
        let read = async move |part: Arc<Mutex<Part>>| {
            if pass == Pass::Second && !locked(&part).may_be_readable_now() {
                return;
            }
            let Ok(account) = entered.await else { return };
            let lightsail = account.lightsail.in_region_for_search(&region, deadline);
            let asks_twice = may_be_disabled(&region) && region != own;
            let reader = Reader { account, region, lightsail, lane, sightings, pass, deadline };
            match pass {
                Pass::First => reader.read_all(&part, asks_twice.then_some(pause)).await,
                Pass::Second => reader.read_again(&part, asks_twice.then_some(pause)).await,
            }
        };
        match pass {
            Pass::First => first.get_or_start(|| {
                // An earlier read may have been dropped halfway.
                *part = Arc::default();
                read(Arc::clone(part))
            }),
            Pass::Second => second.get_or_start(|| read(Arc::clone(part))),
        }
    }

    fn memo(&self) -> MutexGuard<'_, Memo<'a>> {
        locked(&self.memo)
    }
}

/// Returns whether an account can have this Region disabled: only Regions that it must opt in to, and all new ones are of
/// this kind (AWS Account Management guide, "Enable or disable AWS Regions").
pub(super) fn may_be_disabled(region: &Region) -> bool {
    is_opt_in(region) || !has_lightsail(region)
}

/// Reader of one Region of one account.
struct Reader {
    account: Account,
    region: Region,
    lightsail: InRegion,
    lane: Arc<Lane>,
    sightings: Arc<Sightings>,
    pass: Pass,
    deadline: Deadline,
}

impl Reader {
    /// Reads every bucket. A Region that refuses the credentials is asked once more after `pause`, if there is one.
    async fn read_all(&self, part: &Mutex<Part>, pause: Option<Duration>) {
        let Some(mut failure) = self.read_buckets(part).await else { return };
        let mut is_repeated = false;
        if let Some(pause) = pause
            && self.deadline.within(tokio::time::sleep(pause)).await.is_ok()
        {
            let Some(second) = self.read_buckets(part).await else { return };
            (failure, is_repeated) = (second, true);
        }
        locked(part).refusal = Some(Refusal { failure, is_repeated });
    }

    /// Reads again what may be readable now: single buckets, or everything if their list could not be read.
    async fn read_again(&self, part: &Mutex<Part>, pause: Option<Duration>) {
        let unread = locked(part).unread.clone();
        if unread.iter().any(|(bucket, failure)| bucket.is_none() && failure.retryable) {
            let again = Mutex::default();
            self.read_all(&again, pause).await;
            let again = again.into_inner().unwrap_or_else(PoisonError::into_inner);
            let was_asked = again.unread.iter().any(|(_, failure)| failure.was_sent());
            if again.is_listed || again.refusal.is_some() || was_asked {
                *locked(part) = again;
            }
            return;
        }
        let buckets = unread.into_iter().filter_map(|(bucket, failure)| bucket.filter(|_| failure.retryable));
        let looks = buckets.map(|bucket| async move {
            let looked = self.look(&bucket).await;
            let mut part = locked(part);
            let place = part.unread.iter().position(|(unread, _)| unread.as_ref() == Some(&bucket));
            let Some(place) = place else { return };
            match looked {
                Ok(()) => {
                    part.unread.remove(place);
                    part.buckets_read += 1;
                }
                Err(failure) if failure.was_sent() => part.unread[place].1 = failure,
                Err(_) => {}
            }
        });
        join_all(looks).await;
    }

    /// Reads buckets while further pages are in flight, so that a key on the first page does not wait for the last.
    /// Returns the failure of a Region that refuses the credentials.
    async fn read_buckets(&self, part: &Mutex<Part>) -> Option<Failure> {
        let looks = self.buckets().enumerate().map(|(number, bucket)| async move {
            let bucket = bucket.map_err(|failure| (number, failure))?;
            let looked = self.look(&bucket).await;
            Ok(looked.map_err(|failure| (bucket, failure)))
        });
        let mut looks = pin!(looks.buffer_unordered(IN_FLIGHT));
        let mut is_listed = true;
        while let Some(read) = looks.next().await {
            let mut part = locked(part);
            match read {
                Ok(Ok(())) => part.buckets_read += 1,
                // A bucket that AWS has just listed and does not find may have been deleted since, but nothing proves it.
                Ok(Err((bucket, failure))) => part.unread.push((Some(bucket), failure)),
                Err((0, failure)) if refuses_credentials(&failure) => return Some(failure),
                // Buckets that were listed before and after the failure are read too: the key may be there.
                Err((_, failure)) => {
                    is_listed = false;
                    part.unread.push((None, failure));
                }
            }
        }
        locked(part).is_listed = is_listed;
        None
    }

    /// All pages of the Region, with a failure in place of buckets that could not be read.
    fn buckets(&self) -> impl Stream<Item = Result<Bucket, Failure>> {
        let pages = stream::unfold(Some(None::<String>), move |page| async move {
            let token = page?;
            let page = self.lightsail.buckets(token.as_deref()).boxed();
            let (buckets, next) = match self.lane.call(self.pass, self.deadline, "GetBuckets", page).await {
                Ok(Page { buckets, next }) => (buckets, next),
                Err(failure) => (vec![Err(failure)], None),
            };
            Some((stream::iter(buckets), next.map(Some)))
        });
        pages.flatten()
    }

    /// Reads the keys of a bucket, and notes the wanted ones.
    async fn look(&self, bucket: &Bucket) -> Result<(), Failure> {
        let keys = self.lightsail.get_bucket_access_keys(&bucket.name).boxed();
        let keys = self.lane.call(self.pass, self.deadline, "GetBucketAccessKeys", keys).await?;
        for key in keys.into_iter().filter(|key| self.sightings.wanted.contains(&key.id)) {
            let (account, region, bucket) = (self.account.clone(), self.region.clone(), bucket.clone());
            let (id, found) = (key.id.clone(), Found { account, region, bucket, key, at: Instant::now() });
            self.sightings.seen.send_modify(|seen| {
                seen.entry(id).or_insert(found);
            });
        }
        Ok(())
    }
}

/// Returns whether `failure` is the response of a Region that the account has not enabled: it does not know the
/// account's credentials (AWS Account Management guide, "Enable or disable AWS Regions").
fn refuses_credentials(failure: &Failure) -> bool {
    let code = failure.code.as_ref().map(|code| code.as_str());
    matches!(code, Some("UnrecognizedClientException" | "InvalidClientTokenId"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
