//! What replicas share through the cluster, and what API servers are told.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::time::timeout;
use weft_kubernetes::ApiServer;
use weft_runtime::{Readiness, Registry, Shutdown, Tasks};

use super::cluster_double::Double;
use crate::{
    certificate::{
        Generations, Shown, Written,
        keeper::{keep, round},
    },
    metrics::Metrics,
};

const NAME: &str = "weft-injector.weft-system.svc";
const YEAR: Duration = Duration::from_hours(365 * 24);
/// Whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(1);

fn generations() -> Generations {
    Generations::create(NAME, SystemTime::now()).unwrap()
}

fn metrics() -> Metrics {
    Metrics::register(&Registry::new("test")).unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_and_who_is_late_hears_of_it() {
    let double = Double::start().await;
    let cluster = double.cluster().await;
    assert!(cluster.read().await.unwrap().is_none());
    let (first, second) = (generations(), generations());
    assert_eq!(cluster.write(&first, None).await.unwrap(), Written::Kept);
    assert_eq!(cluster.write(&second, None).await.unwrap(), Written::Conflict, "it is there already");
    let kept = cluster.read().await.unwrap().unwrap();
    assert_eq!(kept.generations.to_fields(), first.to_fields());
    assert_eq!(cluster.write(&second, Some(&kept)).await.unwrap(), Written::Kept);
    assert_eq!(cluster.write(&first, Some(&kept)).await.unwrap(), Written::Conflict, "it has changed");
    let kept = cluster.read().await.unwrap().unwrap();
    assert_eq!(kept.generations.to_fields(), second.to_fields());
    double.objects().secret = None;
    assert_eq!(cluster.write(&first, Some(&kept)).await.unwrap(), Written::Conflict, "it is gone");
}

#[tokio::test]
async fn roots_are_announced_to_every_webhook_and_only_if_they_differ() {
    let double = Double::start().await;
    let cluster = double.cluster().await;
    let roots = generations().roots();
    let expected = json!(STANDARD.encode(&roots));
    for patches in [1, 1] {
        cluster.announce(&roots).await.unwrap();
        assert_eq!(double.bundles(), [expected.clone(), expected.clone()]);
        assert_eq!(double.count("PATCH"), patches);
    }
    // Somebody took one of them away.
    let path = "/webhooks/1/clientConfig/caBundle";
    *double.objects().configuration.as_mut().unwrap().pointer_mut(path).unwrap() = Value::Null;
    cluster.announce(&roots).await.unwrap();
    assert_eq!(double.bundles(), [expected.clone(), expected]);
}

#[tokio::test]
async fn what_is_missing_or_refused_is_named() {
    let double = Double::start().await;
    let cluster = double.cluster().await;
    double.objects().configuration = None;
    let error = cluster.announce("").await.unwrap_err().to_string();
    assert!(error.contains("MutatingWebhookConfiguration weft-injector"), "{error}");
    assert_eq!(double.count("PATCH"), 0, "none is made");
    double.objects().secret = Some(json!({"data": {"tls.crt": "", "tls.key": ""}}));
    let error = cluster.read().await.err().unwrap().to_string();
    assert!(error.contains("weft-injector-tls") && error.contains("files"), "{error}");
}

#[tokio::test]
async fn the_token_is_read_anew_and_a_wrong_one_is_said() {
    let double = Double::start().await;
    let cluster = double.cluster().await;
    assert!(cluster.read().await.is_ok());
    double.rotate_token();
    assert!(cluster.read().await.is_ok());
    let mut place = double.place();
    place.token.set_extension("nowhere");
    let error = ApiServer::at(place, "test").await.unwrap().get("/").await.unwrap_err().to_string();
    assert!(error.contains("token.nowhere"), "{error}");
}

#[tokio::test]
async fn an_api_server_that_the_roots_do_not_vouch_for_gets_no_token() {
    let (double, other) = (Double::start().await, Double::start().await);
    let mut place = double.place();
    place.roots = other.place().roots;
    let api = ApiServer::at(place, "test").await.unwrap();
    assert!(api.get("/").await.unwrap_err().to_string().contains("certificate"));
    assert!(double.objects().log.is_empty(), "nothing was asked");
}

#[tokio::test]
async fn replicas_that_start_together_agree_on_one_certificate() {
    let double = Double::start().await;
    let (cluster, metrics, now) = (double.cluster().await, metrics(), SystemTime::now());
    let shown = [Shown::default(), Shown::default()];
    for (time, writes) in [(now, 1), (now + YEAR, 2)] {
        let (first, second) = tokio::join!(
            round(&cluster, NAME, &shown[0], &metrics, time),
            round(&cluster, NAME, &shown[1], &metrics, time)
        );
        first.unwrap();
        second.unwrap();
        let secret = double.objects().secret.clone().unwrap();
        assert_eq!(secret["metadata"]["resourceVersion"], json!(writes.to_string()), "one of them wrote");
        assert_eq!(double.bundles()[0], secret["data"]["ca.crt"]);
    }
}

#[tokio::test]
async fn it_is_ready_once_api_servers_know_its_roots() {
    let (double, readiness) = (Double::start().await, Readiness::new());
    let configuration = double.objects().configuration.take();
    let (cluster, hold) = (double.cluster().await, readiness.hold("certificate"));
    let (trigger, shutdown) = Shutdown::manual();
    let tasks = Tasks::new();
    tasks.spawn("keeper", async move {
        keep(cluster, NAME, &Shown::default(), &metrics(), hold, &shutdown).await;
    });
    // The chart is not there yet: it has a certificate, and nowhere to say so.
    timeout(PATIENCE, double.asked("POST")).await.unwrap();
    assert!(!readiness.is_ready());
    double.objects().configuration = configuration;
    timeout(PATIENCE, double.asked("PATCH")).await.unwrap();
    let ready = async {
        while !readiness.is_ready() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, ready).await.unwrap();
    assert_eq!(double.count("PATCH"), 1);
    trigger.drain();
    assert!(tasks.join_all(PATIENCE).await.is_empty());
}
