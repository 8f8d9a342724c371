//! A backend: what stands before it, and who takes its requests.

use std::sync::Arc;

use crate::{balance::Endpoints, guard::Guard};

/// One backend as a snapshot has it.
#[derive(Debug)]
pub struct Cluster {
    /// Its limits, breaker and fallback.
    pub guard: Arc<Guard>,
    /// Who takes requests.
    pub endpoints: Endpoints,
}

impl Cluster {
    /// `<namespace>/<service>:<port>`.
    pub fn name(&self) -> &Arc<str> {
        &self.guard.name
    }
}
