//! Sticky sessions of a rule: how its cookie or header is called, and what seals what stands in it.

use aws_lc_rs::hmac;
use serde::Serialize;
use weft_api::gateway::SessionPersistence;

use super::{matches::Condition, precedence::Candidate};
use crate::store::ObjectName;

/// Bytes of a name that nobody has chosen: enough to tell the rules of an application apart.
const NAME_BYTES: usize = 4;

/// What sidecars are told of the sessions of a rule.
#[derive(Serialize)]
pub(super) struct Sessions<'a> {
    name: String,
    key: String,
    spec: &'a SessionPersistence,
}

impl<'a> Sessions<'a> {
    /// Those of a rule. Its key is made from the `secret` of the mesh, and tells nothing of it.
    pub(super) fn of<M: Condition>(candidate: &Candidate<'a, M>, secret: &hmac::Key) -> Option<Self> {
        let spec = candidate.rule.session_persistence.as_ref()?;
        let route = format!("{}/{}", M::STEP, ObjectName::of(&candidate.view.route.metadata));
        // A rule that has a name keeps its sessions wherever in the route it stands.
        let rule = match &candidate.rule.name {
            Some(name) => format!("{route}/name/{name}"),
            None => format!("{route}/{}", candidate.rule_index),
        };
        let derived = |what: &str| hmac::sign(secret, format!("{what}\0{rule}").as_bytes());
        let chosen = spec.session_name.clone();
        let name = chosen.unwrap_or_else(|| format!("weft-{}", hex(&derived("name").as_ref()[..NAME_BYTES])));
        Some(Self { name, key: hex(derived("key").as_ref()), spec })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
