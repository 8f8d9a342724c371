//! What the plugin asks the agent of its node, and what it is answered: a line of JSON each way, over a socket that only
//! root can reach.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

/// Name of the socket in its folder.
pub const SOCKET: &str = "agent.sock";
/// How long an answer may take: more than the agent gives the API server (10 s).
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// Bytes of a question at most: three names of Kubernetes, each of at most 253 characters.
pub const QUESTION_BYTES_MAX: u64 = 4 * 1024;
/// Bytes of an answer at most: two lists of 64 ranges of ports, or a reason.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Which pod it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Which of all pods that ever had this name; not every runtime says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// What is to be done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Nothing: it is not of the mesh, or redirects its connections itself.
    Pass,
    /// The redirect that its `weft-proxy init` with these arguments verifies.
    Redirect(Vec<String>),
    /// That cannot be said, for this reason: the pod must not start yet.
    Failed(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "the agent of Weft on this node cannot be reached ({socket}: {source}). See that the DaemonSet weft-cni runs on \
         this node. If Weft is no longer installed, take the plugin `weft-cni` out of the files in the runtime's folder \
         of CNI configuration",
        socket = socket.display()
    )]
    Unreachable {
        /// Where.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Nothing comes, or half of it.
    #[error("the agent of Weft on this node gave no answer ({0}): its log says why")]
    Silent(io::Error),
    /// It is another version, or something else.
    #[error("the agent of Weft on this node gave an answer that is none: {0}")]
    Malformed(serde_json::Error),
}

/// Asks the agent behind `socket`.
pub fn ask(socket: &Path, question: &Question) -> Result<Answer, AskError> {
    let unreachable = |source| AskError::Unreachable { socket: socket.to_owned(), source };
    let mut stream = connect(socket).map_err(unreachable)?;
    let line = exchange(&mut stream, question).map_err(AskError::Silent)?;
    serde_json::from_str(&line).map_err(AskError::Malformed)
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // It bounds connecting too, which waits while the agent has too many callers.
    stream.set_write_timeout(Some(ANSWER_WAIT))?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.connect(&SockAddr::unix(socket)?)?;
    Ok(stream.into())
}

fn exchange(stream: &mut UnixStream, question: &Question) -> io::Result<String> {
    let mut line = serde_json::to_string(question)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut answer)?;
    if answer.ends_with('\n') { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests;
