//! Pools of connections for all SDKs: the first one is built in INIT, and they share it.
//!
//! By default, each SDK client builds a connector of its own after the alert has arrived, and each parses the whole
//! root store. That is half of the work of a cold start. The root store of a machine has more than a hundred trust
//! anchors, and AWS's endpoints need only Amazon's own (repository of "Amazon Trust Services"). So INIT loads only
//! Amazon's roots from the CA bundle. An attempt at a peer with another issuer fails, and later attempts fall back to
//! the full root store. Invariant: no trust anchor is used that the system's root store does not have.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use memchr::memmem::Finder;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::load_native_certs;

use super::dns::PrefetchingResolver;
use super::pool::Pool;
use crate::config::Config;

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
const PEM_END: &[u8] = b"-----END CERTIFICATE-----";

/// Text in the names of Amazon's roots.
const AMAZON: &[u8] = b"Amazon";

/// Number of Amazon's roots: Amazon Root CA 1 to 4 (repository of "Amazon Trust Services"). The fifth root there,
/// Starfield's, is for clients that do not know these. The rest of the CA bundle is not read after the fourth.
const AMAZON_ROOTS: usize = 4;

/// Lines of a PEM certificate that hold the issuer's organisation. A root is its own issuer. In Amazon's four roots the
/// organisation begins at byte 75 or before, and a line has 48 bytes. A root that is missed costs one attempt.
const ISSUER_LINES: usize = 2;

/// Bytes of the CA bundle that are read at once.
const CHUNK_BYTES: u64 = 16 * 1024;

/// Opens TLS connections with one configuration, and TCP connections for a loopback endpoint without TLS.
type Connector = HttpsConnector<TcpConnector<PrefetchingResolver>>;

/// Returns what makes pools of connections for all SDKs. All pools share TLS configurations, and with them sessions
/// that can be resumed.
pub(super) fn pools(config: &Config) -> impl Fn() -> SharedHttpConnector + use<> {
    let Config { certificate_files, timeouts, .. } = config;
    let trust = Arc::new(Trust::new(certificate_files, PrefetchingResolver::new(config)));
    let connect_timeout = timeouts.connect;
    move || SharedHttpConnector::new(FallbackPool::new(&trust, connect_timeout))
}

/// Connectors by trust anchors.
#[derive(Debug)]
struct Trust {
    /// Trusts Amazon's roots only. None if they could not be loaded.
    amazon: Option<Connector>,
    /// Trusts the system's root store. Built on first use. None if it could not be built.
    full: OnceLock<Option<Connector>>,
    /// Set when a peer had an issuer other than Amazon's roots. Never reset.
    needs_full_store: AtomicBool,
    resolver: PrefetchingResolver,
}

/// Pools of connections to peers that Amazon's roots vouch for, and to others.
#[derive(Debug)]
struct FallbackPool {
    amazon: Option<Pool<Connector>>,
    full: OnceLock<Option<Pool<Connector>>>,
    trust: Arc<Trust>,
    connect_timeout: Duration,
}

impl Trust {
    /// Loads Amazon's roots from the first of the CA bundles `files` that can be opened.
    fn new(files: &[PathBuf], resolver: PrefetchingResolver) -> Self {
        let bundle = files.iter().find_map(|file| File::open(file).ok());
        let roots = bundle.and_then(|bundle| amazon_roots(bundle).ok()).and_then(|roots| root_store(&roots));
        let amazon = roots.and_then(|roots| connector(roots, &resolver));
        Self { amazon, full: OnceLock::new(), needs_full_store: AtomicBool::new(false), resolver }
    }

    fn full(&self) -> Option<&Connector> {
        let full = self.full.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            // Invalid certificates in the system's root store are skipped.
            roots.add_parsable_certificates(load_native_certs().certs);
            connector(roots, &self.resolver)
        });
        full.as_ref()
    }
}

impl FallbackPool {
    fn new(trust: &Arc<Trust>, connect_timeout: Duration) -> Self {
        let amazon = trust.amazon.clone().map(|connector| Pool::new(connector, connect_timeout));
        Self { amazon, full: OnceLock::new(), trust: Arc::clone(trust), connect_timeout }
    }
}

impl HttpConnector for FallbackPool {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let amazon = self.amazon.as_ref().filter(|_| !self.trust.needs_full_store.load(Ordering::Relaxed));
        let Some(amazon) = amazon else {
            let new_pool = || Some(Pool::new(self.trust.full()?.clone(), self.connect_timeout));
            return match self.full.get_or_init(new_pool) {
                Some(full) => full.call(request),
                None => HttpConnectorFuture::ready(Err(ConnectorError::user("no TLS configuration".into()))),
            };
        };
        let (response, trust) = (amazon.call(request), Arc::clone(&self.trust));
        HttpConnectorFuture::new(async move {
            let response = response.await;
            // The SDK retries this failure, like every failure to connect.
            if response.as_ref().is_err_and(is_unknown_issuer) {
                trust.needs_full_store.store(true, Ordering::Relaxed);
            }
            response
        })
    }
}

/// Parses certificates (PEM). None if there are none, or if one of them is invalid.
fn root_store(certificates: &[u8]) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificates) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}

/// Builds a connector that trusts `roots`. With ring, because AWS-LC spends most of a cold start's CPU on jitter entropy
/// and is 2 MB larger (both measured).
fn connector(roots: RootCertStore, resolver: &PrefetchingResolver) -> Option<Connector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let mut tcp = TcpConnector::new_with_resolver(resolver.clone());
    // The URL says whether there is TLS.
    tcp.enforce_http(false);
    // Otherwise Nagle's algorithm holds back a small write until the one before it is acknowledged.
    tcp.set_nodelay(true);
    Some(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp))
}

/// Tests for rustls's error `UnknownIssuer`. It is matched in the debug output, because the crates between wrap it in
/// errors of their own, and some of those hide it from `source()`.
fn is_unknown_issuer(error: &ConnectorError) -> bool {
    format!("{error:?}").contains("UnknownIssuer")
}

/// Returns the certificates of a CA bundle (PEM) whose names say that they are Amazon's. Reads in chunks, because the
/// first touch of a memory page is expensive, and a whole bundle takes fifty pages.
fn amazon_roots(mut bundle: impl Read) -> io::Result<Vec<u8>> {
    let (begin, end) = (Finder::new(PEM_BEGIN), Finder::new(PEM_END));
    let name = Finder::new(AMAZON);
    let (mut roots, mut count) = (Vec::new(), 0);
    let (mut unparsed, mut start) = (Vec::new(), Vec::new());
    while bundle.by_ref().take(CHUNK_BYTES).read_to_end(&mut unparsed)? > 0 {
        let mut rest = unparsed.as_slice();
        while let Some(length) = end.find(rest).map(|at| at + PEM_END.len()) {
            let (text, after) = rest.split_at(length);
            let certificate = begin.find(text).and_then(|at| text.get(at..)).unwrap_or_default();
            start.clear();
            decode_start(certificate, &mut start);
            if name.find(&start).is_some() {
                roots.extend_from_slice(certificate);
                roots.push(b'\n');
                count += 1;
            }
            if count == AMAZON_ROOTS {
                return Ok(roots);
            }
            rest = after;
        }
        let parsed = unparsed.len() - rest.len();
        unparsed.drain(..parsed);
    }
    Ok(roots)
}

/// Appends the decoded start of a PEM certificate, up to the issuer's organisation, to `start`. Stops at malformed
/// Base64.
fn decode_start(certificate: &[u8], start: &mut Vec<u8>) {
    for line in certificate.split(|byte| *byte == b'\n').skip(1).take(ISSUER_LINES) {
        if STANDARD.decode_vec(line, start).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes the start of a PEM certificate: 70 bytes before the names, and the names.
    fn certificate(names: &str) -> String {
        let der = [&[b'.'; 70], names.as_bytes(), &[b'.'; 400]].concat();
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    fn roots_in(bundle: &str) -> String {
        String::from_utf8(amazon_roots(bundle.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn amazon_roots_are_extracted_whole_without_others() {
        let (first, second) = (certificate("US Amazon Amazon Root CA 1"), certificate("US Amazon Amazon Root CA 2"));
        let other = certificate("US Internet Security Research Group ISRG Root X1");
        // The text stands behind all names.
        let elsewhere = certificate(&format!("{} Amazon", ".".repeat(300)));
        let bundle = format!("# Amazon\n{other}{first}\n# A comment\n{elsewhere}{second}{other}");
        assert_eq!(roots_in(&bundle), format!("{first}{second}"));
    }

    #[test]
    fn bundle_of_many_chunks_is_read_up_to_fourth_root() {
        let (amazon, other) = (certificate("Amazon"), certificate("Another"));
        let bundle = format!("{amazon}{}", other.repeat(100)).repeat(5);
        assert!(bundle.len() as u64 > 15 * CHUNK_BYTES);
        assert_eq!(roots_in(&bundle), amazon.repeat(4));
    }

    #[test]
    fn malformed_bundle_has_no_amazon_roots() {
        let amazon = certificate("Amazon");
        let cut = amazon.split("-----END").next().unwrap_or_default();
        let garbage = "-----BEGIN CERTIFICATE-----\nAmazon, but not in Base64!\n-----END CERTIFICATE-----\n";
        for bundle in ["", "Amazon", cut, garbage, "-----BEGIN CERTIFICATE-----\n"] {
            assert_eq!(roots_in(bundle), "", "{bundle}");
        }
    }

    #[tokio::test]
    async fn unusable_bundle_falls_back_to_full_store() {
        let config = Config::read([
            ("AWS_REGION".to_owned(), "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), "ASIAX".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "sss".to_owned()),
            ("AWS_ENDPOINT_URL_LIGHTSAIL".to_owned(), "https://localhost:4599".to_owned()),
        ]);
        let config = config.unwrap();
        let resolver = PrefetchingResolver::new(&config);
        let absent = PathBuf::from("/nonexistent/certificates.pem");
        let no_bundle = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        for files in [Vec::new(), vec![absent.clone()], vec![absent, no_bundle]] {
            assert!(Trust::new(&files, resolver.clone()).amazon.is_none(), "{files:?}");
        }
        assert!(root_store(certificate("Amazon, and no certificate at all").as_bytes()).is_none());
    }
}
