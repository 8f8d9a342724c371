//! Which connections a rule of a policy speaks of.

use serde::{Deserialize, Serialize};

use crate::violation::{Violation, at_most};

/// A rule names so many ports at most.
pub const PORTS_MAX: usize = 64;

/// Where something goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkAttributes {
    /// Ports of the workload: any of these, at most 64.
    pub ports: Vec<u16>,
}

impl NetworkAttributes {
    /// Checks what the types cannot say. Errors name the field by its path, which begins with `field`.
    pub fn validate(&self, field: &str) -> Result<(), Violation> {
        let field = format!("{field}.ports");
        if self.ports.is_empty() {
            return Err(Violation::new(
                field,
                "must not be empty; leave networkAttributes out for all ports",
            ));
        }
        at_most(&field, self.ports.len(), PORTS_MAX)?;
        match self.ports.iter().position(|port| *port == 0) {
            None => Ok(()),
            Some(index) => {
                let rule = "is 0; it must be within 1 to 65535";
                Err(Violation::new(format!("{field}[{index}]"), rule))
            }
        }
    }
}
