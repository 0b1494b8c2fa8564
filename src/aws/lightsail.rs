//! The five Lightsail calls of this function.

mod model;

pub use model::{AccessKey, Bucket, LastUsed, Location, Operation};

use std::sync::Arc;

use aws_sdk_lightsail::config::timeout::TimeoutConfig;
use aws_sdk_lightsail::operation::RequestId;
use aws_sdk_lightsail::{Client, Config};

use super::failure::DELETE;
use super::sts::TemporaryCredentials;
use super::{Call, Failure, Settings, Transmission, client_config, retry, send};
use crate::deadline::Deadline;
use crate::names::{AccessKeyId, BucketName, Region};

/// Lightsail in all Regions, with the credentials of one account.
#[derive(Clone, Debug)]
pub struct Lightsail {
    config: Arc<Config>,
    /// Client of the own Region. The first client of a process takes four times as long to make, so INIT makes this
    /// one.
    home: Client,
    delete_timeouts: TimeoutConfig,
    search_timeouts: TimeoutConfig,
}

/// Lightsail in one Region, until a deadline.
#[derive(Clone, Debug)]
pub struct InRegion {
    client: Client,
    delete_timeouts: TimeoutConfig,
    deadline: Deadline,
}

/// Response to an accepted delete.
#[derive(Debug)]
pub struct Accepted {
    /// Operations that AWS started. May be empty.
    pub operations: Vec<Operation>,
    /// AWS's ID of the request.
    pub request_id: Option<String>,
}

/// Page of a Region's buckets.
#[derive(Debug)]
pub struct Page {
    /// The buckets, with a failure in place of each that could not be read.
    pub buckets: Vec<Result<Bucket, Failure>>,
    /// Token of the next page, if there is one.
    pub next: Option<String>,
}

impl Lightsail {
    /// Prepares the client of the own account without connecting.
    pub fn new(settings: &Settings) -> Self {
        let config = client_config!(aws_sdk_lightsail, settings, lightsail);
        Self {
            home: Client::from_conf(config.clone()),
            config: Arc::new(config),
            delete_timeouts: retry::delete_timeouts(&settings.timeouts),
            search_timeouts: retry::search_timeouts(&settings.timeouts),
        }
    }

    /// Returns Lightsail of another account. Shares connections.
    pub fn with(&self, credentials: TemporaryCredentials) -> Self {
        let config = self.config.to_builder().credentials_provider(credentials.0).build();
        Self { home: Client::from_conf(config.clone()), config: Arc::new(config), ..self.clone() }
    }

    /// Returns Lightsail in `region`. No call continues past `deadline`. All Regions share connections.
    pub fn in_region(&self, region: &Region, deadline: Deadline) -> InRegion {
        let client = match self.config.region() {
            Some(home) if home.as_ref() == region.as_str() => self.home.clone(),
            _ => self.client(region, None),
        };
        InRegion { client, delete_timeouts: self.delete_timeouts.clone(), deadline }
    }

    /// Returns Lightsail in `region` for a search, which gives up on a call sooner, because it tries again.
    pub fn in_region_for_search(&self, region: &Region, deadline: Deadline) -> InRegion {
        let client = self.client(region, Some(self.search_timeouts.clone()));
        InRegion { client, delete_timeouts: self.delete_timeouts.clone(), deadline }
    }

    fn client(&self, region: &Region, timeouts: Option<TimeoutConfig>) -> Client {
        let region = aws_sdk_lightsail::config::Region::new(region.to_string());
        let mut config = self.config.to_builder().region(region);
        if timeouts.is_some() {
            config.set_timeout_config(timeouts);
        }
        Client::from_conf(config.build())
    }
}

impl InRegion {
    /// Calls `DeleteBucketAccessKey`. Idempotent in effect: a second delete of the same key finds it gone.
    /// `transmission` observes the attempts, also if this future is dropped.
    ///
    /// A failed delete may have taken effect: the failure says so.
    pub async fn delete_bucket_access_key(
        &self,
        bucket: &BucketName,
        key: &AccessKeyId,
        transmission: &Transmission,
    ) -> Result<Accepted, Failure> {
        let call = Call { operation: DELETE, deadline: self.deadline, transmission: transmission.clone() };
        let request = self.client.delete_bucket_access_key().bucket_name(bucket.as_str()).access_key_id(key.as_str());
        let timeouts = Config::builder().timeout_config(self.delete_timeouts.clone());
        let output = send!(call, request, timeouts).await?;
        let request_id = output.request_id().map(str::to_owned);
        let operations = output.operations.unwrap_or_default().into_iter().map(Operation::from).collect();
        Ok(Accepted { operations, request_id })
    }

    /// Calls `GetOperation`. None if the response holds no operation.
    pub async fn get_operation(&self, id: &str) -> Result<Option<Operation>, Failure> {
        let call = Call::new("GetOperation", self.deadline);
        let output = send!(call, self.client.get_operation().operation_id(id)).await?;
        Ok(output.operation.map(Operation::from))
    }

    /// Calls `GetBucketAccessKeys`, which is not paginated: all keys of the bucket.
    pub async fn get_bucket_access_keys(&self, bucket: &BucketName) -> Result<Vec<AccessKey>, Failure> {
        let call = Call::new("GetBucketAccessKeys", self.deadline);
        let output = send!(call, self.client.get_bucket_access_keys().bucket_name(bucket.as_str())).await?;
        let by_aws = is_by_aws(&output);
        let keys = listed(output.access_keys, by_aws).ok_or_else(|| call.malformed("no list of accessKeys"))?;
        // A key without an ID may be the wanted one.
        let keys = keys.into_iter().map(AccessKey::read).collect::<Option<_>>();
        keys.ok_or_else(|| call.malformed("a key without accessKeyId"))
    }

    /// Calls `GetRegions`: the Regions that have Lightsail, in any of them. A name that has not the form of a Region's is a
    /// malformed response, since it may hide one.
    pub async fn get_regions(&self) -> Result<Vec<Region>, Failure> {
        let call = Call::new("GetRegions", self.deadline);
        let output = send!(call, self.client.get_regions()).await?;
        // No list of Regions is empty.
        let regions =
            output.regions.filter(|regions| !regions.is_empty()).ok_or_else(|| call.malformed("no list of regions"))?;
        let regions = regions.into_iter().map(|region| region.name?.as_str().parse().ok()).collect::<Option<_>>();
        regions.ok_or_else(|| call.malformed("a Region without a name"))
    }

    /// Calls `GetBuckets` for one bucket. None if the response does not have it.
    pub async fn bucket(&self, name: &BucketName) -> Result<Option<Bucket>, Failure> {
        let Page { buckets, .. } = self.page(Some(name), None).await?;
        let buckets = buckets.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(buckets.into_iter().find(|bucket| bucket.name == *name))
    }

    /// Calls `GetBuckets` for one page of the Region's buckets: the first one without a `token`.
    pub async fn buckets(&self, token: Option<&str>) -> Result<Page, Failure> {
        self.page(None, token).await
    }

    async fn page(&self, name: Option<&BucketName>, token: Option<&str>) -> Result<Page, Failure> {
        let call = Call::new("GetBuckets", self.deadline);
        let name = name.map(|name| name.as_str().to_owned());
        let request = self.client.get_buckets().set_bucket_name(name).set_page_token(token.map(str::to_owned));
        let output = send!(call, request).await?;
        let by_aws = is_by_aws(&output);
        let buckets = listed(output.buckets, by_aws).ok_or_else(|| call.malformed("no list of buckets"))?;
        let read = |bucket| Bucket::read(bucket).ok_or_else(|| call.malformed("a bucket without a name"));
        let mut buckets = buckets.into_iter().map(read).collect::<Vec<_>>();
        let mut next = output.next_page_token.filter(|next| !next.is_empty());
        if next.is_some() && next.as_deref() == token {
            buckets.push(Err(call.malformed("the same page again")));
            next = None;
        }
        Ok(Page { buckets, next })
    }
}

/// Returns whether AWS wrote the response: only the service that handles a request gives it an ID. A `{}` of anything
/// between has none.
fn is_by_aws(output: &impl RequestId) -> bool {
    output.request_id().is_some_and(|id| !id.is_empty())
}

/// Returns the list of a response. None if its absence proves nothing.
///
/// AWS has not published whether Lightsail sends an empty list or leaves it out. AWS's JSON protocols allow both: a
/// member without a value is left out, and a client treats an absent list as empty (Smithy specification, "AWS JSON
/// 1.1 protocol"; one public stand-in for Lightsail leaves it out).
fn listed<T>(list: Option<Vec<T>>, by_aws: bool) -> Option<Vec<T>> {
    list.or_else(|| by_aws.then(Vec::new))
}
