//! What `weft` says, and which code it exits with, when something is wrong with what it was given.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: feelgood-api
spec:
  ports:
    - name: http
      port: 80
";

fn weft(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft")).args(arguments).output().unwrap()
}

/// Exit code and stderr of `weft run` on a folder with one file.
fn run(content: &str) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("mesh.yaml"), content).unwrap();
    run_on(folder.path())
}

fn run_on(path: &Path) -> (Option<i32>, String) {
    let [control_plane, admin] = [free(), free()].map(|address| address.to_string());
    let output = weft(&[
        "run",
        "-f",
        path.to_str().unwrap(),
        "--control-plane",
        &control_plane,
        "--control-plane-admin",
        &admin,
    ]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn workload(spec: &str) -> String {
    format!("apiVersion: local.weft.dev/v1alpha1\nkind: Workload\nmetadata:\n  name: frontend\nspec:\n{spec}")
}

#[test]
fn what_is_no_command_line_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["run"],
        &["run", "--nonsense"],
        &["nonsense"],
        &["demo", "--duration", "5s"],
        &["demo", "--duration", "soon"],
        &["demo", "--rate", "1"],
        &["run", "-f", "mesh.yaml", "--control-plane", "here"],
    ] {
        assert_eq!(weft(arguments).status.code(), Some(2), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["demo", "--help"]] {
        assert_eq!(weft(arguments).status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let (code, stderr) = run_on(Path::new("nowhere/mesh.yaml"));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("nowhere/mesh.yaml"), "{stderr}");
}

#[test]
fn what_is_no_yaml_is_told_with_file_and_line() {
    let (code, stderr) = run("apiVersion: v1\nkind: [Service\n");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("mesh.yaml:"), "{stderr}");
    assert!(stderr.contains("1 problem; nothing was started"), "{stderr}");
}

#[test]
fn an_unknown_field_is_told_with_its_line() {
    let (code, stderr) = run(&workload("  admim: 127.0.0.1:1\n  admin: 127.0.0.1:2\n"));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("mesh.yaml:6") && stderr.contains("admim"), "{stderr}");
}

#[test]
fn an_unknown_service_is_told_with_its_field() {
    let spec = "  outbound:\n    - listen: 127.0.0.1:1\n      service: feelgod-api\n      port: 80\n  admin: 127.0.0.1:2\n";
    let (code, stderr) = run(&format!("{SERVICE}---\n{}", workload(spec)));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("feelgod-api") && stderr.contains("spec.outbound[0]"), "{stderr}");
}

#[test]
fn a_taken_port_is_told_with_its_listener_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let admin = free();
    let spec = format!(
        "  outbound:\n    - listen: {address}\n      service: feelgood-api\n      port: 80\n  admin: {admin}\n"
    );
    let (code, stderr) = run(&format!("{SERVICE}---\n{}", workload(&spec)));
    assert_eq!(code, Some(1), "{stderr}");
    for part in
        ["Workload default/frontend", &address.to_string(), "in use", "spec.outbound[0].listen", "hint: stop"]
    {
        assert!(stderr.contains(part), "{part} is not in: {stderr}");
    }
}
