use std::time::UNIX_EPOCH;

use super::*;

const NAME: &str = "weft-injector.weft-system.svc";

fn day(day: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(24 * (20_000 + day))
}

fn again(generations: &Generations) -> Result<Generations, InvalidGenerations> {
    let fields = generations.to_fields();
    Generations::from_fields(|name| fields.get(name).map(Vec::as_slice))
}

#[test]
fn what_is_written_is_read_again() {
    let made = Generations::create(NAME, day(0)).unwrap();
    let read = again(&made).unwrap();
    assert_eq!(read.current(), made.current());
    assert_eq!(read.to_fields(), made.to_fields());
    assert_eq!(made.roots().matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn the_next_takes_over_long_after_it_was_announced_and_before_the_end() {
    let mut generations = Generations::create(NAME, day(0)).unwrap();
    let mut announced: Vec<(u64, String)> = Vec::new();
    let mut rotations = Vec::new();
    for today in 0..1000 {
        if let Some(renewed) = generations.renewed(NAME, day(today)).unwrap() {
            let gained = renewed.roots.last().unwrap().clone();
            announced.push((today, gained));
            assert_eq!(renewed.roots[renewed.roots.len() - 2], *generations.roots.last().unwrap());
            assert_ne!(renewed.current(), generations.current());
            generations = again(&renewed).unwrap();
            rotations.push(today);
        }
        assert!(generations.roots.len() <= ROOTS);
        assert!(generations.current.end > day(today + 29), "day {today}: it ends soon");
    }
    assert!(rotations.len() >= 10, "{rotations:?}");
    assert!(
        rotations.windows(2).all(|pair| pair[1] - pair[0] >= 60),
        "each root is known for months: {rotations:?}"
    );
}

#[test]
fn after_a_year_without_anybody_everything_is_new() {
    let old = Generations::create(NAME, day(0)).unwrap();
    let new = old.renewed(NAME, day(365)).unwrap().unwrap();
    assert!(new.renewed(NAME, day(365)).unwrap().is_none());
    assert!(!old.roots.iter().any(|root| new.roots.contains(root)));
}

/// Spoils the fields, perhaps with those of another.
type Change = fn(&mut Fields, &Fields);
type Fields = BTreeMap<String, Vec<u8>>;

#[test]
fn what_is_not_ours_is_refused_and_says_what_to_do() {
    let made = Generations::create(NAME, day(0)).unwrap().to_fields();
    let other = Generations::create(NAME, day(0)).unwrap().to_fields();
    let cases: [(Change, &str); 5] = [
        (|fields, _| drop(fields.remove("next.crt")), "no next.crt"),
        (|fields, _| drop(fields.insert("ca.crt".to_owned(), b"-----BEGIN".to_vec())), "ca.crt"),
        (|fields, _| drop(fields.insert("tls.crt".to_owned(), vec![0xff])), "tls.crt"),
        (|fields, _| drop(fields.insert("tls.key".to_owned(), Vec::new())), "tls.crt: no private key"),
        (|fields, other| drop(fields.insert("tls.key".to_owned(), other["tls.key"].clone())), "tls.crt"),
    ];
    for (change, said) in cases {
        let mut fields = made.clone();
        change(&mut fields, &other);
        let read = Generations::from_fields(|name| fields.get(name).map(Vec::as_slice));
        let error = read.err().unwrap().to_string();
        assert!(error.contains(said) && error.contains("delete"), "{said}: {error}");
    }
}
