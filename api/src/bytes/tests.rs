use super::*;

#[test]
fn amounts_are_read_by_their_units_and_written_by_the_largest_that_is_exact() {
    for (text, bytes, written) in [
        ("64Mi", 64 << 20, "64Mi"),
        ("1024Mi", 1 << 30, "1Gi"),
        ("3Ki", 3 << 10, "3Ki"),
        ("1G", 1_000_000_000, "1000000000"),
        ("5M", 5_000_000, "5000000"),
        ("7k", 7_000, "7000"),
        ("1048576", 1 << 20, "1Mi"),
        ("1", 1, "1"),
    ] {
        let read: Bytes = text.parse().unwrap();
        assert_eq!((read.get(), read.to_string().as_str()), (bytes, written), "{text}");
        assert_eq!(written.parse::<Bytes>().unwrap(), read);
    }
}

#[test]
fn other_texts_are_no_amounts() {
    for text in
        ["", "0", "0Mi", "Mi", "-1", "+1", "1.5Gi", "64 Mi", "64mi", "64MiB", "1e9", "18446744073709551616"]
    {
        assert!(text.parse::<Bytes>().is_err(), "{text}");
    }
    assert!("18014398509481985Ki".parse::<Bytes>().is_err(), "more than fits");
}
