use super::*;

#[test]
fn a_slip_is_recognised_and_another_word_is_not() {
    let known = ["limits", "endpoint", "on"];
    assert_eq!(nearest("limts", known), Some("limits"));
    assert_eq!(nearest("Endpoints", known), Some("endpoint"));
    assert_eq!(nearest("retries", known), None);
    assert_eq!(nearest("xy", known), None);
}
