//! Clients of AWS: how each is built, and how each call is made.
//!
//! The modules below this one are the only files that name an SDK, one file per service. SDK errors are mapped to
//! [`Failure`] here, because their `Debug` output dumps headers and bodies. Invariant: every call is bounded by a
//! deadline, and every failure says whether a delete may have taken effect.

pub mod eventbridge;
pub mod lightsail;
pub mod sts;

mod connections;
mod dns;
mod failure;
mod pool;
mod retry;
mod tls;
mod transmission;

pub use failure::{Failure, FailureKind};
pub use pool::Transport;
pub use transmission::Transmission;

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use aws_types::region::Region;

use self::failure::SdkError;
use self::pool::Pool;
use crate::clock::Clock;
use crate::config::{self, Config, Endpoints};
use crate::deadline::{Deadline, Timeouts};

/// Settings that the clients of all SDKs share, connections among them.
#[derive(Clone, Debug)]
pub struct Settings {
    region: Region,
    credentials: Credentials,
    endpoints: Endpoints,
    http: SharedHttpClient,
    timeouts: Timeouts,
    clock: Clock,
}

/// One call of any SDK, with all its attempts.
#[derive(Debug)]
struct Call {
    /// API operation, such as `GetBuckets`.
    operation: &'static str,
    deadline: Deadline,
    transmission: Transmission,
}

impl Settings {
    /// Prepares connections without connecting. Looks up the address of Lightsail in the own Region in the background,
    /// so it must be called within a Tokio runtime.
    pub fn new(config: &Config) -> Self {
        Self::of(config, tls::pools(config), Clock::default())
    }

    /// Settings with other connections and another clock, for a simulation.
    pub fn with(config: &Config, transport: impl Transport, clock: Clock) -> Self {
        let connect_timeout = config.timeouts.connect;
        let new_pool = move || SharedHttpConnector::new(Pool::new(transport.clone(), connect_timeout));
        Self::of(config, new_pool, clock)
    }

    fn of(config: &Config, new_pool: impl Fn() -> SharedHttpConnector + Send + Sync + 'static, clock: Clock) -> Self {
        let config::Credentials { access_key_id, secret_access_key, session_token } = &config.credentials;
        Self {
            region: Region::new(config.region.to_string()),
            credentials: Credentials::new(
                access_key_id,
                secret_access_key,
                session_token.clone(),
                None,
                "Lambda environment",
            ),
            endpoints: config.endpoints.clone(),
            http: connections::http_client(new_pool, clock.clone()),
            timeouts: config.timeouts.clone(),
            clock,
        }
    }

    /// Returns the wall clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the configuration of an SDK's client. `endpoint` replaces AWS's own.
    fn sdk_config(&self, endpoint: Option<&String>) -> SdkConfig {
        let mut builder = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(self.region.clone())
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .http_client(self.http.clone())
            .time_source(self.clock.clone())
            .retry_config(retry::config(&self.timeouts))
            .timeout_config(retry::timeouts(&self.timeouts))
            // It guards streamed bodies without a timeout. All bodies of this function have one.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        builder.set_endpoint_url(endpoint.cloned());
        builder.build()
    }
}

/// The SDKs sign requests and judge credentials by this clock.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Clock::now(self).into()
    }
}

impl Call {
    fn new(operation: &'static str, deadline: Deadline) -> Self {
        Self { operation, deadline, transmission: Transmission::default() }
    }

    /// Waits for `response` until the deadline. Use [`send!`], which attaches the transmission.
    async fn complete<T, E>(&self, response: impl Future<Output = Result<T, SdkError<E>>>) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let response = self.deadline.within(response).await.map_err(|_| self.deadline_exceeded())?;
        response.map_err(|error| Failure::from_sdk(self.operation, &error, &self.transmission))
    }

    fn deadline_exceeded(&self) -> Failure {
        Failure::deadline_exceeded(self.operation, &self.transmission)
    }

    /// A response without what was asked for.
    fn malformed(&self, what: &str) -> Failure {
        Failure::malformed_response(self.operation, what, &self.transmission)
    }
}

/// Builds the configuration of an SDK's client. A macro, because each SDK has a builder of its own. `SdkConfig` cannot
/// hold partition and classifier.
macro_rules! client_config {
    ($sdk:ident, $settings:expr, $endpoint:ident) => {
        $sdk::config::Builder::from(&$settings.sdk_config($settings.endpoints.$endpoint.as_ref()))
            .retry_partition($crate::aws::retry::unlimited())
            .retry_classifier($crate::aws::retry::TransientResponses)
            .build()
    };
}
use client_config;

/// Sends a request of any SDK as a [`Call`]. A macro, because each SDK has request types of its own. The future of an SDK
/// is large, and each future that it is moved into would be, too: it is boxed.
macro_rules! send {
    ($call:expr, $request:expr) => {
        $call.complete(Box::pin($request.customize().interceptor($call.transmission.clone()).send()))
    };
    ($call:expr, $request:expr, $config:expr) => {
        $call.complete(Box::pin(
            $request.customize().config_override($config).interceptor($call.transmission.clone()).send(),
        ))
    };
}
use send;
