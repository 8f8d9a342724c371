use proptest::prelude::*;

use super::*;

#[test]
fn reads_the_parts() {
    let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/cart.v2".parse().unwrap();
    assert_eq!(
        (id.trust_domain(), id.namespace(), id.service_account()),
        ("cluster.local", "shop", "cart.v2")
    );
    assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/cart.v2");
    assert!(id.is_member_of(&"cluster.local".parse().unwrap()));
    assert!(!id.is_member_of(&"luster.local".parse().unwrap()));
}

#[test]
fn takes_what_the_rules_allow() {
    for text in [
        "spiffe://a/ns/b/sa/c",
        "spiffe://a_b-c.d/ns/b-1/sa/c-d.e",
        "spiffe://1/ns/1/sa/1",
        "spiffe://../ns/a/sa/b", // A trust domain is a name and no path: dots mean nothing in it.
        &format!("spiffe://{}/ns/{}/sa/{}", "t".repeat(255), "n".repeat(63), "s".repeat(253)),
    ] {
        assert_eq!(text.parse::<SpiffeId>().map(|id| id.to_string()), Ok(text.to_owned()));
    }
}

#[test]
fn refuses_everything_else_and_says_why() {
    use InvalidSpiffeId::{Namespace, Path, Scheme, ServiceAccount, TooLong};
    let domain = |c| InvalidSpiffeId::TrustDomain(InvalidTrustDomain::Character(c));
    let cases = [
        ("", Scheme),
        ("spiffe:", Scheme),
        ("spiffe:/a/ns/b/sa/c", Scheme),
        ("http://a/ns/b/sa/c", Scheme),
        ("SPIFFE://a/ns/b/sa/c", Scheme),
        ("Spiffe://a/ns/b/sa/c", Scheme),
        (" spiffe://a/ns/b/sa/c", Scheme),
        ("\u{feff}spiffe://a/ns/b/sa/c", Scheme),
        ("spiffe://", InvalidTrustDomain::Empty.into()),
        ("spiffe:///ns/b/sa/c", InvalidTrustDomain::Empty.into()),
        ("spiffe://A/ns/b/sa/c", domain('A')),
        ("spiffe://u@a/ns/b/sa/c", domain('@')),
        ("spiffe://a:1/ns/b/sa/c", domain(':')),
        ("spiffe://*/ns/b/sa/c", domain('*')),
        ("spiffe://a%2eb/ns/b/sa/c", domain('%')),
        ("spiffe://a\0/ns/b/sa/c", domain('\0')),
        ("spiffe://a?x/ns/b/sa/c", domain('?')),
        ("spiffe://[::1]/ns/b/sa/c", domain('[')),
        ("spiffe://ä/ns/b/sa/c", domain('ä')),
        ("spiffe://a\\/ns/b/sa/c", domain('\\')),
        ("spiffe://a", Path),
        ("spiffe://a/", Path),
        ("spiffe://a/ns/b", Path),
        ("spiffe://a/ns/b/sa", Path),
        ("spiffe://a/ns/b/sa/c/", Path),
        ("spiffe://a/ns/b/sa/c/d", Path),
        ("spiffe://a//ns/b/sa/c", Path),
        ("spiffe://a/ns/b//sa/c", Path),
        ("spiffe://a/NS/b/sa/c", Path),
        ("spiffe://a/sa/b/ns/c", Path),
        ("spiffe://a/ns/b/serviceaccount/c", Path),
        ("spiffe://a/./ns/b/sa/c", Path),
        ("spiffe://a/x/../ns/b/sa/c", Path),
        ("spiffe://a/%6es/b/sa/c", Path),
        ("spiffe://a/ns//sa/c", Namespace),
        ("spiffe://a/ns/./sa/c", Namespace),
        ("spiffe://a/ns/../sa/c", Namespace),
        ("spiffe://a/ns/B/sa/c", Namespace),
        ("spiffe://a/ns/-b/sa/c", Namespace),
        ("spiffe://a/ns/b.c/sa/c", Namespace),
        ("spiffe://a/ns/b\0/sa/c", Namespace),
        ("spiffe://a/ns/b%2fc/sa/c", Namespace),
        ("spiffe://a/ns/*/sa/c", Namespace),
        ("spiffe://a/ns/b/sa/", ServiceAccount),
        ("spiffe://a/ns/b/sa/.", ServiceAccount),
        ("spiffe://a/ns/b/sa/..", ServiceAccount),
        ("spiffe://a/ns/b/sa/c..d", ServiceAccount),
        ("spiffe://a/ns/b/sa/c.", ServiceAccount),
        ("spiffe://a/ns/b/sa/c-", ServiceAccount),
        ("spiffe://a/ns/b/sa/C", ServiceAccount),
        ("spiffe://a/ns/b/sa/c?q=1", ServiceAccount),
        ("spiffe://a/ns/b/sa/c#f", ServiceAccount),
        ("spiffe://a/ns/b/sa/c\0", ServiceAccount),
        ("spiffe://a/ns/b/sa/c\n", ServiceAccount),
        ("spiffe://a/ns/b/sa/c%00", ServiceAccount),
        ("spiffe://a/ns/b/sa/ç", ServiceAccount),
    ];
    for (text, reason) in cases {
        assert_eq!(text.parse::<SpiffeId>(), Err(reason), "{text:?}");
    }
    let long = |td: usize, ns: usize, sa: usize| {
        format!("spiffe://{}/ns/{}/sa/{}", "t".repeat(td), "n".repeat(ns), "s".repeat(sa)).parse::<SpiffeId>()
    };
    assert_eq!(long(256, 1, 1), Err(InvalidTrustDomain::TooLong(256).into()));
    assert_eq!(long(1, 64, 1), Err(Namespace));
    assert_eq!(long(1, 1, 254), Err(ServiceAccount));
    assert!(matches!(long(1, 1, 4096), Err(TooLong(_))));
}

#[test]
fn makes_no_id_that_it_would_not_read() {
    let mesh: TrustDomain = "cluster.local".parse().unwrap();
    let made = SpiffeId::workload(&mesh, "shop", "cart").unwrap();
    assert_eq!(made, "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap());
    assert_eq!(SpiffeId::workload(&mesh, "shop/sa/admin", "x"), Err(InvalidSpiffeId::Namespace));
    assert_eq!(SpiffeId::workload(&mesh, "shop", "../admin"), Err(InvalidSpiffeId::ServiceAccount));
    assert_eq!(SpiffeId::workload(&mesh, "", "x"), Err(InvalidSpiffeId::Namespace));
}

proptest! {
    #[test]
    fn never_panics_and_never_rewrites(text in "(spiffe://)?[a-zA-Z0-9./%@:?#\\\\_\\-\\PC\0]{0,80}") {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert_eq!(id.as_str(), &text);
        }
    }

    #[test]
    fn parts_make_the_same_id(
        domain in "[a-z0-9._-]{1,40}",
        namespace in "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?",
        account in "[a-z0-9]([-a-z0-9]{0,9}[a-z0-9])?(\\.[a-z0-9]{1,9}){0,3}",
    ) {
        let text = format!("spiffe://{domain}/ns/{namespace}/sa/{account}");
        let read: SpiffeId = text.parse().unwrap();
        let made = SpiffeId::workload(&domain.parse().unwrap(), &namespace, &account).unwrap();
        prop_assert_eq!(&read, &made);
        prop_assert_eq!(read.trust_domain(), domain);
        prop_assert_eq!(read.namespace(), namespace);
        prop_assert_eq!(read.service_account(), account);
    }

    /// Whatever one inserts into a valid id, it stays within the canonical alphabet or is refused.
    #[test]
    fn one_foreign_character_is_enough(at in 0_usize..38, foreign in "[A-Z%@:?#*\\\\ \0\t]") {
        let mut text = "spiffe://cluster.local/ns/shop/sa/cart".to_owned();
        text.insert_str(at, &foreign);
        prop_assert!(text.parse::<SpiffeId>().is_err());
    }
}
