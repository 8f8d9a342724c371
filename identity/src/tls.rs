//! TLS between workloads: configurations that look up certificate and roots anew in every handshake.

use std::sync::{Arc, LazyLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig,
    SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    time_provider::{DefaultTimeProvider, TimeProvider},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{
    bundle::TrustBundle,
    request::{HostIdentity, Identity},
    spiffe::{SpiffeId, TrustDomain},
    verify::{self, ALGORITHMS, Distrust, Expected, Role},
};

pub use crate::verify::peer_identity;

/// What a process shows and whom it believes. Both can be replaced at any time: the next handshake of every
/// configuration made from it uses the new ones, handshakes under way finish with what they began with, and
/// connections stay.
#[derive(Debug)]
pub struct Credentials {
    trust_domain: TrustDomain,
    bundle: ArcSwap<TrustBundle>,
    identity: ArcSwapOption<Identity>,
    host: ArcSwapOption<HostIdentity>,
    clock: Arc<dyn TimeProvider>,
}

/// Whether a server asks its clients who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// A client without a certificate of the mesh is turned away.
    Required,
    /// One that is shown must be of the mesh. A client without one is known by other means, such as a token.
    Optional,
    /// It does not: clients are known by other means, such as a token.
    Unasked,
}

impl Credentials {
    /// Believes `bundle`, and has nothing to show yet.
    pub fn new(trust_domain: TrustDomain, bundle: TrustBundle) -> Arc<Self> {
        Self::with_clock(trust_domain, bundle, Arc::new(DefaultTimeProvider))
    }

    /// As [`Self::new`], with another clock to judge certificates by.
    pub fn with_clock(
        trust_domain: TrustDomain,
        bundle: TrustBundle,
        clock: Arc<dyn TimeProvider>,
    ) -> Arc<Self> {
        Arc::new(Self {
            trust_domain,
            bundle: ArcSwap::from_pointee(bundle),
            identity: ArcSwapOption::empty(),
            host: ArcSwapOption::empty(),
            clock,
        })
    }

    /// Shows `identity` from now on.
    pub fn set_identity(&self, identity: Identity) {
        self.identity.store(Some(Arc::new(identity)));
    }

    /// Shows `host` from now on to clients that ask for a server by name. Those of the mesh never do: they know their
    /// peers by identity.
    pub fn set_host(&self, host: HostIdentity) {
        self.host.store(Some(Arc::new(host)));
    }

    /// Believes `bundle` from now on, and nothing that only the earlier one vouched for.
    pub fn set_bundle(&self, bundle: TrustBundle) {
        self.bundle.store(Arc::new(bundle));
    }

    /// What is shown, if there is anything yet.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.load_full()
    }

    /// What is believed.
    pub fn bundle(&self) -> Arc<TrustBundle> {
        self.bundle.load_full()
    }

    /// The mesh.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// For those who accept connections. `alpn` is what they speak, the best first. Without an identity every
    /// handshake fails.
    pub fn server_config(self: &Arc<Self>, clients: ClientCertificate, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_details(Arc::clone(&PROVIDER), Arc::clone(&self.clock))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has cipher suites and groups of TLS 1.3");
        let builder = match clients {
            ClientCertificate::Unasked => builder.with_no_client_auth(),
            ClientCertificate::Required | ClientCertificate::Optional => {
                let member = Expected::Member(self.trust_domain.clone());
                let verifier =
                    Verifier { optional: clients == ClientCertificate::Optional, ..self.verifier(member) };
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Own(Arc::clone(self))));
        config.alpn_protocols = owned(alpn);
        // A resumed session would outlive the certificate and the root it was begun with.
        config.send_tls13_tickets = 0;
        // Early data can be replayed (RFC 8446, section 8).
        config.max_early_data_size = 0;
        Arc::new(config)
    }

    /// For those who connect to `peer` and nobody else. Whatever server name the connection is given is
    /// neither sent nor compared. A configuration costs about a kilobyte and no cryptography: one for each
    /// peer is meant.
    pub fn client_config(self: &Arc<Self>, peer: SpiffeId, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_details(Arc::clone(&PROVIDER), Arc::clone(&self.clock))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has cipher suites and groups of TLS 1.3")
            // rustls calls every verifier but its own dangerous; this one checks more.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(Expected::Exactly(peer))))
            .with_client_cert_resolver(Arc::new(Own(Arc::clone(self))));
        config.alpn_protocols = owned(alpn);
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Arc::new(config)
    }

    fn verifier(self: &Arc<Self>, expected: Expected) -> Verifier {
        Verifier { credentials: Arc::clone(self), expected, optional: false }
    }
}

/// TLS 1.3 with a key exchange that a quantum computer does not undo, or else X25519.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519],
        signature_verification_algorithms: ALGORITHMS,
        ..aws_lc_rs::default_provider()
    })
});

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

/// Shows the certificate of the moment.
#[derive(Debug)]
struct Own(Arc<Credentials>);

impl Own {
    fn certified(&self) -> Option<Arc<CertifiedKey>> {
        self.0.identity.load().as_ref().map(|identity| identity.certified())
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = self.0.host.load();
        let named = host.as_ref().filter(|_| hello.server_name().is_some());
        named.map(|host| host.certified()).or_else(|| self.certified())
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.certified()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes what the bundle of the moment vouches for, if it is who was expected.
#[derive(Debug)]
struct Verifier {
    credentials: Arc<Credentials>,
    expected: Expected,
    /// A client may show no certificate.
    optional: bool,
}

impl Verifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let bundle = self.credentials.bundle.load();
        verify::verify_peer(leaf, intermediates, &bundle, &self.expected, role, now)
            .map(drop)
            .map_err(|distrust| rustls::Error::InvalidCertificate(certificate_error(distrust)))
    }
}

/// The reason in the words of TLS, so that the peer gets a fitting alert, or else in ours.
fn certificate_error(distrust: Distrust) -> CertificateError {
    match distrust {
        Distrust::Malformed(_) | Distrust::Chain(webpki::Error::BadDer) => CertificateError::BadEncoding,
        Distrust::Chain(webpki::Error::CertExpired { time, not_after }) => {
            CertificateError::ExpiredContext { time, not_after }
        }
        Distrust::Chain(webpki::Error::CertNotValidYet { time, not_before }) => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Distrust::Chain(webpki::Error::UnknownIssuer) => CertificateError::UnknownIssuer,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, Role::Server, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.optional
    }

    /// None: whoever has a certificate of the mesh shows it, and hints would name roots that may be gone by
    /// then.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, Role::Client, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// Never called, since no configuration offers TLS 1.2; if it were, this is the answer.
fn no_tls12() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken here".to_owned())
}
