//! Certificate authority that lives as long as its trial.
//!
//! Its certificates use small keys (P-256). AWS's endpoints sometimes use larger ones, so a handshake here is among the
//! cheaper ones.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// Certificate authority that is in no root store by default.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Creates an authority with a name that matches AWS's authorities.
    pub fn new() -> io::Result<Self> {
        Self::named("Amazon Root CA of a trial")
    }

    /// Creates an authority with `name`, for example one that the function does not recognise as AWS's.
    pub fn named(name: &str) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        // The name must differ from the server's name, because OpenSSL treats a certificate whose issuer has the same
        // name as self-signed.
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        CertifiedIssuer::self_signed(params, key).map(Self).map_err(io::Error::other)
    }

    /// Returns the authority's own certificate, for a client's `SSL_CERT_FILE`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Creates a TLS acceptor with a new certificate for `name`.
    pub fn acceptor(&self, name: &str) -> io::Result<TlsAcceptor> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let params = CertificateParams::new([name.to_owned()]).map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.0).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
