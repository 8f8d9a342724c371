//! What is added to a pod: the containers and volumes of a sidecar, as JSON.

use serde_json::{Map, Value, json};
use weft_api::{
    bootstrap::{Bootstrap, ControlPlane, MeshHttp, Transparent, Workload},
    names,
};

use crate::{
    annotations::{Resources, Settings},
    config::{Installation, Redirect},
};

/// Volume with what a sidecar needs to prove who it is, and to know whom to believe.
pub const VOLUME_IDENTITY: &str = "weft-identity";
/// Where it is mounted.
const IDENTITY_DIRECTORY: &str = "/var/run/weft";
/// Volume that holds nothing.
pub const VOLUME_NO_TOKEN: &str = "weft-no-api-token";
/// Where API servers mount the application's token into every container that has nothing there, ours included
/// (admission plugin ServiceAccount).
const API_TOKEN_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a token is good for. The kubelet renews it at four fifths of that.
const TOKEN_SECS: u32 = 3600;
/// User that verifies the redirect. Any but the sidecar's, whose connections are not redirected and prove nothing.
const VERIFIER_UID: u32 = 65532;
/// Name of the port for metrics and health.
const ADMIN_PORT_NAME: &str = "weft-admin";
/// Seconds that a sidecar may take to get its certificate and first configuration, before it is started anew.
const STARTUP_SECS: u32 = 120;

/// The container that installs the redirect, or checks it. Of the injector's image always: whoever may write annotations
/// shall not choose what runs with NET_ADMIN.
pub fn init(settings: &Settings, installation: &Installation) -> Value {
    let mut arguments = vec!["init"];
    let security = match installation.redirect {
        Redirect::Init => installing(),
        Redirect::Cni => {
            arguments.push("--verify");
            restricted(VERIFIER_UID)
        }
    };
    for (flag, ports) in [
        ("--skip-inbound-ports", &settings.skip_inbound_ports),
        ("--skip-outbound-ports", &settings.skip_outbound_ports),
    ] {
        if !ports.is_empty() {
            arguments.extend([flag, ports.as_str()]);
        }
    }
    json!({
        "name": names::CONTAINER_INIT,
        "image": installation.proxy.image,
        "imagePullPolicy": installation.proxy.image_pull_policy,
        "args": arguments,
        "resources": resources(&settings.resources),
        "securityContext": security,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [no_token()],
    })
}

/// The sidecar.
pub fn proxy(settings: &Settings, installation: &Installation) -> Value {
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": {"path": path, "port": names::ADMIN_PORT},
            "periodSeconds": period,
            "failureThreshold": failures,
        })
    };
    let mut container = json!({
        "name": names::CONTAINER_PROXY,
        "image": settings.image,
        "imagePullPolicy": installation.proxy.image_pull_policy,
        "args": ["--bootstrap-env"],
        "env": [
            field(names::VARIABLE_POD_NAME, "metadata.name"),
            field(names::VARIABLE_POD_NAMESPACE, "metadata.namespace"),
            field(names::VARIABLE_SERVICE_ACCOUNT, "spec.serviceAccountName"),
            // That of its node, which the API server writes onto a pod with a node; without the label it is empty.
            field(names::VARIABLE_ZONE, &format!("metadata.labels['{}']", names::LABEL_ZONE)),
            {"name": names::VARIABLE_LOG, "value": settings.log_level},
            // Behind the variables that it names: only those are replaced.
            {"name": names::VARIABLE_BOOTSTRAP, "value": bootstrap(settings, installation)},
        ],
        "ports": [{"name": ADMIN_PORT_NAME, "containerPort": names::ADMIN_PORT, "protocol": "TCP"}],
        "startupProbe": probe("/ready", 1, STARTUP_SECS),
        "readinessProbe": probe("/ready", 5, 1),
        "livenessProbe": probe("/live", 10, 3),
        "resources": resources(&settings.resources),
        "securityContext": restricted(names::PROXY_UID),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": VOLUME_IDENTITY, "mountPath": IDENTITY_DIRECTORY, "readOnly": true},
            no_token(),
        ],
    });
    run_on(&mut container, settings.native);
    container
}

/// The log adapter, with what it mounts.
pub fn logs(settings: &Settings, installation: &Installation, mounts: &[Value]) -> Value {
    let mut arguments = vec!["logs".to_owned()];
    for file in &settings.log_files {
        // `$(…)` in arguments means a variable, and `$$` a dollar (`api/core/v1`, Container.args).
        arguments.extend(["--file".to_owned(), file.path().replace('$', "$$")]);
    }
    let mounts: Vec<Value> = mounts.iter().cloned().chain([no_token()]).collect();
    let mut container = json!({
        "name": names::CONTAINER_LOGS,
        "image": settings.image,
        "imagePullPolicy": installation.proxy.image_pull_policy,
        "args": arguments,
        "env": [
            field(names::VARIABLE_POD_NAME, "metadata.name"),
            field(names::VARIABLE_POD_NAMESPACE, "metadata.namespace"),
        ],
        "resources": resources(&settings.resources),
        "securityContext": restricted(names::PROXY_UID),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    });
    run_on(&mut container, settings.native);
    container
}

/// The volumes of all that: token and roots, and nothing.
pub fn volumes() -> [Value; 2] {
    [identity_volume(), json!({"name": VOLUME_NO_TOKEN, "emptyDir": {}})]
}

fn identity_volume() -> Value {
    json!({
        "name": VOLUME_IDENTITY,
        "projected": {
            "sources": [
                {"serviceAccountToken": {
                    "audience": names::TOKEN_AUDIENCE,
                    "expirationSeconds": TOKEN_SECS,
                    "path": "token",
                }},
                {"configMap": {
                    "name": names::TRUST_BUNDLE_CONFIG_MAP,
                    "items": [{"key": names::TRUST_BUNDLE_KEY, "path": "ca.crt"}],
                }},
            ],
        },
    })
}

/// What the sidecar is told at start, as JSON. Names of the pod, and its zone, stand in it as variables for the kubelet to
/// replace; they are of letters, digits, `-`, `_` and `.`, so the JSON stays JSON. Nothing else in it holds a `$`: the installation
/// was checked when it was made.
fn bootstrap(settings: &Settings, installation: &Installation) -> String {
    let variable = |name: &str| format!("$({name})");
    let bootstrap = Bootstrap {
        workload: Workload {
            namespace: variable(names::VARIABLE_POD_NAMESPACE),
            name: variable(names::VARIABLE_POD_NAME),
            service_account: variable(names::VARIABLE_SERVICE_ACCOUNT),
            service: settings.service.clone().filter(|_| installation.proxy.tracing.is_some()),
            zone: Some(variable(names::VARIABLE_ZONE)),
        },
        trust_domain: installation.trust_domain.clone(),
        control_plane: ControlPlane {
            address: installation.control_plane.clone(),
            identity: installation.control_plane_identity.clone(),
            trust_bundle: format!("{IDENTITY_DIRECTORY}/ca.crt").into(),
            token: format!("{IDENTITY_DIRECTORY}/token").into(),
        },
        admin: installation.proxy.admin(),
        inbound: Vec::new(),
        outbound: Vec::new(),
        transparent: Some(Transparent {
            outbound_policy: installation.proxy.outbound_policy,
            ..Transparent::default()
        }),
        workers: Some(settings.workers),
        // The kubelet gives the container a control group of its own, with the limit of its resources.
        memory_limit: None,
        mesh_http: MeshHttp::default(),
        access_log: installation.proxy.access_log,
        tracing: installation.proxy.tracing.clone(),
        drain: settings.drain,
    };
    serde_json::to_string(&bootstrap).expect("the paths in it are text, and so is everything else")
}

/// An init container that never ends, which Kubernetes calls a sidecar container, or a plain container.
fn run_on(container: &mut Value, native: bool) {
    if native {
        container["restartPolicy"] = json!("Always");
    }
}

/// Keeps the application's token for the API server out of a container that has no use for it.
fn no_token() -> Value {
    json!({"name": VOLUME_NO_TOKEN, "mountPath": API_TOKEN_DIRECTORY, "readOnly": true})
}

fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

fn resources(resources: &Resources) -> Value {
    let mut limits = Map::new();
    for (name, limit) in [("cpu", &resources.cpu_limit), ("memory", &resources.memory_limit)] {
        if let Some(limit) = limit {
            limits.insert(name.to_owned(), json!(limit));
        }
    }
    let requests = json!({"cpu": resources.cpu_request, "memory": resources.memory_request});
    if limits.is_empty() {
        json!({"requests": requests})
    } else {
        json!({"requests": requests, "limits": limits})
    }
}

/// What the Pod Security Standard *restricted* demands, and a little more.
fn restricted(user: u32) -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsGroup": user,
        "runAsNonRoot": true,
        "runAsUser": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// What nftables over netlink takes. As root: the runtime gives a capability that is added to nobody else.
fn installing() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "privileged": false,
        "readOnlyRootFilesystem": true,
        "runAsGroup": 0,
        "runAsNonRoot": false,
        "runAsUser": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}
