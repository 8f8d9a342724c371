use rand::{SeedableRng, rngs::SmallRng};

use super::*;

fn rule(policy: &Retry) -> Rule {
    let budget = Arc::new(Budget::new(policy.budget, Instant::now()));
    Rule::new(policy, budget)
}

fn decide(
    rule: &Rule,
    retryable: Retryable,
    method: &Method,
    tries: u32,
    left: Option<Duration>,
) -> Decision {
    rule.decide(retryable, method, tries, left, Instant::now(), &mut SmallRng::seed_from_u64(1))
}

#[test]
fn tries_end_at_the_policy_s_number() {
    let rule = rule(&Retry { attempts: 2, ..Retry::default() });
    let listed = Retryable::IfListed(503);
    assert!(matches!(decide(&rule, listed, &Method::GET, 1, None), Decision::After(_)));
    assert!(matches!(decide(&rule, listed, &Method::GET, 2, None), Decision::After(_)));
    assert_eq!(decide(&rule, listed, &Method::GET, 3, None), Decision::GiveUp);
}

#[test]
fn the_pause_before_the_first_retry_is_the_shortest() {
    let mut policy = Retry { attempts: 3, ..Retry::default() };
    policy.budget.min_per_second = 100;
    let rule = rule(&policy);
    let base = policy.backoff.base.get();
    // The longest of many draws is close to the end of their range: base, twice base, four times base.
    for (tries, longest) in [(1, base), (2, base * 2), (3, base * 4)] {
        let mut random = SmallRng::seed_from_u64(u64::from(tries));
        let mut draw =
            || match rule.decide(Retryable::Always, &Method::GET, tries, None, Instant::now(), &mut random) {
                Decision::After(pause) => pause,
                other => panic!("{other:?}"),
            };
        let most = (0..10).map(|_| draw()).max().unwrap();
        assert!(most > longest / 2 && most < longest, "{most:?} before retry {tries}");
    }
}

#[test]
fn what_may_have_been_processed_is_not_repeated_unless_it_may_be() {
    let rule = rule(&Retry::default());
    for (retryable, method, again) in [
        (Retryable::Always, Method::POST, true),
        (Retryable::IfIdempotent, Method::POST, false),
        (Retryable::IfIdempotent, Method::PUT, true),
        (Retryable::IfIdempotentAndListed(503), Method::POST, false),
        (Retryable::IfListed(500), Method::GET, false),
        (Retryable::Never, Method::GET, false),
    ] {
        let decision = decide(&rule, retryable, &method, 1, None);
        assert_eq!(matches!(decision, Decision::After(_)), again, "{retryable:?} {method}");
    }
}

#[test]
fn no_retry_begins_after_the_deadline() {
    let rule = rule(&Retry::default());
    assert_eq!(decide(&rule, Retryable::Always, &Method::GET, 1, Some(Duration::ZERO)), Decision::GiveUp);
}

#[test]
fn a_spent_budget_is_told_apart_from_giving_up() {
    let mut policy = Retry::default();
    policy.budget.percent = 0;
    policy.budget.min_per_second = 0;
    assert_eq!(decide(&rule(&policy), Retryable::Always, &Method::GET, 1, None), Decision::OverBudget);
}
