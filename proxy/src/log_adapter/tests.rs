use std::{fs, sync::mpsc};

use super::*;

#[test]
fn arguments_are_pairs_of_flag_and_file() {
    assert_eq!(files(&["--file", "/a", "--file", "/b"]).unwrap(), [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(files(&[]), Err(InvalidFiles::None));
    assert_eq!(files(&["--file"]), Err(InvalidFiles::Missing));
    assert_eq!(files(&["--file", ""]), Err(InvalidFiles::Missing));
    assert_eq!(files(&["/a"]), Err(InvalidFiles::Argument("/a".to_owned())));
    let many: Vec<&str> = ["--file", "/a"].repeat(FILES_MAX + 1);
    assert_eq!(files(&many), Err(InvalidFiles::TooMany(FILES_MAX + 1)));
}

/// Hands on what is written.
struct Told(mpsc::Sender<Vec<u8>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_application_says_while_it_ends_is_printed_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let (trigger, shutdown) = Shutdown::manual();
    let (sender, told) = mpsc::channel();
    let tasks = Tasks::new();
    let followed = path.clone();
    tasks.spawn("adapter", async move {
        follow(vec![followed], &Pod::default(), &shutdown, &mut Told(sender)).await.unwrap();
    });
    // Time is paused: these waits pass once everything else has nothing to do.
    tokio::time::sleep(POLL * 2).await;
    fs::write(&path, "one\n").unwrap();
    tokio::time::sleep(POLL * 2).await;
    trigger.drain();
    tokio::time::sleep(QUIET / 2).await;
    fs::write(&path, "one\ntwo\nthree").unwrap();
    assert!(tasks.join_all(QUIET * 3).await.is_empty(), "it ends once the file is quiet");
    let text = String::from_utf8(told.into_iter().flatten().collect()).unwrap();
    let logs: Vec<&str> =
        text.lines().map(|line| line.split("\"log\":").nth(1).unwrap().trim_end_matches('}')).collect();
    assert_eq!(logs, ["\"one\"", "\"two\"", "\"three\""]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(&path, "one\n").unwrap();
    let (sender, told) = mpsc::channel();
    drop(told);
    let (_trigger, shutdown) = Shutdown::manual();
    let error = follow(vec![path], &Pod::default(), &shutdown, &mut Told(sender)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
