use super::*;

fn counts(refusals: Refusals) -> Vec<(Vec<String>, f64)> {
    let families = Exposed::new(Arc::new(refusals)).collect();
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    let mut counts: Vec<_> = metrics
        .map(|metric| {
            let labels: Vec<String> =
                metric.get_label().iter().map(|label| label.value().to_owned()).collect();
            (labels, metric.get_counter().get_value())
        })
        .collect();
    counts.sort_by(|one, other| one.0.cmp(&other.0));
    counts
}

#[test]
fn each_policy_is_counted_by_what_it_did_and_what_it_would_have_done() {
    let refusals = Refusals::default();
    let policy = "shop/callers".into();
    for effect in [Effect::Enforced, Effect::Audited, Effect::Enforced] {
        refusals.count(Kind::Authorization, &policy, effect);
    }
    let row = |mode: &str| ["AuthorizationPolicy", "shop/callers", mode].map(str::to_owned).to_vec();
    assert_eq!(counts(refusals), [(row("audit"), 1.0), (row("enforce"), 2.0)]);
}

#[test]
fn policies_beyond_the_bound_are_counted_as_one() {
    let refusals = Refusals::default();
    for number in 0..POLICIES_MAX + 50 {
        refusals.count(Kind::Authorization, &number.to_string().into(), Effect::Enforced);
    }
    assert_eq!(refusals.policies.len(), POLICIES_MAX + 1);
    assert_eq!(refusals.counted(Kind::Authorization, OTHER, Effect::Enforced), 50);
}
