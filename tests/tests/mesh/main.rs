//! The mesh as its users meet it: the real program as real processes, real sockets and real TLS.

// Who may talk to whom, and what others can read of it.
mod authorization;
mod identity;
mod rate_limits;
mod secrecy;
// What is carried, and where to.
mod protocols;
mod routing;
mod precedence;
mod filters;
mod mirrors;
mod balancing;
mod sessions;
mod calls;
mod upgrades;
mod interim;
mod tunnels;
// What is told of it.
mod traces;
// What happens when an application fails.
mod breakers;
mod elsewhere;
mod faults;
mod injection;
mod retries;
// What happens when the mesh itself changes, fails, ages or ends.
mod overload;
mod files;
mod outages;
mod renewal;
mod shutdown;

/// The program under test.
const WEFT: &str = env!("CARGO_BIN_EXE_weft-under-test");
