//! Those who ask for pages: a pod that is ready to call whatever it is told to.

use weft_samples::caller::Account;

use crate::place::Place;

/// A pod, in a namespace of its own.
pub(crate) struct Users {
    place: Place,
}

/// A program that does nothing of its own in the image of the samples, which holds the caller: a frontend that nobody
/// asks.
const WAITING: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: users
spec:
  selector: {matchLabels: {app: users}}
  template:
    metadata: {labels: {app: users}}
    spec:
      containers:
        - name: users
          image: localhost/weft/samples:0.1.0
          command: [/frontend, --listen, "127.0.0.1:4200", --api, "http://127.0.0.1:1"]
"#;

impl Users {
    /// Users who are not in the mesh.
    pub(crate) fn outside(name: &'static str) -> Self {
        Self::within(Place::plain(name))
    }

    /// Users with a sidecar.
    pub(crate) fn meshed(name: &'static str) -> Self {
        Self::within(Place::meshed(name))
    }

    fn within(place: Place) -> Self {
        place.apply(WAITING);
        place.settled(&["deployment/users"]);
        Self { place }
    }

    /// Asks for `url`, so many times a second and so many times in all. Answers that hold `marked` are counted.
    pub(crate) fn call(&self, url: &str, rate: u32, requests: u64, marked: &str) -> Account {
        self.place.call("deployment/users", url, rate, requests, marked)
    }
}
