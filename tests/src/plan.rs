//! What a mesh consists of: one caller, `web`, and the services that it calls.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use weft_api::{
    Bytes, Duration,
    bootstrap::{AccessLog, MeshHttp},
    telemetry::Tracing,
    workload::{Inbound, Mtls, Outbound, WorkloadSpec},
};

use crate::{
    manifest::{self, Endpoint, SERVICE_PORT},
    port,
};

/// The workload that calls all services.
pub const CALLER: &str = "web";

/// What a test wants.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Services that the caller can call.
    pub services: Vec<Service>,
    /// Other files, by name: routes and policies.
    pub files: Vec<(&'static str, String)>,
    /// HTTP between the sidecars.
    pub mesh_http: MeshHttp,
    /// Life of the sidecars' certificates.
    pub certificate_lifetime: Duration,
    /// How long a sidecar drains.
    pub drain: Duration,
    /// Whom the sidecars tell of requests.
    pub tracing: Option<Tracing>,
    /// Zone of the caller.
    pub zone: Option<&'static str>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, also that of its service account.
    pub name: &'static str,
    /// What its applications speak; absent: HTTP/1.1.
    pub app_protocol: Option<&'static str>,
    /// Where it runs.
    pub instances: Vec<Instance>,
    /// Services that it calls itself, through its sidecars.
    pub calls: Vec<&'static str>,
    /// Memory that each of its sidecars may have.
    pub memory_limit: Option<Bytes>,
}

/// One application of a service.
#[derive(Clone, Copy, Debug)]
pub struct Instance {
    /// Where it listens.
    pub app: SocketAddr,
    /// How it is reached.
    pub way: Way,
    /// Zone that it is in.
    pub zone: Option<&'static str>,
}

/// How an application is reached.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Through a sidecar that takes mTLS only.
    Sidecar,
    /// Through a sidecar that takes plaintext, too.
    Permissive,
    /// Through a sidecar that others find under another address, with the same port.
    SeenAt(IpAddr),
    /// Without a sidecar.
    Direct,
}

impl Plan {
    /// Services without routes and policies.
    pub fn of(services: Vec<Service>) -> Self {
        Self {
            services,
            files: Vec::new(),
            mesh_http: MeshHttp::default(),
            certificate_lifetime: Duration::from_secs(3600),
            drain: Duration::from_secs(20),
            tracing: None,
            zone: None,
        }
    }

    /// The same with another file.
    #[must_use]
    pub fn with(mut self, file: &'static str, text: String) -> Self {
        self.files.push((file, text));
        self
    }
}

impl Service {
    /// A service that speaks HTTP/1.1, with a sidecar before each application.
    pub fn meshed(name: &'static str, apps: &[SocketAddr]) -> Self {
        Self::reached(name, apps, Way::Sidecar)
    }

    /// A service that speaks HTTP/1.1, with no sidecar.
    pub fn direct(name: &'static str, apps: &[SocketAddr]) -> Self {
        Self::reached(name, apps, Way::Direct)
    }

    /// A service that speaks HTTP/1.1, each application of which is reached in the same way.
    pub fn reached(name: &'static str, apps: &[SocketAddr], way: Way) -> Self {
        let instances = apps.iter().map(|app| Instance { app: *app, way, zone: None }).collect();
        Self { name, app_protocol: None, instances, calls: Vec::new(), memory_limit: None }
    }

    /// The same, with each application in the zone that stands in its place.
    #[must_use]
    pub fn in_zones(mut self, zones: &[&'static str]) -> Self {
        for (instance, zone) in self.instances.iter_mut().zip(zones) {
            instance.zone = Some(zone);
        }
        self
    }

    /// The same, calling another service.
    #[must_use]
    pub fn calling(mut self, service: &'static str) -> Self {
        self.calls.push(service);
        self
    }
}

/// A plan with an address for everything.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Workloads by name.
    pub(crate) workloads: BTreeMap<String, WorkloadSpec>,
    /// Where the caller reaches each service.
    pub(crate) entrances: BTreeMap<&'static str, SocketAddr>,
    /// Where the application of a workload reaches a service that it calls.
    pub(crate) exits: BTreeMap<(String, &'static str), SocketAddr>,
    /// Files by name.
    pub(crate) files: BTreeMap<String, String>,
}

impl Layout {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut layout = Self {
            workloads: BTreeMap::new(),
            entrances: BTreeMap::new(),
            exits: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        let mut outbound = Vec::new();
        for service in &plan.services {
            let listen = port::free();
            layout.entrances.insert(service.name, listen);
            outbound.push(way_to(service.name, listen));
            layout.place(service, plan.tracing.as_ref());
        }
        let caller = workload(CALLER, Vec::new(), outbound, plan.tracing.clone());
        let zone = plan.zone.map(str::to_owned);
        layout.workloads.insert(CALLER.to_owned(), WorkloadSpec { zone, ..caller });
        let workloads = layout.workloads.iter().map(|(name, spec)| manifest::workload(name, spec));
        layout.files.insert("workloads.yaml".to_owned(), workloads.collect());
        let others = plan.files.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
        layout.files.extend(others);
        layout
    }

    /// Writes down a service, and makes a workload for each sidecar of it.
    fn place(&mut self, service: &Service, tracing: Option<&Tracing>) {
        let mut places: Vec<(SocketAddr, Option<String>, Option<&str>)> = Vec::new();
        for (index, instance) in service.instances.iter().enumerate() {
            let name = format!("{}-{index}", service.name);
            let listen = port::free();
            let (mtls, seen) = match instance.way {
                Way::Direct => {
                    places.push((instance.app, None, instance.zone));
                    continue;
                }
                Way::Sidecar => (Mtls::Strict, listen),
                Way::Permissive => (Mtls::Permissive, listen),
                Way::SeenAt(address) => (Mtls::Strict, SocketAddr::new(address, listen.port())),
            };
            let inbound = Inbound {
                port: listen.port(),
                address: listen.ip(),
                app: instance.app,
                mtls,
                app_protocol: service.app_protocol.map(str::to_owned),
            };
            places.push((seen, Some(name.clone()), instance.zone));
            let calls = service.calls.iter().map(|called| {
                let listen = port::free();
                self.exits.insert((name.clone(), *called), listen);
                way_to(called, listen)
            });
            let calls = calls.collect();
            let spec = workload(service.name, vec![inbound], calls, tracing.cloned());
            self.workloads.insert(name, WorkloadSpec { memory_limit: service.memory_limit, ..spec });
        }
        let endpoints: Vec<Endpoint<'_>> = places
            .iter()
            .map(|(address, workload, zone)| Endpoint {
                address: *address,
                workload: workload.as_deref(),
                zone: *zone,
            })
            .collect();
        let text = manifest::service(service.name, service.app_protocol)
            + &manifest::slices(service.name, &endpoints);
        self.files.insert(format!("{}.yaml", service.name), text);
    }
}

fn way_to(service: &str, listen: SocketAddr) -> Outbound {
    Outbound { listen, service: service.to_owned(), namespace: None, port: SERVICE_PORT }
}

fn workload(
    account: &str,
    inbound: Vec<Inbound>,
    outbound: Vec<Outbound>,
    tracing: Option<Tracing>,
) -> WorkloadSpec {
    WorkloadSpec {
        service_account: Some(account.to_owned()),
        zone: None,
        inbound,
        outbound,
        admin: port::free(),
        access_log: AccessLog::All,
        memory_limit: None,
        tracing,
    }
}
