use super::*;

/// Not quite [`IDLE`].
const ALMOST: Duration = Duration::from_secs(599);

fn is_wanted(demands: &Demands, name: &str) -> bool {
    demands.names().iter().any(|other| other == name)
}

#[test]
fn what_is_asked_for_is_wanted_until_it_is_idle() {
    let (demands, start) = (Demands::default(), Instant::now());
    drop(demands.ask("10.0.0.1:80", start).unwrap());
    demands.sweep(start + ALMOST);
    assert_eq!(demands.names(), ["10.0.0.1:80"]);
    drop(demands.ask("10.0.0.1:80", start + IDLE).unwrap());
    demands.sweep(start + IDLE + ALMOST);
    assert!(is_wanted(&demands, "10.0.0.1:80"), "it was asked for again");
    demands.sweep(start + IDLE * 2);
    assert!(demands.names().is_empty());
}

#[test]
fn a_connection_keeps_its_destination_and_the_time_counts_from_its_end() {
    let (demands, start) = (Demands::default(), Instant::now());
    let held = demands.ask("[::1]:80", start).unwrap();
    demands.sweep(start + IDLE * 5);
    assert!(is_wanted(&demands, "[::1]:80"));
    drop(held);
    demands.sweep(start + IDLE * 5 + ALMOST);
    assert!(is_wanted(&demands, "[::1]:80"));
    demands.sweep(start + IDLE * 6);
    assert!(!is_wanted(&demands, "[::1]:80"));
}

#[test]
fn an_answer_is_expected_since_the_first_question() {
    let (demands, start) = (Demands::default(), Instant::now());
    let later = start + Duration::from_secs(5);
    drop(demands.ask("a", start));
    assert_eq!(demands.ask("a", later).unwrap().since, start);
}

#[test]
fn the_bound_gives_up_the_oldest_and_never_one_in_use() {
    let (demands, start) = (Demands::default(), Instant::now());
    let in_use = demands.ask("in use", start).unwrap();
    for number in 1..DESTINATIONS_MAX as u64 {
        drop(demands.ask(&number.to_string(), start + Duration::from_millis(number)).unwrap());
    }
    assert!(demands.ask("new", start + Duration::from_mins(1)).is_some());
    assert_eq!(demands.names().len(), DESTINATIONS_MAX);
    assert!(is_wanted(&demands, &in_use.name) && is_wanted(&demands, "2") && !is_wanted(&demands, "1"));

    let all: Vec<_> = demands.names().iter().map(|name| demands.ask(name, start).unwrap()).collect();
    assert!(demands.ask("one more", start).is_none());
    drop(all);
}

#[tokio::test]
async fn the_session_hears_of_what_is_new_and_only_of_that() {
    let (demands, now) = (Demands::default(), Instant::now());
    drop(demands.ask("a", now));
    demands.changed().await;
    drop(demands.ask("a", now));
    let nothing = tokio::time::timeout(Duration::ZERO, demands.changed()).await;
    assert!(nothing.is_err());
}
