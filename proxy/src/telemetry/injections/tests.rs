use super::*;

#[test]
fn each_policy_is_counted_by_what_it_did() {
    let injections = Arc::new(Injections::default());
    for deed in [Deed::Delay, Deed::Abort, Deed::Delay] {
        injections.count(&"shop/storm".into(), deed);
    }
    let families = Exposed::new(injections).collect();
    let mut counts: Vec<_> = families
        .iter()
        .flat_map(MetricFamily::get_metric)
        .map(|metric| {
            let labels: Vec<&str> =
                metric.get_label().iter().map(prometheus::proto::LabelPair::value).collect();
            (labels, metric.get_counter().get_value())
        })
        .collect();
    counts.sort_by(|one, other| one.0.cmp(&other.0));
    let row = |what| vec!["shop/storm", what];
    assert_eq!(counts, [(row("abort"), 1.0), (row("delay"), 2.0), (row("skipped"), 0.0)]);
}

#[test]
fn policies_beyond_the_bound_are_counted_as_one() {
    let injections = Injections::default();
    for number in 0..POLICIES_MAX + 50 {
        injections.count(&number.to_string().into(), Deed::Abort);
    }
    assert_eq!(injections.policies.len(), POLICIES_MAX + 1);
    assert_eq!(injections.counted(OTHER, Deed::Abort), 50);
}
