//! The access log: one JSON object per line for each request and each opaque connection, fields named as OpenTelemetry names them. A slow reader of the log
//! loses lines, which are counted; it never slows a request.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use weft_api::bootstrap::AccessLog as Level;

use crate::fault::Fault;

/// Lines waiting for the writer; beyond them lines are dropped.
const WAITING_MAX: usize = 4096;

/// One request, as the log tells it.
#[derive(Serialize)]
pub struct Entry<'a> {
    /// When it came in.
    #[serde(serialize_with = "timestamp")]
    pub time: SystemTime,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Method.
    #[serde(rename = "http.request.method")]
    pub method: &'a str,
    /// Path without the query, which often holds secrets.
    #[serde(rename = "url.path")]
    pub path: &'a str,
    /// Authority that the caller named.
    #[serde(rename = "server.address")]
    pub authority: &'a str,
    /// Status that the caller got.
    #[serde(rename = "http.response.status_code")]
    pub status: u16,
    /// From the first byte to the last, milliseconds.
    #[serde(serialize_with = "milliseconds")]
    pub duration_ms: Duration,
    /// Bytes of the response body.
    #[serde(rename = "http.response.body.size")]
    pub body_bytes: u64,
    /// Whether the hop between the sidecars was mTLS.
    pub tls: bool,
    /// SPIFFE id of the other sidecar.
    #[serde(rename = "peer.spiffe", skip_serializing_if = "Option::is_none")]
    pub peer: Option<&'a str>,
    /// SPIFFE id that this sidecar showed.
    #[serde(rename = "local.spiffe", skip_serializing_if = "Option::is_none")]
    pub local: Option<&'a str>,
    /// Service port that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<&'a str>,
    /// Route that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// `address:port` that took the last try, or the application's.
    #[serde(rename = "network.peer.address", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Tries, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Cause of the canned answer that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<&'static str>,
    /// Why the proxy answered itself.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "flag")]
    pub fault: Option<Fault>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Why a policy in audit mode would have refused it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<&'a str>,
    /// The fault that a policy injected and that is no answer, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<&'a str>,
}

/// One opaque connection, as the log tells it when it has ended.
#[derive(Serialize)]
pub struct ConnectionEntry<'a> {
    /// When it came in.
    #[serde(serialize_with = "timestamp")]
    pub time: SystemTime,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// `tcp`: by this, lines of connections are told from those of requests.
    #[serde(rename = "network.transport")]
    pub transport: &'static str,
    /// `address:port` of the one who connected.
    #[serde(rename = "client.address", skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// `address:port` that it connected to.
    #[serde(rename = "server.address", skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Name that the application's own TLS calls.
    #[serde(rename = "tls.client.server_name", skip_serializing_if = "Option::is_none")]
    pub server_name: Option<&'a str>,
    /// From its first byte to its last, milliseconds.
    #[serde(serialize_with = "milliseconds")]
    pub duration_ms: Duration,
    /// Bytes from the one who connected.
    pub bytes_forth: u64,
    /// Bytes back to it.
    pub bytes_back: u64,
    /// Whether the hop between the sidecars was mTLS.
    pub tls: bool,
    /// SPIFFE id of the other sidecar.
    #[serde(rename = "peer.spiffe", skip_serializing_if = "Option::is_none")]
    pub peer: Option<&'a str>,
    /// SPIFFE id that this sidecar showed.
    #[serde(rename = "local.spiffe", skip_serializing_if = "Option::is_none")]
    pub local: Option<&'a str>,
    /// Service port that was called; `passthrough` for what is not of the mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<&'a str>,
    /// Route that says where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// `address:port` that took the last try, or the application's.
    #[serde(rename = "network.peer.address", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Tries, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Why it ended otherwise than by its peers' will.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "flag")]
    pub fault: Option<Fault>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Why a policy in audit mode would have refused it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<&'a str>,
}

fn timestamp<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    // Out of jiff's range only for clocks that are off by millennia.
    let time = jiff::Timestamp::try_from(*time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    serializer.collect_str(&format_args!("{time:.6}"))
}

fn milliseconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_micros() as f64 / 1e3)
}

#[expect(clippy::ref_option, reason = "serde hands a field over by reference")]
fn flag<S: serde::Serializer>(fault: &Option<Fault>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(fault.map_or("", Fault::flag))
}

/// Where lines are handed in. Clones share one writer.
#[derive(Clone)]
pub struct AccessLog {
    level: Level,
    lines: Sender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Starts the thread that writes to `out`. It ends when the last clone of the log is gone.
    pub fn start(level: Level, out: impl Write + Send + 'static) -> io::Result<(Self, JoinHandle<()>)> {
        // Takes memory for lines that wait, unlike the channel of the standard library: that has room for all from the start.
        let (lines, waiting) = channel(WAITING_MAX);
        let writer = thread::Builder::new()
            .name("access-log".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || write(waiting, out))?;
        Ok((Self { level, lines, dropped: Arc::default() }, writer))
    }

    /// Whether a request that ended so is to be told of: asked before an entry is made. What policies in audit mode find and
    /// what they inject `is_policy`, and is there to be read.
    pub fn wants(&self, status: u16, fault: Option<Fault>, is_policy: bool) -> bool {
        match self.level {
            Level::Off => false,
            Level::Errors => status >= 500 || fault.is_some() || is_policy,
            Level::All => true,
        }
    }

    /// The same of a connection.
    pub fn wants_connection(&self, fault: Option<Fault>, is_audited: bool) -> bool {
        match self.level {
            Level::Off => false,
            Level::Errors => fault.is_some() || is_audited,
            Level::All => true,
        }
    }

    /// Hands in one line.
    pub fn tell(&self, entry: &impl Serialize) {
        let Ok(mut line) = serde_json::to_vec(entry) else { return };
        line.push(b'\n');
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Lines lost to a reader that was too slow: the counter itself, because whoever shows it must not keep the log open.
    pub fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }
}

/// Writes what waits, and flushes when nothing does.
fn write(mut waiting: Receiver<Vec<u8>>, out: impl Write) {
    let mut out = io::BufWriter::new(out);
    while let Some(first) = waiting.blocking_recv() {
        let mut next = Some(first);
        while let Some(line) = next {
            // A reader that is gone (closed pipe) must not end the proxy: the lines are drained all the same.
            let _ = out.write_all(&line);
            next = waiting.try_recv().ok();
        }
        let _ = out.flush();
    }
}

#[cfg(test)]
mod tests;
