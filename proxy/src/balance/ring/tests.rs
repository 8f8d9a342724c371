use super::*;

const SIZE: Size = Size { min: 1024, max: 65_536 };

fn at(number: u8) -> (SocketAddr, u32) {
    (([10, 0, 0, number], 80).into(), 1)
}

/// Which endpoint of `all` each of 100,000 requests goes to.
fn owners(all: &[(SocketAddr, u32)]) -> Vec<SocketAddr> {
    let ring = Ring::new(all, SIZE);
    let hash = |request: u32| XxHash64::oneshot(0, &request.to_be_bytes());
    (0..100_000).map(|request| all[ring.walk(hash(request)).next().unwrap()].0).collect()
}

#[test]
fn who_goes_leaves_its_requests_to_others_and_moves_none_of_theirs() {
    let all: Vec<_> = (0..10).map(at).collect();
    let (before, after) = (owners(&all), owners(&all[..9]));
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    let own = before.iter().filter(|owner| **owner == all[9].0).count();
    assert_eq!(moved, own);
    assert!((9_000..11_000).contains(&own), "{own} of 100,000, of which a tenth is its share");
}

#[test]
fn the_order_of_endpoints_says_nothing() {
    let all: Vec<_> = (0..10).map(at).collect();
    let reversed: Vec<_> = all.iter().rev().copied().collect();
    assert_eq!(owners(&all), owners(&reversed));
}

#[test]
fn a_ring_has_as_many_points_as_its_bounds_allow() {
    let all: Vec<_> = (0..100).map(at).collect();
    let points = |endpoints: usize, min, max| Ring::new(&all[..endpoints], Size { min, max }).hashes.len();
    assert_eq!(points(2, 1024, 65_536), 1024);
    assert_eq!(points(10, 1024, 65_536), 5_120);
    assert_eq!(points(100, 1024, 10_000), 10_000);
    assert_eq!(points(100, 1, 7), 100, "each has one");
    assert_eq!(points(1, 8_388_608, 8_388_608) as u64, POINTS_MAX);
    assert_eq!(points(0, 1024, 65_536), 0);
    assert_eq!(Ring::new(&[], SIZE).walk(1).next(), None);
}

#[test]
fn a_walk_begins_at_the_hash_and_goes_once_around() {
    let ring = Ring { hashes: vec![10, 20, 30], endpoints: vec![2, 0, 1] };
    let walk = |hash| ring.walk(hash).collect::<Vec<_>>();
    assert_eq!(walk(0), [2, 0, 1]);
    assert_eq!(walk(10), [2, 0, 1]);
    assert_eq!(walk(11), [0, 1, 2]);
    assert_eq!(walk(u64::MAX), [2, 0, 1]);
}

#[test]
fn points_are_where_envoy_and_grpc_have_them() {
    let ring = Ring::new(&[at(1)], Size { min: 2, max: 2 });
    let mut wanted = ["10.0.0.1:80_0", "10.0.0.1:80_1"].map(|text| XxHash64::oneshot(0, text.as_bytes()));
    wanted.sort_unstable();
    assert_eq!(ring.hashes, wanted);
    // The reference value of XXH64 for no bytes at all, seed 0.
    assert_eq!(XxHash64::oneshot(0, b""), 0xEF46_DB37_51D8_E999);
}
