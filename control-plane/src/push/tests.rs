use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use tokio::{sync::mpsc, time::Instant};
use weft_api::{Object, object::Metadata};
use weft_identity::{
    TrustDomain,
    authority::Authority,
    token::{LocalIssuer, Workload},
};
use weft_runtime::{Registry, Shutdown, shutdown::Trigger};
use weft_xds::{
    Kind, Publisher,
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};

use super::{session::Session, view::Subscriber, *};
use crate::{
    compile::Compiler,
    document,
    store::{AnyObject, Store},
};

const API: &str = "default/api:80";

/// One session, and the hands that move everything around it. Time stands still until all wait for it.
struct Bench {
    session: Session<Publisher>,
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    world: World,
    _trigger: Trigger,
}

struct World {
    store: Store,
    compiler: Compiler,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

impl World {
    /// Gives the service another protocol and another endpoint, or one of both.
    fn publish(&mut self, protocol: &str, port: u16) {
        let metadata = Metadata::named("default", "api");
        let spec = format!("ports: [{{port: 80, appProtocol: {protocol}}}]");
        let spec = document::parse(&spec).unwrap()[0].decode().unwrap();
        self.store.apply(&AnyObject::Service(Arc::new(Object { metadata, spec })));
        let labels = [("kubernetes.io/service-name".to_owned(), "api".to_owned())].into();
        let mut metadata = Metadata::named("default", "api");
        metadata.labels = labels;
        let slice = format!(
            "{{addressType: IPv4, ports: [{{port: {port}}}], endpoints: [{{addresses: [127.0.0.1]}}]}}"
        );
        let spec = document::parse(&slice).unwrap()[0].decode().unwrap();
        self.store.apply(&AnyObject::EndpointSlice(Arc::new(Object { metadata, spec })));
        self.snapshots.send_replace(self.compiler.compile(&self.store, 2000).snapshot);
    }
}

impl Bench {
    fn new() -> Self {
        let trust_domain: TrustDomain = "cluster.local".parse().unwrap();
        let authority = Authority::create(trust_domain.clone(), SystemTime::now()).unwrap();
        let issuer = Arc::new(Issuer::new(authority, Duration::from_hours(1)));
        let compiler = Compiler::new(trust_domain, issuer.roots_pem(), b"secret", 1000);
        let (snapshots, receiver) = watch::channel(compiler.snapshot().clone());
        let (trigger, shutdown) = Shutdown::manual();
        let shared = Shared {
            snapshots: receiver,
            issuer,
            authenticator: Authenticator::Local(LocalIssuer::create().unwrap().authenticator("weft.dev")),
            roster: Roster::default(),
            metrics: Metrics::register(&Registry::new("test")).unwrap(),
            shutdown,
        };
        let mut world = World { store: Store::default(), compiler, snapshots };
        world.publish("http", 1);
        let workload = Workload {
            namespace: "default".to_owned(),
            service_account: "frontend".to_owned(),
            pod: "frontend".to_owned(),
            pod_uid: "1".to_owned(),
        };
        let (requests, receiver) = mpsc::channel(16);
        let stream =
            stream::unfold(receiver, async |mut receiver| Some((Ok(receiver.recv().await?), receiver)));
        let session = Session::new(
            Arc::new(shared),
            Subscriber::Workload(workload),
            ([127, 0, 0, 1], 1).into(),
            stream.boxed(),
        );
        Self { session, requests, world, _trigger: trigger }
    }

    /// A session whose subscriber has cluster and endpoints, and has acknowledged both.
    async fn subscribed() -> Self {
        let mut bench = Self::new();
        for kind in [Kind::Endpoints, Kind::Cluster] {
            let request = DeltaDiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                resource_names_subscribe: vec![API.to_owned()],
                ..DeltaDiscoveryRequest::default()
            };
            bench.requests.send(request).await.unwrap();
            let response = bench.next().await;
            bench.acknowledge(&response).await;
        }
        let again = bench.next().await;
        bench.acknowledge(&again).await;
        bench
    }

    async fn next(&mut self) -> DeltaDiscoveryResponse {
        self.session.next().await.unwrap().unwrap()
    }

    async fn acknowledge(&mut self, response: &DeltaDiscoveryResponse) {
        let request = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_go_out_at_once_and_the_rest_after_a_moment_of_quiet() {
    let mut bench = Bench::subscribed().await;
    let start = Instant::now();
    bench.world.publish("http2", 2);
    let first = bench.next().await;
    assert_eq!((first.type_url.as_str(), start.elapsed()), (Kind::Endpoints.type_url(), Duration::ZERO));
    let second = bench.next().await;
    assert_eq!(second.type_url, Kind::Cluster.type_url());
    // The runtime's timers count in milliseconds, and round up.
    assert!((10..=11).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_it_is_never_quiet_changes_go_out_all_the_same() {
    let Bench { mut session, requests: _requests, mut world, _trigger } = Bench::subscribed().await;
    let start = Instant::now();
    let changing = async {
        for round in 0.. {
            world.publish(if round % 2 == 0 { "http2" } else { "http" }, 1);
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
    };
    let pushed = async { session.next().await.unwrap().unwrap() };
    let response = tokio::select! {
        response = pushed => response,
        () = changing => unreachable!("it never ends"),
    };
    assert_eq!(response.type_url, Kind::Cluster.type_url());
    assert!((100..=101).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_answer_is_given_up_after_15_s() {
    let mut bench = Bench::subscribed().await;
    bench.world.publish("http", 2);
    let start = Instant::now();
    assert_eq!(bench.next().await.type_url, Kind::Endpoints.type_url());
    let end = bench.session.next().await.unwrap().unwrap_err();
    assert_eq!(end.code(), tonic::Code::DeadlineExceeded);
    assert!((15_000..=15_001).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert!(bench.session.next().await.is_none());
}
