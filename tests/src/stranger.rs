//! Somebody at the door of a sidecar who knows TLS, with or without a certificate.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Method;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weft_api::names;
use weft_identity::{
    SpiffeId,
    authority::Authority,
    bundle::TrustBundle,
    csr::Csr,
    request::{Identity, KeyPair},
    tls::Credentials,
};

use crate::client::{Answer, Connection, Version, request};

/// Life of the certificates that are made here.
const LIFETIME: Duration = Duration::from_hours(1);

/// A caller by TLS who believes the mesh's roots.
pub struct Stranger(Arc<Credentials>);

impl Stranger {
    /// One who shows nothing.
    pub fn without_certificate(roots_pem: &str) -> Self {
        let roots = TrustBundle::from_pem(roots_pem).expect("the mesh wrote its roots");
        let trust_domain = names::DEFAULT_TRUST_DOMAIN.parse().expect("the default is a trust domain");
        Self(Credentials::new(trust_domain, roots))
    }

    /// One who shows a certificate for `id` that `authority` has signed.
    pub fn certified(roots_pem: &str, authority: &Authority, id: &str) -> Self {
        let stranger = Self::without_certificate(roots_pem);
        let key = KeyPair::generate().expect("there is randomness");
        let csr = Csr::from_pem(&key.csr_pem().expect("a key makes a request")).expect("it is one");
        let id: SpiffeId = id.parse().unwrap_or_else(|error| panic!("{id}: {error}"));
        let issued =
            authority.sign(&csr, &id, LIFETIME, SystemTime::now()).expect("the authority is valid now");
        let identity = Identity::new(&key, &issued.chain_pem).expect("the certificate is for this key");
        stranger.0.set_identity(identity);
        stranger
    }

    /// TLS with `server` and nobody else, for HTTP/1.1 as sidecars speak it to each other.
    pub fn config(&self, server: &str) -> anyhow::Result<Arc<ClientConfig>> {
        Ok(self.0.client_config(server.parse()?, &[names::ALPN_MESH_HTTP1]))
    }

    /// Asks for `path` at the sidecar at `address`, who must be `server`.
    pub async fn get(&self, address: SocketAddr, server: &str, path: &str) -> anyhow::Result<Answer> {
        let config = self.config(server)?;
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Connection::over(stream, Version::Http1).await?.send(request(Method::GET, path)).await
    }
}
