//! What tables show of rounds.

use super::*;
use crate::{rig::Memory, subject::SUBJECTS};

fn round(cpu_us: f64) -> Figures {
    let load = |user_us| Load { per_second: 20_000.0, p50_us: 200.0, p99_us: 400.0, user_us, system_us: 0.0 };
    Figures {
        busy: load(cpu_us),
        core_share: 1.0,
        calm: load(cpu_us),
        single: load(cpu_us),
        handshakes: load(5.0 * cpu_us),
    }
}

#[test]
fn a_row_has_the_median_and_the_best_of_its_rounds() {
    let subject = SUBJECTS.iter().find(|subject| subject.name == "Weft").unwrap();
    let memory = Some(Memory { idle_kib: vec![8000, 7000], kib_per_connection: 4.25 });
    let rounds = vec![round(50.0), round(40.0), round(45.0)];
    let all = [Measured { subject, memory, key_exchange: Some("X25519".to_owned()), rounds }];
    let row = "| Weft | 20000 | 45.0 / 40.0 | 45.0 | 200 / 400 | 200 / 45 | 8.2, 7.2 | 4.2 |\n";
    let tables = Tables(&all).to_string();
    assert!(tables.contains(row), "{tables}");
    let row = "| Weft | 4444 | 225 / 200 | 225 | X25519 |\n";
    assert!(tables.contains(row), "{tables}");
    assert_eq!(json(&all)["subjects"][0]["rounds"][1]["busy"]["userUs"], 40.0);
}

#[test]
fn what_was_not_measured_is_no_number() {
    let subject = SUBJECTS.iter().find(|subject| subject.name == "no proxy").unwrap();
    let all = [Measured { subject, memory: None, key_exchange: None, rounds: vec![round(0.0)] }];
    let tables = Tables(&all).to_string();
    assert!(tables.contains("| no proxy | 20000 | - | - | 200 / 400 | 200 / - | - | - |\n"), "{tables}");
    // It stands in no other table.
    assert_eq!(tables.matches("no proxy").count(), 1, "{tables}");
    assert_eq!(load(&Load::default()), Value::Null);
}

#[test]
fn hops_stand_by_what_their_caller_speaks() {
    let hop = |subject| Measured { subject, memory: None, key_exchange: None, rounds: vec![round(12.0)] };
    let all: Vec<_> = SUBJECTS.iter().filter(|subject| subject.kind != Kind::Pair).map(hop).collect();
    let tables = Tables(&all).to_string();
    let (_, hops) = tables.split_once("plaintext, HTTP/1.1 |").unwrap();
    let (http1, http2) = hops.split_once("plaintext, HTTP/2 to HTTP/1.1 |").unwrap();
    assert!(http1.contains("| Weft, one hop | 20000 | 12.0 / 12.0 | 12.0 |\n"), "{tables}");
    assert!(http2.contains("| Weft, one hop from HTTP/2 | 20000 | 12.0 / 12.0 | 12.0 |\n"), "{tables}");
}
