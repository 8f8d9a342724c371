use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

const AUDIENCE: &str = "weft.dev";
const HOUR: Duration = Duration::from_hours(1);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn cart() -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        service_account: "cart".to_owned(),
        pod: "cart-5d9".to_owned(),
        pod_uid: "0b7f".to_owned(),
    }
}

fn claims() -> Value {
    json!({
        "iss": LOCAL_ISSUER, "sub": "system:serviceaccount:shop:cart", "aud": [AUDIENCE],
        "iat": 1_790_000_000, "nbf": 1_790_000_000, "exp": 1_790_003_600,
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "cart", "uid": "77"},
            "pod": {"name": "cart-5d9", "uid": "0b7f"},
            "node": {"name": "n1", "uid": "1"},
        },
        "jti": "1",
    })
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// A token with any header and claims, signed by the true key.
fn signed(issuer: &LocalIssuer, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &issuer.signing, Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

fn es256() -> Value {
    json!({"alg": "ES256", "typ": "JWT"})
}

fn ask(issuer: &LocalIssuer, token: &str) -> Result<Workload, Refusal> {
    issuer.authenticator(AUDIENCE).authenticate(token, now())
}

#[test]
fn a_token_says_who_holds_it() {
    let issuer = LocalIssuer::create().unwrap();
    let token = issuer.issue(&cart(), AUDIENCE, HOUR, now()).unwrap();
    assert_eq!(ask(&issuer, &token), Ok(cart()));
    let id = cart().spiffe_id(&"cluster.local".parse().unwrap()).unwrap();
    assert_eq!(id.as_str(), "spiffe://cluster.local/ns/shop/sa/cart");
    assert_eq!(
        ask(&issuer, &signed(&issuer, &es256(), &claims())),
        Ok(cart()),
        "with all that Kubernetes adds"
    );
    let reloaded = LocalIssuer::load(&issuer.key_pem().unwrap()).unwrap();
    assert_eq!(ask(&reloaded, &token), Ok(cart()));
}

#[test]
fn it_is_good_from_its_first_second_to_its_last() {
    let issuer = LocalIssuer::create().unwrap();
    let token = issuer.issue(&cart(), AUDIENCE, HOUR, now()).unwrap();
    let at = |moment| issuer.authenticator(AUDIENCE).authenticate(&token, moment);
    let second = Duration::from_secs(1);
    assert_eq!(at(now() - second), Err(Refusal::NotYetValid));
    assert_eq!(at(now()), Ok(cart()));
    assert_eq!(at(now() + HOUR - second), Ok(cart()));
    assert_eq!(at(now() + HOUR), Err(Refusal::Expired));
    assert_eq!(at(UNIX_EPOCH - second), Err(Refusal::NotYetValid));
}

#[test]
fn the_algorithm_is_not_for_the_token_to_choose() {
    let issuer = LocalIssuer::create().unwrap();
    let message =
        |alg: &str| format!("{}.{}", encoded(&json!({"alg": alg, "typ": "JWT"})), encoded(&claims()));
    for alg in ["none", "None", "NONE", ""] {
        assert_eq!(ask(&issuer, &format!("{}.", message(alg))), Err(Refusal::Malformed), "{alg}");
    }
    // The public key as a shared secret: the classic confusion.
    let secret = EncodingKey::from_secret(issuer.key.public_point());
    let confused = message("HS256");
    let signature = jsonwebtoken::crypto::sign(confused.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert_eq!(ask(&issuer, &format!("{confused}.{signature}")), Err(Refusal::Algorithm));
    for alg in ["ES384", "RS256", "PS256", "EdDSA"] {
        let token = signed(&issuer, &json!({"alg": alg}), &claims());
        assert_eq!(ask(&issuer, &token), Err(Refusal::Algorithm), "{alg}");
    }
    // A key that the token brings along is not asked.
    let thief = LocalIssuer::create().unwrap();
    let brought = json!({"alg": "ES256", "kid": "thief", "jku": "https://thief.example/keys"});
    assert_eq!(ask(&issuer, &signed(&thief, &brought, &claims())), Err(Refusal::Signature));
    let critical = json!({"alg": "ES256", "crit": ["exp"]});
    assert_eq!(ask(&issuer, &signed(&issuer, &critical, &claims())), Err(Refusal::Malformed));
}

#[test]
fn every_claim_counts() {
    let issuer = LocalIssuer::create().unwrap();
    let cases = [
        ("/iss", json!("https://kubernetes.default.svc"), Refusal::Issuer),
        ("/iss", json!([LOCAL_ISSUER]), Refusal::Malformed),
        ("/aud", json!(["https://kubernetes.default.svc"]), Refusal::Audience),
        ("/aud", json!(["weft.dev.evil", "WEFT.DEV"]), Refusal::Audience),
        ("/aud", json!([]), Refusal::Audience),
        ("/exp", json!(1_790_000_000), Refusal::Expired),
        ("/exp", json!(-1), Refusal::Malformed),
        ("/exp", json!("1790003600"), Refusal::Malformed),
        ("/exp", json!(null), Refusal::Malformed),
        ("/nbf", json!(1_790_000_001), Refusal::NotYetValid),
        ("/sub", json!("system:serviceaccount:shop:admin"), Refusal::Subject),
        ("/sub", json!("system:serviceaccount:shop:cart "), Refusal::Subject),
        ("/kubernetes.io/namespace", json!("kube-system"), Refusal::Subject),
        ("/kubernetes.io/serviceaccount/name", json!("admin"), Refusal::Subject),
        ("/kubernetes.io/pod", json!(null), Refusal::Malformed),
        ("/kubernetes.io", json!({}), Refusal::Malformed),
    ];
    for (path, value, refusal) in cases {
        let mut bent = claims();
        *bent.pointer_mut(path).unwrap() = value.clone();
        assert_eq!(ask(&issuer, &signed(&issuer, &es256(), &bent)), Err(refusal), "{path} = {value}");
    }
    for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "kubernetes.io"] {
        let mut bent = claims();
        bent.as_object_mut().unwrap().remove(claim);
        assert_eq!(
            ask(&issuer, &signed(&issuer, &es256(), &bent)),
            Err(Refusal::Malformed),
            "without {claim}"
        );
    }
}

#[test]
fn a_changed_token_is_refused() {
    let issuer = LocalIssuer::create().unwrap();
    let token = issuer.issue(&cart(), AUDIENCE, HOUR, now()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let promoted = encoded(&{
        let mut claims = claims();
        claims["sub"] = json!("system:serviceaccount:shop:admin");
        claims["kubernetes.io"]["serviceaccount"]["name"] = json!("admin");
        claims
    });
    assert_eq!(ask(&issuer, &format!("{}.{promoted}.{}", parts[0], parts[2])), Err(Refusal::Signature));
    let other = LocalIssuer::create().unwrap();
    assert_eq!(ask(&other, &token), Err(Refusal::Signature));
    assert_eq!(ask(&issuer, &format!("{}.{}.", parts[0], parts[1])), Err(Refusal::Signature));
    for garbage in
        ["", ".", "..", "a.b.c", &token[..token.len() / 2], &format!("{token}.x"), &format!(" {token}"), "\0"]
    {
        assert!(ask(&issuer, garbage).is_err(), "{garbage:?}");
    }
    let oversize = "a".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(ask(&issuer, &oversize), Err(Refusal::TooLong(TOKEN_BYTES_MAX + 1)));
}

#[test]
fn the_issuer_takes_keys_of_its_algorithm_only() {
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem();
    assert_eq!(LocalIssuer::load(&p384).err(), Some(KeyError::Unsupported));
    assert_eq!(LocalIssuer::load("").err(), Some(KeyError::NotPem));
}
