//! A connection of the application that the redirect led here, by where it was meant to go.

use std::{io, net::SocketAddr, rc::Rc, time::Instant};

use tokio::{net::TcpStream, time::timeout_at};

use weft_api::bootstrap::OutboundPolicy;

use super::{CONFIGURATION_WAIT, opaque};
use crate::{
    connection::Connection,
    demand::Demand,
    detect::{DETECT_TIMEOUT, Expected, Protocol, Rewound, detect},
    fault::Fault,
    http::serve::Version,
    snapshot::{Destination, Service},
    tcp,
    telemetry::{Direction, connections::Passthrough},
    worker::Worker,
};

/// A connection that HTTP is served over, and what it asks for: held, so that it stays known.
type Http = (Rewound<TcpStream>, Version, Demand);

/// Takes a connection that was meant to go to `original`. `None` = its bytes were opaque, and it is over.
pub async fn leave(worker: &Rc<Worker>, stream: TcpStream, original: SocketAddr) -> io::Result<Option<Http>> {
    let mut connection = Connection::begin(worker, Direction::Outbound, stream.peer_addr().ok());
    connection.target = Some(original);
    let (demand, service) = match service(worker, original).await {
        Ok(found) => found,
        Err(reason) => {
            match worker.shared.outbound_policy {
                OutboundPolicy::AllowAny => {
                    opaque::pass_through(worker, stream, original, reason, connection).await;
                }
                OutboundPolicy::RegistryOnly => opaque::keep_in(&stream, original, reason, connection),
            }
            return Ok(None);
        }
    };
    let (protocol, stream) = match expected(&service) {
        Some(expected) => detect(stream, expected, DETECT_TIMEOUT).await?,
        // Nobody looks at it: the server may be the one to speak first.
        None => (Protocol::Opaque, Rewound::untouched(stream)),
    };
    let mut named = None;
    match protocol {
        Protocol::Http1 => return Ok(Some((stream, Version::Http1, demand))),
        Protocol::Http2 => return Ok(Some((stream, Version::Http2, demand))),
        Protocol::Tls(hello) => {
            named = hello.server_name.as_ref().and_then(|name| service.tls.find(name));
            connection.server_name = hello.server_name;
        }
        Protocol::Opaque | Protocol::Silence => {}
    }
    let Some(opaque) = named.or(service.opaque.as_ref()) else {
        tcp::break_off(&stream);
        connection.refuse(if service.tls.is_empty() { Fault::NotHttp } else { Fault::NoRoute });
        return Ok(None);
    };
    opaque::carry(worker, stream, opaque, connection).await;
    Ok(None)
}

/// What connections to a service can be; `None` = it makes no difference.
fn expected(service: &Service) -> Option<Expected> {
    match (service.routes.is_some(), service.opaque.is_some(), !service.tls.is_empty()) {
        (true, false, false) => Some(Expected::Http),
        (true, _, _) => Some(Expected::Any),
        (false, _, true) => Some(Expected::Opaque),
        (false, _, false) => None,
    }
}

/// What stands at `original`; asked for, if nobody has yet.
async fn service(worker: &Worker, original: SocketAddr) -> Result<(Demand, Service), Passthrough> {
    let shared = &worker.shared;
    let demand = shared.demands.ask(&original.to_string(), Instant::now()).ok_or(Passthrough::TooMany)?;
    let answer = shared.snapshots.wait_for(|snapshot| snapshot.destinations.get(&demand.name).cloned());
    // Of those who come while nobody answers, only the first have to wait.
    match timeout_at((demand.since + CONFIGURATION_WAIT).into(), answer).await {
        Ok(Destination::Service(service)) => Ok((demand, service)),
        Ok(Destination::Unknown) => Err(Passthrough::Unknown),
        Err(_) => Err(Passthrough::Unanswered),
    }
}

#[cfg(test)]
mod tests;
