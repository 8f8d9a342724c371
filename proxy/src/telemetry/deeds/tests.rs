use super::*;

/// Name, labels and value of every counter.
fn counts(deeds: Deeds) -> Vec<(String, Vec<String>, f64)> {
    let families = Exposed::new(Arc::new(deeds)).collect();
    let mut counts = Vec::new();
    for family in &families {
        for metric in family.get_metric() {
            let labels = metric.get_label().iter().map(|label| label.value().to_owned()).collect();
            counts.push((family.name().to_owned(), labels, metric.get_counter().get_value()));
        }
    }
    counts.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    counts
}

#[test]
fn each_policy_is_counted_by_what_it_did_and_what_it_would_have_done() {
    let deeds = Deeds::default();
    let policy = "shop/callers".into();
    for deed in [
        Deed::Denied(Effect::Enforced),
        Deed::Denied(Effect::Audited),
        Deed::Denied(Effect::Enforced),
        Deed::Injected(Injection::Delay),
        Deed::Limited(Effect::Audited),
        Deed::Injected(Injection::Abort),
        Deed::Injected(Injection::Delay),
    ] {
        deeds.count(&policy, deed);
    }
    let injected = |what: &str| {
        ("weft_injected_faults_total".to_owned(), ["shop/callers", what].map(str::to_owned).to_vec())
    };
    let refused = |kind: &str, mode: &str| {
        ("weft_refusals_total".to_owned(), [kind, "shop/callers", mode].map(str::to_owned).to_vec())
    };
    let expected = [
        (injected("abort"), 1.0),
        (injected("delay"), 2.0),
        (injected("skipped"), 0.0),
        (refused("AuthorizationPolicy", "audit"), 1.0),
        (refused("AuthorizationPolicy", "enforce"), 2.0),
        (refused("RateLimitPolicy", "audit"), 1.0),
        (refused("RateLimitPolicy", "enforce"), 0.0),
    ];
    assert_eq!(counts(deeds), expected.map(|((name, labels), count)| (name, labels, count)));
}

#[test]
fn policies_beyond_the_bound_are_counted_as_one_of_their_kind() {
    let deeds = Deeds::default();
    let (denied, aborted) = (Deed::Denied(Effect::Enforced), Deed::Injected(Injection::Abort));
    for number in 0..POLICIES_MAX + 50 {
        deeds.count(&number.to_string().into(), denied);
    }
    deeds.count(&"late".into(), aborted);
    assert_eq!(deeds.policies.len(), POLICIES_MAX + 2);
    assert_eq!((deeds.counted(OTHER, denied), deeds.counted(OTHER, aborted)), (50, 1));
}
