//! The six phases, in order: what is done in each, and what must come out.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{
    access_log::{self, AccessLog, Hops},
    arithmetic, files,
    load::{Load, Tally},
    progress::Event,
    sighting::{API, Breaker, Scene, Sighting},
    stage::Stage,
    story::{FAILING, RETRIES, SLO},
    verdict::{Check, percent, times},
};
use crate::wire;

/// Whatever is waited for must have happened after this time, or the story breaks off.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(50);
/// Tries after which the share that failed is far from the breaker's threshold: 60 % of 100 tries fail once in three
/// million times, when each fails once in three. (Of its first 20 tries they do once in fifty.)
const SETTLED: u64 = 100;
/// A canned answer takes at most this long, for most.
const AT_ONCE: Duration = Duration::from_millis(1);
const OPEN: Duration = Duration::from_secs(files::OPEN_S);
/// With the jitter of a fifth.
const OPEN_MAX: Duration = Duration::from_millis(files::OPEN_S * 1200);

/// The director.
pub(crate) struct Script<'a> {
    stage: &'a mut Stage,
    load: &'a Load,
    events: mpsc::Sender<Event>,
    scene: Scene,
    logs: [AccessLog; 2],
    per_second: u64,
    requests: u64,
}

/// A stretch under load, and what the API and the sidecars told before and after it.
struct Stretch {
    users: Tally,
    before: Sighting,
    after: Sighting,
}

impl<'a> Script<'a> {
    /// A script that measures each phase for `requests` requests.
    pub(crate) fn new(
        stage: &'a mut Stage,
        load: &'a Load,
        events: mpsc::Sender<Event>,
        per_second: u64,
        requests: u64,
    ) -> Self {
        let (scene, logs) = (stage.scene(), stage.access_logs());
        Self { stage, load, events, scene, logs, per_second, requests }
    }

    /// Plays all phases. Fails if something that must happen does not, so that the next phase would be meaningless;
    /// numbers that are not as they should be are no failure here: they are judged.
    pub(crate) async fn play(&mut self) -> anyhow::Result<()> {
        self.without_the_mesh().await?;
        self.in_the_mesh().await?;
        self.with_retries().await?;
        self.with_a_canned_answer().await?;
        self.while_the_api_is_broken().await?;
        self.once_the_api_is_well().await
    }

    async fn without_the_mesh(&mut self) -> anyhow::Result<()> {
        self.tell(Event::Begins(0)).await;
        let stretch = self.measure(self.requests).await?;
        let checks = vec![stretch.errors(FAILING), stretch.load(0), stretch.objective(false)];
        self.tell(Event::Judged(0, checks)).await;
        Ok(())
    }

    async fn in_the_mesh(&mut self) -> anyhow::Result<()> {
        self.tell(Event::Begins(1)).await;
        self.say("starting control plane and sidecars; the frontend gets a new API_ADDR").await;
        timeout(PATIENCE, self.stage.enter_mesh()).await.context("the sidecars did not get ready")??;
        self.load.aim(self.stage.meshed_page());
        self.settle().await?;
        let stretch = self.measure(self.requests).await?;
        let (seen, failed) =
            stretch.since(|sighting| sighting.ambassador().0, |sighting| sighting.ambassador().1);
        let checks = vec![
            stretch.errors(FAILING),
            stretch.load(0),
            stretch.objective(false),
            Check::exactly("requests, by the sidecar's metrics", stretch.users.ended, seen),
            Check::exactly("errors, by the sidecar's metrics", stretch.users.failed, failed),
            certificates(&stretch.after),
            self.hops()?,
        ];
        self.tell(Event::Judged(1, checks)).await;
        Ok(())
    }

    async fn with_retries(&mut self) -> anyhow::Result<()> {
        self.tell(Event::Begins(2)).await;
        self.apply(files::RETRY, &files::retry(), "RouteConfiguration").await?;
        self.settle().await?;
        let stretch = self.measure(self.requests).await?;
        let checks = vec![
            stretch.errors(arithmetic::failing(FAILING, RETRIES)),
            stretch.load(RETRIES),
            stretch.objective(true),
            self.hops()?,
        ];
        self.tell(Event::Judged(2, checks)).await;
        Ok(())
    }

    async fn with_a_canned_answer(&mut self) -> anyhow::Result<()> {
        self.tell(Event::Begins(3)).await;
        self.apply(files::BREAKER, &files::breaker(), "Cluster").await?;
        self.until("the breaker is there", |sighting| sighting.breaker() == Breaker::Closed).await?;
        self.settle().await?;
        let stretch = self.measure(self.requests).await?;
        let checks = vec![
            stretch.errors(0.0),
            stretch.load(RETRIES),
            stretch.canned(arithmetic::failing(FAILING, RETRIES)),
            stretch.trips(),
            self.hops()?,
        ];
        self.tell(Event::Judged(3, checks)).await;
        Ok(())
    }

    async fn while_the_api_is_broken(&mut self) -> anyhow::Result<()> {
        self.tell(Event::Begins(4)).await;
        let window = Duration::from_secs(files::WINDOW_S);
        let threshold = f64::from(files::TRIP_PERCENT) / 100.0;
        // At least one try for each request: how many retries the budget leaves depends on what came before.
        let tries = arithmetic::tries(FAILING, RETRIES);
        let soonest = arithmetic::time_to_trip(window, threshold, FAILING, tries, 1.0);
        let trips = self.scene.look().await.trips();
        self.control("/break").await?;
        let broken = Instant::now();
        let until_trip = (soonest + Duration::from_secs(1)).as_millis() as u64 * self.per_second / 1000;
        self.say("every try fails; the breaker's window fills with failures").await;
        let tripping = async {
            let tripped = self.until("the breaker trips", |sighting| sighting.trips() > trips).await;
            tripped.map(|_| broken.elapsed())
        };
        let (first, tripped) = tokio::join!(self.measure(until_trip), tripping);
        let (first, tripped) = (first?, tripped?);
        let started = Instant::now();
        let rest = self.measure(self.requests.saturating_sub(until_trip).max(self.per_second)).await?;
        let took = started.elapsed();
        let probes = rest.after.probes() - rest.before.probes();
        let at_api = rest.tries();
        let failed = first.users.failed + rest.users.failed;
        let load = times(at_api as f64 / rest.users.ended.max(1) as f64);
        let checks = vec![
            Check::share("page errors", failed, first.users.ended + rest.users.ended, 0.0),
            Check::fact("load on the API, after the trip", "probes only", load, at_api == probes),
            Check::within("time to the trip", soonest, Some(tripped)),
            Check::at_most("probes", arithmetic::most_probes(took, OPEN), probes),
            rest.canned(1.0),
            Check::within(
                "half of the canned answers took",
                AT_ONCE,
                rest.after.ambassador_p50_since(&rest.before),
            ),
            self.hops()?,
        ];
        self.tell(Event::Judged(4, checks)).await;
        Ok(())
    }

    async fn once_the_api_is_well(&mut self) -> anyhow::Result<()> {
        self.tell(Event::Begins(5)).await;
        let before = self.scene.look().await;
        self.control("/heal").await?;
        let healed = Instant::now();
        self.say("the next probes find out").await;
        let mut users = Tally::default();
        let (closed, after) = loop {
            users.add(&self.load.play(self.chunk()).await?);
            let now = self.scene.look().await;
            if now.good_probes() > before.good_probes() {
                break (healed.elapsed(), now);
            }
            if healed.elapsed() > PATIENCE {
                bail!("the breaker did not close within {} s after the API was healed", PATIENCE.as_secs());
            }
        };
        let failed_probes = after.failed_probes() - before.failed_probes();
        let latest = arithmetic::time_to_close(OPEN_MAX, failed_probes);
        self.settle().await?;
        let stretch = self.measure(self.requests).await?;
        users.add(&stretch.users);
        let checks = vec![
            Check::share("page errors", users.failed, users.ended, 0.0),
            stretch.load(RETRIES),
            Check::within(
                &format!("closed by itself, after {failed_probes} failed probes"),
                latest,
                Some(closed),
            ),
            stretch.canned(arithmetic::failing(FAILING, RETRIES)),
            stretch.trips(),
            self.hops()?,
            self.api_log(&stretch.after)?,
        ];
        self.tell(Event::Judged(5, checks)).await;
        Ok(())
    }

    /// Writes a policy into the folder of the mesh, and waits until the frontend's sidecar goes by it.
    async fn apply(&self, file: &str, content: &str, kind: &'static str) -> anyhow::Result<()> {
        let before = self.scene.look().await.generation(kind, API);
        self.say(&format!("writing {file} into the mesh's folder")).await;
        self.stage.write(file, content)?;
        let newer = |sighting: &Sighting| {
            let now = sighting.generation(kind, API);
            now.is_some() && now > before
        };
        self.until(&format!("{file} is in force"), newer).await?;
        Ok(())
    }

    /// Lets users come until the breaker, if there is one, has seen enough not to trip by chance.
    async fn settle(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.say("letting it settle").await;
        loop {
            let before = self.scene.look().await;
            let mut now = before.clone();
            while now.api_requests() < before.api_requests() + SETTLED {
                self.load.play(self.chunk()).await?;
                now = self.scene.look().await;
                if Instant::now() > deadline {
                    bail!("the API got too few requests for {} s", PATIENCE.as_secs());
                }
            }
            let calm = matches!(now.breaker(), Breaker::Absent | Breaker::Closed);
            if calm && now.trips() == before.trips() {
                return Ok(());
            }
        }
    }

    /// A tenth of a second's requests.
    fn chunk(&self) -> u64 {
        self.per_second / 10
    }

    async fn measure(&self, requests: u64) -> anyhow::Result<Stretch> {
        let before = self.scene.look().await;
        self.say(&format!("measuring: {requests} pages, {} a second", self.per_second)).await;
        let users = self.load.play(requests).await?;
        let after = self.scene.look().await;
        Ok(Stretch { users, before, after })
    }

    async fn until(&self, what: &str, holds: impl Fn(&Sighting) -> bool) -> anyhow::Result<Sighting> {
        let looking = async {
            loop {
                let sighting = self.scene.look().await;
                if holds(&sighting) {
                    return sighting;
                }
                sleep(INTERVAL).await;
            }
        };
        let seen = timeout(PATIENCE, looking).await;
        seen.with_context(|| format!("waited {} s in vain: {what}", PATIENCE.as_secs()))
    }

    /// Breaks or heals the API.
    async fn control(&self, path: &'static str) -> anyhow::Result<()> {
        let address = self.stage.control();
        let (status, _) = wire::post(address, path).await.with_context(|| format!("POST {address}{path}"))?;
        if !status.is_success() {
            bail!("POST {address}{path} was answered {status}");
        }
        Ok(())
    }

    /// Every hop between the sidecars since the last phase must have been mutual TLS between the right two.
    fn hops(&mut self) -> anyhow::Result<Check> {
        let mut all = Hops::default();
        let mut both = true;
        for log in &mut self.logs {
            let hops = log.read_on().context("the access log of a sidecar")?;
            both &= hops.proper > 0;
            all = Hops { proper: all.proper + hops.proper, improper: all.improper + hops.improper };
        }
        let measured = format!("{} of {}", all.proper, all.proper + all.improper);
        Ok(Check::fact("mutual TLS, by both access logs", "every hop", measured, both && all.improper == 0))
    }

    /// The API has logged each of its requests to its own file.
    fn api_log(&self, now: &Sighting) -> anyhow::Result<Check> {
        let path = self.stage.api_log();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Check::exactly("lines in the API's own log", now.api_requests(), text.lines().count() as u64))
    }

    async fn say(&self, words: &str) {
        self.tell(Event::Doing(words.to_owned())).await;
    }

    async fn tell(&self, event: Event) {
        // An error means that nobody watches.
        let _ = self.events.send(event).await;
    }
}

impl Stretch {
    fn errors(&self, expected: f64) -> Check {
        Check::share("page errors", self.users.failed, self.users.ended, expected)
    }

    fn canned(&self, expected: f64) -> Check {
        Check::share("canned answers", self.users.canned, self.users.ended, expected)
    }

    fn load(&self, retries: u32) -> Check {
        Check::load(self.tries(), self.users.ended, FAILING, retries)
    }

    /// The service level objective must be kept, or missed.
    fn objective(&self, keep: bool) -> Check {
        let share = self.users.failed as f64 / self.users.ended.max(1) as f64;
        let kept = share < SLO;
        let words = |kept| if kept { "kept" } else { "missed" };
        Check::fact(&format!("objective: below {}", percent(SLO)), words(keep), words(kept), kept == keep)
    }

    fn trips(&self) -> Check {
        Check::exactly("trips of the breaker", 0, self.after.trips() - self.before.trips())
    }

    /// Requests that reached the API.
    fn tries(&self) -> u64 {
        self.after.api_requests() - self.before.api_requests()
    }

    fn since(&self, a: impl Fn(&Sighting) -> u64, b: impl Fn(&Sighting) -> u64) -> (u64, u64) {
        (a(&self.after) - a(&self.before), b(&self.after) - b(&self.before))
    }
}

/// Both sidecars hold a certificate for their own identity, and no other.
fn certificates(sighting: &Sighting) -> Check {
    let held = sighting.certificates(SystemTime::now());
    let names: Vec<&str> = held.iter().map(|(identity, _)| identity.as_str()).collect();
    let valid = held.iter().all(|(_, left)| !left.is_zero());
    let short: Vec<&str> = names.iter().filter_map(|name| name.rsplit('/').next()).collect();
    Check::fact(
        "certificates",
        "frontend, feelgood-api",
        short.join(", "),
        valid && names == [access_log::FRONTEND, access_log::API],
    )
}
