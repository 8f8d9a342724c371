//! `weft inject` as people use it: manifests in, manifests with sidecars out, and words about each on stderr.
#![allow(clippy::unwrap_used, reason = "a test may end where something unexpected happens")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

const APP: &str = "\
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: api}]}
";

fn inject(arguments: &[&str], manifest: &str) -> Output {
    let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
    weft.arg("inject").args(arguments);
    let mut weft = weft.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    weft.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
    weft.wait_with_output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_comes_out_can_go_in_again_and_stays_the_same() {
    let once = inject(&["-", "--image", "mirror/weft-proxy:1"], APP);
    assert!(once.status.success());
    assert_eq!(text(once.stderr), "service/api: has no pod\ndeployment/api: injected\n");
    let once = text(once.stdout);
    assert!(once.contains("name: weft-proxy\n") && once.contains("image: mirror/weft-proxy:1\n"), "{once}");
    let twice = inject(&["-"], &once);
    assert!(twice.status.success());
    assert!(text(twice.stderr).contains("deployment/api: left as it is: it has a sidecar already"));
    assert_eq!(text(twice.stdout), once);
}

#[test]
fn a_file_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.yaml");
    std::fs::write(&path, APP).unwrap();
    let from_file = inject(&[path.to_str().unwrap()], "");
    assert_eq!(from_file.stdout, inject(&["-"], APP).stdout);
}

#[test]
fn what_is_refused_is_said_and_everything_is_printed_all_the_same() {
    let manifest = APP.replace("labels:", "annotations: {weft.dev/drain: soon, weft.dev/injct: x}, labels:");
    let output = inject(&["-"], &manifest);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(output.stderr);
    assert!(errors.contains("deployment/api: refused: annotation weft.dev/drain is \"soon\""), "{errors}");
    assert!(text(output.stdout).contains("kind: Service"));
}

#[test]
fn what_cannot_be_read_is_named() {
    for (arguments, manifest, said) in [
        (&["-"][..], "a: [\n", "line "),
        (&["nowhere.yaml"], "", "nowhere.yaml"),
        (&["-", "--config", "nowhere.yaml"], APP, "nowhere.yaml"),
        (&["-", "--mesh-namespace", "Not One"], APP, "Not One"),
    ] {
        let output = inject(arguments, manifest);
        assert_eq!(output.status.code(), Some(1));
        let errors = text(output.stderr);
        assert!(errors.contains(said), "{errors}");
        assert!(output.stdout.is_empty());
    }
}
