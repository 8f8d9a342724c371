//! Policies and routes from the API server to the sidecars that go by them, and away again.

use crate::{
    cluster,
    gateway::Kind,
    peers,
    place::{Place, until},
    users::Users,
};

/// Each with the status that is the answer to all calls as long as it is there.
const OBJECTS: [(&str, u16); 4] = [
    (
        "
apiVersion: policy.weft.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: object}
spec:
  targetRefs: [{kind: Pod, selector: {matchLabels: {app: api}}}]
  action: DENY
  rules: [{httpAttributes: {paths: [{value: /goodvibes}]}}]
",
        403,
    ),
    (
        "
apiVersion: policy.weft.dev/v1alpha1
kind: RateLimitPolicy
metadata: {name: object}
spec:
  targetRefs: [{kind: Pod, selector: {matchLabels: {app: api}}}]
  limits: [{requests: 1, per: 1h, burst: 1, key: Client}]
",
        429,
    ),
    (
        "
apiVersion: policy.weft.dev/v1alpha1
kind: FaultInjectionPolicy
metadata: {name: object}
spec:
  targetRefs: [{group: '', kind: Service, name: api}]
  abort: {percent: 100, httpStatus: 418}
",
        418,
    ),
    (
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: object}
spec:
  parentRefs: [{group: '', kind: Service, name: api, port: 80}]
  rules:
    - matches: [{path: {value: /goodvibes}}]
      filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /}, statusCode: 303}}]
",
        303,
    ),
];

const CALLS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: calls}
spec:
  parentRefs: [{group: '', kind: Service, name: grpc, port: 9000}]
  rules:
    - matches: [{method: {service: SERVICE}}]
      backendRefs: [{name: grpc, port: 9000}]
";

#[test]
fn what_is_applied_is_in_force_until_it_is_deleted() {
    const REQUESTS: u64 = 10;
    let Some(_turn) = crate::turn("policies::what_is_applied_is_in_force_until_it_is_deleted") else {
        return;
    };
    let routes = Kind::define("HTTPRoute");
    let place = Place::meshed("weft-test-policies");
    place.serve_api(1);
    place.settled(&["deployment/api"]);
    let users = Users::meshed("weft-test-policies-users");
    let answered = |status: u16| {
        let account = users.call("http://api.weft-test-policies/goodvibes", 100, REQUESTS, "message");
        (account.total.answered(status) == REQUESTS).then_some(())
    };
    for (object, status) in OBJECTS {
        until("the API answers", || answered(200));
        place.apply(object);
        until(&format!("all calls are answered {status}"), || answered(status));
        place.try_apply(object, &["delete", "-f", "-"]).unwrap_or_else(|error| panic!("{error}"));
    }
    routes.remove();
}

/// A route of those who call from another namespace.
const OF_CALLERS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: theirs, namespace: weft-test-callers-users}
spec:
  parentRefs: [{group: '', kind: Service, name: api, namespace: weft-test-callers, port: 80}]
  rules:
    - filters: [{type: RequestRedirect, requestRedirect: {hostname: elsewhere.example}}]
";

#[test]
fn a_route_of_callers_is_for_their_namespace_alone() {
    const REQUESTS: u64 = 10;
    let Some(_turn) = crate::turn("policies::a_route_of_callers_is_for_their_namespace_alone") else {
        return;
    };
    let routes = Kind::define("HTTPRoute");
    let place = Place::meshed("weft-test-callers");
    place.serve_api(1);
    place.settled(&["deployment/api"]);
    let theirs = Users::meshed("weft-test-callers-users");
    let others = Users::meshed("weft-test-callers-others");
    let answered = |users: &Users, status: u16| {
        let account = users.call("http://api.weft-test-callers/goodvibes", 100, REQUESTS, "message");
        (account.total.answered(status) == REQUESTS).then_some(())
    };
    for users in [&theirs, &others] {
        until("the API answers", || answered(users, 200));
    }
    cluster().apply(OF_CALLERS).unwrap_or_else(|error| panic!("{error:#}"));
    until("their calls are redirected", || answered(&theirs, 302));
    assert!(answered(&others, 200).is_some(), "those of others go on");
    routes.remove();
    until("their calls are answered again", || answered(&theirs, 200));
}

#[test]
fn calls_go_by_their_routes() {
    let Some(_turn) = crate::turn("policies::calls_go_by_their_routes") else { return };
    let routes = Kind::define("GRPCRoute");
    let place = Place::meshed("weft-test-calls");
    peers::start(&place, &["client", "grpc"]);
    let answered = |port: u16| peers::try_grpc(&place, &format!("grpc:{port}"));
    place.apply(&CALLS.replace("SERVICE", "weft.test.Another"));
    until("calls that no rule takes are answered so", || {
        answered(9000).err().filter(|error| error.contains("UNIMPLEMENTED")).map(drop)
    });
    answered(9001).unwrap_or_else(|error| panic!("a port without a route: {error}"));
    place.apply(&CALLS.replace("SERVICE", "weft.test.Echo"));
    until("all calls are answered", || answered(9000).ok().map(drop));
    routes.remove();
}
