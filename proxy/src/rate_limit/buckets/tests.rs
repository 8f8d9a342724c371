use std::net::Ipv4Addr;

use super::*;

fn once_a_minute() -> Rate {
    Rate::new(1, Duration::from_mins(1), 1)
}

#[test]
fn each_limit_and_each_client_has_a_bucket_of_its_own() {
    let now = Instant::now();
    let buckets = Buckets::new(now);
    let clients = [
        Client::All,
        Client::Others,
        Client::Identity("spiffe://cluster.local/ns/a/sa/b".into()),
        Client::Address(Ipv4Addr::LOCALHOST.into()),
    ];
    for id in ["a/limit/0", "a/limit/1"].map(Arc::from) {
        for client in &clients {
            assert_eq!(buckets.take(&id, client.clone(), once_a_minute(), now), Ok(()));
        }
        for client in &clients {
            let wait = buckets.take(&id, client.clone(), once_a_minute(), now);
            assert_eq!(wait, Err(Duration::from_mins(1)));
        }
    }
}

#[test]
fn buckets_are_bounded_and_those_beyond_share_one_until_others_are_full_again() {
    let start = Instant::now();
    let buckets = Buckets::new(start);
    let id: Arc<str> = "a/limit/0".into();
    let now = start + Duration::from_secs(5);
    let client = |number: usize| Client::Address(Ipv4Addr::from_bits(number as u32).into());
    for number in 0..BUCKETS_MAX {
        assert!(buckets.take(&id, client(number), once_a_minute(), now).is_ok());
    }
    assert!(buckets.take(&id, client(BUCKETS_MAX), once_a_minute(), now).is_ok());
    assert!(buckets.take(&id, client(BUCKETS_MAX + 1), once_a_minute(), now).is_err(), "they share one");
    assert!(buckets.take(&id, client(0), once_a_minute(), now).is_err(), "who had one keeps it");
    assert_eq!(buckets.full_at_ns.len(), BUCKETS_MAX + 1);
    let later = now + Duration::from_secs(61);
    assert!(buckets.take(&id, client(BUCKETS_MAX + 1), once_a_minute(), later).is_ok());
    assert_eq!(buckets.full_at_ns.len(), 1);
}
