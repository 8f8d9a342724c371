//! What annotations of the mesh say on pods, namespaces and Services. The injector has checked those of pods, but
//! annotations can be edited later, and nobody has checked the others.

use std::{fmt::Display, str::FromStr};

use weft_api::{names, object::Metadata, ports::Ports, workload::Mtls};

use crate::store::{Finding, ObjectKey, ObjectKind, ObjectName, Reason};

/// The annotations of one object.
pub(super) struct Annotations<'a> {
    kind: ObjectKind,
    metadata: &'a Metadata,
}

/// What the annotations of a namespace say of its pods and Services.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    pub(super) opaque: Option<Ports>,
    pub(super) mtls: Option<Mtls>,
}

impl Defaults {
    pub(super) fn of(namespace: &Metadata, findings: &mut Vec<Finding>) -> Self {
        let annotations = Annotations::of(ObjectKind::Namespace, namespace);
        let opaque = annotations.ports(names::ANNOTATION_OPAQUE_PORTS, findings);
        Self { opaque, mtls: annotations.policy(findings) }
    }
}

impl<'a> Annotations<'a> {
    pub(super) fn of(kind: ObjectKind, metadata: &'a Metadata) -> Self {
        Self { kind, metadata }
    }

    /// Ports, as in `22,9000-9010`. What cannot be read names none.
    pub(super) fn ports(&self, key: &str, findings: &mut Vec<Finding>) -> Option<Ports> {
        let hint = "write ports and ranges, such as `22,9000-9010`";
        self.read(key, Ports::from_str, hint, findings)?.ok()
    }

    /// Whether plaintext is taken. What cannot be read refuses it, as whoever wrote it may have meant.
    pub(super) fn policy(&self, findings: &mut Vec<Finding>) -> Option<Mtls> {
        let parse = |text: &str| match text {
            "strict" => Ok(Mtls::Strict),
            "permissive" => Ok(Mtls::Permissive),
            other => Err(format!("is `{other}`, so plaintext is refused")),
        };
        let hint = "write `strict` or `permissive`";
        let read = self.read(names::ANNOTATION_DEFAULT_POLICY, parse, hint, findings)?;
        Some(read.unwrap_or(Mtls::Strict))
    }

    fn read<T, E: Display>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
        hint: &str,
        findings: &mut Vec<Finding>,
    ) -> Option<Result<T, E>> {
        let read = parse(self.metadata.annotations.get(key)?);
        if let Err(error) = &read {
            findings.push(self.finding(key, Reason::OutOfRange, error.to_string(), hint));
        }
        Some(read)
    }

    /// Something wrong with the annotation `key`.
    pub(super) fn finding(&self, key: &str, reason: Reason, message: String, hint: &str) -> Finding {
        Finding {
            object: ObjectKey { kind: self.kind, name: ObjectName::of(self.metadata) },
            // A key may hold dots, so it stands in brackets as in JSONPath.
            field: format!("metadata.annotations['{key}']"),
            reason,
            message,
            hint: hint.to_owned(),
        }
    }
}
