use std::thread;

use tokio::{runtime::Builder, time::Instant};

use super::*;

const GRACE: Duration = Duration::from_secs(25);

#[test]
fn phases_only_advance() {
    let (trigger, shutdown) = Shutdown::manual();
    assert!(!shutdown.is_draining());
    trigger.drain();
    assert!(shutdown.is_draining() && !shutdown.is_aborting());
    trigger.abort();
    trigger.drain();
    assert!(shutdown.is_draining() && shutdown.is_aborting());
}

#[test]
fn reaches_every_runtime() {
    let (trigger, shutdown) = Shutdown::manual();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let shutdown = shutdown.clone();
            thread::spawn(move || {
                Builder::new_current_thread().build().unwrap().block_on(async {
                    shutdown.draining().await;
                    shutdown.aborting().await;
                });
            })
        })
        .collect();
    trigger.drain();
    trigger.abort();
    for thread in waiting {
        thread.join().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn drains_until_the_grace_period_ends() {
    let (trigger, shutdown) = Shutdown::manual();
    let start = Instant::now();
    tokio::join!(escalate(&trigger, future::pending(), Some(GRACE)), async {
        shutdown.draining().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(!shutdown.is_aborting());
        shutdown.aborting().await;
        assert_eq!(start.elapsed(), GRACE);
    });
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_does_not_wait_for_the_grace_period() {
    let (trigger, shutdown) = Shutdown::manual();
    let start = Instant::now();
    let second_signal = tokio::time::sleep(Duration::from_secs(1));
    escalate(&trigger, second_signal, Some(GRACE)).await;
    assert!(shutdown.is_aborting());
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn without_a_trigger_it_never_comes() {
    let (trigger, shutdown) = Shutdown::manual();
    drop(trigger);
    assert!(tokio::time::timeout(GRACE, shutdown.draining()).await.is_err());
}
