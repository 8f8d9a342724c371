use super::*;

#[test]
fn what_does_not_fit_is_counted() {
    let text = "a\nb\nc\nd\n";
    assert_eq!(fitting(text, 5), ["a", "b", "c", "d"]);
    assert_eq!(fitting(text, 4), ["a", "b", "and 2 more"]);
    assert_eq!(fitting(text, 2), ["and 4 more"]);
    assert_eq!(fitting(text, 1), [""; 0]);
    assert_eq!(fitting(text, 0), [""; 0]);
}
