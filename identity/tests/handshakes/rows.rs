//! The rows of the matrix: bad certificates, each with the reason for which it is refused, and good ones,
//! which prove that the matrix can fail.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
    PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls_pki_types::CertificateDer;
use weft_identity::bundle::TrustBundle;

use crate::lab::{CART, Ca, DAY, FRONT, Shown, ca, der, leaf, now, uri};

/// Where a row is refused; where it is not, it must be accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refused {
    Nowhere,
    Everywhere,
    AsServer,
    AsClient,
}

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) refused: Refused,
    /// Part of the verifier's reason, as `Debug` prints it.
    pub(crate) why: &'static str,
    pub(crate) shown: Shown,
}

/// The roots that the mesh trusts.
pub(crate) struct Roots {
    root: Ca,
    rsa: Ca,
    expired: Ca,
    future: Ca,
}

impl Roots {
    pub(crate) fn new() -> Self {
        let signed = |params: CertificateParams, key| Ca::self_signed(params, key).unwrap();
        let mut expired = ca("expired root");
        expired.not_after = (now() - Duration::from_secs(1)).into();
        let mut future = ca("future root");
        future.not_before = (now() + Duration::from_secs(1)).into();
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        Self {
            root: signed(ca("root"), key()),
            rsa: signed(ca("rsa root"), rsa),
            expired: signed(expired, key()),
            future: signed(future, key()),
        }
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        let pem: String =
            [&self.root, &self.rsa, &self.expired, &self.future].map(|ca: &Ca| ca.pem()).concat();
        TrustBundle::from_pem(&pem).unwrap()
    }

    fn sign(&self, params: &CertificateParams) -> Shown {
        chain(params, &[&self.root], key())
    }

    /// The good leaf, after `bend`.
    fn bent(&self, bend: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut params = leaf();
        bend(&mut params);
        self.sign(&params)
    }

    /// An intermediate beneath the root, after `bend`.
    fn intermediate(&self, bend: impl FnOnce(&mut CertificateParams)) -> Ca {
        let mut params = ca("intermediate");
        bend(&mut params);
        Ca::signed_by(params, key(), &self.root).unwrap()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// A leaf with `key`, signed by the first of `issuers`; the root, the last, is not shown.
fn chain(params: &CertificateParams, issuers: &[&Ca], key: KeyPair) -> Shown {
    let leaf = params.signed_by(&key, issuers[0]).unwrap();
    let intermediates = issuers[..issuers.len() - 1].iter().map(|ca| ca.der().clone());
    Shown { chain: std::iter::once(leaf.der().clone()).chain(intermediates).collect(), key }
}

/// Rows that differ in their names alone.
fn names() -> Vec<(&'static str, Vec<SanType>, &'static str)> {
    let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
    let one = |name, text: &str, why| (name, vec![uri(text)], why);
    let long = format!("spiffe://cluster.local/ns/shop/sa/{}", "a".repeat(2048));
    vec![
        ("no SAN", vec![], "NoNames"),
        ("DNS SAN only", vec![dns("cart.shop.svc.cluster.local")], "NoUri"),
        ("DNS SAN that looks like a path", vec![dns("cluster.local/ns/shop/sa/cart")], "NoUri"),
        ("DNS SAN that looks like the id", vec![dns(CART)], "NoUri"),
        ("IP SAN", vec![SanType::IpAddress([10, 0, 0, 1].into())], "NoUri"),
        ("e-mail SAN", vec![SanType::Rfc822Name("cart@cluster.local".try_into().unwrap())], "NoUri"),
        ("e-mail SAN that looks like the id", vec![SanType::Rfc822Name(CART.try_into().unwrap())], "NoUri"),
        ("other-name SAN", vec![SanType::OtherName((vec![1, 3, 6, 1, 4, 1], CART.into()))], "NoUri"),
        ("two URIs", vec![uri(CART), uri(FRONT)], "ManyNames(2)"),
        ("the same URI twice", vec![uri(CART), uri(CART)], "ManyNames(2)"),
        ("URI + DNS", vec![uri(CART), dns("cart")], "ManyNames(2)"),
        ("DNS + URI", vec![dns("cart"), uri(CART)], "ManyNames(2)"),
        ("URI + IP", vec![uri(CART), SanType::IpAddress([10, 0, 0, 1].into())], "ManyNames(2)"),
        one("empty URI", "", "Scheme"),
        one("http scheme", "http://cluster.local/ns/shop/sa/cart", "Scheme"),
        one("upper-case scheme", "SPIFFE://cluster.local/ns/shop/sa/cart", "Scheme"),
        one("no scheme", "cluster.local/ns/shop/sa/cart", "Scheme"),
        one("space in front", " spiffe://cluster.local/ns/shop/sa/cart", "Scheme"),
        one("embedded NUL behind the id", "spiffe://cluster.local/ns/shop/sa/cart\0.evil", "ServiceAccount"),
        one(
            "embedded NUL in the domain",
            "spiffe://cluster.local\0.evil/ns/shop/sa/cart",
            "Character('\\0')",
        ),
        one("upper-case domain", "spiffe://Cluster.local/ns/shop/sa/cart", "Character('C')"),
        one("empty domain", "spiffe:///ns/shop/sa/cart", "Empty"),
        one("wildcard domain", "spiffe://*.local/ns/shop/sa/cart", "Character('*')"),
        one("wildcard account", "spiffe://cluster.local/ns/shop/sa/*", "ServiceAccount"),
        one("%-encoded domain", "spiffe://cluster%2elocal/ns/shop/sa/cart", "Character('%')"),
        one("%-encoded account", "spiffe://cluster.local/ns/shop/sa/c%61rt", "ServiceAccount"),
        one("%-encoded slash", "spiffe://cluster.local/ns/shop%2fsa%2fcart", "Path"),
        one("userinfo", "spiffe://root@cluster.local/ns/shop/sa/cart", "Character('@')"),
        one("port", "spiffe://cluster.local:443/ns/shop/sa/cart", "Character(':')"),
        one("query", "spiffe://cluster.local/ns/shop/sa/cart?a=b", "ServiceAccount"),
        one("fragment", "spiffe://cluster.local/ns/shop/sa/cart#a", "ServiceAccount"),
        one("domain alone", "spiffe://cluster.local", "Path"),
        one("empty path", "spiffe://cluster.local/", "Path"),
        one("trailing slash", "spiffe://cluster.local/ns/shop/sa/cart/", "Path"),
        one("double slash", "spiffe://cluster.local//ns/shop/sa/cart", "Path"),
        one("dot segment", "spiffe://cluster.local/./ns/shop/sa/cart", "Path"),
        one("dot-dot segments", "spiffe://cluster.local/ns/shop/sa/front/../cart", "Path"),
        one("missing sa", "spiffe://cluster.local/ns/shop", "Path"),
        one("extra segment", "spiffe://cluster.local/ns/shop/sa/cart/v2", "Path"),
        one("wrong keyword", "spiffe://cluster.local/ns/shop/account/cart", "Path"),
        one("upper-case keyword", "spiffe://cluster.local/NS/shop/SA/cart", "Path"),
        one("upper-case namespace", "spiffe://cluster.local/ns/Shop/sa/cart", "Namespace"),
        one("backslash", "spiffe://cluster.local\\ns\\shop\\sa\\cart", "Character('\\\\')"),
        ("too long", vec![uri(&long)], "TooLong"),
    ]
}

/// Rows that differ in a field or an extension of the leaf.
fn leaves(roots: &Roots) -> Vec<(&'static str, Shown, &'static str)> {
    let extension = |oid: &[u64], content: Vec<u8>| CustomExtension::from_oid_content(oid, content);
    let unreadable_name = der(0x30, &der(0x86, b"spiffe://cluster.local/ns/shop/sa/c\xff"));
    vec![
        ("expired", roots.bent(|p| p.not_after = (now() - Duration::from_secs(1)).into()), "CertExpired"),
        (
            "not yet valid",
            roots.bent(|p| p.not_before = (now() + Duration::from_secs(1)).into()),
            "CertNotValidYet",
        ),
        ("ends before it begins", roots.bent(|p| p.not_after = (now() - DAY).into()), "InvalidCertValidity"),
        ("CA:TRUE", roots.bent(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "CaUsedAsEndEntity"),
        (
            "CA:TRUE, path length 0",
            roots.bent(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
            "CaUsedAsEndEntity",
        ),
        ("no extended key usage", roots.bent(|p| p.extended_key_usages.clear()), "Usage("),
        (
            "usage `any`",
            roots.bent(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]),
            "RequiredEku",
        ),
        (
            "usage code signing",
            roots.bent(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
            "RequiredEku",
        ),
        (
            "id in the common name only",
            roots.bent(|p| {
                p.subject_alt_names.clear();
                p.distinguished_name.push(DnType::CommonName, CART);
            }),
            "NoNames",
        ),
        (
            "name that is no text",
            roots.bent(|p| {
                p.subject_alt_names.clear();
                p.custom_extensions = vec![extension(&[2, 5, 29, 17], unreadable_name.clone())];
            }),
            "NoUri",
        ),
        (
            "empty list of names",
            roots.bent(|p| {
                p.subject_alt_names.clear();
                p.custom_extensions = vec![extension(&[2, 5, 29, 17], der(0x30, &[]))];
            }),
            "NoNames",
        ),
        (
            "garbage for names",
            roots.bent(|p| {
                p.subject_alt_names.clear();
                p.custom_extensions = vec![extension(&[2, 5, 29, 17], vec![0xff, 0xff])];
            }),
            "Chain(",
        ),
        (
            "names twice",
            roots.bent(|p| {
                let second = der(0x30, &der(0x86, FRONT.as_bytes()));
                p.custom_extensions = vec![extension(&[2, 5, 29, 17], second)];
            }),
            "ExtensionValueInvalid",
        ),
        (
            "critical extension that nobody knows",
            roots.bent(|p| {
                let mut unknown = extension(&[1, 3, 6, 1, 4, 1, 99_999], vec![5, 0]);
                unknown.set_criticality(true);
                p.custom_extensions = vec![unknown];
            }),
            "UnsupportedCriticalExtension",
        ),
        (
            "RSA key",
            chain(
                &leaf(),
                &[&roots.root],
                KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
            ),
            "Key",
        ),
        ("Ed25519 key", chain(&leaf(), &[&roots.root], KeyPair::generate_for(&PKCS_ED25519).unwrap()), "Key"),
        (
            "P-521 key",
            chain(&leaf(), &[&roots.root], KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap()),
            "Key",
        ),
    ]
}

/// Rows that differ in who signed, or in whether anybody did.
fn chains(roots: &Roots) -> Vec<(&'static str, Shown, &'static str)> {
    let good = || roots.sign(&leaf());
    let stranger = Ca::self_signed(ca("stranger"), key()).unwrap();
    let namesake = Ca::self_signed(ca("root"), key()).unwrap();
    let workload = Ca::signed_by(leaf(), key(), &roots.root).unwrap();
    let below = |bend: fn(&mut CertificateParams)| {
        let intermediate = roots.intermediate(bend);
        chain(&leaf(), &[&intermediate, &roots.root], key())
    };
    let upper = roots.intermediate(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let lower = Ca::signed_by(ca("lower"), key(), &upper).unwrap();
    let plain = roots.intermediate(|_| ());
    let self_signed = key();
    let alone = leaf().self_signed(&self_signed).unwrap().der().clone();
    let ed25519 =
        Ca::signed_by(ca("ed25519"), KeyPair::generate_for(&PKCS_ED25519).unwrap(), &roots.root).unwrap();
    vec![
        ("unknown CA", chain(&leaf(), &[&stranger], key()), "UnknownIssuer"),
        ("unknown CA, shown along", chain(&leaf(), &[&stranger, &stranger], key()), "UnknownIssuer"),
        ("another CA of the same name", chain(&leaf(), &[&namesake], key()), "InvalidSignatureForPublicKey"),
        (
            "another CA of the same name, shown along",
            chain(&leaf(), &[&namesake, &roots.root], key()),
            "InvalidSignatureForPublicKey",
        ),
        ("self-signed", Shown { chain: vec![alone], key: self_signed }, "UnknownIssuer"),
        (
            "the root itself",
            Shown {
                chain: vec![roots.root.der().clone()],
                key: KeyPair::from_pem(&roots.root.key().serialize_pem()).unwrap(),
            },
            "CaUsedAsEndEntity",
        ),
        ("signed by a workload", chain(&leaf(), &[&workload, &roots.root], key()), "EndEntityUsedAsCa"),
        ("issuer without CA flag", below(|p| p.is_ca = IsCa::NoCa), "EndEntityUsedAsCa"),
        (
            "intermediate expired",
            below(|p| p.not_after = (now() - Duration::from_secs(1)).into()),
            "CertExpired",
        ),
        (
            "intermediate not yet valid",
            below(|p| p.not_before = (now() + Duration::from_secs(1)).into()),
            "CertNotValidYet",
        ),
        ("intermediate not shown", chain(&leaf(), &[&plain], key()), "UnknownIssuer"),
        (
            "path length exceeded",
            chain(&leaf(), &[&lower, &upper, &roots.root], key()),
            "PathLenConstraintViolated",
        ),
        ("root expired", chain(&leaf(), &[&roots.expired], key()), "CertExpired"),
        ("root not yet valid", chain(&leaf(), &[&roots.future], key()), "CertNotValidYet"),
        (
            "signed with an algorithm that nobody asked for",
            chain(&leaf(), &[&ed25519, &roots.root], key()),
            "UnsupportedSignatureAlgorithm",
        ),
        (
            "name constraint: other URIs only",
            below(|p| {
                // NameConstraints { permittedSubtrees [0] { GeneralSubtree { uniformResourceIdentifier [6] }
                // } }
                let content = der(0x30, &der(0xa0, &der(0x30, &der(0x86, b"other.mesh"))));
                p.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 30], content)];
            }),
            "NameConstraintViolation",
        ),
        (
            "name constraint: no subject at all",
            below(|p| {
                let nobody = GeneralSubtree::DirectoryName(rcgen::DistinguishedName::new());
                p.name_constraints =
                    Some(NameConstraints { permitted_subtrees: vec![], excluded_subtrees: vec![nobody] });
            }),
            "NameConstraintViolation",
        ),
        (
            "tampered signature",
            edited(good(), |der| *der.last_mut().unwrap() ^= 1),
            "InvalidSignatureForPublicKey",
        ),
        (
            "tampered name",
            edited(good(), |der| {
                let at = der.windows(4).position(|window| window == b"cart").unwrap();
                der[at..at + 4].copy_from_slice(b"card");
            }),
            "InvalidSignatureForPublicKey",
        ),
        ("bytes behind the end", edited(good(), |der| der.push(0)), "TrailingData"),
        ("cut short", edited(good(), |der| der.truncate(der.len() / 2)), "TrailingData"),
        ("empty", edited(good(), Vec::clear), "TrailingData"),
        (
            "longer chain than anybody has",
            Shown { chain: std::iter::repeat_n(good().chain.remove(0), 17).collect(), key: key() },
            "LongChain(17)",
        ),
    ]
}

/// Rows that are refused at one end, and good at the other.
fn one_sided(roots: &Roots) -> Vec<(&'static str, Refused, Shown, &'static str)> {
    let only = |usage| roots.bent(|p| p.extended_key_usages = vec![usage]);
    let narrow = roots.intermediate(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    vec![
        ("for clients only", Refused::AsServer, only(ExtendedKeyUsagePurpose::ClientAuth), "RequiredEku"),
        ("for servers only", Refused::AsClient, only(ExtendedKeyUsagePurpose::ServerAuth), "RequiredEku"),
        (
            "issuer for clients only",
            Refused::AsServer,
            chain(&leaf(), &[&narrow, &roots.root], key()),
            "RequiredEku",
        ),
        (
            "another identity than expected",
            Refused::AsServer,
            roots.bent(|p| p.subject_alt_names = vec![uri(FRONT)]),
            "OtherIdentity",
        ),
        (
            "longer than the expected identity",
            Refused::AsServer,
            roots.bent(|p| p.subject_alt_names = vec![uri("spiffe://cluster.local/ns/shop/sa/cart-2")]),
            "OtherIdentity",
        ),
    ]
}

fn good(roots: &Roots) -> Vec<(&'static str, Shown)> {
    let p384 = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let beneath_rsa = Ca::signed_by(ca("issuer"), key(), &roots.rsa).unwrap();
    let plain = roots.intermediate(|_| ());
    let second = Ca::signed_by(ca("second"), p384(), &plain).unwrap();
    vec![
        ("plain", roots.sign(&leaf())),
        ("P-384 key", chain(&leaf(), &[&roots.root], p384())),
        ("beneath two intermediates", chain(&leaf(), &[&second, &plain, &roots.root], key())),
        ("beneath an RSA root", chain(&leaf(), &[&beneath_rsa, &roots.rsa], key())),
        ("with the root shown along", chain(&leaf(), &[&roots.root, &roots.root], key())),
        ("with a common name", roots.bent(|p| p.distinguished_name.push(DnType::CommonName, FRONT))),
        (
            "with more usages",
            roots.bent(|p| {
                p.extended_key_usages.push(ExtendedKeyUsagePurpose::CodeSigning);
                p.key_usages.push(KeyUsagePurpose::KeyAgreement);
            }),
        ),
        ("in its last second", roots.bent(|p| p.not_after = now().into())),
        ("in its first second", roots.bent(|p| p.not_before = now().into())),
    ]
}

/// Every row, with those of other trust domains: for the verifier of a server another domain, for a client
/// another identity.
pub(crate) fn rows(roots: &Roots) -> Vec<Row> {
    let bad = |(name, shown, why): (&str, Shown, &'static str)| Row {
        name: name.to_owned(),
        refused: Refused::Everywhere,
        why,
        shown,
    };
    let named = names()
        .into_iter()
        .map(|(name, names, why)| bad((name, roots.bent(|p| p.subject_alt_names = names), why)));
    let elsewhere = [
        "spiffe://other.mesh/ns/shop/sa/cart",
        "spiffe://cluster.local.evil/ns/shop/sa/cart",
        "spiffe://luster.local/ns/shop/sa/cart",
    ]
    .map(|name| bad((name, roots.bent(|p| p.subject_alt_names = vec![uri(name)]), "Other")));
    let sided = one_sided(roots).into_iter().map(|(name, refused, shown, why)| Row {
        name: name.to_owned(),
        refused,
        why,
        shown,
    });
    let accepted = good(roots).into_iter().map(|(name, shown)| Row {
        name: format!("good: {name}"),
        refused: Refused::Nowhere,
        why: "",
        shown,
    });
    named
        .chain(leaves(roots).into_iter().map(bad))
        .chain(chains(roots).into_iter().map(bad))
        .chain(elsewhere)
        .chain(sided)
        .chain(accepted)
        .collect()
}

fn edited(mut shown: Shown, edit: impl FnOnce(&mut Vec<u8>)) -> Shown {
    let mut bytes = shown.chain[0].to_vec();
    edit(&mut bytes);
    shown.chain[0] = CertificateDer::from(bytes);
    shown
}
