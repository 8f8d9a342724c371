use super::*;

#[test]
fn a_network_holds_what_begins_with_its_bits() {
    let table = [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("10.1.2.3/32", "10.1.2.3", true),
        ("10.1.2.3/32", "10.1.2.2", false),
        ("0.0.0.0/0", "255.255.255.255", true),
        ("0.0.0.0/0", "::1", false),
        ("fd00::/8", "fd12::1", true),
        ("fd00::/8", "fe80::1", false),
        ("::/0", "fe80::1", true),
        ("::/0", "10.0.0.1", false),
        ("::1/128", "::1", true),
    ];
    for (cidr, address, holds) in table {
        let cidr: Cidr = cidr.parse().unwrap();
        assert_eq!(cidr.contains(address.parse().unwrap()), holds, "{cidr} {address}");
    }
}

#[test]
fn what_is_no_network_is_refused_with_what_is_meant() {
    for text in ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "10.0.0.0/256", "x/8"] {
        assert!(text.parse::<Cidr>().unwrap_err().contains("10.0.0.0/8"), "{text}");
    }
    assert_eq!(
        "10.0.0.1/8".parse::<Cidr>(),
        Err("`10.0.0.1/8` has bits beyond its prefix; write `10.0.0.0/8`".to_owned())
    );
    assert_eq!("10.0.0.0/8".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
    assert!("10.0.0.0/33".parse::<Cidr>().unwrap_err().contains("32 bits"));
    assert!("::/129".parse::<Cidr>().unwrap_err().contains("128 bits"));
}
