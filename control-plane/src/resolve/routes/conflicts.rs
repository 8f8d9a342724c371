//! Routes of a port that others keep from it.

use std::collections::BTreeMap;

use weft_api::{
    Object,
    gateway::StreamRouteSpec,
    kubernetes::{ServicePort, ServiceSpec},
    object::Metadata,
};

use super::{super::flaw::Flaw, AtPort};
use crate::{
    resolve::references::about,
    store::{Finding, ObjectKind, ObjectName, Reason},
};

/// A route as far as its rank goes: kind, name, and the index of the parent by which it is attached.
type Candidate<'a> = (ObjectKind, &'a Metadata, usize);

/// The routes of a kind.
pub(super) fn candidates<'a, R>(kind: ObjectKind, routes: &[AtPort<'a, R>]) -> Vec<Candidate<'a>> {
    routes.iter().map(|(route, parent)| (kind, &route.metadata, *parent)).collect()
}

/// All but those of the first kind that there are any of. `by_rank` has the kind that wins over all others first.
pub(super) fn of_kinds(
    by_rank: &[Vec<Candidate<'_>>],
    service: &Object<ServiceSpec>,
    port: &ServicePort,
) -> Vec<Finding> {
    let mut kinds = by_rank.iter().filter(|routes| !routes.is_empty());
    let Some([winner, ..]) = kinds.next().map(Vec::as_slice) else { return Vec::new() };
    let finding = |loser: &Candidate<'_>| {
        let rest = format!("{}s give way to it there", loser.0.name());
        let hint = "put what they route onto ports of their own, or all rules into one kind of route";
        conflicted(*loser, *winner, &rest, hint, service, port)
    };
    kinds.flatten().map(finding).collect()
}

/// Those that say where all bytes go, though an older one says so already.
pub(super) fn of_juniors(
    elder: &AtPort<'_, StreamRouteSpec>,
    juniors: &[AtPort<'_, StreamRouteSpec>],
    service: &Object<ServiceSpec>,
    port: &ServicePort,
) -> Vec<Finding> {
    let winner = (ObjectKind::TcpRoute, &elder.0.metadata, elder.1);
    let hint = "put all backends into one TCPRoute, or remove one of them";
    let finding = |junior| conflicted(junior, winner, "the older one counts", hint, service, port);
    candidates(ObjectKind::TcpRoute, juniors).into_iter().map(finding).collect()
}

/// Names that an older route of the port has already. The others of a route still count.
pub(super) fn of_hostnames(routes: &[AtPort<'_, StreamRouteSpec>], port: &ServicePort) -> Vec<Finding> {
    let mut elders: BTreeMap<&str, &Metadata> = BTreeMap::new();
    let mut findings = Vec::new();
    for (route, _) in routes {
        for (index, hostname) in route.spec.hostnames.iter().enumerate() {
            let elder = *elders.entry(hostname).or_insert(&route.metadata);
            if ObjectName::of(elder) == ObjectName::of(&route.metadata) {
                continue;
            }
            let flaw = Flaw {
                field: "",
                reason: Reason::Conflicted,
                message: format!(
                    "is `{hostname}`, which the older TLSRoute {} has on port {}",
                    ObjectName::of(elder),
                    port.port
                ),
                hint: "name it in one of them only".to_owned(),
            };
            findings.push(
                flaw.at(&about(ObjectKind::TlsRoute, &route.metadata), &format!("spec.hostnames[{index}]")),
            );
        }
    }
    findings
}

fn conflicted(
    (kind, loser, parent): Candidate<'_>,
    (winning_kind, winner, _): Candidate<'_>,
    rest: &str,
    hint: &str,
    service: &Object<ServiceSpec>,
    port: &ServicePort,
) -> Finding {
    let message = format!(
        "names port {} of Service {}, to which {} {} is attached; {rest}",
        port.port,
        ObjectName::of(&service.metadata),
        winning_kind.name(),
        ObjectName::of(winner),
    );
    let flaw = Flaw { field: "", reason: Reason::Conflicted, message, hint: hint.to_owned() };
    flaw.at(&about(kind, loser), &format!("spec.parentRefs[{parent}]"))
}
