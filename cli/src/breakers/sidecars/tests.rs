use std::fs;

use tempfile::TempDir;

use super::*;

fn workload(name: &str, port: u16) -> String {
    let inbound = port + 1000;
    format!(
        "---\napiVersion: local.weft.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec:\n  inbound: [{{port: {inbound}, app: 127.0.0.1:80}}]\n  admin: 127.0.0.1:{port}\n"
    )
}

fn sidecar(workload: &str, port: u16) -> Sidecar {
    Sidecar { workload: workload.to_owned(), admin: SocketAddr::from(([127, 0, 0, 1], port)) }
}

#[test]
fn the_sidecars_of_files_are_those_of_their_workloads() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mesh.yaml");
    fs::write(&file, workload("web", 1001) + &workload("api", 1002)).unwrap();
    let mut sidecars = Sidecars::choose(Some(folder.path().to_owned()), &[]).unwrap();
    let both = [sidecar("default/api", 1002), sidecar("default/web", 1001)];
    assert_eq!(sidecars.now(), both);

    fs::write(&file, "kind: [").unwrap();
    sidecars.refresh();
    assert_eq!(sidecars.now(), both, "a mistake changes nothing");
    fs::write(&file, workload("web", 1003)).unwrap();
    sidecars.refresh();
    assert_eq!(sidecars.now(), [sidecar("default/web", 1003)]);
}

#[test]
fn named_sidecars_need_no_files() {
    let mut sidecars = Sidecars::choose(None, &[SocketAddr::from(([127, 0, 0, 1], 1001))]).unwrap();
    sidecars.refresh();
    assert_eq!(sidecars.now(), [sidecar("127.0.0.1:1001", 1001)]);
}

#[test]
fn files_that_say_nothing_are_errors_that_say_what_to_do() {
    let folder = TempDir::new().unwrap();
    let choose = || Sidecars::choose(Some(folder.path().to_owned()), &[]).unwrap_err();
    fs::write(
        folder.path().join("mesh.yaml"),
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n",
    )
    .unwrap();
    assert!(matches!(choose(), Error::NoWorkload(_)), "{}", choose());
    fs::write(folder.path().join("mesh.yaml"), "kind: [").unwrap();
    let text = choose().to_string();
    assert!(text.contains("mesh.yaml:1") && text.contains("--proxy ADDRESS"), "{text}");
    assert!(!choose().is_usage() && Error::NoMesh.is_usage());
}
