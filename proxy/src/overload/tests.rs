use rand::{SeedableRng, rngs::SmallRng};

use super::*;

const LIMIT: u64 = 100_000;

fn at(percent_tenths: u64) -> Measured {
    Measured { used: percent_tenths * LIMIT / 1_000, limit: LIMIT }
}

#[test]
fn each_bound_has_one_to_come_and_a_lower_one_to_go() {
    use Pressure::{All, None, Some};
    let mut share = Share::default();
    for (tenths, pressure) in [
        (0, None),
        (849, None),
        (850, Some),
        (849, Some),
        (800, Some),
        (799, None),
        (849, None),
        (919, Some),
        (920, All),
        (919, All),
        (880, All),
        (879, Some),
        (919, Some),
        (1_200, All),
        (799, None),
        (1_000, All),
    ] {
        share = share.next(at(tenths));
        assert_eq!(share.pressure(), pressure, "{tenths}");
    }
}

#[test]
fn the_share_that_is_refused_grows_from_a_tenth_to_everything() {
    let shares: Vec<u32> = (850..=920).map(|tenths| Share::default().next(at(tenths)).0).collect();
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!((shares[0], shares[35], shares[69], shares[70]), (100, 500, 985, 1_000));
    // On the way back the least share stays until the end.
    assert_eq!(Share(100).next(at(810)), Share(100));
}

#[test]
fn numbers_at_their_ends_do_no_harm() {
    for (used, limit) in [(0, 0), (1, 0), (u64::MAX, u64::MAX), (u64::MAX, 1)] {
        assert_eq!(Share::default().next(Measured { used, limit }), Share::ALL, "{used} of {limit}");
    }
    assert_eq!(
        Share::ALL.next(Measured { used: u64::MAX / 2, limit: u64::MAX }),
        Share(0),
        "no limit any more"
    );
    assert_eq!(Share::ALL.next(Measured { used: 0, limit: 1 }), Share(0));
}

#[test]
fn while_some_are_refused_what_goes_out_goes_on() {
    let random = &mut SmallRng::seed_from_u64(7);
    let share = Share::default().next(at(885));
    let mut refused =
        |share: Share, direction| (0..10_000).filter(|_| share.refuses(direction, random)).count();
    let inbound = refused(share, Direction::Inbound);
    assert!((4_800..5_200).contains(&inbound), "half of them, and not {inbound} of 10,000");
    assert_eq!(refused(share, Direction::Outbound), 0);
    for direction in [Direction::Inbound, Direction::Outbound] {
        assert_eq!(refused(Share::default(), direction), 0);
        assert_eq!(refused(Share::ALL, direction), 10_000);
    }
}

#[tokio::test]
async fn those_who_wait_learn_that_memory_has_become_scarce_and_why_they_are_refused() {
    let (overload, random) = (Overload::default(), &mut SmallRng::seed_from_u64(7));
    overload.take(Measured { used: 1 << 20, limit: 64 << 20 });
    assert_eq!(overload.refuses(Direction::Inbound, random), None);
    let (begun, ()) = tokio::join!(
        async {
            overload.begins().await;
            overload.refuses(Direction::Outbound, random)
        },
        async {
            tokio::task::yield_now().await;
            overload.take(Measured { used: 61 << 20, limit: 64 << 20 });
        }
    );
    assert_eq!(begun.as_deref(), Some("61.0 of 64.0 MiB of memory are in use"));
    assert_eq!(overload.pressure(), Pressure::All);
}
