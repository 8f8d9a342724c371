//! All objects of a kind, kept up to date: a list, and then what changes.
//!
//! Whoever applies the changes in their order holds what the API server holds, a moment ago. They may come twice, and
//! after a gap comes a whole list, which says by what it leaves out what is gone. Nothing that the API server does
//! ends this: it is asked again, after a pause.

mod lines;
mod pause;

use std::{mem, time::Duration};

use form_urlencoded::Serializer;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{ApiServer, RequestError};
use lines::Lines;
use pause::Pause;

/// Objects of a page of a list.
const PAGE_OBJECTS: usize = 250;
/// After this long the API server ends a watch; with as much again at random, so that not all end together.
const WATCH: Duration = Duration::from_mins(4);
/// API servers send a bookmark every minute when nothing else happens. One that is silent for longer hangs, or there is
/// none any more at the other end.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// A watch that ends sooner has failed, whatever it says.
const WATCH_MIN: Duration = Duration::from_secs(1);
/// A kind that is not there is looked for this often,
const ABSENT_LOOK: Duration = Duration::from_secs(15);
/// and one that was there is taken for gone when it was not found so often: an API server that starts may not know it
/// yet, and to believe it would take every object of the kind out of force.
const ABSENCES_MIN: u32 = 3;

/// Objects of one kind, which is known as `K` to those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource<K> {
    /// Which kind.
    pub kind: K,
    /// Path of all of them, such as `/api/v1/pods`.
    pub path: &'static str,
    /// Which of them, such as `metadata.name=weft`; empty for all.
    pub field_selector: &'static str,
}

/// What happened to the objects of a kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<T> {
    /// These are there, and no others.
    Listed(Vec<T>),
    /// This one is there now, in this form. Maybe it was before.
    Applied(T),
    /// This one is gone; its last form.
    Removed(T),
    /// The API server does not know the kind. Said once, until it does.
    Absent,
}

/// Tells of all objects of `resource`, each as `read` reads it, until nobody listens. Objects in lists may lack
/// `apiVersion` and `kind`.
pub async fn follow<K: Copy, T>(
    api: &ApiServer,
    resource: &Resource<K>,
    read: impl Fn(Value) -> T,
    changes: &mpsc::Sender<(K, Change<T>)>,
) {
    let mut follower = Follower { api, resource, read, changes, pause: Pause::default() };
    // Fails once nobody listens.
    let _ = follower.run().await;
}

/// Nobody listens any more.
struct Unheard;

/// How a watch ended.
enum End {
    /// Its time was over, or the connection was.
    Over,
    /// It must begin with a list again.
    Expired,
    /// It failed.
    Failed(RequestError),
}

struct Follower<'a, K, T, R> {
    api: &'a ApiServer,
    resource: &'a Resource<K>,
    read: R,
    changes: &'a mpsc::Sender<(K, Change<T>)>,
    pause: Pause,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    /// Null where there are none.
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    object: Value,
}

impl<K: Copy, T, R: Fn(Value) -> T> Follower<'_, K, T, R> {
    async fn run(&mut self) -> Result<(), Unheard> {
        // Absent from the start, it is so at once.
        let mut absences = ABSENCES_MIN - 1;
        loop {
            match self.list().await {
                Ok((objects, version)) => {
                    absences = 0;
                    self.tell(Change::Listed(objects)).await?;
                    self.watch(version).await?;
                }
                Err(error) if error.is(StatusCode::NOT_FOUND) => {
                    absences = absences.saturating_add(1);
                    if absences == ABSENCES_MIN {
                        tracing::info!(path = self.resource.path, "the API server does not know this kind");
                        self.tell(Change::Absent).await?;
                    }
                    self.wait(ABSENT_LOOK).await?;
                }
                Err(error) => self.fail(&error).await?,
            }
        }
    }

    /// All objects, and the version of the whole.
    async fn list(&self) -> Result<(Vec<T>, String), RequestError> {
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let path = self.path(&[("limit", &PAGE_OBJECTS.to_string()), ("continue", &next)]);
            let page: Page = self.api.page(&path).await?;
            objects.extend(page.items.into_iter().flatten().map(&self.read));
            next = page.metadata.r#continue;
            if next.is_empty() {
                return Ok((objects, page.metadata.resource_version));
            }
        }
    }

    /// Tells what changes after `version`, over one watch after the other, until only a list can help.
    async fn watch(&mut self, mut version: String) -> Result<(), Unheard> {
        loop {
            let began = Instant::now();
            let end = self.watch_once(&mut version).await?;
            let lasted = began.elapsed() >= WATCH_MIN;
            if lasted {
                self.pause.end(self.resource.path);
            }
            match end {
                End::Over if lasted => {}
                End::Over => self.rest().await?,
                End::Expired => return self.rest().await,
                End::Failed(error) if error.is(StatusCode::NOT_FOUND) => return Ok(()),
                End::Failed(error) => self.fail(&error).await?,
            }
        }
    }

    async fn watch_once(&self, version: &mut String) -> Result<End, Unheard> {
        let seconds = WATCH.as_secs() + rand::random_range(0..=WATCH.as_secs());
        let path = self.path(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &seconds.to_string()),
        ]);
        let mut stream = match self.api.stream(&path).await {
            Ok(stream) => stream,
            Err(error) if error.is(StatusCode::GONE) => return Ok(End::Expired),
            Err(error) => return Ok(End::Failed(error)),
        };
        let mut lines = Lines::default();
        loop {
            let piece = tokio::select! {
                piece = timeout(SILENCE_MAX, stream.piece()) => piece,
                () = self.changes.closed() => return Err(Unheard),
            };
            match piece {
                Ok(Ok(Some(piece))) => lines.push(&piece),
                Ok(Ok(None)) => return Ok(End::Over),
                Ok(Err(error)) => return Ok(End::Failed(error)),
                Err(_) => return Ok(End::Failed(RequestError::Silent(SILENCE_MAX))),
            }
            while let Some(line) = lines.next() {
                match step(line, version) {
                    Ok(Some(change)) => self.tell(self.read(change)).await?,
                    Ok(None) => {}
                    Err(end) => return Ok(end),
                }
            }
            if lines.is_too_long() {
                let reason = "an event has more bytes than an object can have".to_owned();
                return Ok(End::Failed(RequestError::Answer(reason)));
            }
        }
    }

    fn read(&self, change: Change<Value>) -> Change<T> {
        match change {
            Change::Listed(objects) => Change::Listed(objects.into_iter().map(&self.read).collect()),
            Change::Applied(object) => Change::Applied((self.read)(object)),
            Change::Removed(object) => Change::Removed((self.read)(object)),
            Change::Absent => Change::Absent,
        }
    }

    async fn tell(&self, change: Change<T>) -> Result<(), Unheard> {
        self.changes.send((self.resource.kind, change)).await.map_err(|_| Unheard)
    }

    async fn fail(&mut self, error: &RequestError) -> Result<(), Unheard> {
        if self.pause.is_first() {
            tracing::warn!(path = self.resource.path, %error, "cannot watch: trying again, and what is known stays");
        }
        self.rest().await
    }

    async fn rest(&mut self) -> Result<(), Unheard> {
        let pause = self.pause.next(rand::random());
        self.wait(pause).await
    }

    async fn wait(&self, duration: Duration) -> Result<(), Unheard> {
        tokio::select! {
            () = sleep(duration) => Ok(()),
            () = self.changes.closed() => Err(Unheard),
        }
    }

    /// What is asked for, with a query of those parameters that say something.
    fn path(&self, parameters: &[(&str, &str)]) -> String {
        let selector = [("fieldSelector", self.resource.field_selector)];
        let said = selector.iter().chain(parameters).filter(|(_, value)| !value.is_empty());
        format!("{}?{}", self.resource.path, Serializer::new(String::new()).extend_pairs(said).finish())
    }
}

/// What an event says; `version` becomes that which a later watch goes on from.
fn step(line: &[u8], version: &mut String) -> Result<Option<Change<Value>>, End> {
    let broken = |reason: String| End::Failed(RequestError::Answer(reason));
    let mut event: Event = serde_json::from_slice(line).map_err(|error| broken(error.to_string()))?;
    if event.r#type == "ERROR" {
        // A `Status` of meta/v1.
        let code =
            event.object["code"].as_u64().and_then(|code| StatusCode::from_u16(code.try_into().ok()?).ok());
        let status = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::GONE || event.object["reason"] == "Expired" {
            return Err(End::Expired);
        }
        let message = event.object["message"].as_str().unwrap_or_default().to_owned();
        return Err(End::Failed(RequestError::Refused { status, message }));
    }
    if let Some(Value::String(newer)) = event.object.pointer_mut("/metadata/resourceVersion") {
        version.clone_from(newer);
    }
    match event.r#type.as_str() {
        "ADDED" | "MODIFIED" => Ok(Some(Change::Applied(mem::take(&mut event.object)))),
        "DELETED" => Ok(Some(Change::Removed(mem::take(&mut event.object)))),
        // It says a newer version, and nothing else.
        "BOOKMARK" => Ok(None),
        other => Err(broken(format!("an event of type `{other}` is not known"))),
    }
}

#[cfg(test)]
mod tests;
