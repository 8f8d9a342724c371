use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::store::ObjectName;

/// Far more than any of this takes.
const PATIENCE: Duration = Duration::from_mins(1);

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"
    )
}

fn port(reading: &Reading, name: &str) -> Option<u16> {
    reading.store().services.get(&ObjectName::new("default", name)).map(|service| service.spec.ports[0].port)
}

/// Waits for readings until one is as it should be: a change may be seen in several steps.
async fn until(source: &mut Directory, mut done: impl FnMut(&Reading) -> bool) {
    let seen = async { while !done(source.changed().await) {} };
    timeout(PATIENCE, seen).await.expect("the change is noticed");
}

#[tokio::test]
async fn edits_renames_breakage_mending_and_deletion_are_noticed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("api.yaml");
    fs::write(&file, service("api", 80)).unwrap();
    fs::write(folder.path().join("notes.txt"), "not: [read").unwrap();
    let mut source = Directory::open(folder.path()).unwrap();
    assert_eq!(port(source.reading(), "api"), Some(80));

    fs::write(&file, service("api", 81)).unwrap();
    until(&mut source, |reading| port(reading, "api") == Some(81)).await;

    let draft = folder.path().join(".api.yaml.swp");
    fs::write(&draft, service("api", 82)).unwrap();
    fs::rename(&draft, &file).unwrap();
    until(&mut source, |reading| port(reading, "api") == Some(82)).await;

    fs::write(&file, "a: [").unwrap();
    until(&mut source, |reading| reading.check().len() == 1).await;
    assert_eq!(port(source.reading(), "api"), Some(82), "the last good state stays");

    fs::write(&file, service("api", 83)).unwrap();
    until(&mut source, |reading| reading.check().is_empty() && port(reading, "api") == Some(83)).await;

    fs::write(folder.path().join("other.json"), "{\"apiVersion\": \"v1\"}").unwrap();
    until(&mut source, |reading| reading.check().len() == 1).await;

    fs::remove_file(&file).unwrap();
    until(&mut source, |reading| port(reading, "api").is_none()).await;
}

#[tokio::test]
async fn the_links_of_a_config_map_are_swapped_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    for (generation, port) in [("..1", 80), ("..2", 81)] {
        fs::create_dir(path.join(generation)).unwrap();
        fs::write(path.join(generation).join("api.yaml"), service("api", port)).unwrap();
    }
    symlink("..1", path.join("..data")).unwrap();
    symlink("..data/api.yaml", path.join("api.yaml")).unwrap();
    let mut source = Directory::open(path).unwrap();
    assert_eq!(port(source.reading(), "api"), Some(80));

    symlink("..2", path.join("..data_tmp")).unwrap();
    fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
    until(&mut source, |reading| port(reading, "api") == Some(81)).await;
}

#[tokio::test]
async fn a_single_file_may_be_replaced() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("api.yaml");
    fs::write(&file, service("api", 80)).unwrap();
    let mut source = Directory::open(&file).unwrap();
    let draft = folder.path().join("draft");
    fs::write(&draft, service("api", 81)).unwrap();
    fs::rename(&draft, &file).unwrap();
    until(&mut source, |reading| port(reading, "api") == Some(81)).await;
}

/// With the time standing still until nothing else can happen, the notices of the system are taken away.
#[tokio::test(start_paused = true)]
async fn a_lost_notice_is_made_up_for() {
    let folder = TempDir::new().unwrap();
    let mut source = Directory::open(folder.path()).unwrap();
    source.watcher = None;
    fs::write(folder.path().join("api.yaml"), service("api", 80)).unwrap();
    assert_eq!(port(source.changed().await, "api"), Some(80));
}

#[tokio::test(start_paused = true)]
async fn files_are_looked_at_that_notices_name_and_all_where_it_may_be_any() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    for name in ["a.yaml", "b.yaml"] {
        fs::write(file(name), service("api", 80)).unwrap();
    }
    let mut source = Directory::open(folder.path()).unwrap();
    source.watcher = None;
    let mut seen = |names: &[&str]| {
        source.touched.note(&names.iter().map(|name| file(name)).collect::<Vec<_>>());
        let found = source.look();
        found.into_keys().map(|file| file.file_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["a.yaml", "b.yaml"];
    assert_eq!(seen(&["a.yaml"]), all, "at first");
    assert_eq!(seen(&["a.yaml"]), ["a.yaml"]);
    assert_eq!(seen(&[]), all, "notices were lost");
    assert_eq!(seen(&["b.yaml"]), ["b.yaml"]);
    assert_eq!(seen(&["b.yaml", "..data"]), all, "what links lead through is another");
    assert_eq!(seen(&["new.yaml"]), all, "whether it is too many, all of them say");
    let many: Vec<_> = (0..=TOUCHED_MAX).map(|number| format!("{number}.yaml")).collect();
    assert_eq!(seen(&many.iter().map(String::as_str).collect::<Vec<_>>()), all);
    tokio::time::advance(RESCAN).await;
    assert_eq!(seen(&["a.yaml"]), all, "every few seconds");
}

#[test]
fn a_path_that_is_not_there_says_so() {
    let Err(error) = Directory::open(Path::new("no/such/folder")) else { panic!("opened") };
    assert!(error.to_string().starts_with("no/such/folder: "), "{error}");
}

#[test]
fn what_is_too_large_or_no_text_is_a_problem_and_not_the_end() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.yaml"), service("api", 80)).unwrap();
    fs::write(folder.path().join("b.yaml"), [0xff, 0xfe, 0xff]).unwrap();
    fs::File::create(folder.path().join("c.yaml")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let reading = read(folder.path());
    assert_eq!((port(&reading, "api"), reading.check().len()), (Some(80), 2));
}
