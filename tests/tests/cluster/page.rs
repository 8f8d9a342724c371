//! The page for newcomers: what they type, as it stands there.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Signal, kill_process_group};
use weft_tests::page::{Block, Manner, blocks};
use weft_tests::process::pid;

use crate::{
    cluster,
    place::{command, run, until},
};

/// A terminal of its own. Dropped, what runs in it is ended.
struct Beside(Child);

#[test]
fn what_the_page_says_happens() {
    let Some(_turn) = crate::turn("page::what_the_page_says_happens") else { return };
    if cluster().is_given() {
        return crate::skipped("the page installs and uninstalls the mesh of the whole cluster");
    }
    crate::uninstall();
    let mut terminals = BTreeMap::new();
    let mut told = BTreeMap::new();
    for block in blocks(&page()) {
        println!("== {}\n{}", block.name, block.script);
        if block.manner == Manner::Beside {
            // What was typed there before is ended first.
            terminals.remove(&block.name);
            terminals.insert(block.name.clone(), Beside::start(&block));
            continue;
        }
        // A forwarded port is there a moment after its command was typed.
        if block.script.contains("127.0.0.1:4200") || block.script.contains("127.0.0.1:8081") {
            wait_for_ports(&block.script);
        }
        let ended = run(&mut shell(&block.script), "");
        let output = match (block.manner, ended) {
            (Manner::Refused, Err(refusal)) => refusal,
            (Manner::Refused, Ok(output)) => panic!("{} is not refused: {output}", block.name),
            (_, ended) => ended.unwrap_or_else(|error| panic!("{}: {error}", block.name)),
        };
        println!("{output}");
        told.insert(block.name, output);
    }
    drop(terminals);
    judge(&told);
    crate::install();
}

fn judge(told: &BTreeMap<String, String>) {
    for phase in ["unmeshed", "meshed"] {
        let failed = count(&told[phase], "500");
        // Four standard errors: 4 * sqrt(300 * 1/3 * 2/3) = 33.
        assert!((67..=133).contains(&failed), "{phase}: {failed} of 300 failed, not about 100");
    }
    let failed = count(&told["retry"], "500");
    // 4 * sqrt(300 * 1/27 * 26/27) = 13.
    assert!(failed <= 24, "with retries {failed} of 300 failed, not about 11");
    assert_eq!(count(&told["broken"], "200"), 300, "{}", told["broken"]);
    assert!(told["broken"].contains("Good vibes are on their way."), "{}", told["broken"]);
    let healed = &told["healed"];
    let last = healed.lines().last().unwrap_or_default();
    assert!(!last.contains("Good vibes are on their way."), "the API's own vibes are not back: {healed}");
    assert!(
        told["logs"].contains("spiffe://") && told["logs"].contains("\"path\":\"/goodvibes\""),
        "{}",
        told["logs"]
    );
    assert!(told["mistake"].contains("attempts"), "{}", told["mistake"]);
}

/// How often `uniq -c` counted `status`.
fn count(told: &str, status: &str) -> u32 {
    let line = told.lines().find_map(|line| line.trim().strip_suffix(&format!(" {status}")));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn page() -> String {
    let path = root().join("docs/getting-started.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a terminal does with the script.
fn shell(script: &str) -> Command {
    let mut shell = command("bash");
    shell.args(["-euc", script]).current_dir(root());
    shell
}

fn wait_for_ports(script: &str) {
    for port in [4200, 8081] {
        if script.contains(&format!("127.0.0.1:{port}")) {
            until(&format!("port {port} is forwarded"), || {
                let address = format!("http://127.0.0.1:{port}/healthz");
                run(command("curl").args(["-s", "-o", "/dev/null", "--max-time", "5", &address]), "").ok()
            });
        }
    }
}

impl Beside {
    fn start(block: &Block) -> Self {
        let mut shell = shell(&block.script);
        // In a process group of its own, so that all of it can be ended.
        shell.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().unwrap_or_else(|error| panic!("{}: {error}", block.name)))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = kill_process_group(pid(self.0.id()), Signal::KILL);
        let _ = self.0.wait();
    }
}
