//! What changes under load: a Deployment's pods are made anew, the mesh itself is upgraded. No request is lost.

use std::thread;

use weft_samples::caller::Account;

use crate::{
    cluster,
    place::{Place, until},
    users::Users,
};

/// Requests in a second: two processors also run a cluster.
const RATE: u32 = 300;

/// The API in the mesh, and users with a sidecar.
fn stage(api: &'static str, users: &'static str) -> (Place, Users) {
    let place = Place::meshed(api);
    place.serve_api(3);
    place.settled(&["deployment/api"]);
    (place, Users::meshed(users))
}

/// Asks for so many good vibes while `act` is done again and again; it is done at least once. Returns how often.
fn while_asking(users: &Users, url: &str, requests: u64, act: impl Fn(u32)) -> (Account, u32) {
    thread::scope(|scope| {
        let asking = scope.spawn(|| users.call(url, RATE, requests, "message"));
        let mut times = 0;
        while times == 0 || !asking.is_finished() {
            act(times);
            times += 1;
        }
        (asking.join().expect("the users' thread does not panic"), times)
    })
}

fn nothing_was_lost(account: &Account, requests: u64) {
    assert_eq!(account.total.requests, requests);
    assert_eq!(account.total.answered(200), requests, "{:?} {:?}", account.total, account.failures);
    assert_eq!(account.total.marked, requests);
}

#[test]
fn a_rolling_restart_loses_no_request() {
    const REQUESTS: u64 = 20_000;
    let Some(_turn) = crate::turn("upgrades::a_rolling_restart_loses_no_request") else { return };
    let (place, users) = stage("weft-test-rolling", "weft-test-rolling-users");
    let url = "http://api.weft-test-rolling/goodvibes";
    let (account, restarts) = while_asking(&users, url, REQUESTS, |_| place.restart("deployment/api"));
    println!(
        "{restarts} restarts; {:?}, p50 {} ms, p99 {} ms",
        account.total, account.p50_ms, account.p99_ms
    );
    nothing_was_lost(&account, REQUESTS);
    assert!(restarts > 1, "it was restarted only once");
}

#[test]
fn an_upgrade_of_the_mesh_loses_no_request() {
    const REQUESTS: u64 = 10_000;
    let Some(_turn) = crate::turn("upgrades::an_upgrade_of_the_mesh_loses_no_request") else { return };
    if cluster().is_given() {
        return crate::skipped("the mesh of somebody else's cluster is not for tests to upgrade");
    }
    let (place, users) = stage("weft-test-upgrade", "weft-test-upgrade-users");
    let url = "http://api.weft-test-upgrade/goodvibes";
    let (account, upgrades) = while_asking(&users, url, REQUESTS, |time| {
        // Another annotation, so that all pods of the mesh itself are made anew.
        crate::upgrade(&[
            "--set-string",
            &format!("controlPlane.podAnnotations.time=t{time}"),
            "--set-string",
            &format!("injector.podAnnotations.time=t{time}"),
        ]);
    });
    println!(
        "{upgrades} upgrades; {:?}, p50 {} ms, p99 {} ms",
        account.total, account.p50_ms, account.p99_ms
    );
    nothing_was_lost(&account, REQUESTS);
    // What is new after it reaches who runs since before it, once they have found the control plane again.
    place.restart("deployment/api");
    until("callers from before know the new pods", || {
        let account = users.call(url, RATE, 300, "message");
        println!("after the upgrade: {:?}", account.total);
        (account.total.answered(200) == 300).then_some(())
    });
}
