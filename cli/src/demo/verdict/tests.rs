use super::*;

#[test]
fn a_share_holds_within_four_standard_errors() {
    // n = 1000, p = 1/3: one standard error is 1.49 points, four are 5.96.
    let check = |failed| Check::share("errors", failed, 1000, 1.0 / 3.0);
    assert!(check(333).holds);
    assert!(check(392).holds);
    assert!(!check(394).holds);
    assert!(check(274).holds);
    assert!(!check(272).holds);
    let text = check(394);
    assert_eq!(
        (text.expected.as_str(), text.measured.as_str(), text.tolerance.as_str()),
        ("33.3 %", "39.4 %", "± 6.0 %")
    );
}

#[test]
fn what_is_certain_has_no_tolerance() {
    assert!(Check::share("errors", 0, 1000, 0.0).holds);
    let one = Check::share("errors", 1, 1000, 0.0);
    assert!(!one.holds);
    assert_eq!(one.tolerance, "");
    assert!(Check::load(1000, 1000, 1.0 / 3.0, 0).holds);
    assert!(!Check::load(1001, 1000, 1.0 / 3.0, 0).holds);
}

#[test]
fn the_load_holds_near_the_mean_of_the_tries() {
    // 1.444 +- 4 * sqrt(0.469 / 1000) = 0.087.
    let check = |tries| Check::load(tries, 1000, 1.0 / 3.0, 2);
    assert!(check(1444).holds);
    assert!(check(1530).holds);
    assert!(!check(1532).holds);
    assert_eq!(check(1444).tolerance, "± 0.09x");
}

#[test]
fn nothing_measured_never_holds() {
    assert!(!Check::share("errors", 0, 0, 0.0).holds);
    assert!(!Check::load(0, 0, 0.5, 2).holds);
    assert!(!Check::within("trip", Duration::from_secs(1), None).holds);
}

#[test]
fn times_are_told_in_the_unit_that_fits() {
    let told = [0.0004, 0.0123, 0.345, 2.04].map(|s| time(Duration::from_secs_f64(s)));
    assert_eq!(told, ["0.4 ms", "12 ms", "345 ms", "2.0 s"]);
}
