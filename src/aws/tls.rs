//! HTTP client of all SDKs: one connector, built in INIT, whose connections they share.
//!
//! By default, each SDK client builds a connector of its own after the alert has arrived, and each parses the whole
//! root store. That is half of the work of a cold start. The root store of a machine has more than a hundred trust
//! anchors, and AWS's endpoints need only Amazon's own (repository of "Amazon Trust Services"). So INIT loads only
//! Amazon's roots from the CA bundle. An attempt at a peer with another issuer fails, and later attempts fall back to
//! the full root store. Invariant: no trust anchor is used that the system's root store does not have.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;

use super::dns::PrefetchingResolver;
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

/// Builds the client for all SDKs.
pub(super) fn http_client(config: &Config) -> SharedHttpClient {
    let builder = ConnectorBuilder { timeout: config.timeouts.connect, resolver: PrefetchingResolver::new(config) };
    let connector = SharedHttpConnector::new(FallbackConnector::new(&config.certificate_files, builder));
    http_client_fn(move |_, _| connector.clone())
}

/// Connector that trusts Amazon's roots, and falls back to the full root store when a peer has another issuer.
#[derive(Debug)]
struct FallbackConnector {
    /// Trusts Amazon's roots only. None if they could not be loaded.
    amazon: Option<Connector>,
    /// Trusts the system's root store. Built on first use.
    full: OnceLock<Connector>,
    /// Set when a peer had an issuer other than Amazon's roots. Never reset.
    needs_full_store: Arc<AtomicBool>,
    builder: ConnectorBuilder,
}

/// Settings of connections that do not depend on the trust anchors.
#[derive(Clone, Debug)]
struct ConnectorBuilder {
    timeout: Duration,
    resolver: PrefetchingResolver,
}

impl FallbackConnector {
    /// Loads Amazon's roots from the first of the CA bundles `files` that can be opened.
    fn new(files: &[PathBuf], builder: ConnectorBuilder) -> Self {
        let bundle = files.iter().find_map(|file| File::open(file).ok());
        let roots = bundle.and_then(|bundle| amazon_roots(bundle).ok());
        let amazon = roots.and_then(|roots| builder.trusting(roots));
        Self { amazon, full: OnceLock::new(), needs_full_store: Arc::default(), builder }
    }
}

impl HttpConnector for FallbackConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let amazon = self.amazon.as_ref().filter(|_| !self.needs_full_store.load(Ordering::Relaxed));
        let Some(amazon) = amazon else {
            let full = self.full.get_or_init(|| self.builder.build(TrustStore::default()));
            return full.call(request);
        };
        let (response, needs_full_store) = (amazon.call(request), Arc::clone(&self.needs_full_store));
        HttpConnectorFuture::new(async move {
            let response = response.await;
            // The SDK retries this failure, like every failure to connect.
            if response.as_ref().is_err_and(is_unknown_issuer) {
                needs_full_store.store(true, Ordering::Relaxed);
            }
            response
        })
    }
}

impl ConnectorBuilder {
    /// Builds a connector that trusts only `roots` (PEM). None if there are no roots, or if one of them is invalid.
    fn trusting(&self, roots: Vec<u8>) -> Option<Connector> {
        if roots.is_empty() {
            return None;
        }
        // An invalid certificate here causes a panic. In the system's root store, invalid certificates are skipped.
        catch_unwind(AssertUnwindSafe(|| self.build(TrustStore::empty().with_pem_certificate(roots)))).ok()
    }

    /// Builds a connector with ring, because AWS-LC spends most of a cold start's CPU on jitter entropy and is 2 MB
    /// larger (both measured).
    fn build(&self, trust_store: TrustStore) -> Connector {
        let builder = Connector::builder()
            .connector_settings(HttpConnectorSettings::builder().connect_timeout(self.timeout).build())
            .tls_provider(Provider::Rustls(CryptoMode::Ring));
        let builder = match TlsContext::builder().with_trust_store(trust_store).build() {
            Ok(tls) => builder.tls_context(tls),
            // Never happens, according to the builder's source.
            Err(_) => builder,
        };
        builder.build_with_resolver(self.resolver.clone())
    }
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
        let builder =
            ConnectorBuilder { timeout: config.timeouts.connect, resolver: PrefetchingResolver::new(&config) };
        let absent = PathBuf::from("/nonexistent/certificates.pem");
        let no_bundle = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        for files in [Vec::new(), vec![absent.clone()], vec![absent, no_bundle]] {
            assert!(FallbackConnector::new(&files, builder.clone()).amazon.is_none(), "{files:?}");
        }
        assert!(builder.trusting(certificate("Amazon, and no certificate at all").into_bytes()).is_none());
    }
}
