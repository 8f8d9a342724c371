use super::*;

fn group(ports: &[u16]) -> Vec<(SocketAddr, u32)> {
    ports.iter().map(|port| (([10, 0, 0, 1], *port).into(), 1)).collect()
}

fn ring(choice: &Choice) -> &Arc<Ring> {
    let Choice::RingHash(ring) = choice else { panic!("{choice:?}") };
    ring
}

#[test]
fn what_stays_the_same_is_not_made_again() {
    let mut choices = Choices::default();
    let by = Algorithm::RingHash(Size { min: 16, max: 16 });
    let [near, others] = choices.make(by, [group(&[1, 2]), group(&[3])]);
    let [same, changed] = choices.make(by, [group(&[1, 2]), group(&[3, 4])]);
    assert!(Arc::ptr_eq(ring(&near), ring(&same)));
    assert!(!Arc::ptr_eq(ring(&others), ring(&changed)));
    // Nor is what is used no more kept.
    let [all] = choices.make(by, [group(&[3])]);
    assert!(!Arc::ptr_eq(ring(&others), ring(&all)));
    let [larger] = choices.make(Algorithm::RingHash(Size { min: 32, max: 32 }), [group(&[3])]);
    assert!(!Arc::ptr_eq(ring(&all), ring(&larger)));
    assert_eq!(choices.0.len(), 1);
}

#[test]
fn turns_go_on_where_they_were() {
    let mut choices = Choices::default();
    let [Choice::RoundRobin(turns)] = choices.make(Algorithm::RoundRobin, [group(&[1, 2, 3])]) else {
        panic!("no turns")
    };
    turns.take();
    let [Choice::RoundRobin(after)] = choices.make(Algorithm::RoundRobin, [group(&[1, 2, 3, 4])]) else {
        panic!("no turns")
    };
    assert_eq!(after.take(), Some(1));
}
