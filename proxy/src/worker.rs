//! What each worker thread has: its own pools and randomness, and its view of what all share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::SmallRng};
use weft_api::bootstrap::OutboundPolicy;
use weft_identity::tls::Credentials;
use weft_runtime::{Shutdown, Tasks};

use crate::{
    app::Apps,
    breaker::{Gauge, Limits},
    demand::Demands,
    overload::{Overload, give_back},
    rate_limit::Buckets,
    setback::Setbacks,
    snapshot::Snapshots,
    tcp::Scratch,
    telemetry::{Direction, Telemetry},
    upstream::Pools,
};

/// How often a worker looks whether it got the processor in time.
const TICK: Duration = Duration::from_millis(50);
/// A worker that woke up so much too late was starved: what looked like slow upstreams may have been itself.
const LAG: Duration = Duration::from_millis(100);
/// Timeouts count for so long after that as the proxy's own.
const STARVED: Duration = Duration::from_secs(1);
/// How often a worker has the allocator give back what has become free on its thread: connections that rest need little of
/// what they had, and a worker that serves nobody takes nothing new.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// What all workers share.
pub struct Shared {
    /// What a request may ask.
    pub snapshots: Arc<Snapshots>,
    /// What the application calls, and is to be known therefore.
    pub demands: Arc<Demands>,
    /// Bounds on what is under way to the local application.
    pub app_limits: Limits,
    /// What is left of the limits on requests to it.
    pub rate_buckets: Buckets,
    /// What becomes of connections to what is not of the mesh.
    pub outbound_policy: OutboundPolicy,
    /// Whether there is memory for what is new.
    pub overload: Arc<Overload>,
    /// Requests that are held because a policy says so.
    pub held: Arc<Gauge>,
    /// Metrics and log.
    pub telemetry: Telemetry,
    /// What failed for good on its way out.
    pub setbacks: Setbacks,
    /// Certificate and roots.
    pub credentials: Arc<Credentials>,
    /// When inbound connections end.
    pub shutdown: Shutdown,
}

/// One worker.
pub struct Worker {
    /// Its number, from 0.
    pub index: usize,
    /// What all share.
    pub shared: Arc<Shared>,
    /// Its connections to upstreams.
    pub pools: Rc<Pools>,
    /// The local application.
    pub apps: Apps,
    /// Where opaque bytes are read into.
    pub scratch: Scratch,
    /// Its tasks.
    pub tasks: Tasks,
    /// Connections that have left HTTP.
    pub tunnels: Tasks,
    /// Copies of requests that are under way.
    pub copies: Rc<Cell<u32>>,
    /// Its randomness.
    pub random: RefCell<SmallRng>,
    starved_at: Cell<Option<Instant>>,
}

impl Worker {
    /// The worker with number `index`, on its own thread.
    pub fn start(index: usize, shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        let tasks = Tasks::new();
        let worker = Rc::new(Self {
            index,
            shared,
            pools: Pools::new(&tasks),
            apps: Apps::default(),
            scratch: Scratch::default(),
            tasks,
            tunnels: Tasks::new(),
            copies: Rc::default(),
            random: RefCell::new(SmallRng::seed_from_u64(seed)),
            starved_at: Cell::new(None),
        });
        worker.tasks.spawn_local("memory", async {
            loop {
                tokio::time::sleep(GIVE_BACK).await;
                give_back();
            }
        });
        let watched = Rc::downgrade(&worker);
        worker.tasks.spawn_local("lag", async move {
            loop {
                let due = Instant::now() + TICK;
                tokio::time::sleep(TICK).await;
                let Some(worker) = watched.upgrade() else { return };
                let now = Instant::now();
                if now.saturating_duration_since(due) > LAG {
                    worker.starved_at.set(Some(now));
                }
            }
        });
        worker
    }

    /// Whether there is memory for something new that goes this way; else why not, in words.
    pub fn room(&self, direction: Direction) -> Result<(), Arc<str>> {
        let refused = self.shared.overload.refuses(direction, &mut *self.random.borrow_mut());
        refused.map_or(Ok(()), Err)
    }

    /// A worker that is alone, with a certificate for the service account `test`.
    #[cfg(test)]
    pub fn for_tests() -> Rc<Self> {
        Self::for_tests_with(None)
    }

    /// The same with another policy.
    #[cfg(test)]
    pub fn for_tests_that(outbound_policy: OutboundPolicy) -> Rc<Self> {
        Self::made_for_tests(None, outbound_policy)
    }

    /// The same, with traces.
    #[cfg(test)]
    pub fn for_tests_with(tracer: Option<crate::trace::Tracer>) -> Rc<Self> {
        Self::made_for_tests(tracer, OutboundPolicy::AllowAny)
    }

    #[cfg(test)]
    fn made_for_tests(tracer: Option<crate::trace::Tracer>, outbound_policy: OutboundPolicy) -> Rc<Self> {
        use weft_identity::{authority::Authority, bundle::TrustBundle, csr::Csr, request};
        let (now, domain) = (std::time::SystemTime::now(), "cluster.local".parse().unwrap());
        let authority = Authority::create(domain, now).unwrap();
        let bundle = TrustBundle::from_pem(authority.certificate_pem()).unwrap();
        let credentials = Credentials::new("cluster.local".parse().unwrap(), bundle);
        let key = request::KeyPair::generate().unwrap();
        let csr = Csr::from_pem(&key.csr_pem().unwrap()).unwrap();
        let id = Self::ID_FOR_TESTS.parse().unwrap();
        let issued = authority.sign(&csr, &id, Duration::from_hours(1), now).unwrap();
        credentials.set_identity(request::Identity::new(&key, &issued.chain_pem).unwrap());
        let level = weft_api::bootstrap::AccessLog::Off;
        let (log, _) = crate::telemetry::log::AccessLog::start(level, std::io::sink()).unwrap();
        let shared = Shared {
            snapshots: Arc::default(),
            demands: Arc::default(),
            app_limits: crate::app::limits(),
            rate_buckets: Buckets::new(Instant::now()),
            outbound_policy,
            overload: Arc::default(),
            held: Gauge::new(weft_api::fault_injection::HELD_MAX),
            telemetry: Telemetry { tracer, ..Telemetry::new(1, log) },
            setbacks: Setbacks::new(Instant::now()),
            credentials,
            shutdown: Shutdown::manual().1,
        };
        Self::start(0, Arc::new(shared), 1)
    }

    /// What the certificate of [`Self::for_tests`] says.
    #[cfg(test)]
    pub const ID_FOR_TESTS: &str = "spiffe://cluster.local/ns/default/sa/test";

    /// Whether the worker lagged in the last second.
    pub fn is_starved(&self, now: Instant) -> bool {
        self.starved_at.get().is_some_and(|at| now.saturating_duration_since(at) < STARVED)
    }
}
