//! The gRPC service: lets in whoever shows a good token or certificate, and gives each a session.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};
use weft_identity::SpiffeId;
use weft_xds::{
    Publish, Publisher, WorldPublisher,
    discovery::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
        aggregated_discovery_service_server::AggregatedDiscoveryService,
    },
};

use super::{Shared, session::Session, view::Subscriber};
use crate::authenticate::Denied;

/// The service as one connection sees it.
pub(super) struct Discovery {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: SocketAddr,
    /// Whose certificate the connection was opened with.
    pub(super) account: Option<SpiffeId>,
    pub(super) newcomer: Newcomer,
}

/// A connection's place among those of which nobody knows yet whose they are; given up with the
/// first good token or certificate.
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
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.serve::<WorldPublisher>(request).await
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.serve::<Publisher>(request).await
    }
}

impl Discovery {
    /// A session in the variant of the protocol that `P` speaks.
    async fn serve<P>(
        &self,
        request: Request<Streaming<P::Request>>,
    ) -> Result<Response<Responses<P::Response>>, Status>
    where
        P: Publish + Send + 'static,
        P::Request: Send + 'static,
        P::Response: Send + 'static,
    {
        let subscriber = self.authenticate(request.metadata()).await?;
        drop(self.newcomer.place().take());
        tracing::info!(
            namespace = subscriber.namespace(),
            workload = subscriber.name(),
            service_account = subscriber.service_account(),
            peer = %self.peer,
            "a proxy connected"
        );
        let requests = request.into_inner().boxed();
        let session = Session::<P>::new(self.shared.clone(), subscriber, self.peer, requests);
        let responses = stream::unfold(session, async |mut session| {
            let response = session.next().await?;
            Some((response, session))
        });
        Ok(Response::new(responses.boxed()))
    }

    /// Who opens the stream: by the token if there is one, be it good or bad, and else by the certificate that the
    /// handshake verified.
    async fn authenticate(&self, metadata: &MetadataMap) -> Result<Subscriber, Status> {
        let refused = |label: &str, reason: &str| {
            self.shared.metrics.ended.with_label_values(&[label]).inc();
            tracing::warn!(peer = %self.peer, reason, "a proxy was not let in");
        };
        let unauthenticated = |reason: &str| {
            refused("unauthenticated", reason);
            Status::unauthenticated(reason)
        };
        let header = metadata.get("authorization");
        if header.is_none()
            && let Some(account) = &self.account
        {
            return Ok(Subscriber::Account(account.clone()));
        }
        let token =
            header.and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| {
            unauthenticated(
                "no bearer token: send `authorization: Bearer <token>`, or show a certificate of the mesh",
            )
        })?;
        let found = self.shared.authenticator.authenticate(token, SystemTime::now()).await;
        found.map(Subscriber::Workload).map_err(|denied| match denied {
            // It may be a good one: the proxy comes again.
            Denied::Unknown(_) => {
                refused("not_reviewed", &denied.to_string());
                Status::unavailable(denied.to_string())
            }
            Denied::Local(_) | Denied::Review(_) => unauthenticated(&denied.to_string()),
        })
    }
}
