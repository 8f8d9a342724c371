//! A connection of the application that the redirect led here, by where it was meant to go.

use std::{io, net::SocketAddr, rc::Rc, time::Instant};

use tokio::{net::TcpStream, time::timeout_at};

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
            opaque::pass_through(worker, stream, original, reason, connection).await;
            return Ok(None);
        }
    };
    let (protocol, stream) = match (&service.routes, &service.opaque) {
        (Some(_), Some(_)) => detect(stream, Expected::Any, DETECT_TIMEOUT).await?,
        (Some(_), None) => detect(stream, Expected::Http, DETECT_TIMEOUT).await?,
        // Nobody looks at it: the server may be the one to speak first.
        (None, _) => (Protocol::Opaque, Rewound::untouched(stream)),
    };
    match (protocol, service.opaque) {
        (Protocol::Http1, _) => return Ok(Some((stream, Version::Http1, demand))),
        (Protocol::Http2, _) => return Ok(Some((stream, Version::Http2, demand))),
        (protocol, Some(opaque)) => {
            if let Protocol::Tls(hello) = protocol {
                connection.server_name = hello.server_name;
            }
            opaque::carry(worker, stream, &opaque, connection).await;
        }
        (_, None) => {
            tcp::break_off(&stream);
            connection.refuse(Fault::NotHttp);
        }
    }
    Ok(None)
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
