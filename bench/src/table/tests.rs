//! What tables show of rounds.

use super::*;
use crate::{rig::Memory, subject::SUBJECTS};

fn round(cpu_us: f64) -> Figures {
    let load = |user_us| Load { per_second: 20_000.0, p50_us: 200.0, p99_us: 400.0, user_us, system_us: 0.0 };
    Figures { busy: load(cpu_us), core_share: 1.0, calm: load(cpu_us), single: load(cpu_us) }
}

#[test]
fn a_row_has_the_median_and_the_best_of_its_rounds() {
    let subject = SUBJECTS.iter().find(|subject| subject.name == "Weft").unwrap();
    let memory = Some(Memory { idle_kib: vec![8000, 7000], kib_per_connection: 4.25 });
    let all = [Measured { subject, memory, rounds: vec![round(50.0), round(40.0), round(45.0)] }];
    let row = "| Weft | 20000 | 45.0 / 40.0 | 45.0 | 200 / 400 | 200 / 45 | 8.2, 7.2 | 4.2 |\n";
    let tables = Tables(&all).to_string();
    assert!(tables.contains(row), "{tables}");
    assert_eq!(json(&all)["subjects"][0]["rounds"][1]["busy"]["userUs"], 40.0);
}

#[test]
fn what_was_not_measured_is_no_number() {
    let subject = SUBJECTS.iter().find(|subject| subject.name == "no proxy").unwrap();
    let all = [Measured { subject, memory: None, rounds: vec![round(0.0)] }];
    let tables = Tables(&all).to_string();
    assert!(tables.contains("| no proxy | 20000 | - | - | 200 / 400 | 200 / - | - | - |\n"), "{tables}");
    assert_eq!(load(&Load::default()), Value::Null);
}
