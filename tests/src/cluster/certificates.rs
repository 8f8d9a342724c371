//! Who is who in the cluster: an authority, and a certificate with its key for each program and for whoever operates it.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::folder::Folder;

/// Names and addresses of the API server: of Services as pods use them, and of its own.
const API_SERVER: [&str; 6] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    super::API_SERVICE,
    super::CONTROL_PLANE,
];

/// Users of the API server that are there from the start, with their groups: what Kubernetes binds its roles to.
const USERS: [(&str, &str, Option<&str>); 5] = [
    ("admin", "admin", Some("system:masters")),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("proxy", "system:kube-proxy", None),
    // The API server itself, to kubelets.
    ("kubelet-client", "kube-apiserver", Some("system:masters")),
];

/// Makes the authority, and what the control plane needs of it.
pub(super) fn make(folder: &Folder) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut params = named("kubernetes", None)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key)?;
    write(&folder.certificate("ca"), &certificate.pem())?;
    write(&folder.key("ca"), &key.serialize_pem())?;
    // It signs the tokens of service accounts.
    let tokens = KeyPair::generate()?;
    write(&folder.key("tokens"), &tokens.serialize_pem())?;
    write(&folder.public_key("tokens"), &tokens.public_key_pem())?;

    let mut server = named("kube-apiserver", None)?;
    server.subject_alt_names =
        CertificateParams::new(API_SERVER.map(str::to_owned).to_vec())?.subject_alt_names;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(folder, "apiserver", server)?;
    for (file, user, group) in USERS {
        user_of(folder, file, user, group)?;
    }
    Ok(())
}

/// Makes the certificate of a node's kubelet.
pub(super) fn for_node(folder: &Folder, node: &str) -> Result<()> {
    user_of(folder, node, &format!("system:node:{node}"), Some("system:nodes"))
}

/// Makes the certificate `file` of a user, and the kubeconfig with it.
fn user_of(folder: &Folder, file: &str, user: &str, group: Option<&str>) -> Result<()> {
    let mut params = named(user, group)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(folder, file, params)?;
    let (certificate, key, ca) = (folder.certificate(file), folder.key(file), folder.certificate("ca"));
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: weft\n\
         clusters:\n- name: weft\n  cluster:\n    server: https://{}:6443\n    certificate-authority: {}\n\
         users:\n- name: {file}\n  user:\n    client-certificate: {}\n    client-key: {}\n\
         contexts:\n- name: weft\n  context:\n    cluster: weft\n    user: {file}\n",
        super::CONTROL_PLANE,
        ca.display(),
        certificate.display(),
        key.display(),
    );
    write(&folder.kubeconfig(file), &kubeconfig)
}

fn named(name: &str, group: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    Ok(params)
}

fn issue(folder: &Folder, file: &str, mut params: CertificateParams) -> Result<()> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
    let authority = KeyPair::from_pem(&read(&folder.key("ca"))?)?;
    let issuer = Issuer::from_ca_cert_pem(&read(&folder.certificate("ca"))?, authority)?;
    let key = KeyPair::generate()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.signed_by(&key, &issuer)?;
    write(&folder.certificate(file), &certificate.pem())?;
    write(&folder.key(file), &key.serialize_pem())
}

/// Writes a file that only root reads.
fn write(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("{} cannot be written", path.display()))
}
