use proptest::prelude::*;

use super::*;

fn written(expressions: &[Expression]) -> Vec<u8> {
    let mut writer = Writer::default();
    write(&mut writer, expressions);
    writer.finish()
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let of = prop_oneof![
        any::<u32>().prop_map(Match::User),
        Just(Match::ToLoopback),
        Just(Match::Tcp),
        Just(Match::Heard),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Match::Ports(a.min(b)..=a.max(b))),
    ];
    let verdict =
        prop_oneof![Just(Verdict::Pass), Just(Verdict::Refuse), any::<u16>().prop_map(Verdict::Redirect)];
    (of, verdict).prop_map(|(of, verdict)| Rule { of, verdict, comment: "" })
}

#[test]
fn a_skipped_port_is_of_tcp_alone() {
    let rule = Rule { of: Match::Ports(22..=22), verdict: Verdict::Pass, comment: "" };
    let equal = |bytes: &[u8]| Expression::Compare(Operator::Equal, bytes.to_vec());
    let expected = vec![
        Expression::Load(Key::Protocol),
        equal(&[6]),
        Expression::LoadPort,
        equal(&[0, 22]),
        Expression::Accept,
    ];
    assert_eq!(of_rule(&rule), expected);
}

#[test]
fn what_differs_in_anything_is_foreign() {
    let mut writer = Writer::default();
    let others: [(&str, &[(u16, u32)]); 7] = [
        ("meta", &[(1, 2), (2, 16)]),
        ("meta", &[(1, 1), (2, 3)]),
        ("payload", &[(1, 1), (2, 2), (3, 0), (4, 2)]),
        // At random among the ports.
        ("redir", &[(1, 1), (2, 1), (3, 6)]),
        // By the socket's mark; with an ICMP message.
        ("socket", &[(1, 1), (2, 1)]),
        ("reject", &[(1, 0), (2, 3)]),
        ("counter", &[]),
    ];
    for (name, values) in others {
        writer.nested(ELEMENT, |writer| {
            writer.text(NAME, name);
            writer.nested(DATA, |writer| {
                for (kind, value) in values {
                    writer.number(*kind, *value);
                }
            });
        });
    }
    let read = read(&writer.finish()).unwrap();
    assert_eq!(read, others.map(|(name, _)| Expression::Foreign(name.to_owned())));
}

proptest! {
    #[test]
    fn what_is_written_is_read(rule in any_rule()) {
        let expressions = of_rule(&rule);
        prop_assert_eq!(read(&written(&expressions)).unwrap(), expressions);
    }

    #[test]
    fn rules_that_differ_are_not_taken_for_each_other(a in any_rule(), b in any_rule()) {
        if a != b {
            prop_assert_ne!(of_rule(&a), of_rule(&b));
        }
    }

    #[test]
    fn no_bytes_are_too_strange(
        rule in any_rule(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = written(&of_rule(&rule));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes);
    }
}
