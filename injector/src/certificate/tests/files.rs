//! A certificate in files that somebody else writes.

use std::{fs, path::Path, time::Duration};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::time::sleep;
use weft_runtime::{Readiness, Registry, Shutdown, Tasks};

use crate::{
    certificate::{Shown, directory::watch},
    metrics::Metrics,
};

/// Longer than the pause between two looks.
const WHILE: Duration = Duration::from_secs(12);

/// A certificate that ends with `year`, and its key.
fn pair(year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["weft-injector.weft-system.svc".to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 12, 31);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn write(folder: &Path, certificate: &str, key: &str) {
    fs::write(folder.join("tls.crt"), certificate).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_shown_and_what_does_not_fit_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (shown, readiness, tasks) = (Shown::default(), Readiness::new(), Tasks::new());
    let metrics = Metrics::register(&Registry::new("test")).unwrap();
    let (trigger, shutdown) = Shutdown::manual();
    let (hold, directory, gauge) =
        (readiness.hold("certificate"), folder.path().to_owned(), metrics.not_after.clone());
    tasks.spawn("files", async move { watch(&directory, &shown, &metrics, hold, &shutdown).await });
    // Time is paused: it passes once there is nothing else to do.
    sleep(WHILE).await;
    assert!(!readiness.is_ready(), "there is nothing to show");

    let (first, second) = (pair(2040), pair(2050));
    write(folder.path(), &first.0, &first.1);
    sleep(WHILE).await;
    assert!(readiness.is_ready());
    let end_of_first = gauge.get();
    write(folder.path(), &second.0, &first.1);
    sleep(WHILE).await;
    assert_eq!(gauge.get(), end_of_first, "certificate and key do not fit: what was there stays");
    write(folder.path(), &second.0, &second.1);
    sleep(WHILE).await;
    assert!(gauge.get() > end_of_first);
    trigger.drain();
    assert!(tasks.join_all(WHILE).await.is_empty());
}
