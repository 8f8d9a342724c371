//! What handshakes show at the moment.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ALPN_H2;

/// The certificate of the moment; clones share it. None at first: then handshakes fail.
#[derive(Clone, Debug, Default)]
pub struct Shown(Arc<ArcSwapOption<CertifiedKey>>);

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCertificate {
    /// Not certificates in PEM.
    #[error("no certificate in PEM")]
    Certificate,
    /// Not a private key in PEM.
    #[error("no private key in PEM")]
    Key,
    /// They do not belong together, or the key is of a kind that is not supported.
    #[error("certificate and key: {0}")]
    Pair(rustls::Error),
}

impl Shown {
    /// Shows the chain `certificates` (PEM, leaf first) from the next handshake on. Returns the end of the leaf.
    pub fn show(&self, certificates: &str, key: &str) -> Result<SystemTime, InvalidCertificate> {
        let certified = certified(certificates, key)?;
        let end = end(&certified.cert).ok_or(InvalidCertificate::Certificate)?;
        self.0.store(Some(Arc::new(certified)));
        Ok(end)
    }

    /// For those who accept connections: TLS 1.3, HTTP/2 or HTTP/1.1.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has cipher suites and groups of TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
        // A resumed session would outlive the certificate that it was begun with.
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// A pair that fits together, ready for use.
pub(super) fn certified(certificates: &str, key: &str) -> Result<CertifiedKey, InvalidCertificate> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| InvalidCertificate::Certificate)?;
    if chain.is_empty() {
        return Err(InvalidCertificate::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| InvalidCertificate::Key)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(InvalidCertificate::Pair)
}

/// When the leaf of a chain ends.
pub(super) fn end(chain: &[CertificateDer<'_>]) -> Option<SystemTime> {
    let (_, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
    let secs = u64::try_from(leaf.validity().not_after.timestamp()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(secs))
}
