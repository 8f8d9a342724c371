//! What one subscriber may see: the snapshot of all, its own way in, and its own certificate.

use std::sync::Arc;

use prost::Message as _;
use weft_api::names;
use weft_identity::{SpiffeId, token::Workload};
use weft_xds::{
    Catalog, Kind, Version,
    core::{DataSource, data_source::Specifier},
    publish::Resource,
    tls::{Secret, TlsCertificate, secret},
};

use crate::{snapshot::Snapshot, store::ObjectName};

/// Who subscribes, by what was proved.
#[derive(Clone, Debug)]
pub(super) enum Subscriber {
    /// A workload, by its token.
    Workload(Workload),
    /// Somebody with this service account, by a certificate. Which of its workloads it is nobody knows: it has no way in
    /// of its own, and gets no certificate, since it could renew a stolen one for ever.
    Account(SpiffeId),
}

impl Subscriber {
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Workload(workload) => &workload.namespace,
            Self::Account(id) => id.namespace(),
        }
    }

    pub(super) fn service_account(&self) -> &str {
        match self {
            Self::Workload(workload) => &workload.service_account,
            Self::Account(id) => id.service_account(),
        }
    }

    /// Name of the workload; empty if only its service account is known.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Workload(workload) => &workload.pod,
            Self::Account(_) => "",
        }
    }

    fn workload(&self) -> Option<&Workload> {
        match self {
            Self::Workload(workload) => Some(workload),
            Self::Account(_) => None,
        }
    }
}

/// The catalog of one subscriber.
pub(super) struct View {
    snapshot: Arc<Snapshot>,
    subscriber: Subscriber,
    identity: Option<Arc<Resource>>,
    /// Generation of the last answer to a signing request on this stream.
    identity_generation: u64,
}

impl View {
    /// What `subscriber`, who was authenticated, sees of `snapshot`.
    pub(super) fn new(subscriber: Subscriber, snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, subscriber, identity: None, identity_generation: 0 }
    }

    /// Whose view it is.
    pub(super) fn subscriber(&self) -> &Subscriber {
        &self.subscriber
    }

    /// The workload whose view it is, if it is known which one that is.
    pub(super) fn workload(&self) -> Option<&Workload> {
        self.subscriber.workload()
    }

    /// What it shows of all.
    pub(super) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Shows a newer snapshot from now on.
    pub(super) fn set_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = snapshot;
    }

    /// Shows a new certificate chain from now on, or none.
    pub(super) fn set_identity(&mut self, chain_pem: Option<String>, now_ms: u64) {
        self.identity_generation = now_ms.max(self.identity_generation + 1);
        self.identity = chain_pem.map(|chain| Arc::new(identity(chain, self.identity_generation)));
    }
}

impl Catalog for View {
    fn get(&self, kind: Kind, name: &str) -> Option<Arc<Resource>> {
        match (kind, name) {
            (Kind::Secret, names::RESOURCE_IDENTITY) => self.identity.clone(),
            (Kind::Listener, names::RESOURCE_INBOUND) => {
                let Workload { namespace, service_account, pod, .. } = self.workload()?;
                self.snapshot.inbound(&ObjectName::new(namespace, pod), service_account).cloned()
            }
            _ => self.snapshot.get(kind, name, self.subscriber.namespace()).cloned(),
        }
    }

    fn wildcard(&self, kind: Kind) -> Vec<String> {
        match kind {
            Kind::Cluster => self.snapshot.names(kind).map(ToOwned::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    fn generation(&self) -> u64 {
        self.snapshot.generation().max(self.identity_generation)
    }
}

fn identity(chain_pem: String, generation: u64) -> Resource {
    let chain = DataSource { specifier: Some(Specifier::InlineBytes(chain_pem.into())) };
    let secret = Secret {
        name: names::RESOURCE_IDENTITY.to_owned(),
        r#type: Some(secret::Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(chain),
            ..TlsCertificate::default()
        })),
    };
    let body = secret.encode_to_vec();
    Resource {
        name: names::RESOURCE_IDENTITY.to_owned(),
        aliases: Vec::new(),
        version: Version::of(generation, &body),
        body: body.into(),
    }
}
