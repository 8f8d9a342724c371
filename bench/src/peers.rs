//! Proxies of others: where their programs are, how they are started, and the certificates that they show each other.
//! Their configurations are in `bench/peers`; `@WORDS@` in them are replaced here.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, client::Resumption, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};

/// A program, as it is installed by `bench/peers/install`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// HAProxy of Debian.
    HaProxy,
    /// nginx of Debian.
    Nginx,
    /// Envoy of PyPI.
    Envoy,
}

/// How one side is configured.
#[derive(Debug)]
pub struct Config {
    /// By which program.
    pub program: Program,
    /// Its file, with words to replace.
    pub text: &'static str,
}

impl Program {
    /// The executable, if it is installed. `envoy` is where that of Envoy is.
    pub fn find(self, envoy: &Path) -> Option<PathBuf> {
        let path = match self {
            Self::HaProxy => Path::new("/usr/sbin/haproxy"),
            Self::Nginx => Path::new("/usr/sbin/nginx"),
            Self::Envoy => envoy,
        };
        path.exists().then(|| path.to_owned())
    }

    /// How it is started in the foreground, on one thread.
    pub fn arguments(self, config: &str) -> Vec<&str> {
        match self {
            Self::HaProxy => vec!["-db", "-f", config],
            // Its log is there before its configuration is read.
            Self::Nginx => vec!["-e", "stderr", "-c", config],
            Self::Envoy => {
                vec![
                    "--concurrency",
                    "1",
                    "--disable-hot-restart",
                    "--log-level",
                    "warning",
                    "--config-path",
                    config,
                ]
            }
        }
    }

    /// How its files must end: Envoy looks at that.
    pub fn file_end(self) -> &'static str {
        match self {
            Self::HaProxy => "cfg",
            Self::Nginx => "conf",
            Self::Envoy => "yaml",
        }
    }
}

impl Config {
    /// The text for the proxy `name`, with its files in `folder`, and a service at `server`.
    pub fn text(&self, name: &str, folder: &Path, server: IpAddr) -> String {
        let folder = folder.display().to_string();
        self.text
            .replace("@NAME@", name)
            .replace("@FOLDER@", &folder)
            .replace("@SERVER@", &server.to_string())
    }
}

/// Writes `roots.pem`, and `client.pem` and `server.pem` with certificate and key. They are ECDSA P-256, as those of the
/// mesh are.
///
/// # Errors
/// If a file cannot be written.
pub fn write_certificates(folder: &Path) -> Result<()> {
    let root_key = KeyPair::generate()?;
    let mut root = named("root", &[])?;
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let roots = root.self_signed(&root_key)?.pem();
    let issuer = Issuer::new(root, root_key);
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    write("roots.pem", roots)?;
    for name in ["client", "server"] {
        let key = KeyPair::generate()?;
        let certificate = named(name, &[format!("{name}.pair.test")])?.signed_by(&key, &issuer)?;
        write(&format!("{name}.pem"), certificate.pem() + &key.serialize_pem())?;
    }
    Ok(())
}

/// What a client with `client.pem` shows to a server with `server.pem`, and the name of that one.
///
/// # Errors
/// If [`write_certificates`] has not written them there.
pub fn client(folder: &Path) -> Result<(ClientConfig, ServerName<'static>)> {
    let path = |name: &str| folder.join(format!("{name}.pem"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(path("roots"))?)?;
    let certificate = CertificateDer::from_pem_file(path("client"))?;
    let key = PrivateKeyDer::from_pem_file(path("client"))?;
    let mut config = ClientConfig::builder_with_protocol_versions(&[&TLS13])
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok((config, ServerName::try_from("server.pair.test")?))
}

/// Whoever has the name of their issuer is taken for self-signed.
fn named(name: &str, dns_names: &[String]) -> Result<CertificateParams> {
    let mut certificate = CertificateParams::new(dns_names)?;
    certificate.distinguished_name = DistinguishedName::new();
    certificate.distinguished_name.push(DnType::CommonName, format!("pair {name}"));
    Ok(certificate)
}
