//! Callers who go on calling, so that a moment in which something is not served cannot pass unseen.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use tokio::time::{MissedTickBehavior, interval, sleep};
use weft_runtime::{Shutdown, Tasks, shutdown::Trigger};

use crate::{
    client::{Answer, Connection, Version, request},
    patience::{PATIENCE, until},
};

/// Pause of one caller between two requests.
const PAUSE: Duration = Duration::from_millis(4);
/// Requests at a constant rate that wait for their answers at once: far more than a working mesh lets pile up.
const UNANSWERED_MAX: usize = 500;
/// Failures that are told in words.
const FAILURES_TOLD: usize = 5;

/// How all requests ended so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that were answered with 200, by the body of the answer.
    pub served: BTreeMap<String, u64>,
    /// Requests that were not.
    pub failed: u64,
    /// What the first of them got.
    pub failures: Vec<String>,
}

impl Tally {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.served.values().sum::<u64>() + self.failed
    }

    fn take(&mut self, ended: anyhow::Result<Answer>) {
        match ended {
            Ok(answer) if answer.status == StatusCode::OK => {
                *self.served.entry(answer.text()).or_default() += 1;
            }
            Ok(answer) => self.fail(format!("{} {}", answer.status, answer.text())),
            Err(error) => self.fail(format!("{error:#}")),
        }
    }

    fn fail(&mut self, how: String) {
        self.failed += 1;
        if self.failures.len() < FAILURES_TOLD {
            self.failures.push(how);
        }
    }

    /// Requests that the backend `name` answered.
    pub fn served_by(&self, name: &str) -> u64 {
        self.served.get(name).copied().unwrap_or(0)
    }
}

/// Callers at work. Dropped, they stop.
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    trigger: Trigger,
    tasks: Tasks,
}

impl Load {
    /// `callers` who each keep a connection to `address`, and ask for `/` again and again.
    pub fn start(address: SocketAddr, callers: usize) -> Self {
        let (trigger, shutdown) = Shutdown::manual();
        let tally = Arc::new(Mutex::new(Tally::default()));
        let tasks = Tasks::new();
        for _ in 0..callers {
            tasks.spawn("caller", call(address, Arc::clone(&tally), shutdown.clone()));
        }
        Self { tally, trigger, tasks }
    }

    /// Somebody who asks for `/` so many times a second, each time on a connection of its own, whether the answers
    /// before have come or not.
    pub fn constant(address: SocketAddr, per_second: u32) -> Self {
        let (trigger, shutdown) = Shutdown::manual();
        let tally = Arc::new(Mutex::new(Tally::default()));
        let tasks = Tasks::new();
        let pace = pace(address, Duration::from_secs(1) / per_second, Arc::clone(&tally), shutdown);
        tasks.spawn("pace", pace);
        Self { tally, trigger, tasks }
    }

    /// How all requests ended so far.
    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Waits until so many more requests have ended.
    pub async fn more(&self, requests: u64) {
        let goal = self.tally().total() + requests;
        until("the callers get answers", async || (self.tally().total() >= goal).then_some(())).await;
    }

    /// Lets every caller finish its last request.
    pub async fn stop(self) -> Tally {
        self.trigger.drain();
        let late = self.tasks.join_all(PATIENCE).await;
        assert!(late.is_empty(), "{} callers still wait for an answer", late.len());
        self.tally()
    }
}

async fn call(address: SocketAddr, tally: Arc<Mutex<Tally>>, shutdown: Shutdown) {
    let mut kept: Option<Connection> = None;
    while !shutdown.is_draining() {
        match ask(address, kept.take()).await {
            Ok((connection, answer)) => {
                kept = Some(connection).filter(|_| answer.status == StatusCode::OK);
                lock(&tally).take(Ok(answer));
            }
            Err(error) => lock(&tally).take(Err(error)),
        }
        sleep(PAUSE).await;
    }
}

/// Begins one request after another, and waits for the last at the end.
async fn pace(address: SocketAddr, period: Duration, tally: Arc<Mutex<Tally>>, shutdown: Shutdown) {
    let requests = Tasks::new();
    let mut period = interval(period);
    // A busy machine makes them fewer, and no burst of them.
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shutdown.is_draining() {
        period.tick().await;
        assert!(requests.live() < UNANSWERED_MAX, "{UNANSWERED_MAX} requests wait for an answer");
        let tally = Arc::clone(&tally);
        requests.spawn("request", async move {
            let ended = ask(address, None).await.map(|(_, answer)| answer);
            lock(&tally).take(ended);
        });
    }
    let late = requests.join_all(PATIENCE).await;
    assert!(late.is_empty(), "{} requests still wait for an answer", late.len());
}

/// One request, on the connection of the last one if there is any.
async fn ask(address: SocketAddr, kept: Option<Connection>) -> anyhow::Result<(Connection, Answer)> {
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(address, Version::Http1).await?,
    };
    let answer = connection.send(request(Method::GET, "/")).await?;
    Ok((connection, answer))
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
