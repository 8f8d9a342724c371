//! The objects of a cluster, as its API server holds them.

mod fates;
mod item;
mod mirror;

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::{mpsc, watch};
use weft_kubernetes::{
    ApiServer,
    watch::{Change, Resource, follow},
};
use weft_runtime::{Shutdown, Tasks};

use super::Problem;
use crate::{
    bundles::Namespaces,
    metrics::Metrics,
    resolve::Attachment,
    status::Reports,
    store::{Finding, ObjectKind, Store},
};
use item::Item;
use mirror::Mirror;

/// Changes that wait to be compiled. Whoever watches waits while there are more, and then the API server does.
const CHANGES_MAX: usize = 1024;

/// What is watched.
const RESOURCES: [Resource<ObjectKind>; 14] = [
    all(ObjectKind::Namespace, "/api/v1/namespaces"),
    all(ObjectKind::Service, "/api/v1/services"),
    all(ObjectKind::Pod, "/api/v1/pods"),
    all(ObjectKind::EndpointSlice, "/apis/discovery.k8s.io/v1/endpointslices"),
    all(ObjectKind::HttpRoute, "/apis/gateway.networking.k8s.io/v1/httproutes"),
    all(ObjectKind::GrpcRoute, "/apis/gateway.networking.k8s.io/v1/grpcroutes"),
    all(ObjectKind::TlsRoute, "/apis/gateway.networking.k8s.io/v1/tlsroutes"),
    all(ObjectKind::TcpRoute, "/apis/gateway.networking.k8s.io/v1/tcproutes"),
    all(ObjectKind::AuthorizationPolicy, "/apis/policy.weft.dev/v1alpha1/authorizationpolicies"),
    all(ObjectKind::CircuitBreakerPolicy, "/apis/policy.weft.dev/v1alpha1/circuitbreakerpolicies"),
    all(ObjectKind::FaultInjectionPolicy, "/apis/policy.weft.dev/v1alpha1/faultinjectionpolicies"),
    all(ObjectKind::LoadBalancerPolicy, "/apis/policy.weft.dev/v1alpha1/loadbalancerpolicies"),
    all(ObjectKind::RateLimitPolicy, "/apis/policy.weft.dev/v1alpha1/ratelimitpolicies"),
    all(ObjectKind::RetryPolicy, "/apis/policy.weft.dev/v1alpha1/retrypolicies"),
];

const fn all(kind: ObjectKind, path: &'static str) -> Resource<ObjectKind> {
    Resource { kind, path, field_selector: "" }
}

/// All objects of a cluster, kept up to date by one watch for each kind.
pub struct Cluster {
    mirror: Mirror,
    changes: mpsc::Receiver<(ObjectKind, Change<Item>)>,
    metrics: Metrics,
    reports: watch::Sender<Reports>,
    namespaces: watch::Sender<Namespaces>,
    /// Where the mesh itself is.
    own_namespace: String,
}

impl Cluster {
    /// Begins to watch by way of `api`. When this returns, every object is known that was there.
    pub async fn open(
        api: &ApiServer,
        own_namespace: &str,
        metrics: Metrics,
        tasks: &Tasks,
        shutdown: &Shutdown,
    ) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        for resource in RESOURCES {
            let (api, sender, shutdown) = (api.clone(), sender.clone(), shutdown.clone());
            tasks.spawn("watch", async move {
                tokio::select! {
                    () = follow(&api, &resource, |object| Item::read(resource.kind, object), &sender) => {}
                    () = shutdown.draining() => {}
                }
            });
        }
        let mut opened = Self {
            mirror: Mirror::default(),
            changes,
            metrics,
            reports: watch::Sender::default(),
            namespaces: watch::Sender::default(),
            own_namespace: own_namespace.to_owned(),
        };
        let mut unknown: BTreeSet<_> = RESOURCES.iter().map(|resource| resource.kind).collect();
        while !unknown.is_empty()
            && let Some((kind, change)) = opened.changes.recv().await
        {
            unknown.remove(&kind);
            opened.apply(kind, change);
        }
        opened
    }

    /// Objects in force.
    pub fn store(&self) -> &Store {
        self.mirror.store()
    }

    /// What became of policies and routes.
    pub fn reports(&self) -> watch::Receiver<Reports> {
        self.reports.subscribe()
    }

    /// Where sidecars are, or will be.
    pub fn namespaces(&self) -> watch::Receiver<Namespaces> {
        self.namespaces.subscribe()
    }

    /// Waits until something else than before is in force. May be dropped at any time, and loses nothing that a later
    /// call does not make good.
    pub async fn changed(&mut self) {
        let mut changed = false;
        while !changed {
            match self.changes.recv().await {
                Some((kind, change)) => changed = self.apply(kind, change),
                // The watches have ended: the process drains.
                None => std::future::pending().await,
            }
        }
        // What waits already is compiled with it.
        while let Ok((kind, change)) = self.changes.try_recv() {
            self.apply(kind, change);
        }
    }

    /// Everything that is wrong, given what is wrong with the objects together.
    pub fn problems(&self, findings: &[Finding]) -> Vec<Problem> {
        self.mirror.problems(findings)
    }

    /// Tells those who write into the cluster, given what is wrong with the objects together, and what is `attached`.
    pub fn tell(&self, findings: &[Finding], attached: &BTreeSet<Attachment>) {
        self.reports.send_if_modified(|reports| {
            let next = self.mirror.reports(findings, attached);
            let is_new = **reports != next;
            if is_new {
                *reports = Arc::new(next);
            }
            is_new
        });
        self.namespaces.send_if_modified(|namespaces| {
            let mut next = self.mirror.meshed_namespaces();
            next.insert(self.own_namespace.clone());
            let is_new = **namespaces != next;
            if is_new {
                *namespaces = Arc::new(next);
            }
            is_new
        });
    }

    fn apply(&mut self, kind: ObjectKind, change: Change<Item>) -> bool {
        match &change {
            Change::Listed(objects) => {
                self.metrics.lists.with_label_values(&[kind.name()]).inc();
                tracing::info!(kind = kind.name(), objects = objects.len(), "listed");
            }
            Change::Absent => {
                let version = kind.api_version();
                tracing::warn!(
                    kind = kind.name(),
                    version,
                    "this kind is not installed: going on without it"
                );
            }
            Change::Applied(_) | Change::Removed(_) => {}
        }
        self.mirror.apply(kind, change)
    }
}
