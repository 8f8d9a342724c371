//! How the leader among the replicas of the control plane writes status, before an API server that tells what it was
//! asked for; and whether a replica is ready of which that server does not know who it is.

mod strangers;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;
use weft_api::status::AncestorRef;
use weft_control_plane::{
    metrics::Metrics,
    status::{self, Acceptance, Fate, Form, Report, Reports, Resolution},
    store::{ObjectKey, ObjectKind, ObjectName},
};
use weft_kubernetes::ApiServer as Client;
use weft_runtime::{Registry, Shutdown, Tasks, shutdown::Trigger};
use weft_tests::{api_server::ApiServer, patience::until};

const ROUTES: &str = "PATCH /apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/";

/// A replica, and what it goes by.
struct Replica {
    api: ApiServer,
    reports: watch::Sender<Reports>,
    leads: watch::Sender<bool>,
    _trigger: Trigger,
    _tasks: Tasks,
}

impl Replica {
    /// One that knows of `reports`, before an API server that takes what it is sent for these routes.
    async fn start(leads: bool, reports: Vec<Report>, routes: &[&str]) -> Self {
        let api = ApiServer::start().await;
        for route in routes {
            api.answers(&format!("{ROUTES}{route}/status"), 200, json!({}));
        }
        let client = Client::at(api.place(), "test").await.expect("its files are there");
        let (reports, told) = watch::channel(Arc::new(reports));
        let (leads, leader) = watch::channel(leads);
        let (trigger, shutdown) = Shutdown::manual();
        let metrics = Metrics::register(&Registry::new("test")).expect("the registry is new");
        let tasks = Tasks::new();
        tasks.spawn("status", status::keep(client, told, leader, metrics, shutdown));
        Self { api, reports, leads, _trigger: trigger, _tasks: tasks }
    }

    fn tell(&self, reports: Vec<Report>) {
        self.reports.send_replace(Arc::new(reports));
    }

    /// What was written to a route, in order, once there is so much of it.
    async fn written(&self, route: &str, count: usize) -> Vec<Value> {
        let asked = || self.api.asked(&format!("{ROUTES}{route}/status"));
        until(&format!("{count} writes to {route}"), async || (asked().len() >= count).then_some(())).await;
        asked().into_iter().map(|(_, object)| object).collect()
    }
}

/// What an API server says of a route at this version with this status, and what becomes of it at `parents`.
fn report(route: &str, version: &str, status: &Value, parents: &[&str]) -> Report {
    let fate = |name: &&str| {
        let parent = AncestorRef {
            kind: "Service".to_owned(),
            name: (*name).to_owned(),
            port: Some(80),
            ..AncestorRef::default()
        };
        let accepted = (Acceptance::Accepted, "in force".to_owned());
        Fate::of_route(parent, accepted, Some((Resolution::BackendNotFound, "no".to_owned())))
    };
    Report {
        object: ObjectKey { kind: ObjectKind::HttpRoute, name: ObjectName::new("shop", route) },
        version: version.to_owned(),
        generation: 3,
        fates: parents.iter().map(fate).collect(),
        form: Form::Parents,
        held: Form::Parents.read(status),
    }
}

/// What a gateway says of a route, with a field that nobody here knows.
fn of_a_gateway() -> Value {
    json!({
        "parentRef": { "name": "edge" },
        "controllerName": "example.com/gateway",
        "conditions": [{ "type": "Accepted", "status": "True", "novelty": 1 }],
    })
}

#[tokio::test]
async fn only_the_leader_writes_and_leaves_what_others_say() {
    let status = json!({ "parents": [of_a_gateway()] });
    let replica = Replica::start(false, vec![report("web", "7", &status, &["api"])], &["web"]).await;
    replica.tell(vec![report("web", "8", &status, &["api"])]);
    replica.leads.send_replace(true);
    let written = replica.written("web", 1).await;
    // Of version 7 nobody has written: this replica did not lead then.
    assert_eq!(written[0]["metadata"], json!({ "resourceVersion": "8" }));
    let parents = &written[0]["status"]["parents"];
    assert_eq!(parents[0], of_a_gateway());
    assert_eq!(parents[1]["parentRef"], json!({ "group": "", "kind": "Service", "name": "api", "port": 80 }));
    assert_eq!(parents[1]["controllerName"], "weft.dev/control-plane");
    let said = |index: usize| {
        let condition = &parents[1]["conditions"][index];
        ["type", "status", "reason"].map(|field| condition[field].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(said(0), ["Accepted", "True", "Accepted"]);
    assert_eq!(said(1), ["ResolvedRefs", "False", "BackendNotFound"]);
    assert_eq!(parents[1]["conditions"][0]["observedGeneration"], 3);
    assert_eq!(parents.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn what_is_there_is_not_written_and_what_is_over_leaves() {
    let replica =
        Replica::start(true, vec![report("web", "7", &Value::Null, &["api"])], &["web", "mark"]).await;
    let status = replica.written("web", 1).await[0]["status"].clone();
    // It comes back from the API server, after a moment in which something else has become known.
    replica
        .tell(vec![report("mark", "1", &Value::Null, &["api"]), report("web", "7", &Value::Null, &["api"])]);
    replica.written("mark", 1).await;
    replica.tell(vec![report("mark", "2", &Value::Null, &["api"]), report("web", "8", &status, &["api"])]);
    replica.written("mark", 2).await;
    assert_eq!(replica.written("web", 1).await.len(), 1);
    // The Service is no parent any more, and then one that a gateway has is all that is left.
    let status = json!({ "parents": [of_a_gateway(), status["parents"][0]] });
    replica.tell(vec![report("web", "9", &status, &[])]);
    let written = replica.written("web", 2).await;
    assert_eq!(written[1]["status"], json!({ "parents": [of_a_gateway()] }));
}

#[tokio::test]
async fn what_somebody_else_has_written_over_is_written_again_over_that() {
    let replica = Replica::start(true, Vec::new(), &["mark"]).await;
    let path = format!("{ROUTES}web/status");
    replica.api.answers(&path, 409, json!({ "kind": "Status", "code": 409, "message": "it has changed" }));
    replica.tell(vec![report("web", "7", &Value::Null, &["api"])]);
    replica.written("web", 1).await;
    // Until it is known what has changed there is nothing to be written.
    replica
        .tell(vec![report("mark", "1", &Value::Null, &["api"]), report("web", "7", &Value::Null, &["api"])]);
    replica.written("mark", 1).await;
    replica.api.answers(&path, 200, json!({}));
    let status = json!({ "parents": [of_a_gateway()] });
    replica.tell(vec![report("web", "8", &status, &["api"])]);
    let written = replica.written("web", 2).await;
    assert_eq!(written.len(), 2);
    assert_eq!(written[1]["metadata"]["resourceVersion"], "8");
    assert_eq!(written[1]["status"]["parents"][0], of_a_gateway());
}
