//! A backend: what stands before it, and who takes its requests.

use std::sync::Arc;

use crate::{affinity::Affinity, balance::Endpoints, guard::Guard};

/// One backend as a snapshot has it.
#[derive(Debug)]
pub struct Cluster {
    /// Its limits, breaker and fallback.
    pub guard: Arc<Guard>,
    /// What requests are hashed by, where an endpoint is chosen by a hash.
    pub affinity: Option<Arc<Affinity>>,
    /// Who takes requests.
    pub endpoints: Endpoints,
}

impl Cluster {
    /// `<namespace>/<service>:<port>`.
    pub fn name(&self) -> &Arc<str> {
        &self.guard.name
    }
}

#[cfg(test)]
impl Cluster {
    /// One with these endpoints.
    pub fn for_tests(name: &str, endpoints: Vec<Arc<crate::balance::Endpoint>>) -> Self {
        Self { guard: Guard::for_tests(name), affinity: None, endpoints: endpoints.into() }
    }
}
