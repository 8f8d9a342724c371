use super::*;

const SCRAPE: &str = r#"
# HELP weft_retries_total Retries.
# TYPE weft_retries_total counter
weft_retries_total{destination="default/feelgood-api:80",result="success"} 30
weft_retries_total{destination="default/feelgood-api:80",result="failure"} 12 1700000000000
weft_retries_total{destination="default/other:80",result="success"} 5
weft_xds_connected 1
odd{text="a \"quoted\", } and \\ a\nline",le="+Inf"} +Inf
not a sample at all
broken{label="never ends
broken{
"#;

#[test]
fn sums_run_over_the_series_whose_labels_match() {
    let metrics = Metrics::parse(SCRAPE);
    let to_api = ("destination", "default/feelgood-api:80");
    assert_eq!(metrics.get("weft_retries_total", &[to_api]), Some(42.0));
    assert_eq!(metrics.get("weft_retries_total", &[to_api, ("result", "failure")]), Some(12.0));
    assert_eq!(metrics.get("weft_retries_total", &[]), Some(47.0));
    assert_eq!(metrics.get("weft_xds_connected", &[]), Some(1.0));
    assert_eq!(metrics.get("weft_retries", &[]), None);
    assert_eq!(metrics.count("weft_breaker_trips_total", &[]), 0);
}

#[test]
fn escapes_and_odd_numbers_are_read() {
    let metrics = Metrics::parse(SCRAPE);
    let text = ("text", "a \"quoted\", } and \\ a\nline");
    assert_eq!(metrics.get("odd", &[text, ("le", "+Inf")]), Some(f64::INFINITY));
}

#[test]
fn what_is_no_sample_is_passed_over() {
    let metrics = Metrics::parse(SCRAPE);
    assert_eq!(metrics.get("broken", &[]), None);
    assert_eq!(metrics.get("not", &[]), None);
    assert_eq!(Metrics::parse("").samples, []);
}

#[test]
fn the_values_of_a_label_are_listed() {
    let metrics = Metrics::parse("left_s{identity=\"a\"} 1\nleft_s{identity=\"b\"} 2\nleft_s 3\n");
    let by: Vec<_> = metrics.by("left_s", "identity").collect();
    assert_eq!(by, [("a", 1.0), ("b", 2.0)]);
}

#[test]
fn a_quantile_is_that_of_the_time_between_two_scrapes() {
    let scrape = |fast: u32, slow: u32| {
        let all = fast + slow;
        // Two series, as there are for two statuses; their buckets add up.
        let lines = ["200", "500"].map(|status| {
            [("0.001", fast), ("0.01", all), ("+Inf", all)].map(|(bound, count)| {
                format!("d_bucket{{to=\"api\",status=\"{status}\",le=\"{bound}\"}} {count}\n")
            })
        });
        Metrics::parse(&lines.concat().concat())
    };
    // Before: all slow. Between: 90 fast, 10 slow.
    let (earlier, later) = (scrape(0, 50), scrape(90, 60));
    let quantile = |quantile| later.quantile_since(&earlier, "d", &[("to", "api")], quantile);
    assert_eq!(quantile(0.5), Some(0.001));
    assert_eq!(quantile(0.9), Some(0.001));
    assert_eq!(quantile(0.95), Some(0.01));
    assert_eq!(later.quantile_since(&later, "d", &[], 0.5), None);
    assert_eq!(later.quantile_since(&earlier, "d", &[("to", "other")], 0.5), None);
    assert_eq!(Metrics::default().quantile_since(&earlier, "d", &[], 0.5), None);
}
