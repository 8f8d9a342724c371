//! What people write is in force soon, whole or not at all, and nobody notices the change.

use http::StatusCode;
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    backend::Backend,
    client::get,
    load::Load,
    manifest,
    mesh::{CONTROL_PLANE, Mesh},
    patience::until,
    plan::{Plan, Service},
};

use crate::WEFT;

/// A mesh in which a route of `shop` decides between two services.
pub(crate) fn plan(blue: &Backend, green: &Backend) -> Plan {
    let services = vec![
        Service::meshed("shop", &[]),
        Service::meshed("blue", &[blue.address()]),
        Service::meshed("green", &[green.address()]),
    ];
    Plan::of(services).with("route.yaml", route_to("blue"))
}

/// The route of `shop` that leads everything to `backend`.
pub(crate) fn route_to(backend: &str) -> String {
    manifest::route("shop", &format!("- backendRefs: [{{ name: {backend}, port: 80 }}]"))
}

/// Waits until only `backend` serves: some of its answers, and then none of anybody else's.
pub(crate) async fn until_served_by(load: &Load, backend: &str) {
    let before = load.tally().served_by(backend);
    until(&format!("{backend} serves"), async || (load.tally().served_by(backend) > before).then_some(()))
        .await;
    // What was in flight at the change ends as it began.
    load.more(20).await;
    let (start, others) =
        (load.tally(), |tally: &weft_tests::load::Tally| tally.total() - tally.served_by(backend));
    load.more(50).await;
    assert_eq!(others(&load.tally()), others(&start), "others than {backend} still serve");
}

#[tokio::test]
async fn an_edited_route_leads_elsewhere_and_no_request_fails() {
    let (blue, green) = (Backend::healthy("blue").await, Backend::healthy("green").await);
    let mesh = Mesh::start(WEFT, &plan(&blue, &green)).await;
    let load = Load::start(mesh.entrance("shop"), 4);
    load.more(100).await;
    assert_eq!(load.tally().served_by("green"), 0);
    for backend in ["green", "blue", "green", "blue"] {
        mesh.write("route.yaml", &route_to(backend));
        until_served_by(&load, backend).await;
    }
    let tally = load.stop().await;
    assert_eq!(tally.failed, 0, "{:?}", tally.failures);
}

#[tokio::test]
async fn a_service_may_leave_in_the_very_edit_that_leads_its_callers_elsewhere() {
    let (blue, green) = (Backend::healthy("blue").await, Backend::healthy("green").await);
    let mut plan = plan(&blue, &green);
    plan.files.clear();
    let mesh = Mesh::start(WEFT, &plan).await;
    let with_service = format!("{}{}", mesh.read("blue.yaml"), route_to("blue"));
    for _ in 0..3 {
        mesh.write("blue.yaml", &with_service);
        until("the route leads to blue", async || {
            (get(mesh.entrance("shop"), "/").await.text() == "blue").then_some(())
        })
        .await;
        let load = Load::start(mesh.entrance("shop"), 4);
        until_served_by(&load, "blue").await;
        mesh.write("blue.yaml", &route_to("green"));
        until_served_by(&load, "green").await;
        let tally = load.stop().await;
        assert_eq!(tally.failed, 0, "{:?}", tally.failures);
    }
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_its_flaw_is_named() {
    let (blue, green) = (Backend::healthy("blue").await, Backend::healthy("green").await);
    let mut mesh = Mesh::run(WEFT, &plan(&blue, &green)).await;
    let load = Load::start(mesh.entrance("shop"), 2);
    load.more(20).await;
    // The fault is in one line of a file that would lead elsewhere, if it were taken.
    let broken = manifest::route(
        "shop",
        "- matches: [{ path: { value: / } }]\n  backendRefs:\n  - { name: green, port: 80, weight: 1000001 }",
    );
    let line = 1 + broken.lines().position(|line| line.contains("1000001")).expect("it is in the text");
    mesh.write("route.yaml", &broken);
    let problems = async |mesh: &Mesh| mesh.metrics(CONTROL_PLANE).await.count("weft_config_problems", &[]);
    until("the control plane counts the problem", async || (problems(&mesh).await == 1).then_some(())).await;
    let expected = format!("route.yaml:{line}: ");
    let run = mesh.keeper();
    let told = until("the flaw is told", async || {
        run.log()
            .lines()
            .find(|told| told.contains(&expected) && told.contains("what was in force before stays"))
            .map(str::to_owned)
    })
    .await;
    assert!(told.contains("rules[0].backendRefs[0].weight"), "the field is not named: {told}");
    load.more(50).await;
    assert_eq!(load.tally().served_by("green"), 0, "a broken file was taken in part");

    mesh.write("route.yaml", &route_to("green"));
    until_served_by(&load, "green").await;
    until("the problem is gone", async || (problems(&mesh).await == 0).then_some(())).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, 0, "{:?}", tally.failures);
}

#[tokio::test]
async fn a_service_that_is_removed_is_unknown_until_it_is_back() {
    let app = Backend::healthy("api").await;
    let mesh = Mesh::start(WEFT, &Plan::of(vec![Service::meshed("api", &[app.address()])])).await;
    let entrance = mesh.entrance("api");
    assert_eq!(get(entrance, "/").await.status, StatusCode::OK);
    let service = mesh.read("api.yaml");
    mesh.remove("api.yaml");
    // Its parts leave one after another: before its name is unknown, it may be without endpoints.
    until("the service is gone", async || {
        (get(entrance, "/").await.header(HEADER_FAULT) == "unknown_destination").then_some(())
    })
    .await;
    let before = app.count();
    let refused = get(entrance, "/").await;
    assert_eq!(
        (refused.status, refused.header(HEADER_FAULT)),
        (StatusCode::BAD_GATEWAY, "unknown_destination")
    );
    assert_eq!(app.count(), before);
    mesh.write("api.yaml", &service);
    until("the service is back", async || (get(entrance, "/").await.status == StatusCode::OK).then_some(()))
        .await;
}
