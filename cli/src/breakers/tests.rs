use std::process::ExitCode;

use super::{
    breaker::tests::{CALLER, OPEN},
    look::{Look, Reason, Unanswered},
    sidecars::Sidecar,
    *,
};
use crate::wire::Failure;

fn unanswered() -> Unanswered {
    let admin = SocketAddr::from(([127, 0, 0, 1], 14191));
    Unanswered {
        sidecar: Sidecar { workload: "default/api".to_owned(), admin },
        reason: Reason::Silent(Failure::Slow),
    }
}

#[test]
fn the_exit_code_tells_closed_from_open_from_unknown() {
    let half_open = CALLER.replace("10.0.0.2:80\"} 2", "10.0.0.2:80\"} 0");
    let closed = half_open.replace("10.0.0.3:80\"} 1", "10.0.0.3:80\"} 0");
    let closed = Look::of(&[("default/caller", &closed)]);
    assert_eq!(exit_code(&closed), ExitCode::SUCCESS);
    assert_eq!(exit_code(&Look::default()), ExitCode::SUCCESS);
    assert_eq!(exit_code(&Look::of(&[("default/caller", &half_open)])), ExitCode::from(3));
    let mut open = Look::of(&[("default/caller", OPEN)]);
    assert_eq!(exit_code(&open), ExitCode::from(3));
    open.unanswered.push(unanswered());
    assert_eq!(exit_code(&open), ExitCode::FAILURE);
}
