//! The HTTP client of all SDKs: one connector, made in INIT, whose connections they share.
//!
//! An SDK makes a connector for each of its clients, and has it read the certificates of all authorities: half of all that a
//! cold start has to do, and that after the alert has come. Of the hundred and more authorities that a machine trusts, AWS's endpoints use
//! Amazon's own (repository of "Amazon Trust Services"). So only those are read, in INIT; when a peer's authority is another
//! one, all are read, and the next attempt succeeds. Invariant: nobody is trusted whom the machine's store does not trust.

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

use super::dns::Lookup;
use crate::config::Config;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// In the names of Amazon's authorities: Amazon Root CA 1 to 4 (repository of "Amazon Trust Services"; the fifth there,
/// Starfield's, is for machines that do not know these). Once there are four, the rest of the store is not read.
const OF_AMAZON: &[u8] = b"Amazon";
const AUTHORITIES_OF_AMAZON: usize = 4;

/// So many lines of a certificate have the issuer's organisation, and an authority is its own issuer: of those four it
/// begins at byte 75 or before, and a line has 48. A name that is not found costs an attempt and no more.
const LINES_WITH_THE_NAME: usize = 2;

/// Bytes of the store that are read at once.
const PIECE: u64 = 16 * 1024;

/// The client for all SDKs.
pub(super) fn http_client(config: &Config) -> SharedHttpClient {
    let connecting = Connecting { timeout: config.timeouts.connect, lookup: Lookup::new(config) };
    let connector = SharedHttpConnector::new(AmazonFirst::new(&config.certificate_files, connecting));
    http_client_fn(move |_, _| connector.clone())
}

/// Trusts Amazon's authorities, and after a peer of another one all that the machine trusts.
#[derive(Debug)]
struct AmazonFirst {
    amazon: Option<Connector>,
    all: OnceLock<Connector>,
    met_another: Arc<AtomicBool>,
    connecting: Connecting,
}

/// How connections are made, whoever is trusted.
#[derive(Clone, Debug)]
struct Connecting {
    timeout: Duration,
    lookup: Lookup,
}

impl AmazonFirst {
    /// Reads the first of `files` that there is.
    fn new(files: &[PathBuf], connecting: Connecting) -> Self {
        let store = files.iter().find_map(|file| File::open(file).ok());
        let certificates = store.and_then(|store| of_amazon(store).ok());
        let amazon = certificates.and_then(|certificates| connecting.trusting(certificates));
        Self { amazon, all: OnceLock::new(), met_another: Arc::default(), connecting }
    }
}

impl HttpConnector for AmazonFirst {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let amazon = self.amazon.as_ref().filter(|_| !self.met_another.load(Ordering::Relaxed));
        let Some(amazon) = amazon else {
            let all = self.all.get_or_init(|| self.connecting.connector(TrustStore::default()));
            return all.call(request);
        };
        let (answer, met_another) = (amazon.call(request), Arc::clone(&self.met_another));
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            // The SDK makes another attempt after it, as after every connection that failed.
            if answer.as_ref().is_err_and(is_of_another_authority) {
                met_another.store(true, Ordering::Relaxed);
            }
            answer
        })
    }
}

impl Connecting {
    /// A connector that trusts these authorities (PEM) alone; none if there are none, or if one cannot be used.
    fn trusting(&self, certificates: Vec<u8>) -> Option<Connector> {
        if certificates.is_empty() {
            return None;
        }
        // What is no certificate makes it panic. The machine's store as a whole may have such; they are left out of it.
        catch_unwind(AssertUnwindSafe(|| self.connector(TrustStore::empty().with_pem_certificate(certificates)))).ok()
    }

    /// ring: AWS-LC spends most of a cold start's CPU on jitter entropy, and is 2 MB larger (measured: facts).
    fn connector(&self, trusted: TrustStore) -> Connector {
        let builder = Connector::builder()
            .connector_settings(HttpConnectorSettings::builder().connect_timeout(self.timeout).build())
            .tls_provider(Provider::Rustls(CryptoMode::Ring));
        let builder = match TlsContext::builder().with_trust_store(trusted).build() {
            Ok(tls) => builder.tls_context(tls),
            // It cannot fail, as its source says.
            Err(_) => builder,
        };
        builder.build_with_resolver(self.lookup.clone())
    }
}

/// rustls's own name for it. The crates between put it into errors of theirs, some of which hide it from `source()`.
fn is_of_another_authority(error: &ConnectorError) -> bool {
    format!("{error:?}").contains("UnknownIssuer")
}

/// The certificates of a store (PEM) whose names say that they are Amazon's. Piece by piece: pages of memory that are touched
/// for the first time are dear, and a whole store has fifty.
fn of_amazon(mut store: impl Read) -> io::Result<Vec<u8>> {
    let (begin, end) = (Finder::new(BEGIN), Finder::new(END));
    let name = Finder::new(OF_AMAZON);
    let (mut found, mut count) = (Vec::new(), 0);
    let (mut unread, mut start) = (Vec::new(), Vec::new());
    while store.by_ref().take(PIECE).read_to_end(&mut unread)? > 0 {
        let mut rest = unread.as_slice();
        while let Some(length) = end.find(rest).map(|at| at + END.len()) {
            let (text, after) = rest.split_at(length);
            let certificate = begin.find(text).and_then(|at| text.get(at..)).unwrap_or_default();
            start.clear();
            decode_start(certificate, &mut start);
            if name.find(&start).is_some() {
                found.extend_from_slice(certificate);
                found.push(b'\n');
                count += 1;
            }
            if count == AUTHORITIES_OF_AMAZON {
                return Ok(found);
            }
            rest = after;
        }
        let whole = unread.len() - rest.len();
        unread.drain(..whole);
    }
    Ok(found)
}

/// Adds the part of a certificate that has its issuer's name to `start`, or less if it is no certificate.
fn decode_start(certificate: &[u8], start: &mut Vec<u8>) {
    for line in certificate.split(|byte| *byte == b'\n').skip(1).take(LINES_WITH_THE_NAME) {
        if STANDARD.decode_vec(line, start).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a certificate, as far as the names: what is before them, and then these.
    fn certificate(names: &str) -> String {
        let der = [&[b'.'; 70], names.as_bytes(), &[b'.'; 400]].concat();
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    fn found(store: &str) -> String {
        String::from_utf8(of_amazon(store.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn of_a_store_the_certificates_of_amazon_are_taken_whole_and_no_others() {
        let (first, second) = (certificate("US Amazon Amazon Root CA 1"), certificate("US Amazon Amazon Root CA 2"));
        let another = certificate("US Internet Security Research Group ISRG Root X1");
        // Where the name has no business: behind all names.
        let elsewhere = certificate(&format!("{} Amazon", ".".repeat(300)));
        let store = format!("# Amazon\n{another}{first}\n# A comment\n{elsewhere}{second}{another}");
        assert_eq!(found(&store), format!("{first}{second}"));
    }

    #[test]
    fn a_store_of_many_pieces_is_read_until_there_are_four() {
        let (amazon, another) = (certificate("Amazon"), certificate("Another"));
        let store = format!("{amazon}{}", another.repeat(100)).repeat(5);
        assert!(store.len() as u64 > 15 * PIECE);
        assert_eq!(found(&store), amazon.repeat(4));
    }

    #[test]
    fn what_is_no_store_has_no_certificates_of_amazon() {
        let amazon = certificate("Amazon");
        let cut = amazon.split("-----END").next().unwrap_or_default();
        let garbage = "-----BEGIN CERTIFICATE-----\nAmazon, but not in Base64!\n-----END CERTIFICATE-----\n";
        for store in ["", "Amazon", cut, garbage, "-----BEGIN CERTIFICATE-----\n"] {
            assert_eq!(found(store), "", "{store}");
        }
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_or_has_only_look_alikes_is_left_to_the_machine() {
        let config = Config::read([
            ("AWS_REGION".to_owned(), "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), "ASIAX".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "sss".to_owned()),
            ("AWS_ENDPOINT_URL_LIGHTSAIL".to_owned(), "https://localhost:4599".to_owned()),
        ]);
        let config = config.unwrap();
        let connecting = Connecting { timeout: config.timeouts.connect, lookup: Lookup::new(&config) };
        let absent = PathBuf::from("/nonexistent/certificates.pem");
        let no_store = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        for files in [Vec::new(), vec![absent.clone()], vec![absent, no_store]] {
            assert!(AmazonFirst::new(&files, connecting.clone()).amazon.is_none(), "{files:?}");
        }
        assert!(connecting.trusting(certificate("Amazon, and no certificate at all").into_bytes()).is_none());
    }
}
