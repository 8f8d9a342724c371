use std::{fs, os::unix::fs::PermissionsExt};

use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use weft_runtime::shutdown::Trigger;

/// A kept shell script, its events, and what ends it.
struct Fixture {
    folder: TempDir,
    trigger: Trigger,
    kept: Kept,
    events: mpsc::Receiver<(String, Event)>,
}

/// `script` is run by the shell in place of this program.
fn fixture(script: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let (trigger, shutdown) = Shutdown::manual();
    let (sender, events) = mpsc::channel(64);
    let program = Program {
        name: "script".to_owned(),
        executable: path,
        arguments: Vec::new(),
        environment: vec![("COLOUR", "blue".to_owned())],
        stdout: Some(folder.path().join("stdout")),
        log: Log::File(folder.path().join("stderr")),
        // Nothing answers on port 1, so it is never ready.
        ready: (SocketAddr::from(([127, 0, 0, 1], 1)), "/"),
    };
    Fixture { folder, trigger, kept: Kept { program, shutdown, events: sender }, events }
}

#[tokio::test]
async fn what_ends_is_started_again_after_a_pause_that_grows() {
    let Fixture { folder, trigger, kept, mut events } = fixture("echo $COLOUR; echo oh >&2; exit 3");
    let watch = async {
        let mut pauses = Vec::new();
        while pauses.len() < 3 {
            if let (_, Event::Ended(how, pause)) = events.recv().await.unwrap() {
                assert_eq!(how, "ended: exit status: 3");
                pauses.push(pause.as_millis());
            }
        }
        trigger.drain();
        pauses
    };
    let ((), pauses) = tokio::join!(kept.run(), watch);
    assert_eq!(pauses, [100, 200, 400]);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("stdout"), "blue\nblue\nblue\n");
    assert_eq!(read("stderr"), "oh\noh\noh\n");
}

#[tokio::test]
async fn what_is_told_to_stop_may_finish_first() {
    let script = "trap 'echo drained; exit 0' TERM; echo up; while :; do read line || sleep 0.01; done";
    let Fixture { folder, trigger, kept, mut events } = fixture(script);
    let stdout = folder.path().join("stdout");
    let watch = async {
        assert!(matches!(events.recv().await, Some((_, Event::Started(_)))));
        // The trap is set once it says that it is up.
        while fs::read_to_string(&stdout).is_ok_and(|text| text.is_empty()) {
            tokio::task::yield_now().await;
        }
        trigger.drain();
        assert!(matches!(events.recv().await, Some((_, Event::Stopped))));
    };
    tokio::join!(kept.run(), watch);
    assert_eq!(fs::read_to_string(stdout).unwrap(), "up\ndrained\n");
}

#[tokio::test]
async fn what_does_not_stop_is_killed_by_the_second_word() {
    let Fixture { folder, trigger, kept, mut events } =
        fixture("trap '' TERM; echo up; while :; do sleep 1; done");
    let stdout = folder.path().join("stdout");
    let watch = async {
        assert!(matches!(events.recv().await, Some((_, Event::Started(_)))));
        while fs::read_to_string(&stdout).is_ok_and(|text| text.is_empty()) {
            tokio::task::yield_now().await;
        }
        trigger.drain();
        trigger.abort();
        assert!(matches!(events.recv().await, Some((_, Event::Stopped))));
    };
    tokio::join!(kept.run(), watch);
}

#[tokio::test]
async fn the_childs_stdin_closes_with_its_parent() {
    // `read` returns once the pipe is closed, and never before.
    let Fixture { folder, trigger: _trigger, kept, mut events } = fixture("read line; exit 0");
    let mut child = start(&kept.program).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().await.unwrap().success());
    drop((kept, folder));
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn a_process_is_ready_once_it_says_so() {
    let Fixture { folder: _folder, trigger, mut kept, mut events } = fixture("sleep 60");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    kept.program.ready = (listener.local_addr().unwrap(), "/ready");
    let answers = async {
        for answer in ["503 Service Unavailable", "200 OK"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let watch = async {
        assert!(matches!(events.recv().await, Some((_, Event::Started(_)))));
        assert!(matches!(events.recv().await, Some((_, Event::Ready))));
        trigger.drain();
    };
    tokio::join!(kept.run(), answers, watch);
}

#[tokio::test]
async fn what_cannot_be_started_is_tried_again() {
    let Fixture { folder: _folder, trigger, mut kept, mut events } = fixture("");
    kept.program.executable = PathBuf::from("/nowhere/at/all");
    let watch = async {
        let Some((_, Event::Ended(how, _))) = events.recv().await else { panic!("it cannot start") };
        assert!(how.starts_with("cannot be started"), "{how}");
        trigger.drain();
    };
    tokio::join!(kept.run(), watch);
}
