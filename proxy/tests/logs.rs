//! The log adapter and the sidecar as the containers of a pod start them.
#![allow(clippy::unwrap_used, reason = "a test may end where something unexpected happens")]

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

fn weft_proxy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-proxy"));
    command.env("WEFT_POD_NAME", "api-0").env("WEFT_POD_NAMESPACE", "shop").stdin(Stdio::null());
    command
}

#[test]
fn lines_of_a_file_come_out_as_json_and_a_signal_ends_it_after_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.log");
    let mut adapter =
        weft_proxy().args(["logs", "--file"]).arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(adapter.stdout.take().unwrap()).lines().map(Result::unwrap);
    let append = |text: &str| {
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append("{\"level\":\"info\",\"n\":1.0}\nplain\n");
    let line = |log: &str| {
        let file = path.display();
        format!("{{\"namespace\":\"shop\",\"pod\":\"api-0\",\"file\":\"{file}\",\"log\":{log}}}")
    };
    assert_eq!(lines.next().unwrap(), line("{\"level\":\"info\",\"n\":1.0}"));
    assert_eq!(lines.next().unwrap(), line("\"plain\""));
    append("last words");
    let killed = Command::new("kill").args(["-TERM", &adapter.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(lines.next().unwrap(), line("\"last words\""));
    assert_eq!(lines.next(), None);
    assert!(adapter.wait().unwrap().success());
}

#[test]
fn what_it_is_told_wrong_is_said_with_what_to_write_instead() {
    let cases: [(&[&str], i32, &str); 5] = [
        (&["logs"], 2, "--file FILE"),
        (&["logs", "/var/log/a.log"], 2, "--file FILE"),
        (&["log"], 2, "usage: weft-proxy"),
        (&[], 2, "--bootstrap-env"),
        (&["--bootstrap-env"], 1, "WEFT_BOOTSTRAP is not set"),
    ];
    for (arguments, code, said) in cases {
        let output = weft_proxy().env_remove("WEFT_BOOTSTRAP").args(arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
}

#[test]
fn the_bootstrap_is_read_from_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("ca.crt");
    let bootstrap = serde_json::json!({
        "workload": {"namespace": "shop", "name": "api-0", "serviceAccount": "api"},
        "controlPlane": {
            "address": "127.0.0.1:1",
            "identity": "spiffe://cluster.local/ns/weft-system/sa/weft-control-plane",
            "trustBundle": absent,
            "token": folder.path().join("token"),
        },
        "transparent": {"inbound": 4143, "outbound": 4140},
        "inbound": [{"listen": "127.0.0.1:1", "app": "127.0.0.1:2"}],
    });
    // As far as the first file that it names: everything before was understood.
    let told = |text: &str| {
        let output = weft_proxy().env("WEFT_BOOTSTRAP", text).arg("--bootstrap-env").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!fs::exists(&absent).unwrap());
    let errors = told(&bootstrap.to_string());
    assert!(errors.contains(absent.to_str().unwrap()), "{errors}");
    let errors = told("{\"workload\": 1}");
    assert!(errors.contains("WEFT_BOOTSTRAP: ") && errors.contains("line 1"), "{errors}");
}
