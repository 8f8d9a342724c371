//! A mesh among those who mean ill or know no better: what comes at its doors, what its applications answer, and what of
//! all that stays behind.

// Bytes that are no requests, at every listener.
mod doors;
// Connections that come and say nothing, or too little.
mod silence;
// Thousands of connections that are dropped.
mod storm;
// Applications that do not speak HTTP as they should.
mod liars;

use http::StatusCode;
use weft_tests::{
    backend::Backend,
    census::Census,
    client::get,
    mesh::Mesh,
    patience::until,
    plan::{Plan, Service, Way},
};

/// The program under test.
const WEFT: &str = env!("CARGO_BIN_EXE_weft-under-test");

/// Two services and a caller, with what their sidecars hold when nobody does anything.
struct Town {
    mesh: Mesh,
    _apps: [Backend; 2],
    before: Vec<(String, Census)>,
}

impl Town {
    /// `strict` takes mTLS only, `open` everything.
    async fn start() -> Self {
        let apps = [Backend::healthy("strict").await, Backend::healthy("open").await];
        let services = vec![
            Service::meshed("strict", &[apps[0].address()]),
            Service::reached("open", &[apps[1].address()], Way::Permissive),
        ];
        let mesh = Mesh::start(WEFT, &Plan::of(services)).await;
        let mut town = Self { mesh, _apps: apps, before: Vec::new() };
        town.serves().await;
        // With the connections between sidecars and to applications that these requests have made.
        town.before = town.census();
        town
    }

    fn census(&self) -> Vec<(String, Census)> {
        let of = |process: String| (process.clone(), Census::of(self.mesh.pid(&process)));
        self.mesh.sidecars().into_iter().map(of).collect()
    }

    /// Every way through the mesh is open.
    async fn serves(&self) {
        for service in ["strict", "open"] {
            let answer = get(self.mesh.entrance(service), "/").await;
            assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, service), "{answer:?}");
        }
        for process in self.mesh.sidecars() {
            let answer = get(self.mesh.admin(&process), "/live").await;
            assert_eq!(answer.status, StatusCode::OK, "{process}");
        }
    }

    /// Nothing has ended, panicked or stayed behind.
    async fn is_as_before(&self) {
        self.serves().await;
        for (process, before) in &self.before {
            let log = self.mesh.log(process);
            assert!(!log.contains("panicked"), "{process}: {log}");
            until(&format!("{process} lets go of what was dropped"), async || {
                let now = Census::of(self.mesh.pid(process));
                (now.descriptors <= before.descriptors && now.threads <= before.threads).then_some(())
            })
            .await;
        }
    }
}
