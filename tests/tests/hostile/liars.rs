//! Applications that do not speak HTTP as they should: what their callers get, what the access log says, and that nothing
//! of it is ever taken for the answer to somebody else.

// HTTP/1.1, or what goes for it.
mod http1;
// Frames of HTTP/2.
mod http2;

use std::net::SocketAddr;

use http::Method;
use weft_api::names::HEADER_FAULT;
use weft_tests::{
    census::Census,
    client::{Answer, Connection, Version, request},
    liar::{Liar, Lie, TRUTH},
    manifest,
    mesh::Mesh,
    patience::{until, within},
    plan::{Plan, Service},
};

use crate::WEFT;

/// What a caller gets of a lie, and what the log of the sidecar nearest to the liar says.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// An answer of the mesh, with this status and flag.
    Fault(u16, &'static str),
    /// An answer that began well, and visibly did not end: or none, where its end came as soon as its beginning.
    Broken,
    /// An answer with this status and body.
    Whole(u16, &'static str),
}

/// One lie.
struct Case {
    name: &'static str,
    method: Method,
    lie: Lie,
    told: Told,
}

/// A mesh whose two services, `meshed` behind a sidecar and `direct` without, are both the same liar.
struct Den {
    mesh: Mesh,
    liar: Liar,
}

impl Den {
    async fn start(version: Version) -> Self {
        let liar = Liar::start(version).await;
        let mut services =
            vec![Service::meshed("meshed", &[liar.address()]), Service::direct("direct", &[liar.address()])];
        if version == Version::Http2 {
            for service in &mut services {
                service.app_protocol = Some("kubernetes.io/h2c");
            }
        }
        // So many failures are no reason here to be spared further ones.
        let patient = "endpoint: { consecutive: 0, failurePercent: 0 }";
        let patient =
            ["meshed", "direct"].map(|name| manifest::policy("CircuitBreakerPolicy", name, patient));
        let plan = Plan::of(services).with("policies.yaml", patient.concat());
        Self { mesh: Mesh::start(WEFT, &plan).await, liar }
    }

    /// Tells every lie to callers of both versions through one sidecar and through two, and the truth after each.
    async fn tell(&self, cases: &[Case]) {
        let holds = |den: &Self| {
            ["web-proxy", "meshed-0-proxy"].map(|process| Census::of(den.mesh.pid(process)).descriptors)
        };
        self.truth().await;
        let before = holds(self);
        for case in cases {
            for (service, sidecar) in [("direct", "web-proxy"), ("meshed", "meshed-0-proxy")] {
                for version in [Version::Http1, Version::Http2] {
                    let what = format!("{} from {service} to {version:?}", case.name);
                    self.liar.next(case.lie.clone());
                    let path = format!("/{}-{version:?}", case.name.replace(' ', "-"));
                    let answer = ask(self.mesh.entrance(service), version, &case.method, &path).await;
                    judge(&what, case.told, answer);
                    self.is_logged(&what, sidecar, &path, case.told).await;
                }
            }
            self.truth().await;
        }
        until("the sidecars hold no more than before", async || {
            holds(self).iter().zip(before).all(|(now, before)| *now <= before).then_some(())
        })
        .await;
        for process in self.mesh.sidecars() {
            assert!(!self.mesh.log(&process).contains("panicked"), "{process}: {}", self.mesh.log(&process));
        }
    }

    /// Nobody is told lies who has not asked for them.
    async fn truth(&self) {
        for service in ["direct", "meshed"] {
            let entrance = self.mesh.entrance(service);
            let answer = ask(entrance, Version::Http1, &Method::POST, "/truth").await;
            judge(&format!("the truth of {service}"), Told::Whole(200, TRUTH), answer);
        }
    }

    async fn is_logged(&self, what: &str, sidecar: &str, path: &str, told: Told) {
        let (status, flag) = match told {
            Told::Fault(status, flag) => (status, Some(flag)),
            Told::Broken => (200, Some("body_broken")),
            Told::Whole(status, _) => (status, None),
        };
        let line = until(&format!("{what} is logged"), async || {
            let log = self.mesh.access_log(sidecar);
            log.into_iter().find(|line| line["url.path"] == path)
        })
        .await;
        assert_eq!(line["fault"].as_str(), flag, "{what}: {line}");
        assert_eq!(line["http.response.status_code"], status, "{what}: {line}");
        assert_eq!(line["reason"].is_string(), flag.is_some(), "{what}: {line}");
    }
}

/// Asks on a connection of its own. An answer that does not end is an error.
async fn ask(entrance: SocketAddr, version: Version, method: &Method, path: &str) -> anyhow::Result<Answer> {
    let asking =
        async { Connection::open(entrance, version).await?.send(request(method.clone(), path)).await };
    within(&format!("{path} is answered, or is not"), asking).await
}

fn judge(what: &str, told: Told, answer: anyhow::Result<Answer>) {
    match (told, answer) {
        (Told::Fault(status, flag), Ok(answer)) => {
            let said = (answer.status.as_u16(), answer.header(HEADER_FAULT).to_owned());
            assert_eq!(said, (status, flag.to_owned()), "{what}: {answer:?}");
        }
        (Told::Whole(status, body), Ok(answer)) => {
            assert_eq!(
                (answer.status.as_u16(), answer.text().as_str()),
                (status, body),
                "{what}: {answer:?}"
            );
            assert_eq!(answer.header(HEADER_FAULT), "", "{what}: {answer:?}");
        }
        (Told::Broken, Err(_)) => {}
        (Told::Broken, Ok(answer)) if answer.header(HEADER_FAULT) == "upstream_reset" => {}
        (told, answer) => panic!("{what}: {told:?}, and it was {answer:?}"),
    }
}
