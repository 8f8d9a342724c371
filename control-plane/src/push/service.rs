//! The gRPC service: lets in whoever shows a good token, and gives each a session.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};
use weft_identity::token::Workload;
use weft_xds::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_server::AggregatedDiscoveryService,
};

use super::{Shared, session::Session};

/// The service as one connection sees it.
pub(super) struct Discovery {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: SocketAddr,
    pub(super) newcomer: Newcomer,
}

/// A connection's place among those of which nobody knows yet whose they are; given up with the first good token.
#[derive(Clone)]
pub(super) struct Newcomer(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Newcomer {
    pub(super) fn new(place: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(place))))
    }

    /// Whether nobody on this connection has shown a good token.
    pub(super) fn is_unknown(&self) -> bool {
        self.place().is_some()
    }

    fn place(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only the incremental variant is served: use DeltaAggregatedResources"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let workload = self.authenticate(request.metadata())?;
        drop(self.newcomer.place().take());
        tracing::info!(
            namespace = workload.namespace,
            workload = workload.pod,
            peer = %self.peer,
            "a proxy connected"
        );
        let requests = request.into_inner().boxed();
        let session = Session::new(self.shared.clone(), workload, self.peer, requests);
        let responses = stream::unfold(session, async |mut session| {
            let response = session.next().await?;
            Some((response, session))
        });
        Ok(Response::new(responses.boxed()))
    }
}

impl Discovery {
    fn authenticate(&self, metadata: &MetadataMap) -> Result<Workload, Status> {
        let refused = |reason: &str| {
            self.shared.metrics.ended.with_label_values(&["unauthenticated"]).inc();
            tracing::warn!(peer = %self.peer, reason, "a proxy was not let in");
            Status::unauthenticated(reason.to_owned())
        };
        let header = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| refused("no bearer token: send `authorization: Bearer <token>`"))?;
        let found = self.shared.authenticator.authenticate(token, SystemTime::now());
        found.map_err(|refusal| refused(&refusal.to_string()))
    }
}
