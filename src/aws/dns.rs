//! Host name -> IP addresses, for the connections of all SDKs. INIT prefetches the addresses of Lightsail in the own
//! Region.
//!
//! Nearly every alert causes a cold start and is about the function's own Region. So another thread looks this name up
//! while INIT loads the roots and the runtime fetches the alert. Invariant: a prefetched result serves one connection,
//! and only within its TTL. A wrong guess of the Region costs one DNS query and nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::task::{JoinHandle, spawn_blocking};
use tower_service::Service;

use crate::config::Config;

/// Age from which a prefetched result is stale. Lambda can freeze a process that has no event yet for any time. The age
/// is taken from the wall clock, because the monotonic clock may stand still while the process is frozen.
const PREFETCH_TTL: Duration = Duration::from_secs(10);

/// The system's resolver, with one prefetched name. Clones share the prefetch.
#[derive(Clone, Debug)]
pub(super) struct PrefetchingResolver {
    /// None once a connection has taken it.
    prefetch: Arc<Mutex<Option<Prefetch>>>,
}

/// A lookup that INIT started.
#[derive(Debug)]
struct Prefetch {
    name: String,
    started: SystemTime,
    addresses: JoinHandle<io::Result<Vec<IpAddr>>>,
}

impl PrefetchingResolver {
    /// Starts to look up Lightsail's host in the own Region.
    pub(super) fn new(config: &Config) -> Self {
        Self::of(own_host(config))
    }

    fn of(name: String) -> Self {
        let addresses = look_up(name.clone());
        Self { prefetch: Arc::new(Mutex::new(Some(Prefetch { name, started: SystemTime::now(), addresses }))) }
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Some(addresses) = self.take(name) {
            // A failed prefetch is not final: the name is looked up again.
            if let Ok(Ok(addresses)) = addresses.await {
                return Ok(addresses);
            }
        }
        look_up(name.to_owned()).await.map_err(io::Error::other)?
    }

    /// Takes the prefetched lookup. None if it is for another name, stale, or taken already.
    fn take(&self, name: &str) -> Option<JoinHandle<io::Result<Vec<IpAddr>>>> {
        let mut prefetch = self.prefetch.lock().unwrap_or_else(PoisonError::into_inner);
        let prefetch = if prefetch.as_ref()?.name == name { prefetch.take()? } else { return None };
        // The age is unknown if the wall clock went backwards.
        prefetch.started.elapsed().is_ok_and(|age| age < PREFETCH_TTL).then_some(prefetch.addresses)
    }
}

/// Returns Lightsail's host in the own Region (AWS's endpoint rules for Lightsail, in the SDK and in botocore), or the
/// host of the configured endpoint.
fn own_host(config: &Config) -> String {
    let configured = config.endpoints.lightsail.as_ref().and_then(|url| url.parse::<Uri>().ok());
    let configured = configured.as_ref().and_then(Uri::host).map(str::to_owned);
    configured.unwrap_or_else(|| format!("lightsail.{}.amazonaws.com", config.region))
}

/// Looks up `host` on another thread, because the system's resolver blocks.
fn look_up(host: String) -> JoinHandle<io::Result<Vec<IpAddr>>> {
    // `to_socket_addrs` needs a port. Its value has no effect.
    spawn_blocking(move || Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
}

impl Service<Name> for PrefetchingResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await?;
            // hyper sets the port.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(addresses.collect::<Vec<_>>().into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
    /// An address of the documentation range, which no resolver returns.
    const PREFETCHED: [u8; 4] = [203, 0, 113, 7];

    /// A resolver with a prefetch that started `age` ago.
    fn prefetched(name: &str, age: Duration) -> PrefetchingResolver {
        let started = SystemTime::now() - age;
        let addresses = spawn_blocking(|| Ok(vec![IpAddr::from(PREFETCHED)]));
        let prefetch = Prefetch { name: name.to_owned(), started, addresses };
        PrefetchingResolver { prefetch: Arc::new(Mutex::new(Some(prefetch))) }
    }

    async fn resolves_to(resolver: &PrefetchingResolver, address: [u8; 4]) -> bool {
        resolver.resolve("localhost").await.unwrap().contains(&IpAddr::from(address))
    }

    #[tokio::test]
    async fn prefetched_result_serves_one_connection() {
        let resolver = prefetched("localhost", Duration::ZERO);
        let clone = resolver.clone();
        assert!(resolves_to(&clone, PREFETCHED).await);
        assert!(resolves_to(&resolver, LOOPBACK).await && !resolves_to(&resolver, PREFETCHED).await);
    }

    #[tokio::test]
    async fn stale_future_or_foreign_prefetch_is_unused() {
        assert!(resolves_to(&prefetched("localhost", PREFETCH_TTL), LOOPBACK).await);
        assert!(resolves_to(&prefetched("lightsail.eu-west-1.amazonaws.com", Duration::ZERO), LOOPBACK).await);
        let resolver = prefetched("localhost", Duration::ZERO);
        resolver.prefetch.lock().unwrap().as_mut().unwrap().started += Duration::from_secs(60);
        assert!(resolves_to(&resolver, LOOPBACK).await);
    }

    #[tokio::test]
    async fn failed_prefetch_is_looked_up_again() {
        let resolver = prefetched("localhost", Duration::ZERO);
        resolver.prefetch.lock().unwrap().as_mut().unwrap().addresses =
            spawn_blocking(|| Err(io::Error::other("no network")));
        assert!(resolves_to(&resolver, LOOPBACK).await);
    }

    #[test]
    fn own_host_is_endpoint_of_region_or_configured() {
        let host = |variables: &[(&str, &str)]| {
            let lambda =
                [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "ASIAX"), ("AWS_SECRET_ACCESS_KEY", "sss")];
            let variables = lambda.iter().chain(variables);
            let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            own_host(&Config::read(variables).unwrap())
        };
        assert_eq!(host(&[]), "lightsail.eu-west-1.amazonaws.com");
        assert_eq!(host(&[("AWS_ENDPOINT_URL_LIGHTSAIL", "https://localhost:4599")]), "localhost");
    }
}
