//! A mesh in miniature, and the tools of those who would break into it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    time_provider::TimeProvider,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use weft_identity::{
    SpiffeId,
    authority::Authority,
    bundle::TrustBundle,
    csr::Csr,
    request::{self, Identity},
    tls::Credentials,
};

/// Seconds since 1970 at which every test plays.
pub(crate) const NOW: u64 = 1_790_000_000;
pub(crate) const DAY: Duration = Duration::from_hours(24);
pub(crate) const MESH: &str = "cluster.local";
/// Whom a client expects, and whose certificate every bad row is a distortion of.
pub(crate) const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
pub(crate) const FRONT: &str = "spiffe://cluster.local/ns/shop/sa/front";
pub(crate) const ALPN: &[&[u8]] = &[b"weft-h2"];

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(crate) fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

/// A clock that stands.
#[derive(Debug)]
pub(crate) struct Standing(pub(crate) u64);

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

pub(crate) fn authority() -> Authority {
    Authority::create(MESH.parse().unwrap(), now()).unwrap()
}

pub(crate) fn bundle_of(authorities: &[&Authority]) -> TrustBundle {
    let pem: String = authorities.iter().map(|authority| authority.certificate_pem()).collect();
    TrustBundle::from_pem(&pem).unwrap()
}

/// `who`, certified by `authority`.
pub(crate) fn identity(authority: &Authority, who: &str) -> Identity {
    let key = request::KeyPair::generate().unwrap();
    let csr = Csr::from_pem(&key.csr_pem().unwrap()).unwrap();
    let issued = authority.sign(&csr, &id(who), DAY, now()).unwrap();
    Identity::new(&key, &issued.chain_pem).unwrap()
}

pub(crate) fn credentials(bundle: TrustBundle, own: Option<Identity>) -> Arc<Credentials> {
    let credentials = Credentials::with_clock(MESH.parse().unwrap(), bundle, Arc::new(Standing(NOW)));
    if let Some(own) = own {
        credentials.set_identity(own);
    }
    credentials
}

/// A CA whose every part can be bent.
pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

/// A chain and a key to show in a handshake, good or not.
pub(crate) struct Shown {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: KeyPair,
}

impl Shown {
    fn certified(&self) -> Arc<CertifiedKey> {
        let der = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let key = aws_lc_rs::sign::any_supported_type(&der).unwrap();
        Arc::new(CertifiedKey::new(self.chain.clone(), key))
    }

    /// A server that shows this, and asks nothing.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(self.certified())));
        config.alpn_protocols = vec![ALPN[0].to_vec()];
        Arc::new(config)
    }

    /// A client that shows this, and believes everything.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        credulous_client(provider(), Some(self.certified()))
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A client that believes everything.
pub(crate) fn credulous_client(
    provider: Arc<CryptoProvider>,
    own: Option<Arc<CertifiedKey>>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(Always(own))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN[0].to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Parameters of a CA named `name`, valid from a day ago for a year.
pub(crate) fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + 365 * DAY).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// Parameters of the good certificate of [`CART`].
pub(crate) fn leaf() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = (now() - Duration::from_mins(5)).into();
    params.not_after = (now() + DAY).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![uri(CART)];
    params
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A DER value of less than 128 bytes.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128, "longer lengths are written otherwise");
    [&[tag, length], content].concat()
}
