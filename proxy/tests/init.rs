//! `weft-proxy init` as a pod starts it: what it prints, and how it ends. Nothing here needs a right or changes anything.

use std::process::{Command, Output};

fn init(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-proxy"));
    command.arg("init").args(arguments).output().expect("the program of this crate starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8")
}

#[test]
fn a_dry_run_prints_the_rules_and_nothing_else() {
    let output = init(&["--dry-run", "--skip-outbound-ports=5432"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.starts_with("table inet weft {\n") && printed.ends_with("}\n"), "{printed}");
    assert!(printed.contains("tcp dport 5432 accept"), "{printed}");
}

#[test]
fn a_mistake_ends_with_2_and_names_the_flag() {
    let output = init(&["--skip-inbound-ports", "9010-9000"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(said.contains("--skip-inbound-ports") && said.contains("write `9000-9010`"), "{said}");
}

#[test]
fn help_lists_the_flags() {
    let output = init(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("--skip-inbound-ports"));
}
