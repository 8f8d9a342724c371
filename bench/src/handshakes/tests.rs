//! That what counts are whole handshakes, which the server has ended too, and that one which it refuses is an error.

use std::{fs, net::TcpListener, path::Path};

use rustls::{RootCertStore, ServerConfig, ServerConnection, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;

use super::*;
use crate::peers;

fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    peers::write_certificates(folder.path()).unwrap();
    folder
}

fn server_config(folder: &Path) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("roots.pem")).unwrap()).unwrap();
    let path = folder.join("server.pem");
    let certificate = CertificateDer::from_pem_file(&path).unwrap();
    let key = PrivateKeyDer::from_pem_file(&path).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let builder = ServerConfig::builder().with_client_cert_verifier(verifier);
    Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
}

/// Takes connections until the handshake of one fails, and returns how many did not.
fn serve(listener: &TcpListener, config: &Arc<ServerConfig>) -> u64 {
    let mut whole = 0;
    loop {
        let (mut socket, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(Arc::clone(config)).unwrap();
        while tls.is_handshaking() {
            if tls.complete_io(&mut socket).is_err() {
                return whole;
            }
        }
        // What is closed with something unread is reset.
        while !tls.process_new_packets().unwrap().peer_has_closed() {
            tls.read_tls(&mut socket).unwrap();
        }
        whole += 1;
    }
}

fn handshakes(listener: &TcpListener, folder: &Path) -> Handshakes {
    let (config, name) = peers::client(folder).unwrap();
    Handshakes { config: Arc::new(config), name, server: listener.local_addr().unwrap() }
}

#[test]
fn each_handshake_is_one_of_the_server_s_too() {
    let (folder, listener) = (certificates(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (client, config) = (handshakes(&listener, folder.path()), server_config(folder.path()));
    let server = thread::spawn(move || serve(&listener, &config));
    assert_eq!(client.one().unwrap(), "X25519MLKEM768");
    let report = client.run(Duration::from_millis(50)).unwrap();
    // The end of the server: a connection without a handshake.
    drop(TcpStream::connect(client.server).unwrap());
    assert!(report.requests() > 0);
    assert_eq!(server.join().unwrap(), 1 + report.requests());
}

#[test]
fn a_client_whom_the_server_does_not_believe_is_an_error() {
    let (folder, other) = (certificates(), certificates());
    fs::copy(folder.path().join("roots.pem"), other.path().join("roots.pem")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (client, config) = (handshakes(&listener, other.path()), server_config(folder.path()));
    let server = thread::spawn(move || serve(&listener, &config));
    let error = format!("{:#}", client.one().unwrap_err());
    assert!(error.contains("alert"), "{error}");
    assert_eq!(server.join().unwrap(), 0);
}
