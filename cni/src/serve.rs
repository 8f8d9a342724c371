//! The agent's end of the socket: a question of the plugin in, what the API server says of the pod out.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use weft_runtime::{Shutdown, Tasks};

use crate::{
    cluster::Cluster,
    decide,
    metrics::Metrics,
    question::{Answer, QUESTION_BYTES_MAX, Question, SOCKET},
};

/// Questions at once. A node has some hundred pods, and starts a few at a time.
const QUESTIONS_MAX: usize = 64;
/// How long the plugin may take to ask, and to take its answer. It does nothing else.
const EXCHANGE_WAIT: Duration = Duration::from_secs(5);
/// After a failure to accept: time for others to give back what ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers questions.
pub struct Server {
    listener: UnixListener,
    answers: Answers,
}

#[derive(Clone)]
struct Answers {
    cluster: Cluster,
    metrics: Metrics,
}

impl Server {
    /// Listens in `folder`, which nobody but root can enter from here on. Must run inside a runtime with I/O.
    pub fn bind(folder: &Path, cluster: Cluster, metrics: Metrics) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let path = folder.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { listener: UnixListener::bind(path)?, answers: Answers { cluster, metrics } })
    }

    /// Answers until the process drains.
    pub async fn run(self, tasks: Tasks, shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.draining() => return,
            };
            match accepted {
                Ok((stream, _)) => tasks.spawn("question", self.answers.clone().serve(stream, place)),
                Err(error) => {
                    tracing::warn!(%error, "cannot take a question");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Answers {
    async fn serve(self, stream: UnixStream, _place: OwnedSemaphorePermit) {
        if let Err(error) = self.exchange(stream).await {
            tracing::warn!(%error, "a question was not answered");
        }
    }

    async fn exchange(&self, stream: UnixStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        let mut read = BufReader::new(read.take(QUESTION_BYTES_MAX));
        timeout(EXCHANGE_WAIT, read.read_line(&mut line)).await??;
        let answer = match serde_json::from_str(&line) {
            Ok(question) => self.answer(&question).await,
            Err(error) => Answer::Failed(format!("the question is none: {error}")),
        };
        let mut text = serde_json::to_string(&answer)?;
        text.push('\n');
        timeout(EXCHANGE_WAIT, write.write_all(text.as_bytes())).await?
    }

    async fn answer(&self, question: &Question) -> Answer {
        let Question { namespace, pod, .. } = question;
        let answer = self.look(question).await;
        match &answer {
            Answer::Pass => tracing::debug!(namespace, pod, "not of the mesh"),
            Answer::Redirect(flags) => tracing::info!(namespace, pod, ?flags, "is redirected"),
            Answer::Failed(reason) => {
                tracing::warn!(namespace, pod, reason, "cannot tell whether it is of the mesh");
            }
        }
        self.metrics.count(&answer);
        answer
    }

    async fn look(&self, question: &Question) -> Answer {
        let Question { namespace, pod, .. } = question;
        if !decide::is_name(namespace) || !decide::is_name(pod) {
            return Answer::Failed(format!(
                "{namespace:?} and {pod:?} are no names of a namespace and a pod"
            ));
        }
        match self.cluster.pod(namespace, pod).await {
            Ok(Some(found)) if !decide::is_same(&found, question) => {
                Answer::Failed("another pod has its name by now".to_owned())
            }
            Ok(Some(found)) => decide::redirect(&found).map_or(Answer::Pass, Answer::Redirect),
            // Deleted meanwhile; or run by its node alone, and then no sidecar is in it.
            Ok(None) => Answer::Pass,
            Err(error) => Answer::Failed(error.to_string()),
        }
    }
}
