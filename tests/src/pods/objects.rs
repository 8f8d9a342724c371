//! What an API server would know of the pods: objects as JSON, which the control plane reads as the YAML that it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};
use weft_api::{
    bootstrap::{AccessLog, MeshHttp, OutboundPolicy},
    kubernetes::{CORE_API_VERSION, DISCOVERY_API_VERSION, LABEL_SERVICE_NAME},
    names,
};

use super::Family;

/// A pod that is wanted.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// Name.
    pub name: &'static str,
    /// Whether it has a sidecar.
    pub meshed: bool,
    /// Whether it is not there at first: the test starts its sidecar, and says when it is ready.
    pub later: bool,
    /// Its annotations.
    pub annotations: Vec<(&'static str, &'static str)>,
    /// What the container of its application says of itself, beside its name: ports and probes.
    pub container: Value,
    /// Which requests its sidecar tells of.
    pub access_log: AccessLog,
    /// What its sidecar speaks to others.
    pub mesh_http: MeshHttp,
    /// What becomes of its connections to what is not of the mesh.
    pub outbound_policy: OutboundPolicy,
}

impl PodPlan {
    /// A pod with a sidecar.
    pub fn meshed(name: &'static str) -> Self {
        Self {
            name,
            meshed: true,
            later: false,
            annotations: Vec::new(),
            container: json!({}),
            access_log: AccessLog::All,
            mesh_http: MeshHttp::default(),
            outbound_policy: OutboundPolicy::default(),
        }
    }

    /// A pod without one.
    pub fn bare(name: &'static str) -> Self {
        Self { meshed: false, ..Self::meshed(name) }
    }

    /// The same, but not at first.
    #[must_use]
    pub fn later(self) -> Self {
        Self { later: true, ..self }
    }

    /// The same with an annotation.
    #[must_use]
    pub fn annotated(mut self, key: &'static str, value: &'static str) -> Self {
        self.annotations.push((key, value));
        self
    }

    /// The same with an application that says this of itself.
    #[must_use]
    pub fn container(self, container: Value) -> Self {
        Self { container, ..self }
    }

    /// The same with a sidecar that tells of these requests only.
    #[must_use]
    pub fn access_log(self, access_log: AccessLog) -> Self {
        Self { access_log, ..self }
    }

    /// The same with a sidecar that speaks this to others.
    #[must_use]
    pub fn mesh_http(self, mesh_http: MeshHttp) -> Self {
        Self { mesh_http, ..self }
    }

    /// The same, calling nobody but the mesh.
    #[must_use]
    pub fn registry_only(self) -> Self {
        Self { outbound_policy: OutboundPolicy::RegistryOnly, ..self }
    }

    /// Its service account.
    pub fn account(&self) -> String {
        format!("{}-account", self.name)
    }

    /// The `Pod`, which is the `index`th on its node.
    pub(super) fn document(&self, index: usize) -> String {
        let mut container = self.container.clone();
        container["name"] = "app".into();
        let annotations: serde_json::Map<_, _> =
            self.annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let sidecar = json!([{ "name": names::CONTAINER_PROXY, "restartPolicy": "Always" }]);
        let pod = json!({
            "apiVersion": CORE_API_VERSION,
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "uid": self.name,
                "labels": { "app": self.name },
                "annotations": annotations,
            },
            "spec": {
                "serviceAccountName": self.account(),
                "initContainers": if self.meshed { sidecar } else { json!([]) },
                "containers": [container],
            },
            "status": {
                "phase": "Running",
                "podIPs": Family::ALL.map(|family| json!({ "ip": pod_address(index, family) })),
            },
        });
        pod.to_string()
    }
}

/// What a pod's EndpointSlices say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It takes requests.
    Ready,
    /// It has begun to, and does not yet.
    Starting,
    /// It has been deleted, and still does.
    Terminating,
}

impl Condition {
    /// As EndpointSlices have it.
    fn conditions(self) -> Value {
        json!({
            "ready": self == Self::Ready,
            "serving": self != Self::Starting,
            "terminating": self == Self::Terminating,
        })
    }
}

/// A service that is wanted.
#[derive(Clone, Debug)]
pub struct ServicePlan {
    /// Name.
    pub name: &'static str,
    /// The pods behind it.
    pub pods: Vec<&'static str>,
    /// Its ports, which are the same on its pods, and `appProtocol`; empty where it says nothing.
    pub ports: Vec<(u16, &'static str)>,
}

impl ServicePlan {
    /// A `Service` for each family, which leads to the pods by addresses of that family, with its endpoints.
    pub(super) fn documents(
        &self,
        index: usize,
        pods: &[PodPlan],
        condition: impl Fn(&str) -> Condition,
    ) -> String {
        let both = Family::ALL.map(|family| {
            let name = format!("{}-{}", self.name, if family == Family::V4 { "4" } else { "6" });
            let address = service_address(index, family);
            let ports = self.ports.iter().map(|(port, protocol)| {
                let mut one = json!({ "name": format!("p{port}"), "port": port });
                if !protocol.is_empty() {
                    one["appProtocol"] = (*protocol).into();
                }
                one
            });
            let ports: Vec<_> = ports.collect();
            let endpoints = self.pods.iter().map(|pod| {
                let place = pods.iter().position(|plan| plan.name == *pod);
                let place = place.unwrap_or_else(|| panic!("{name}: there is no pod {pod}"));
                json!({
                    "addresses": [pod_address(place, family)],
                    "conditions": condition(pod).conditions(),
                    "targetRef": { "kind": "Pod", "name": pod },
                })
            });
            let family_name = if family == Family::V4 { "IPv4" } else { "IPv6" };
            let service = json!({
                "apiVersion": CORE_API_VERSION,
                "kind": "Service",
                "metadata": { "name": name },
                "spec": { "clusterIP": address, "clusterIPs": [address], "ipFamilies": [family_name], "ports": ports },
            });
            let slice = json!({
                "apiVersion": DISCOVERY_API_VERSION,
                "kind": "EndpointSlice",
                "metadata": { "name": name, "labels": { LABEL_SERVICE_NAME: name } },
                "addressType": family_name,
                "ports": self.ports.iter().map(|(port, _)| json!({ "name": format!("p{port}"), "port": port })).collect::<Vec<_>>(),
                "endpoints": endpoints.collect::<Vec<_>>(),
            });
            format!("{service}\n---\n{slice}\n---\n")
        });
        both.concat()
    }
}

/// Address of the `index`th pod, on the bridge of its node.
pub(super) fn pod_address(index: usize, family: Family) -> IpAddr {
    let last = last(index + 9);
    match family {
        Family::V4 => Ipv4Addr::new(10, 66, 0, last).into(),
        Family::V6 => Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

/// Address of the `index`th service, which nobody has.
pub(super) fn service_address(index: usize, family: Family) -> IpAddr {
    let last = last(index);
    match family {
        Family::V4 => Ipv4Addr::new(10, 96, 0, last).into(),
        Family::V6 => Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

fn last(index: usize) -> u8 {
    u8::try_from(index + 1).expect("tests make few pods and services")
}
