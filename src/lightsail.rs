//! The four Lightsail calls that this function makes, and what AWS answers to them in our own types.
//!
//! The only file that names `aws_sdk_lightsail`: an SDK error printed anywhere would show headers and bodies, so each is
//! mapped to a [`Failure`] at this edge. Invariant: every call is bounded by the deadline, and every failure says whether
//! AWS may have done the work all the same.

mod failure;
mod wire;

pub use failure::{Failure, FailureKind};
pub use wire::Wire;

use std::time::Duration;

use aws_sdk_lightsail::config::retry::RetryConfig;
use aws_sdk_lightsail::config::timeout::TimeoutConfig;
use aws_sdk_lightsail::config::{BehaviorVersion, Credentials, StalledStreamProtectionConfig};
use aws_sdk_lightsail::operation::RequestId;
use aws_sdk_lightsail::types;
use aws_sdk_lightsail::{Client, Config, primitives};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use crate::config;
use crate::deadline::Deadline;
use crate::names::{AccessKeyId, BucketName, Region};
use crate::plain_text::PlainText;

/// A TCP and TLS handshake within AWS takes a few milliseconds; a host that has not answered in a second will not.
const CONNECT: Duration = Duration::from_secs(1);
/// One attempt, connecting included. The SDK has no limit of its own: a peer that accepts and never answers would hold us
/// until Lambda kills the process. Nobody has published how long Lightsail takes; its other calls end within a second.
const ATTEMPT: Duration = Duration::from_secs(3);
/// One call with all its attempts and pauses. Five attempts of 3 s fit, and one dead Region cannot use up a minute.
const CALL: Duration = Duration::from_secs(18);
/// Attempts and pauses between them: 100 ms, doubling, with the SDK's jitter. The SDK's own first pause is a second.
const ATTEMPTS: u32 = 5;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// The way to Lightsail, in any Region.
#[derive(Clone, Debug)]
pub struct Lightsail {
    config: Config,
}

/// Lightsail in one Region, until a deadline.
#[derive(Clone, Debug)]
pub struct InRegion {
    client: Client,
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

/// An operation with every member that the API returns (API reference, `Operation`); AWS may leave out any of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Operation {
    /// ID, for `GetOperation`.
    pub id: Option<String>,
    /// `operationType`, such as `DeleteBucketAccessKey`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `NotStarted`, `Started`, `Failed`, `Completed`, `Succeeded`, or what AWS will think of next.
    pub status: Option<String>,
    /// Whether it has ended.
    pub is_terminal: Option<bool>,
    /// The bucket.
    pub resource_name: Option<String>,
    /// `Bucket`.
    pub resource_type: Option<String>,
    /// Where it runs.
    pub location: Option<Location>,
    /// `operationDetails`.
    pub details: Option<PlainText>,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// When its status last changed.
    pub status_changed_at: Option<DateTime<Utc>>,
    /// Why it failed, as a code.
    pub error_code: Option<PlainText>,
    /// Why it failed, in words.
    pub error_details: Option<PlainText>,
}

/// API reference, `ResourceLocation`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Location {
    /// For a bucket: `all`.
    pub availability_zone: Option<String>,
    /// The Region.
    pub region_name: Option<String>,
}

/// A key as `GetBucketAccessKeys` lists it: never with the secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BucketKey {
    /// The key.
    pub id: String,
    /// `Active` or `Inactive`.
    pub status: Option<String>,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// Its last use that AWS knows of.
    pub last_used: Option<LastUsed>,
}

/// API reference, `AccessKeyLastUsed`; `N/A` and no time for a key that was never used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastUsed {
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// In which Region.
    pub region: String,
    /// With which service.
    pub service: String,
}

impl Lightsail {
    /// Prepares the client; connects to nothing.
    pub fn new(config: &config::Config) -> Self {
        let config::Credentials { access_key_id, secret_access_key, session_token } = &config.credentials;
        let credentials =
            Credentials::new(access_key_id, secret_access_key, session_token.clone(), None, "Lambda environment");
        // ring: AWS-LC spends most of a cold start's CPU on jitter entropy, and is 2 MB larger (measured: facts).
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_BACKOFF)
            .with_max_backoff(LONGEST_BACKOFF);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL)
            .build();
        let mut builder = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(aws_sdk_lightsail::config::Region::new(config.region.to_string()))
            .credentials_provider(credentials)
            .http_client(http)
            .retry_config(retries)
            .timeout_config(timeouts)
            // It guards streamed bodies without a time limit; ours have one.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        builder.set_endpoint_url(config.endpoint.clone());
        Self { config: builder.build() }
    }

    /// Lightsail in `region`; no call goes on past `deadline`. Connections are shared between all of them.
    pub fn in_region(&self, region: &Region, deadline: Deadline) -> InRegion {
        let region = aws_sdk_lightsail::config::Region::new(region.to_string());
        InRegion { client: Client::from_conf(self.config.to_builder().region(region).build()), deadline }
    }
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
        let output = self.answer("DeleteBucketAccessKey", wire, call).await?;
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

    /// `GetBuckets`: the names of all buckets of the Region, page by page; and why not all pages were read, if so.
    pub async fn get_buckets(&self) -> (Vec<BucketName>, Option<Failure>) {
        let mut names = Vec::new();
        let mut token: Option<String> = None;
        loop {
            match self.get_buckets_page(token.as_deref(), &mut names).await {
                Ok(None) => return (names, None),
                Ok(next) => token = next,
                Err(failure) => return (names, Some(failure)),
            }
        }
    }

    /// Adds the names of one page to `names`; the token of the next one, if there is one.
    async fn get_buckets_page(
        &self,
        token: Option<&str>,
        names: &mut Vec<BucketName>,
    ) -> Result<Option<String>, Failure> {
        const CALL: &str = "GetBuckets";
        let wire = Wire::default();
        let request = self.client.get_buckets().set_page_token(token.map(str::to_owned));
        let output = self.answer(CALL, &wire, request.customize().interceptor(wire.clone()).send()).await?;
        for bucket in output.buckets.ok_or_else(|| Failure::garbled(CALL, "no list of buckets", &wire))? {
            let name = bucket.name.and_then(|name| name.parse().ok());
            names.push(name.ok_or_else(|| Failure::garbled(CALL, "a bucket without a name", &wire))?);
        }
        match output.next_page_token.filter(|next| !next.is_empty()) {
            next if next.is_some() && next.as_deref() == token => {
                Err(Failure::garbled(CALL, "the same page again", &wire))
            }
            next => Ok(next),
        }
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
        match self.deadline.within(call).await {
            Ok(answer) => answer.map_err(|error| Failure::from_sdk(operation, &error, wire)),
            Err(_) => Err(Failure::out_of_time(operation, wire)),
        }
    }
}

impl Operation {
    /// Whether it has ended, well or not. Both members are looked at, since AWS may leave out either.
    pub fn has_ended(&self) -> bool {
        self.is_terminal == Some(true) || self.ended_well() || self.has_failed()
    }

    /// `Completed` and `Succeeded` are both good (Terraform's Lightsail waiter takes either).
    pub fn ended_well(&self) -> bool {
        matches!(self.status.as_deref(), Some("Completed" | "Succeeded"))
    }

    /// `Failed`.
    pub fn has_failed(&self) -> bool {
        self.status.as_deref() == Some("Failed")
    }
}

impl From<types::Operation> for Operation {
    fn from(wire: types::Operation) -> Self {
        Self {
            id: wire.id,
            kind: wire.operation_type.map(|kind| kind.as_str().to_owned()),
            status: wire.status.map(|status| status.as_str().to_owned()),
            is_terminal: wire.is_terminal,
            resource_name: wire.resource_name,
            resource_type: wire.resource_type.map(|kind| kind.as_str().to_owned()),
            location: wire.location.map(|location| Location {
                availability_zone: location.availability_zone,
                region_name: location.region_name.map(|region| region.as_str().to_owned()),
            }),
            details: wire.operation_details.as_deref().map(PlainText::of),
            created_at: moment(wire.created_at),
            status_changed_at: moment(wire.status_changed_at),
            error_code: wire.error_code.as_deref().map(PlainText::of),
            error_details: wire.error_details.as_deref().map(PlainText::of),
        }
    }
}

impl BucketKey {
    fn read(wire: types::AccessKey) -> Option<Self> {
        Some(Self {
            id: wire.access_key_id?,
            status: wire.status.map(|status| status.as_str().to_owned()),
            created_at: moment(wire.created_at),
            last_used: wire.last_used.map(|used| LastUsed {
                at: moment(used.last_used_date),
                region: used.region.unwrap_or_default(),
                service: used.service_name.unwrap_or_default(),
            }),
        })
    }
}

/// AWS sends epoch seconds as a floating-point number with milliseconds; what lies below them is its rounding error.
fn moment(wire: Option<primitives::DateTime>) -> Option<DateTime<Utc>> {
    let wire = wire?;
    DateTime::from_timestamp(wire.secs(), wire.subsec_nanos()).map(|at| at.round_subsecs(3))
}
