//! Host name -> addresses, for the connections of all SDKs; that of our own Region's Lightsail is asked for in INIT.
//!
//! Nearly every alert meets a cold start and is about the function's own Region. So while the certificates are read and
//! Lambda is asked for the alert, the first name is looked up on another thread. Invariant: an answer from then serves one
//! connection, and only while it is fresh; a Region that was guessed wrong costs nothing but the question.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime::client::dns::TokioDnsResolver;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns};
use http::Uri;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::Config;

/// Lambda may keep a process that has no event yet, frozen for as long as it likes; then the answer is from another time. By
/// the clock that dates, since the other one may stand still meanwhile.
const FRESH: Duration = Duration::from_secs(10);

/// Looks names up, as the SDK does by default.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    ahead: Arc<Mutex<Option<Ahead>>>,
}

/// A name that was asked for in INIT.
#[derive(Debug)]
struct Ahead {
    name: String,
    asked: SystemTime,
    addresses: JoinHandle<io::Result<Vec<IpAddr>>>,
}

impl Lookup {
    /// Asks for the name of Lightsail in our own Region.
    pub(super) fn new(config: &Config) -> Self {
        Self::of(own_host(config))
    }

    fn of(name: String) -> Self {
        let asked = name.clone();
        // The port does not matter here.
        let addresses = spawn_blocking(move || Ok((asked, 0).to_socket_addrs()?.map(|address| address.ip()).collect()));
        Self { ahead: Arc::new(Mutex::new(Some(Ahead { name, asked: SystemTime::now(), addresses }))) }
    }

    /// The answer for the first who asks for this name.
    fn take(&self, name: &str) -> Option<JoinHandle<io::Result<Vec<IpAddr>>>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = if ahead.as_ref()?.name == name { ahead.take()? } else { return None };
        // A clock that went backwards says nothing.
        ahead.asked.elapsed().is_ok_and(|age| age < FRESH).then_some(ahead.addresses)
    }
}

/// The host of Lightsail in our own Region (AWS's endpoint rules for Lightsail, in the SDK and in botocore), or the one that
/// is configured in its place.
fn own_host(config: &Config) -> String {
    let configured = config.endpoints.lightsail.as_ref().and_then(|url| url.parse::<Uri>().ok());
    let configured = configured.as_ref().and_then(Uri::host).map(str::to_owned);
    configured.unwrap_or_else(|| format!("lightsail.{}.amazonaws.com", config.region))
}

impl ResolveDns for Lookup {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            if let Some(ahead) = self.take(name) {
                // What failed then may go well now.
                if let Ok(Ok(addresses)) = ahead.await {
                    return Ok(addresses);
                }
            }
            TokioDnsResolver::new().resolve_dns(name).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 4] = [127, 0, 0, 1];
    const THEN: [u8; 4] = [203, 0, 113, 7];

    /// A lookup that was answered `age` ago, with an address that nobody else would give.
    fn answered(name: &str, age: Duration) -> Lookup {
        let asked = SystemTime::now() - age;
        let addresses = spawn_blocking(|| Ok(vec![IpAddr::from(THEN)]));
        Lookup { ahead: Arc::new(Mutex::new(Some(Ahead { name: name.to_owned(), asked, addresses }))) }
    }

    async fn has(lookup: &Lookup, address: [u8; 4]) -> bool {
        lookup.resolve_dns("localhost").await.unwrap().contains(&IpAddr::from(address))
    }

    #[tokio::test]
    async fn an_answer_from_init_serves_the_first_connection_and_the_next_asks_anew() {
        let lookup = answered("localhost", Duration::ZERO);
        let clone = lookup.clone();
        assert!(has(&clone, THEN).await);
        assert!(has(&lookup, HERE).await && !has(&lookup, THEN).await);
    }

    #[tokio::test]
    async fn an_answer_that_is_old_or_from_the_future_or_for_another_name_is_not_used() {
        assert!(has(&answered("localhost", FRESH), HERE).await);
        assert!(has(&answered("lightsail.eu-west-1.amazonaws.com", Duration::ZERO), HERE).await);
        let lookup = answered("localhost", Duration::ZERO);
        lookup.ahead.lock().unwrap().as_mut().unwrap().asked += Duration::from_secs(60);
        assert!(has(&lookup, HERE).await);
    }

    #[tokio::test]
    async fn a_name_that_was_not_found_in_init_is_asked_for_again() {
        let lookup = answered("localhost", Duration::ZERO);
        lookup.ahead.lock().unwrap().as_mut().unwrap().addresses =
            spawn_blocking(|| Err(io::Error::other("no network")));
        assert!(has(&lookup, HERE).await);
    }

    #[test]
    fn the_name_is_that_of_the_own_regions_endpoint_or_of_the_configured_one() {
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
