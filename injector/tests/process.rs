//! The program itself: what it says when it is started wrongly, and that signals end it.
#![allow(clippy::unwrap_used, reason = "a test may end where something unexpected happens")]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

fn injector() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-injector"));
    for variable in ["WEFT_LOG", "WEFT_NAMESPACE", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

#[test]
fn whoever_starts_it_wrongly_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let addresses = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";
    let cases = [
        (vec![], 2, "usage: weft-injector --config FILE"),
        (vec!["--config".to_owned()], 2, "usage: weft-injector --config FILE"),
        (vec!["--config".to_owned(), "nowhere.yaml".to_owned()], 1, "nowhere.yaml"),
        (vec!["--config".to_owned(), file("a.yaml", "lisen: 1\n")], 1, "lisen"),
        (vec!["--config".to_owned(), file("b.yaml", "trustDomain: A\n")], 1, "trustDomain"),
        (vec!["--config".to_owned(), file("c.yaml", addresses)], 1, "certificate.source"),
    ];
    for (arguments, code, said) in cases {
        let output = injector().args(&arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("injector.yaml");
    let directory = folder.path().display();
    let certificate = format!("certificate: {{source: files, directory: {directory}}}\n");
    fs::write(&path, format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{certificate}")).unwrap();
    let mut injector = injector().arg("--config").arg(&path).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(injector.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut says = |what: &str| assert!(log.any(|line| line.contains(what)), "it never said {what}");
    let signal = |name: &str, process: u32| {
        assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
    };
    says("started");
    says("tls.crt");
    signal("-TERM", injector.id());
    says("draining");
    signal("-INT", injector.id());
    says("aborting");
    assert!(injector.wait().unwrap().success());
}
