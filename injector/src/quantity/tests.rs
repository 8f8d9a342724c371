use super::*;

#[test]
fn amounts_are_compared_by_what_they_are_worth() {
    let nano = |text: &str| text.parse::<Quantity>().unwrap().nano;
    assert_eq!(nano("1000m"), nano("1"));
    assert_eq!(nano("0.5"), nano("500m"));
    assert_eq!(nano(".5"), nano("5e-1"));
    assert_eq!(nano("1Ki"), nano("1024"));
    assert_eq!(nano("1k"), nano("1e3"));
    assert_eq!(nano("1E"), nano("1000P"), "a bare E is exa and not an exponent");
    assert!("16Mi".parse::<Quantity>().unwrap() > "16M".parse().unwrap());
    assert_eq!(nano("10m"), Quantity::milli(10).nano);
    assert_eq!(nano("16Mi"), Quantity::mebi(16).nano);
}

#[test]
fn what_is_no_amount_is_refused() {
    for text in [
        "",
        ".",
        "-1",
        "+1",
        "1 ",
        "m",
        "1mm",
        "1.2.3",
        "0x10",
        "1e",
        "1e99",
        "NaN",
        "１",
        "9999999999999999999",
    ] {
        assert!(text.parse::<Quantity>().is_err(), "{text}");
    }
}

#[test]
fn processors_are_rounded_up() {
    for (text, processors) in [("1m", 1), ("1", 1), ("1.001", 2), ("2500m", 3), ("0", 0)] {
        assert_eq!(text.parse::<Quantity>().unwrap().ceil(), processors, "{text}");
    }
}
