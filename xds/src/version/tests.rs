use super::*;

#[test]
fn hash_is_the_published_fnv1a() {
    // Test vectors of the algorithm's authors.
    assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn versions_survive_the_wire() {
    for version in [Version::of(1_700_000_000_000, b"cart"), Version::absent(7), Version::of(u64::MAX, b"")] {
        assert_eq!(Version::parse(&version.to_string()), version);
    }
}

#[test]
fn foreign_versions_are_opaque_and_never_older() {
    let ours = Version::of(5, b"x");
    for text in
        ["", "42", "2024-01-02T03:04:05Z/7", "05-00000000000000ff", "5-FF", "+5-00000000000000ff", "5-ff"]
    {
        let foreign = Version::parse(text);
        assert_eq!(foreign, Version::Opaque(text.to_owned()));
        assert_eq!(foreign.to_string(), text);
        assert!(!foreign.is_older_than(&ours) && !ours.is_older_than(&foreign), "{text}");
        assert!(!foreign.is_absent());
    }
}

#[test]
fn order_is_by_generation_alone() {
    assert!(Version::of(1, b"b").is_older_than(&Version::of(2, b"a")));
    assert!(!Version::of(2, b"b").is_older_than(&Version::of(2, b"a")));
    assert!(Version::of(9, b"a").is_older_than(&Version::absent(10)));
}

#[test]
fn what_follows_never_goes_back() {
    let held = Version::of(100, b"old");
    // A clock that was set back, new content: just above what is held.
    assert_eq!(Version::of(7, b"new").following(&held), Version::of(101, b"new"));
    // The same content keeps the generation that the subscriber knows.
    assert_eq!(Version::of(7, b"old").following(&held), held);
    // The clock is right: nothing to do.
    assert_eq!(Version::of(200, b"new").following(&held), Version::of(200, b"new"));
    // At the end of the numbers there is no panic.
    let last = Version::of(u64::MAX, b"old");
    assert_eq!(Version::of(7, b"new").following(&last).generation(), Some(u64::MAX));
}
