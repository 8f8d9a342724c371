//! One document of a file: which object it is, or why it is none.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use weft_api::{Object, kubernetes::Namespace, object::Metadata, policy::Policy};

use super::{flaw::Flaw, spelling::nearest, stand_in, validate};
use crate::{
    document::{Node, Value},
    store::{AnyObject, ObjectKey, ObjectKind, ObjectName, Reason},
};

/// An object, and the text that it was read from.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) object: AnyObject,
    pub(super) node: Node,
}

/// Who wrote a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    /// Somebody who may mistype.
    Person,
    /// A server that may be newer than this program.
    ApiServer,
}

/// A document that is no object.
#[derive(Debug)]
pub(super) struct Rejected {
    /// Which object it would be, as far as it says.
    pub(super) key: Option<ObjectKey>,
    pub(super) flaw: Box<Flaw>,
    /// What is in force instead of it where no earlier form of it is.
    pub(super) stand_in: Option<Box<Located>>,
}

impl Rejected {
    /// A document that does not even say which object it would be.
    fn nameless(flaw: Flaw) -> Self {
        Self { key: None, flaw: flaw.into(), stand_in: None }
    }
}

/// Reads a document: an object, or a `List` of them.
pub(super) fn decode(document: Node) -> Vec<Result<Located, Rejected>> {
    if document.text("kind") != Some("List") {
        return vec![decode_object(document, Author::Person)];
    }
    let Some(Value::Sequence(items)) = document.get("items").map(|items| &items.value) else {
        let flaw = Flaw::new(&document, "items", Reason::MissingField, "must be a list of objects");
        return vec![Err(Rejected::nameless(flaw))];
    };
    items.iter().cloned().map(|item| decode_object(item, Author::Person)).collect()
}

/// Reads an object as an API server gives it. Flaws have no line.
pub(super) fn decode_served(object: serde_json::Value) -> Result<Located, Rejected> {
    decode_object(object.into(), Author::ApiServer)
}

fn decode_object(node: Node, author: Author) -> Result<Located, Rejected> {
    let kind = kind(&node).map_err(Rejected::nameless)?;
    let rejected = |flaw| {
        let key = key(&node, kind);
        let stand_in = key.as_ref().and_then(|key| stand_in::of(key, &node)).map(Box::new);
        Rejected { key, flaw: Box::new(flaw), stand_in }
    };
    let metadata = metadata(&node, kind, author).map_err(rejected)?;
    let object = object(kind, metadata, &node, author).map_err(rejected)?;
    validate::validate(&object, &node).map_err(rejected)?;
    Ok(Located { object, node })
}

fn kind(node: &Node) -> Result<ObjectKind, Flaw> {
    if !matches!(node.value, Value::Mapping(_)) {
        return Err(Flaw::new(node, "", Reason::WrongType, "this document is no object")
            .hint("begin it with `apiVersion:` and `kind:`"));
    }
    for field in ["apiVersion", "kind"] {
        if node.text(field).is_none() {
            return Err(Flaw::new(node, field, Reason::MissingField, "is missing").hint(known_kinds()));
        }
    }
    let (version, kind) =
        (node.text("apiVersion").unwrap_or_default(), node.text("kind").unwrap_or_default());
    let Some(found) = ObjectKind::ALL.into_iter().find(|known| known.name() == kind) else {
        let hint = match nearest(kind, ObjectKind::ALL.map(ObjectKind::name)) {
            Some(meant) => format!("did you mean `{meant}`? {}", known_kinds()),
            None => known_kinds(),
        };
        return Err(
            Flaw::new(node, "kind", Reason::UnknownKind, &format!("`{kind}` is not known")).hint(hint)
        );
    };
    if found.api_version() != version {
        let message = format!("`{version}` is not known for {kind}");
        let hint = format!("write `apiVersion: {}`", found.api_version());
        return Err(Flaw::new(node, "apiVersion", Reason::UnknownKind, &message).hint(hint));
    }
    Ok(found)
}

fn known_kinds() -> String {
    let known = ObjectKind::ALL.map(|kind| format!("{} ({})", kind.name(), kind.api_version()));
    format!("known are {}", known.join(", "))
}

/// Which object this would be, read leniently: it may be one that is in force already.
fn key(node: &Node, kind: ObjectKind) -> Option<ObjectKey> {
    let metadata = node.get("metadata")?;
    let namespace = match kind {
        ObjectKind::Namespace => "",
        _ => metadata.text("namespace").unwrap_or(weft_api::object::DEFAULT_NAMESPACE),
    };
    Some(ObjectKey { kind, name: ObjectName::new(namespace, metadata.text("name")?) })
}

fn metadata(node: &Node, kind: ObjectKind, author: Author) -> Result<Metadata, Flaw> {
    let Some(written) = node.get("metadata") else {
        return Err(
            Flaw::new(node, "metadata", Reason::MissingField, "is missing").hint("add `metadata: {name: …}`")
        );
    };
    let mut metadata: Metadata = match author {
        // Pods and namespaces are a server's too where they stand in files.
        Author::Person if !is_served(kind) => read(written, "metadata")?,
        _ => read_leniently(written, "metadata")?,
    };
    if kind == ObjectKind::Namespace {
        metadata.namespace.clear();
    }
    validate::names(&metadata, kind, node)?;
    Ok(metadata)
}

/// Kinds that people do not write, and of which little is read.
fn is_served(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::Pod | ObjectKind::Namespace)
}

fn object(kind: ObjectKind, metadata: Metadata, node: &Node, author: Author) -> Result<AnyObject, Flaw> {
    match (kind, author) {
        (ObjectKind::Pod, _) => {
            return Ok(AnyObject::Pod(Arc::new(Object { metadata, spec: read_leniently(node, "")? })));
        }
        (ObjectKind::Namespace, _) => {
            return Ok(AnyObject::Namespace(Arc::new(Object { metadata, spec: Namespace {} })));
        }
        (ObjectKind::EndpointSlice, Author::ApiServer) => {
            return Ok(AnyObject::EndpointSlice(Arc::new(Object {
                metadata,
                spec: read_leniently(node, "")?,
            })));
        }
        _ => {}
    }
    let mut body = node.clone();
    for field in ["apiVersion", "kind", "metadata", "status"] {
        body.take(field);
    }
    if kind == ObjectKind::EndpointSlice {
        return Ok(AnyObject::EndpointSlice(Arc::new(Object { metadata, spec: read(&body, "")? })));
    }
    let Some(spec) = body.take("spec") else {
        return Err(Flaw::new(&body, "spec", Reason::MissingField, "is missing"));
    };
    if let Value::Mapping(rest) = &body.value
        && let Some(entry) = rest.first()
    {
        let flaw = Flaw::new(&body, &entry.name, Reason::UnknownField, "is not a field that is known here");
        return Err(flaw.hint("known here are apiVersion, kind, metadata, spec"));
    }
    Ok(match kind {
        ObjectKind::Service if author == Author::ApiServer => {
            AnyObject::Service(Arc::new(Object { metadata, spec: read_leniently(&spec, "spec")? }))
        }
        ObjectKind::Service => AnyObject::Service(Arc::new(Object { metadata, spec: read(&spec, "spec")? })),
        ObjectKind::HttpRoute => {
            AnyObject::HttpRoute(Arc::new(Object { metadata, spec: read(&spec, "spec")? }))
        }
        ObjectKind::GrpcRoute => {
            AnyObject::GrpcRoute(Arc::new(Object { metadata, spec: read(&spec, "spec")? }))
        }
        ObjectKind::TlsRoute => {
            AnyObject::TlsRoute(Arc::new(Object { metadata, spec: read(&spec, "spec")? }))
        }
        ObjectKind::TcpRoute => {
            AnyObject::TcpRoute(Arc::new(Object { metadata, spec: read(&spec, "spec")? }))
        }
        ObjectKind::Workload => {
            AnyObject::Workload(Arc::new(Object { metadata, spec: read(&spec, "spec")? }))
        }
        ObjectKind::AuthorizationPolicy => {
            AnyObject::AuthorizationPolicy(Arc::new(Object { metadata, spec: policy(spec)? }))
        }
        ObjectKind::CircuitBreakerPolicy => {
            AnyObject::CircuitBreakerPolicy(Arc::new(Object { metadata, spec: policy(spec)? }))
        }
        ObjectKind::FaultInjectionPolicy => {
            AnyObject::FaultInjectionPolicy(Arc::new(Object { metadata, spec: policy(spec)? }))
        }
        ObjectKind::LoadBalancerPolicy => {
            AnyObject::LoadBalancerPolicy(Arc::new(Object { metadata, spec: policy(spec)? }))
        }
        ObjectKind::RateLimitPolicy => {
            AnyObject::RateLimitPolicy(Arc::new(Object { metadata, spec: policy(spec)? }))
        }
        ObjectKind::RetryPolicy => AnyObject::RetryPolicy(Arc::new(Object { metadata, spec: policy(spec)? })),
        ObjectKind::EndpointSlice | ObjectKind::Pod | ObjectKind::Namespace => {
            unreachable!("returned above, since they are more or less than a spec")
        }
    })
}

/// The targets and the settings stand side by side, and each refuses what is unknown to both.
fn policy<P: DeserializeOwned, T: DeserializeOwned>(mut spec: Node) -> Result<Policy<P, T>, Flaw> {
    let targets = spec.take("targetRefs");
    let settings = read(&spec, "spec")?;
    match targets {
        Some(targets) if targets.value != Value::Sequence(Vec::new()) => {
            Ok(Policy { target_refs: read(&targets, "spec.targetRefs")?, settings })
        }
        _ => Err(Flaw::new(
            &spec,
            "",
            Reason::MissingField,
            "is missing, so the policy would apply to nothing",
        )
        .below("spec.targetRefs")
        .hint("add `targetRefs: [{group: \"\", kind: Service, name: …}]`")),
    }
}

fn read<T: DeserializeOwned>(node: &Node, at: &str) -> Result<T, Flaw> {
    node.decode().map_err(|mistake| Flaw::from(mistake).below(at))
}

fn read_leniently<T: DeserializeOwned>(node: &Node, at: &str) -> Result<T, Flaw> {
    node.decode_leniently().map_err(|mistake| Flaw::from(mistake).below(at))
}
