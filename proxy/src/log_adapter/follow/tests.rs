use std::{fs::OpenOptions, io::Write};

use tempfile::TempDir;

use super::*;

/// A file in a folder of its own, and what follows it.
struct Scene {
    folder: TempDir,
    follower: Follower,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let follower = Follower::new(folder.path().join("a.log"));
        Self { folder, follower }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path("a.log")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Looks until three looks in a row found nothing: a rotation takes two.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut quiet = 0;
        while quiet < 3 {
            let any = self
                .follower
                .look(|_, line| {
                    let text = String::from_utf8(line.bytes.to_vec()).unwrap();
                    lines.push(if line.truncated { format!("{}...", text.len()) } else { text });
                    Ok(())
                })
                .unwrap();
            quiet = if any { 0 } else { quiet + 1 };
        }
        lines
    }

    fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let push = |_: &Path, line: Line<'_>| {
            lines.push(String::from_utf8(line.bytes.to_vec()).unwrap());
            Ok(())
        };
        self.follower.finish(push).unwrap();
        lines
    }
}

#[test]
fn a_file_that_comes_late_is_read_from_its_beginning() {
    let mut scene = Scene::new();
    assert!(scene.lines().is_empty());
    scene.append("one\ntwo\n");
    assert_eq!(scene.lines(), ["one", "two"]);
    assert!(scene.lines().is_empty(), "nothing is told twice");
}

#[test]
fn a_line_is_told_once_it_has_ended() {
    let mut scene = Scene::new();
    scene.append("on");
    assert!(scene.lines().is_empty());
    scene.append("e\n\ntw");
    assert_eq!(scene.lines(), ["one", ""]);
    assert_eq!(scene.rest(), ["tw"], "at the end of it all, what is there is told");
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_then_the_new_one() {
    let mut scene = Scene::new();
    scene.append("one\n");
    assert_eq!(scene.lines(), ["one"]);
    scene.append("two\n");
    let mut old = OpenOptions::new().append(true).open(scene.path("a.log")).unwrap();
    fs::rename(scene.path("a.log"), scene.path("a.log.1")).unwrap();
    assert_eq!(scene.lines(), ["two"]);
    // The application has not opened a new one yet.
    old.write_all(b"three\nfou").unwrap();
    assert_eq!(scene.lines(), ["three"]);
    scene.append("five\n");
    assert_eq!(scene.lines(), ["fou", "five"]);
    scene.append("six\n");
    assert_eq!(scene.lines(), ["six"]);
}

#[test]
fn what_is_written_to_a_renamed_file_after_the_new_one_exists_is_still_told() {
    let mut scene = Scene::new();
    scene.append("one\n");
    assert_eq!(scene.lines(), ["one"]);
    let mut old = OpenOptions::new().append(true).open(scene.path("a.log")).unwrap();
    fs::rename(scene.path("a.log"), scene.path("a.log.1")).unwrap();
    scene.append("three\n");
    // The look that notices the new file.
    assert!(!scene.follower.look(|_, _| Ok(())).unwrap());
    old.write_all(b"two\n").unwrap();
    assert_eq!(scene.lines(), ["two", "three"]);
}

#[test]
fn a_truncated_file_is_read_from_its_beginning() {
    let mut scene = Scene::new();
    scene.append("one\ntwo\nhal");
    assert_eq!(scene.lines(), ["one", "two"]);
    fs::write(scene.path("a.log"), "new\n").unwrap();
    assert_eq!(scene.lines(), ["hal", "new"]);
}

#[test]
fn a_line_without_end_takes_bounded_memory() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.append(&"x".repeat(LINE_BYTES_MAX));
        assert!(scene.lines().is_empty());
        assert!(scene.follower.partial.capacity() <= 2 * LINE_BYTES_MAX);
    }
    scene.append("\nshort\n");
    assert_eq!(scene.lines(), [format!("{LINE_BYTES_MAX}..."), "short".to_owned()]);
    scene.append(&format!("{}\n", "y".repeat(LINE_BYTES_MAX)));
    assert_eq!(scene.lines(), ["y".repeat(LINE_BYTES_MAX)], "as long as is allowed is not too long");
}

#[test]
fn one_look_reads_a_bounded_amount() {
    let mut scene = Scene::new();
    scene.append(&"0123456\n".repeat(LOOK_BYTES_MAX / 8 + 1000));
    let mut lines = 0;
    let mut count = |_: &Path, _: Line<'_>| {
        lines += 1;
        Ok(())
    };
    assert!(scene.follower.look(&mut count).unwrap());
    assert_eq!(lines, LOOK_BYTES_MAX / 8);
    assert_eq!(scene.lines().len(), 1000);
}

#[test]
fn what_is_no_file_is_not_opened() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("a.log")).unwrap();
    assert!(scene.lines().is_empty());
    fs::remove_dir(scene.path("a.log")).unwrap();
    scene.append("one\n");
    assert_eq!(scene.lines(), ["one"]);
}
