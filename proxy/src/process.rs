//! The process: threads, sockets, and the end of it all.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::Rng;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
};
use weft_api::{bootstrap::Bootstrap, fault_injection::HELD_MAX};
use weft_identity::{SpiffeId, tls::Credentials};
use weft_runtime::{
    Admin, Readiness, Registry, Shutdown, Tasks, Worker as Thread, Workers,
    workers::{WorkerPanicked, listen_shared},
};

use crate::{
    accept::{self, Leads},
    app,
    breaker::Gauge,
    compile::Compiler,
    config::{Config, ConfigError, Source},
    demand::Demands,
    export::{self, Collector, Exporter},
    expose,
    inbound::Entrance,
    overload::{self, Meter, Overload},
    probe,
    rate_limit::Buckets,
    setback::Setbacks,
    snapshot::Snapshots,
    subscribe::{self, Subscription},
    telemetry::{Telemetry, connections, deeds, log::AccessLog, requests},
    trace::{self, Sampler, Tracer},
    upstream,
    worker::{Shared, Worker},
};

/// Why the proxy does not run, or runs no longer.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It was told something impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A socket or thread could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Two metrics have one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A worker panicked.
    #[error(transparent)]
    Worker(#[from] WorkerPanicked),
}

/// A socket of each worker for one listener, and where it leads.
type Sockets = Vec<(std::net::TcpListener, Leads)>;

/// Runs the proxy whose bootstrap is at `source`, until it is told to end and has drained.
pub fn run(source: &Source) -> Result<(), ProcessError> {
    let config = Config::read(source)?;
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(proxy(config))
}

/// As many descriptors as the system grants: what most systems begin with is few for connections.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot have more file descriptors than at the start");
    }
}

async fn proxy(config: Config) -> Result<(), ProcessError> {
    let Config { bootstrap, trust_domain, control_plane, bundle, collector, workers } = config;
    raise_descriptors();
    let grace = bootstrap.drain.get();
    let (shutdown, signals) = Shutdown::from_signals();
    let tasks = Tasks::new();
    tasks.spawn("signals", signals.abort_after(grace + accept::WITHDRAWAL + accept::LAST_WORDS));

    let (log, log_writer) = AccessLog::start(bootstrap.access_log, io::stdout())?;
    let registry = Registry::new("weft-proxy");
    let credentials = Credentials::new(trust_domain, bundle);
    let export = Tasks::new();
    let tracer = trace(&bootstrap, collector, &credentials, &registry, &export)?;
    let shared = Arc::new(Shared {
        snapshots: Arc::new(Snapshots::default()),
        demands: Arc::new(Demands::default()),
        app_limits: app::limits(),
        rate_buckets: Buckets::new(Instant::now()),
        outbound_policy: bootstrap.transparent.unwrap_or_default().outbound_policy,
        overload: Arc::new(Overload::default()),
        held: Gauge::new(HELD_MAX),
        telemetry: Telemetry { tracer, ..Telemetry::new(workers, log) },
        setbacks: Setbacks::new(Instant::now()),
        credentials,
        shutdown: shutdown.clone(),
    });
    expose(&registry, &shared)?;
    match Meter::new(bootstrap.memory_limit)? {
        Some(meter) => tasks.spawn_local("memory", overload::watch(meter, Arc::clone(&shared.overload))),
        None => {
            tracing::info!("memory has no limit of this process alone: nothing is refused for want of it");
        }
    }
    let readiness = Readiness::new();
    let holds = [readiness.hold("certificate"), readiness.hold("first configuration")];
    let sockets = listen(&bootstrap, workers)?;
    let admin = Admin::start(bootstrap.admin, registry.clone(), readiness.clone(), Vec::new())?;
    tracing::info!(admin = %admin.local_addr(), workers, "started");

    let seed: u64 = rand::rng().random();
    let mut threads = start(Arc::clone(&shared), sockets, seed, grace)?;
    let compiler = Compiler::new(
        bootstrap.mesh_http.into(),
        bootstrap.transparent.is_some(),
        bootstrap.workload.zone().map(Arc::from),
        Arc::clone(&shared.credentials),
        Arc::clone(&shared.telemetry.client),
        seed,
    );
    let metrics = subscribe::Metrics::new(&registry)?;
    let subscription = Subscription {
        bootstrap,
        control_plane,
        credentials: Arc::clone(&shared.credentials),
        compiler,
        snapshots: Arc::clone(&shared.snapshots),
        demands: Arc::clone(&shared.demands),
        metrics,
        holds,
    };
    let ended = tokio::select! {
        ended = threads.ended() => ended,
        () = subscribe::run(subscription, shutdown.clone()) => Ok(()),
        () = shutdown.draining() => {
            readiness.drain();
            tracing::info!("draining");
            tokio::select! {
                ended = threads.ended() => ended,
                () = shutdown.aborting() => Ok(()),
            }
        }
    };
    tracing::info!("ended");
    drop(shared);
    if !shutdown.is_aborting() {
        export.join_all(export::LAST_WORDS).await;
    }
    // The last lines of the access log are on their way; a worker that was aborted may still hold the log, and then the
    // process ends without them.
    if !shutdown.is_aborting() {
        let _ = log_writer.join();
    }
    Ok(ended?)
}

/// Where requests leave spans, if somebody wants them: an exporter of its own takes them to the collector, on this thread.
fn trace(
    bootstrap: &Bootstrap,
    identity: Option<SpiffeId>,
    credentials: &Arc<Credentials>,
    registry: &Registry,
    export: &Tasks,
) -> Result<Option<Tracer>, ProcessError> {
    let Some(tracing) = &bootstrap.tracing else { return Ok(None) };
    let counts = trace::Counts::new()?;
    registry.register(Box::new(counts.family.clone()))?;
    let (tracer, spans) = Tracer::new(Sampler::new(tracing.ratio), &counts);
    let collector = Collector::new(tracing, identity, credentials)
        .map_err(|error| ConfigError::Field { field: "tracing.endpoint", reason: error.to_string() })?;
    export.spawn_local("export", Exporter::new(collector, &bootstrap.workload, spans, counts).run());
    Ok(Some(tracer))
}

fn expose(registry: &Registry, shared: &Arc<Shared>) -> prometheus::Result<()> {
    registry.register(Box::new(requests::Exposed(Arc::clone(&shared.telemetry.server))))?;
    registry.register(Box::new(requests::Exposed(Arc::clone(&shared.telemetry.client))))?;
    registry.register(Box::new(connections::Exposed::new(Arc::clone(&shared.telemetry.connections))))?;
    registry.register(Box::new(deeds::Exposed::new(Arc::clone(&shared.telemetry.deeds))))?;
    registry.register(Box::new(expose::Exposed {
        snapshots: Arc::clone(&shared.snapshots),
        credentials: Arc::clone(&shared.credentials),
        overload: Arc::clone(&shared.overload),
        dropped: shared.telemetry.log.dropped(),
    }))
}

/// Binds every listener once for each worker. The result is by worker.
fn listen(bootstrap: &Bootstrap, workers: usize) -> io::Result<Vec<Sockets>> {
    let mut by_worker: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
    let inbound = bootstrap.inbound.iter().map(|inbound| {
        (inbound.listen, Leads::Inbound(Entrance { port: inbound.listen.port(), app: inbound.app }))
    });
    let outbound = bootstrap.outbound.iter();
    let outbound =
        outbound.map(|outbound| (outbound.listen, Leads::Outbound(outbound.target.as_str().into())));
    let transparent = bootstrap.transparent.into_iter().flat_map(|transparent| {
        let own = [transparent.inbound, transparent.outbound, bootstrap.admin.port()];
        [
            (everywhere(transparent.inbound), Leads::RedirectedIn { own }),
            (everywhere(transparent.outbound), Leads::RedirectedOut),
        ]
    });
    for (address, leads) in inbound.chain(outbound).chain(transparent) {
        let address: SocketAddr = address;
        for (sockets, socket) in by_worker.iter_mut().zip(listen_shared(address, workers)?) {
            upstream::watch(&socket)?;
            sockets.push((socket, leads.clone()));
        }
    }
    Ok(by_worker)
}

/// All addresses of the machine: of both families, unless it has no IPv6 at all.
fn everywhere(port: u16) -> SocketAddr {
    let any: IpAddr = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(any, port)
}

fn start(shared: Arc<Shared>, sockets: Vec<Sockets>, seed: u64, grace: Duration) -> io::Result<Workers> {
    let count = sockets.len();
    let sockets: Arc<[Mutex<Sockets>]> = sockets.into_iter().map(Mutex::new).collect();
    Workers::start(count, "worker", move |thread: Thread| {
        let (shared, sockets) = (Arc::clone(&shared), Arc::clone(&sockets));
        async move {
            let taken =
                std::mem::take(&mut *sockets[thread.index].lock().unwrap_or_else(PoisonError::into_inner));
            let listeners: io::Result<Vec<_>> = taken
                .into_iter()
                .map(|(socket, leads)| Ok((TcpListener::from_std(socket)?, leads)))
                .collect();
            let worker = Worker::start(thread.index, shared, seed.wrapping_add(thread.index as u64));
            if thread.index == 0 {
                worker.tasks.spawn_local("probes", probe::run(Rc::clone(&worker)));
            }
            match listeners {
                Ok(listeners) => accept::run(worker, listeners, grace).await,
                Err(error) => tracing::error!(%error, "cannot use the listening sockets"),
            }
        }
    })
}

#[cfg(test)]
mod tests;
