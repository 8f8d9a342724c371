use super::*;

fn names(known: &[&'static str]) -> ServerNames<&'static str> {
    let mut names = ServerNames::default();
    for name in known {
        assert!(names.insert(name, *name), "{name} stands there twice");
    }
    names
}

#[test]
fn the_whole_name_is_found_first_and_then_the_longest_end() {
    let known = ["shop.example", "*.example", "*.shop.example", "a.b.shop.example", "*.test"];
    let names = names(&known);
    let table = [
        ("shop.example", Some("shop.example")),
        ("SHOP.Example", Some("shop.example")),
        ("cart.example", Some("*.example")),
        ("a.cart.example", Some("*.example")),
        ("cart.shop.example", Some("*.shop.example")),
        ("a.cart.shop.example", Some("*.shop.example")),
        ("a.b.shop.example", Some("a.b.shop.example")),
        ("b.b.shop.example", Some("*.shop.example")),
        ("x.test", Some("*.test")),
        // An end is no whole name, and no part of a label.
        ("example", None),
        ("test", None),
        ("notest", None),
        ("shop.example.", None),
        ("shopexample", None),
        ("", None),
        (".", None),
    ];
    for (called, found) in table {
        assert_eq!(names.find(called).copied(), found, "{called}");
    }
}

#[test]
fn a_name_stands_once_whatever_its_capitals() {
    let mut names = names(&["a.example", "*.example"]);
    assert!(!names.insert("A.example", "again") && !names.insert("*.EXAMPLE", "again"));
    assert_eq!(names.values().count(), 2);
    assert_eq!(names.map(|value| value.len()).find("b.example"), Some(&5));
}
