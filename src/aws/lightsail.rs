//! The four Lightsail calls that this function makes.
//!
//! With its modules the only file that names `aws_sdk_lightsail`: an SDK error printed anywhere would show headers and
//! bodies, so each is mapped to a [`Failure`] at this edge. Invariant: every call is bounded by the deadline, and every
//! failure says whether AWS may have deleted the key all the same.

mod model;

pub use model::{Bucket, BucketKey, LastUsed, Location, Operation};

/// Connections and TLS, shared by the clients of all SDKs.
pub use aws_sdk_lightsail::config::SharedHttpClient as HttpClient;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_lightsail::config::Credentials;
use aws_sdk_lightsail::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_lightsail::config::timeout::TimeoutConfig;
use aws_sdk_lightsail::operation::RequestId;
use aws_sdk_lightsail::{Client, Config};
use futures_util::stream::{self, Stream};
use tokio::sync::Semaphore;

use super::failure;
use super::{Failure, Wire};
use crate::config;
use crate::deadline::Deadline;
use crate::deadline::Timeouts;
use crate::names::{AccessKeyId, BucketName, Region};

/// Reads of one Region under way at once, whoever they are for: each may need a connection of its own, with a TLS handshake,
/// and a process in Lambda has 1,024 descriptors (Lambda quotas). Deletes do not wait for them.
const READS_AT_ONCE: usize = 8;

/// The way to Lightsail, in any Region.
#[derive(Clone, Debug)]
pub struct Lightsail {
    config: Arc<Config>,
    /// In the function's own Region: the first one made in a process takes four times as long, and this is made in INIT.
    home: Client,
    reads: Arc<Mutex<HashMap<Region, Arc<Semaphore>>>>,
}

/// Lightsail in one Region, until a deadline.
#[derive(Clone, Debug)]
pub struct InRegion {
    client: Client,
    reads: Arc<Semaphore>,
    deadline: Deadline,
}

/// The answer to an accepted delete.
#[derive(Debug)]
pub struct Accepted {
    /// What AWS set going; may be empty.
    pub operations: Vec<Operation>,
    /// AWS's ID of the request.
    pub request_id: Option<String>,
}

impl Lightsail {
    /// Prepares the client, in our own account; connects to nothing.
    pub fn new(config: &config::Config, http: HttpClient) -> Self {
        let config = client_config!(aws_sdk_lightsail, config, http, config.endpoints.lightsail);
        Self { home: Client::from_conf(config.clone()), config: Arc::new(config), reads: Arc::default() }
    }

    /// The same with other credentials. Connections are shared.
    pub fn with(&self, credentials: Credentials) -> Self {
        let config = self.config.to_builder().credentials_provider(credentials).build();
        Self { home: Client::from_conf(config.clone()), config: Arc::new(config), reads: Arc::clone(&self.reads) }
    }

    /// Lightsail in `region`; no call goes on past `deadline`. Connections are shared between all of them.
    pub fn in_region(&self, region: &Region, deadline: Deadline) -> InRegion {
        let reads = {
            let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(reads.entry(region.clone()).or_insert_with(|| Arc::new(Semaphore::new(READS_AT_ONCE))))
        };
        let client = match self.config.region() {
            Some(home) if home.as_ref() == region.as_str() => self.home.clone(),
            _ => {
                let region = aws_sdk_lightsail::config::Region::new(region.to_string());
                Client::from_conf(self.config.to_builder().region(region).build())
            }
        };
        InRegion { client, reads, deadline }
    }
}

/// How every client of ours is set up, whatever its SDK: each has types of its own for the same things.
macro_rules! client_config {
    ($sdk:ident, $config:expr, $http:expr, $endpoint:expr) => {{
        let config: &$crate::config::Config = $config;
        let mut builder = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::v2026_01_12())
            .region($sdk::config::Region::new(config.region.to_string()))
            .credentials_provider($crate::aws::lightsail::own_credentials(&config.credentials))
            .http_client($http)
            .retry_config($crate::aws::lightsail::retries(&config.timeouts))
            .retry_partition($crate::aws::lightsail::every_call_its_retries())
            .retry_classifier($crate::aws::Unreadable)
            .timeout_config($crate::aws::lightsail::timeouts(&config.timeouts))
            // It guards streamed bodies without a time limit; ours have one.
            .stalled_stream_protection($sdk::config::StalledStreamProtectionConfig::disabled());
        builder.set_endpoint_url($endpoint.clone());
        builder.build()
    }};
}

pub(crate) use client_config;

/// The credentials of the function's own role.
pub(crate) fn own_credentials(own: &config::Credentials) -> Credentials {
    let config::Credentials { access_key_id, secret_access_key, session_token } = own;
    Credentials::new(access_key_id, secret_access_key, session_token.clone(), None, "Lambda environment")
}

/// The SDK's standard retries: of throttling, 5xx, lost connections and time-outs, with jitter.
pub(crate) fn retries(timeouts: &Timeouts) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(timeouts.max_attempts)
        .with_initial_backoff(timeouts.initial_backoff)
        .with_max_backoff(timeouts.max_backoff)
}

/// No quota of retries for the process: the SDK's own is used up by some nine calls that fail, and a function that stays
/// warm in a storm would then try everything only once. How often one call is tried is bounded all the same.
pub(crate) fn every_call_its_retries() -> RetryPartition {
    RetryPartition::custom("lightsail-key-responder").token_bucket(TokenBucket::unlimited()).build()
}

/// The SDK has none of its own but for connecting.
pub(crate) fn timeouts(timeouts: &Timeouts) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(timeouts.connect)
        .operation_attempt_timeout(timeouts.attempt)
        .operation_timeout(timeouts.call)
        .build()
}

impl InRegion {
    /// `DeleteBucketAccessKey`. A second delete of the same key finds it gone: harmless to repeat.
    ///
    /// A failure may have been carried out where it says so.
    pub async fn delete_bucket_access_key(
        &self,
        bucket: &BucketName,
        key: &AccessKeyId,
        wire: &Wire,
    ) -> Result<Accepted, Failure> {
        let request = self.client.delete_bucket_access_key().bucket_name(bucket.as_str()).access_key_id(key.as_str());
        let call = request.customize().interceptor(wire.clone()).send();
        let output = self.answer(failure::DELETE, wire, call).await?;
        let request_id = output.request_id().map(str::to_owned);
        let operations = output.operations.unwrap_or_default().into_iter().map(Operation::from).collect();
        Ok(Accepted { operations, request_id })
    }

    /// `GetOperation`; none if the answer holds no operation.
    pub async fn get_operation(&self, id: &str) -> Result<Option<Operation>, Failure> {
        let wire = Wire::default();
        let call = self.client.get_operation().operation_id(id).customize().interceptor(wire.clone()).send();
        Ok(self.answer("GetOperation", &wire, call).await?.operation.map(Operation::from))
    }

    /// `GetBucketAccessKeys`: all keys of the bucket, since it is not paged.
    pub async fn get_bucket_access_keys(&self, bucket: &BucketName) -> Result<Vec<BucketKey>, Failure> {
        const CALL: &str = "GetBucketAccessKeys";
        let wire = Wire::default();
        let request = self.client.get_bucket_access_keys().bucket_name(bucket.as_str());
        let output = self.answer(CALL, &wire, request.customize().interceptor(wire.clone()).send()).await?;
        // Neither a list that is not there nor a key without an ID proves that the key we look for is gone.
        let keys = output.access_keys.ok_or_else(|| Failure::garbled(CALL, "no list of accessKeys", &wire))?;
        let keys = keys.into_iter().map(BucketKey::read).collect::<Option<_>>();
        keys.ok_or_else(|| Failure::garbled(CALL, "a key without accessKeyId", &wire))
    }

    /// `GetBuckets`: all buckets of the Region, page after page; in their place what could not be read of them.
    pub fn buckets(&self) -> impl Stream<Item = Result<Bucket, Failure>> {
        let pages = stream::unfold(Some(None), move |page: Option<Option<String>>| async move {
            let token = page?;
            let (buckets, next) = self.page(None, token.as_deref()).await;
            Some((stream::iter(buckets), next.map(Some)))
        });
        futures_util::StreamExt::flatten(pages)
    }

    /// `GetBuckets` of one bucket; none if the answer does not have it.
    pub async fn bucket(&self, name: &BucketName) -> Result<Option<Bucket>, Failure> {
        let (buckets, _) = self.page(Some(name), None).await;
        let buckets = buckets.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(buckets.into_iter().find(|bucket| bucket.name == *name))
    }

    /// One page, and the token of the next one, if there is one.
    async fn page(
        &self,
        name: Option<&BucketName>,
        token: Option<&str>,
    ) -> (Vec<Result<Bucket, Failure>>, Option<String>) {
        const CALL: &str = "GetBuckets";
        let wire = Wire::default();
        let name = name.map(|name| name.as_str().to_owned());
        let request = self.client.get_buckets().set_bucket_name(name).set_page_token(token.map(str::to_owned));
        let call = request.customize().interceptor(wire.clone()).send();
        let output = match self.answer(CALL, &wire, call).await {
            Ok(output) => output,
            Err(failure) => return (vec![Err(failure)], None),
        };
        let garbled = |what| Err(Failure::garbled(CALL, what, &wire));
        // Only a list that is there says what buckets there are.
        let Some(buckets) = output.buckets else { return (vec![garbled("no list of buckets")], None) };
        let read = |wire| Bucket::read(wire).map_or_else(|| garbled("a bucket without a name"), Ok);
        let mut buckets = buckets.into_iter().map(read).collect::<Vec<_>>();
        let next = output.next_page_token.filter(|next| !next.is_empty());
        if next.is_some() && next.as_deref() == token {
            buckets.push(garbled("the same page again"));
            return (buckets, None);
        }
        (buckets, next)
    }

    async fn answer<T, E>(
        &self,
        operation: &'static str,
        wire: &Wire,
        call: impl Future<Output = Result<T, failure::SdkError<E>>>,
    ) -> Result<T, Failure>
    where
        E: aws_sdk_lightsail::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let call = async {
            let _permit = match operation {
                failure::DELETE => None,
                // It is never closed.
                _ => self.reads.acquire().await.ok(),
            };
            call.await
        };
        match self.deadline.within(call).await {
            Ok(answer) => answer.map_err(|error| Failure::from_sdk(operation, &error, wire)),
            Err(_) => Err(Failure::out_of_time(operation, wire)),
        }
    }
}
