use weft_identity::{TrustDomain, authority::Authority};
use weft_runtime::{Readiness, Registry};
use weft_xds::core::Node;

use super::*;
use crate::{
    http::serve::Version,
    snapshot::Destination,
    telemetry::{Telemetry, log::AccessLog},
};

const ADDRESS: &str = "10.96.0.10:80";

/// A session whose stream stands since `now`, of a proxy in a pod.
fn session(demands: &Arc<Demands>, now: Instant) -> Session {
    let domain: TrustDomain = "cluster.local".parse().unwrap();
    let authority = Authority::create(domain.clone(), SystemTime::now()).unwrap();
    let credentials = Credentials::new(domain, TrustBundle::from_pem(authority.certificate_pem()).unwrap());
    let (log, _) = AccessLog::start(weft_api::bootstrap::AccessLog::Off, std::io::sink()).unwrap();
    let requests = Arc::clone(&Telemetry::new(1, log).client);
    let compiler = Compiler::new(Version::Http2, true, None, Arc::clone(&credentials), requests, 1);
    let readiness = Readiness::new();
    let mut session = Session::new(
        Subscriber::new(Node::default()),
        Vec::new(),
        true,
        credentials,
        compiler,
        Arc::default(),
        Arc::clone(demands),
        Metrics::new(&Registry::new("test")).unwrap(),
        [readiness.hold("certificate"), readiness.hold("first configuration")],
    );
    // Neither a certificate nor what every sidecar asks for is of interest here: nothing is owed.
    session.renew_at = None;
    let _ = session.ask(now);
    let _ = session.subscriber.connected(now);
    session.take(no(Kind::Secret, names::RESOURCE_TRUST_BUNDLE), now).unwrap();
    session.take(no(Kind::Listener, names::RESOURCE_INBOUND), now).unwrap();
    session
}

/// Names of listeners that these requests subscribe to, and give up.
fn listeners(requests: &[DeltaDiscoveryRequest]) -> (Vec<String>, Vec<String>) {
    let of_listeners = requests.iter().filter(|request| request.type_url == Kind::Listener.type_url());
    let (mut wanted, mut given_up) = (Vec::new(), Vec::new());
    for request in of_listeners {
        wanted.extend(request.resource_names_subscribe.iter().cloned());
        given_up.extend(request.resource_names_unsubscribe.iter().cloned());
    }
    (wanted, given_up)
}

/// The answer that there is no such resource.
fn no(kind: Kind, name: &str) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: kind.type_url().to_owned(),
        removed_resources: vec![name.to_owned()],
        nonce: "1".into(),
        ..DeltaDiscoveryResponse::default()
    }
}

#[test]
fn what_the_application_calls_is_asked_for_once_and_given_up_when_idle() {
    let (demands, start) = (Arc::new(Demands::default()), Instant::now());
    let mut session = session(&demands, start);
    let held = demands.ask(ADDRESS, start).unwrap();
    assert_eq!(listeners(&session.ask(start)), (vec![ADDRESS.to_owned()], vec![]));
    assert!(session.ask(start).is_empty());

    session.take(no(Kind::Listener, ADDRESS), start).unwrap();
    let known = |session: &Session| session.snapshots.load().destinations.contains_key(ADDRESS);
    assert!(matches!(session.snapshots.load().destinations[ADDRESS], Destination::Unknown));

    // A connection holds it, however long it lasts; once that has ended, ten minutes count.
    let mut at = start;
    let mut wait = |session: &mut Session, time: Duration| {
        let mut requests = Vec::new();
        let end = at + time;
        while at < end {
            at += SWEEP;
            requests.extend(session.wake(at).unwrap());
        }
        listeners(&requests)
    };
    assert_eq!(wait(&mut session, Duration::from_hours(2)), (vec![], vec![]));
    drop(held);
    assert_eq!(wait(&mut session, Duration::from_mins(9)), (vec![], vec![]));
    assert!(known(&session));
    assert_eq!(wait(&mut session, Duration::from_mins(2)), (vec![], vec![ADDRESS.to_owned()]));
    assert!(!known(&session));
    assert_eq!(session.subscriber.subscribed(Kind::Listener).collect::<Vec<_>>(), ["inbound"]);
}

#[test]
fn what_was_called_while_there_was_no_stream_is_part_of_how_the_next_begins() {
    let (demands, now) = (Arc::new(Demands::default()), Instant::now());
    let mut session = session(&demands, now);
    session.subscriber.disconnected();
    let _held = demands.ask("[fd00::1]:443", now).unwrap();
    assert!(session.ask(now).is_empty(), "there is nobody to ask");
    let (wanted, _) = listeners(&session.subscriber.connected(now));
    assert_eq!(wanted, ["[fd00::1]:443", "inbound"]);
}

#[test]
fn a_removal_that_waits_does_not_outlive_its_subscription() {
    let (demands, now) = (Arc::new(Demands::default()), Instant::now());
    let mut session = session(&demands, now);
    drop(demands.ask(ADDRESS, now));
    let _ = session.ask(now);
    session.breaks.push((now, Kind::Listener, ADDRESS.to_owned()));
    demands.sweep(now + Duration::from_mins(10));
    let _ = session.apply(now);
    let _ = session.wake(now + Duration::from_secs(1)).unwrap();
    assert!(!session.snapshots.load().destinations.contains_key(ADDRESS));
}
