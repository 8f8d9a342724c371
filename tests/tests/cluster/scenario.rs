//! The whole story in pods: two services nobody may change, and what the mesh makes of them, phase by phase, with the
//! figures that arithmetic predicts.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use weft_cli::demo::{
    arithmetic::{failing, most_probes, time_to_close, time_to_trip, tries},
    story::{FAILING, RETRIES, SLO},
    verdict::Check,
};
use weft_samples::{caller::Account, feelgood_api::Stats};
use weft_tests::metrics::Metrics;

use crate::{
    place::{Forward, Place, listen_in, until},
    users::Users,
};

/// Pages that users ask for in a second.
const RATE: u32 = 100;
/// Pages for which a phase is measured.
const PAGES: u64 = 1500;
/// Tries after which the share that failed is far from the breaker's threshold (see the demo's own script).
const SETTLED: u64 = 100;
/// The fallback in `docs/examples/circuit-breaker.yaml`, and the times and the share in it.
const CANNED: &str = "Good vibes are on their way.";
const WINDOW: Duration = Duration::from_secs(3);
const THRESHOLD: f64 = 0.6;
const OPEN: Duration = Duration::from_secs(1);
const OPEN_MAX: Duration = Duration::from_secs(2);
/// From `kubectl apply` to the sidecar that goes by it.
const APPLIED_WITHIN: Duration = Duration::from_secs(1);
/// Identities of the two services.
const FRONTEND: &str = "spiffe://cluster.local/ns/weft-test-feelgood/sa/frontend";
const API: &str = "spiffe://cluster.local/ns/weft-test-feelgood/sa/feelgood-api";
/// The service port that the frontend calls.
const DESTINATION: &str = "weft-test-feelgood/feelgood-api:80";
/// The page that users ask for.
const PAGE: &str = "http://frontend-service.weft-test-feelgood/";
/// What nobody may read between the pods: it is in every request to the API.
const SECRET: &str = "/goodvibes";

/// The two services, their users, and the way to the API's own count.
struct Stage {
    feelgood: Place,
    users: Users,
    control: Forward,
}

/// What was told at one moment.
struct Sighting {
    api: Stats,
    sidecar: Option<Metrics>,
}

/// A stretch under load.
struct Stretch {
    users: Account,
    before: Sighting,
    after: Sighting,
}

#[test]
fn the_story_plays_on_the_cluster() {
    let Some(_turn) = crate::turn("scenario::the_story_plays_on_the_cluster") else { return };
    let mut stage = Stage::open();
    stage.without_the_mesh();
    stage.in_the_mesh();
    stage.with_retries();
    stage.with_a_canned_answer();
    stage.while_the_api_is_broken();
    stage.once_the_api_is_well();
    stage.logs_are_told();
    stage.plaintext_is_refused_in_strict_mode();
}

impl Stage {
    fn open() -> Self {
        let feelgood = Place::plain("weft-test-feelgood");
        feelgood.apply(&example("feelgood/feelgood.yaml"));
        feelgood.settled(&["deployment/feelgood-api", "deployment/frontend"]);
        let control = feelgood.forward("deployment/feelgood-api", 8081);
        Self { feelgood, users: Users::outside("weft-test-users"), control }
    }

    fn without_the_mesh(&self) {
        let capture = listen_in();
        let stretch = self.measure(PAGES);
        if let Some(capture) = capture {
            assert!(capture.finish().holds(SECRET), "the capture does not see what is plain");
        }
        judge("1: without the mesh", &[stretch.errors(FAILING), stretch.load(0), stretch.objective(false)]);
    }

    fn in_the_mesh(&mut self) {
        self.feelgood.mesh();
        self.feelgood.restart("deployment/feelgood-api");
        self.feelgood.restart("deployment/frontend");
        self.control = self.feelgood.forward("deployment/feelgood-api", 8081);
        self.settle();
        let capture = listen_in();
        let stretch = self.measure(PAGES);
        if let Some(capture) = capture {
            let captured = capture.finish();
            assert!(!captured.of_port(8080).is_empty(), "nothing was captured between the sidecars");
            assert!(!captured.holds(SECRET), "what is between the sidecars can be read");
        }
        let name = "http_client_request_duration_seconds_count";
        let requests = |status: &[(&str, &str)]| {
            stretch.counted(name, &[&[("destination", DESTINATION)], status].concat())
        };
        let checks = [
            stretch.errors(FAILING),
            stretch.load(0),
            stretch.objective(false),
            Check::exactly("requests, by the sidecar's metrics", stretch.pages(), requests(&[])),
            Check::exactly(
                "errors, by the sidecar's metrics",
                stretch.failed(),
                requests(&[("status", "500")]),
            ),
            self.hops(),
        ];
        judge("2: in the mesh", &checks);
    }

    fn with_retries(&self) {
        let applied = self.apply("retry.yaml", "RouteConfiguration");
        self.settle();
        let stretch = self.measure(PAGES);
        let checks = [
            applied,
            stretch.errors(failing(FAILING, RETRIES)),
            stretch.load(RETRIES),
            stretch.objective(true),
            self.hops(),
        ];
        judge("3: retries", &checks);
    }

    fn with_a_canned_answer(&self) {
        let applied = self.apply("circuit-breaker.yaml", "Cluster");
        self.settle();
        let stretch = self.measure(PAGES);
        let checks = [
            applied,
            stretch.errors(0.0),
            stretch.load(RETRIES),
            stretch.canned(failing(FAILING, RETRIES)),
            Check::exactly("trips of the breaker", 0, stretch.trips()),
            self.hops(),
        ];
        judge("4: a canned answer", &checks);
    }

    fn while_the_api_is_broken(&self) {
        // At least one try for each request: how many retries the budget leaves depends on what came before.
        let soonest = time_to_trip(WINDOW, THRESHOLD, FAILING, tries(FAILING, RETRIES), 1.0);
        let until_trip = (soonest + Duration::from_secs(2)).as_millis() as u64 * u64::from(RATE) / 1000;
        let before = self.look();
        let (first, tripped) = thread::scope(|scope| {
            let users = scope.spawn(|| self.ask(until_trip));
            self.control.post("/break");
            let broken = Instant::now();
            until("the breaker trips", || (self.look().trips() > before.trips()).then_some(()));
            let tripped = broken.elapsed();
            (users.join().expect("the users' thread does not panic"), tripped)
        });
        let started = Instant::now();
        let rest = self.measure(PAGES);
        let probes = rest.after.probes(&[]) - rest.before.probes(&[]);
        let failed = first.total.requests - first.total.answered(200) + rest.failed();
        let checks = [
            Check::share("page errors", failed, first.total.requests + rest.pages(), 0.0),
            Check::exactly("requests at the API, after the trip", probes, rest.tries()),
            Check::at_most("probes", most_probes(started.elapsed(), OPEN), probes),
            // The users' first request is under way a moment before the API breaks or after it; kubectl takes its time.
            Check::within("time to the trip", soonest + Duration::from_secs(2), Some(tripped)),
            rest.canned(1.0),
            self.hops(),
        ];
        judge("5: the API breaks", &checks);
    }

    fn once_the_api_is_well(&self) {
        let before = self.look();
        let good = [("result", "success")];
        let (users, closed, after) = thread::scope(|scope| {
            let users = scope.spawn(|| self.ask(10 * u64::from(RATE)));
            self.control.post("/heal");
            let healed = Instant::now();
            let after = until("the breaker closes", || {
                Some(self.look()).filter(|now| now.probes(&good) > before.probes(&good))
            });
            let closed = healed.elapsed();
            (users.join().expect("the users' thread does not panic"), closed, after)
        });
        let failed_probes = after.probes(&[("result", "failure")]) - before.probes(&[("result", "failure")]);
        self.settle();
        let stretch = self.measure(PAGES);
        let failed = users.total.requests - users.total.answered(200) + stretch.failed();
        let latest = time_to_close(OPEN_MAX, failed_probes) + Duration::from_secs(1);
        let checks = [
            Check::share("page errors", failed, users.total.requests + stretch.pages(), 0.0),
            Check::within("closed by itself", latest, Some(closed)),
            stretch.load(RETRIES),
            stretch.canned(failing(FAILING, RETRIES)),
            Check::exactly("trips of the breaker", 0, stretch.trips()),
            self.hops(),
        ];
        judge("6: the API heals", &checks);
    }

    /// What the API wrote into its file is the log of a container, with the pod that it comes from.
    fn logs_are_told(&self) {
        let pod = self.feelgood.pod("feelgood-api")["metadata"]["name"].clone();
        let requests = self.look().api.requests;
        let all = until("the log adapter has told every line", || {
            let lines = self.feelgood.logs("deployment/feelgood-api", "weft-logs");
            let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            // What the adapter says of itself is not of a file.
            let lines: Vec<Value> = lines.filter(|line| !line["log"].is_null()).collect();
            (lines.len() as u64 == requests).then_some(lines)
        });
        for line in &all {
            assert_eq!(line["pod"], pod);
            assert_eq!(line["namespace"], self.feelgood.name);
            assert_eq!(line["log"]["path"], SECRET);
        }
        let failures = all.iter().filter(|line| line["log"]["status"] == 500).count() as u64;
        assert_eq!(failures, self.look().api.failures);
    }

    fn plaintext_is_refused_in_strict_mode(&mut self) {
        let directly = "http://feelgood-api.weft-test-feelgood/goodvibes";
        let permissive = self.users.call(directly, RATE, 100, CANNED);
        assert_eq!(permissive.total.unanswered, 0, "permissive mode takes plaintext: {permissive:?}");
        let annotation =
            r#"{"spec":{"template":{"metadata":{"annotations":{"weft.dev/default-policy":"strict"}}}}}"#;
        self.feelgood.kubectl(&["patch", "deployment", "feelgood-api", "-p", annotation]);
        self.feelgood.settled(&["deployment/feelgood-api"]);
        self.control = self.feelgood.forward("deployment/feelgood-api", 8081);
        // The way to the Service leads to the pod before for a moment, where nobody listens any more.
        until("all of strict mode has come to whoever is not of the mesh", || {
            let strict = self.users.call(directly, RATE, 100, CANNED);
            assert_eq!(strict.total.answered(200), 0, "strict mode took plaintext: {strict:?}");
            (strict.total.answered(403) == 100).then_some(())
        });
        assert_eq!(self.look().api.requests, 0, "plaintext came to the application");
        let through_the_mesh = self.ask(200);
        assert_eq!(through_the_mesh.total.answered(200), 200, "{through_the_mesh:?}");
    }

    /// Applies an example, and sees how long it takes until the frontend's sidecar goes by it.
    fn apply(&self, file: &str, kind: &str) -> Check {
        let generation = || {
            let metrics = self.feelgood.metrics("frontend");
            metrics.get("weft_xds_resource_generation", &[("kind", kind), ("name", DESTINATION)])
        };
        let before = generation();
        self.feelgood.apply(&example(file));
        // From when the API server has it: how long kubectl takes to end is not the mesh's.
        let applied = Instant::now();
        until(&format!("{file} is in force"), || generation().filter(|now| Some(*now) > before));
        Check::within(&format!("{file} is in force"), APPLIED_WITHIN, Some(applied.elapsed()))
    }

    /// Lets users come until the breaker, if there is one, has seen enough not to trip by chance.
    fn settle(&self) {
        until("the breaker is calm", || {
            let before = self.look();
            while self.look().api.requests < before.api.requests + SETTLED {
                self.ask(SETTLED);
            }
            let now = self.look();
            (now.trips() == before.trips() && now.is_closed()).then_some(())
        });
    }

    fn measure(&self, pages: u64) -> Stretch {
        let before = self.look();
        let users = self.ask(pages);
        Stretch { users, before, after: self.look() }
    }

    /// Users ask for so many pages.
    fn ask(&self, pages: u64) -> Account {
        self.users.call(PAGE, RATE, pages, CANNED)
    }

    fn look(&self) -> Sighting {
        let told = self.control.get("/stats");
        let api = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        let is_meshed = !self.feelgood.pod("frontend")["spec"]["initContainers"].is_null();
        Sighting { api, sidecar: is_meshed.then(|| self.feelgood.metrics("frontend")) }
    }

    /// Every hop between the sidecars that either of them noted must have been mutual TLS between the right two. They
    /// note what fails, which in each phase is a third of all tries and more.
    fn hops(&self) -> Check {
        let sides = [("frontend", "outbound", FRONTEND, API), ("feelgood-api", "inbound", API, FRONTEND)];
        let mut told = Vec::new();
        let mut holds = true;
        for (app, direction, local, peer) in sides {
            let log = self.feelgood.logs(&format!("deployment/{app}"), "weft-proxy");
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let hops: Vec<Value> = lines
                .filter(|line| line["direction"] == direction && line["url.path"] == SECRET)
                // Where there is none, the sidecar answered by itself.
                .filter(|line| direction == "inbound" || !line["network.peer.address"].is_null())
                .collect();
            let proper = |line: &&Value| {
                line["tls"] == true && line["local.spiffe"] == local && line["peer.spiffe"] == peer
            };
            let count = hops.iter().filter(proper).count();
            holds &= count > 0 && count == hops.len();
            told.push(format!("{count} of {}", hops.len()));
        }
        Check::fact("mutual TLS, by both access logs", "every hop", told.join(" and "), holds)
    }
}

impl Sighting {
    fn breaker(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let all = [&[("scope", "target"), ("destination", DESTINATION)], labels].concat();
        self.sidecar.as_ref().map_or(0, |metrics| metrics.count(name, &all))
    }

    fn trips(&self) -> u64 {
        self.breaker("weft_breaker_trips_total", &[])
    }

    fn probes(&self, labels: &[(&str, &str)]) -> u64 {
        self.breaker("weft_breaker_probes_total", labels)
    }

    fn is_closed(&self) -> bool {
        self.breaker("weft_breaker_state", &[]) == 0
    }
}

impl Stretch {
    fn pages(&self) -> u64 {
        self.users.total.requests
    }

    fn failed(&self) -> u64 {
        self.pages() - self.users.total.answered(200)
    }

    fn tries(&self) -> u64 {
        self.after.api.requests - self.before.api.requests
    }

    fn trips(&self) -> u64 {
        self.after.trips() - self.before.trips()
    }

    fn counted(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let of = |sighting: &Sighting| sighting.sidecar.as_ref().map_or(0, |it| it.count(name, labels));
        of(&self.after) - of(&self.before)
    }

    fn errors(&self, expected: f64) -> Check {
        Check::share("page errors", self.failed(), self.pages(), expected)
    }

    fn canned(&self, expected: f64) -> Check {
        Check::share("canned answers", self.users.total.marked, self.pages(), expected)
    }

    fn load(&self, retries: u32) -> Check {
        Check::load(self.tries(), self.pages(), FAILING, retries)
    }

    fn objective(&self, keep: bool) -> Check {
        let kept = (self.failed() as f64 / self.pages() as f64) < SLO;
        let words = |kept| if kept { "kept" } else { "missed" };
        Check::fact("objective: below 10 %", words(keep), words(kept), kept == keep)
    }
}

/// Shows what came out, and panics if something did not hold.
fn judge(phase: &str, checks: &[Check]) {
    let line = |check: &Check| {
        let mark = if check.holds { "ok " } else { "NOT" };
        let Check { what, expected, measured, tolerance, .. } = check;
        format!("  {mark} {what}: {measured}, expected {expected} {tolerance}\n")
    };
    let table: String = checks.iter().map(line).collect();
    println!("{phase}\n{table}");
    assert!(checks.iter().all(|check| check.holds), "phase {phase}\n{table}");
}

/// A file of `docs/examples`.
fn example(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
