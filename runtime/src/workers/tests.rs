use std::{
    io::Read,
    net::{Ipv4Addr, Ipv6Addr, TcpStream},
    rc::Rc,
    sync::Mutex,
};

use super::*;
use crate::{shutdown::Shutdown, tasks::Tasks};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[test]
fn every_worker_has_a_thread_and_a_local_runtime_of_its_own() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let workers = Workers::start(3, "test", move |worker| {
        let sink = sink.clone();
        async move {
            let local = Rc::new(worker);
            let joined = tokio::task::spawn_local(async move { local.index }).await.unwrap();
            let thread = thread::current().name().map(str::to_owned);
            sink.lock().unwrap().push((joined, worker.count, thread));
        }
    });
    workers.unwrap().join().unwrap();
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    let expected: Vec<_> = (0..3).map(|index| (index, 3, Some(format!("test-{index}")))).collect();
    assert_eq!(seen, expected);
}

#[test]
fn no_workers_means_one() {
    let count = Arc::new(OnceLock::new());
    let sink = count.clone();
    let workers = Workers::start(0, "test", move |worker| {
        sink.set(worker.count).unwrap();
        async {}
    });
    workers.unwrap().join().unwrap();
    assert_eq!(count.get(), Some(&1));
}

#[test]
fn a_panic_is_reported_while_the_others_still_run() {
    let (trigger, shutdown) = Shutdown::manual();
    let workers = Workers::start(2, "test", move |worker| {
        let shutdown = shutdown.clone();
        async move {
            assert_ne!(worker.index, 1, "on purpose");
            shutdown.draining().await;
        }
    });
    let error = workers.unwrap().join().unwrap_err();
    assert!(error.to_string().starts_with("worker `test-1` panicked: "), "{error}");
    assert!(error.to_string().contains("on purpose"), "{error}");
    trigger.drain();
}

#[tokio::test]
async fn ends_can_be_awaited() {
    let mut workers = Workers::start(2, "test", |_| async {}).unwrap();
    assert_eq!(workers.ended().await, Ok(()));
    let mut workers = Workers::start(1, "test", |_| async { panic!("on purpose") }).unwrap();
    assert!(workers.ended().await.is_err());
}

#[test]
fn workers_share_a_port_and_all_of_them_get_connections() {
    let listeners = listen_shared(LOOPBACK, 2).unwrap();
    let addr = listeners[0].local_addr().unwrap();
    assert_eq!(listeners[1].local_addr().unwrap(), addr);
    let listeners: Arc<Mutex<Vec<_>>> = Arc::new(Mutex::new(listeners.into_iter().map(Some).collect()));
    let (trigger, shutdown) = Shutdown::manual();
    let workers = Workers::start(2, "test", move |worker| {
        let listener = listeners.lock().unwrap()[worker.index].take().unwrap();
        greet(listener, worker, shutdown.clone())
    })
    .unwrap();
    // The kernel picks by a hash of the ports: 64 connections all miss one worker once in 2^63 runs.
    let mut greeted = [0; 2];
    for _ in 0..64 {
        let mut index = [0];
        TcpStream::connect(addr).unwrap().read_exact(&mut index).unwrap();
        greeted[usize::from(index[0])] += 1;
    }
    trigger.drain();
    workers.join().unwrap();
    assert!(greeted.iter().all(|&count| count > 0), "{greeted:?}");
}

/// Accepts, sends each peer this worker's index, and closes.
async fn greet(listener: TcpListener, worker: Worker, shutdown: Shutdown) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let tasks = Tasks::new();
    loop {
        let (mut stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = shutdown.draining() => break,
        };
        tasks.spawn_local("greet", async move {
            let index = [u8::try_from(worker.index).unwrap()];
            tokio::io::AsyncWriteExt::write_all(&mut stream, &index).await.unwrap();
        });
    }
    assert!(tasks.join_all(std::time::Duration::from_secs(10)).await.is_empty());
}

#[test]
fn a_taken_port_is_refused_with_advice() {
    let taken = listen(LOOPBACK).unwrap();
    let addr = taken.local_addr().unwrap();
    let shared = listen_shared(LOOPBACK, 2).unwrap();
    let shared_addr = shared[0].local_addr().unwrap();
    for error in [
        listen(addr).unwrap_err(),
        listen_shared(addr, 2).unwrap_err(),
        listen(shared_addr).unwrap_err(),
        listen_shared(shared_addr, 2).unwrap_err(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(text.starts_with("cannot listen on 127.0.0.1:"), "{text}");
        assert!(text.contains("choose another port"), "{text}");
    }
}

#[test]
fn an_address_of_nobody_is_refused_with_advice() {
    // TEST-NET-1, RFC 5737.
    let error = listen((Ipv4Addr::new(192, 0, 2, 1), 0).into()).unwrap_err();
    assert!(error.to_string().contains("cannot listen on 192.0.2.1:0"), "{error}");
    assert!(error.to_string().contains("no interface has this address"), "{error}");
}

#[test]
fn listeners_do_not_block() {
    let listener = listen(LOOPBACK).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn the_ipv6_wildcard_takes_ipv4_too() {
    let Ok(listener) = listen((Ipv6Addr::UNSPECIFIED, 0).into()) else {
        return; // This host has no IPv6.
    };
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
}
