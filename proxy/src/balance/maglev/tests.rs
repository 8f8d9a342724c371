use super::*;

fn at(number: u8) -> (SocketAddr, u32) {
    (([10, 0, 0, number], 80).into(), 1)
}

fn places(table: &Maglev, endpoints: usize) -> Vec<u32> {
    let mut places = vec![0; endpoints];
    table.endpoints.iter().for_each(|endpoint| places[*endpoint as usize] += 1);
    places
}

#[test]
fn all_have_equally_many_places() {
    let all: Vec<_> = (0..10).map(at).collect();
    let places = places(&Maglev::new(&all, PLACES), 10);
    assert!(places.iter().all(|places| (6_553..=6_554).contains(places)), "{places:?}");
}

#[test]
fn places_go_by_weight() {
    let all = [(at(0).0, 1), (at(1).0, 3), (at(2).0, 0)];
    let places = places(&Maglev::new(&all, PLACES), 3);
    // Whoever has no weight counts as who has the least.
    assert!((13_100..=13_115).contains(&places[0]) && places[2].abs_diff(places[0]) <= 1, "{places:?}");
}

#[test]
fn who_goes_moves_few_of_the_others_requests() {
    let all: Vec<_> = (0..10).map(at).collect();
    let (before, after) = (Maglev::new(&all, PLACES), Maglev::new(&all[..9], PLACES));
    let both = || before.endpoints.iter().zip(&after.endpoints);
    let own = both().filter(|(before, _)| **before == 9).count();
    let others = both().filter(|(before, after)| **before != 9 && before != after).count();
    assert!((6_553..=6_554).contains(&own));
    // The paper has such a change move about as many again at this size (5.3).
    assert!(others < own, "{others} of {PLACES}");
}

#[test]
fn the_order_of_endpoints_says_nothing() {
    let all: Vec<_> = (0..10).map(at).collect();
    let reversed: Vec<_> = all.iter().rev().copied().collect();
    let addresses = |all: &[(SocketAddr, u32)]| -> Vec<_> {
        Maglev::new(all, 251).endpoints.iter().map(|endpoint| all[*endpoint as usize].0).collect()
    };
    assert_eq!(addresses(&all), addresses(&reversed));
}

#[test]
fn a_table_may_be_small_or_of_nobody() {
    let all: Vec<_> = (0..10).map(at).collect();
    assert_eq!(Maglev::new(&all, 2).endpoints.len(), 2);
    assert_eq!(Maglev::new(&[], PLACES).walk(7).next(), None);
    let table = Maglev { endpoints: vec![0, 1, 2] };
    assert_eq!(table.walk(4).collect::<Vec<_>>(), [1, 2, 0]);
}

#[test]
fn primes_are_told_from_others() {
    let primes: Vec<_> = (0..20).filter(|places| is_prime(*places)).collect();
    assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19]);
    assert!(is_prime(PLACES) && is_prime(PLACES_MAX) && !is_prime(PLACES - 2));
}
