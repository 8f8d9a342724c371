//! What depends on what: programs on nouns, and nothing on what must not be in the tree at all.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

use crate::source;

/// Crates that hold contracts and pure parts.
const NOUNS: [&str; 5] = ["weft-api", "weft-xds", "weft-identity", "weft-runtime", "weft-kubernetes"];
/// Crates that are programs of the mesh.
const PROGRAMS: [&str; 3] = ["weft-proxy", "weft-control-plane", "weft-injector"];

/// What cargo says about the packages as they are locked. It asks the network only for those that were never needed
/// before.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--locked")
        .current_dir(source::root())
        .output()
        .expect("cargo runs this test, so it is there");
    let failure = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {failure}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Names of all packages that are compiled into one.
fn tree(arguments: &[&str]) -> Vec<String> {
    let output = cargo(&[&["tree", "--prefix", "none", "--format", "{p}"], arguments].concat());
    output.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn is_openssl(name: &str) -> bool {
    name.starts_with("openssl") || name == "native-tls"
}

#[test]
fn the_proxy_knows_no_kubernetes_and_one_cryptography() {
    let packages = tree(&["--package", "weft-proxy", "--edges", "normal"]);
    assert!(packages.iter().any(|name| name == "rustls"), "the tree is not read: {packages:?}");
    let unwanted = |name: &&String| {
        name.starts_with("kube")
            || *name == "weft-kubernetes"
            || *name == "k8s-openapi"
            || *name == "ring"
            || is_openssl(name)
    };
    let found: Vec<&String> = packages.iter().filter(unwanted).collect();
    assert!(found.is_empty(), "weft-proxy links {found:?}");
}

#[test]
fn nothing_brings_a_second_cryptography() {
    let packages = tree(&["--workspace", "--edges", "all"]);
    assert!(packages.iter().any(|name| name == "aws-lc-rs"), "the tree is not read: {packages:?}");
    let found: Vec<&String> = packages.iter().filter(|name| *name == "ring" || is_openssl(name)).collect();
    assert!(found.is_empty(), "the workspace holds {found:?}");
}

/// For each crate of the workspace those that it depends on, for any purpose.
fn edges() -> BTreeMap<String, Vec<String>> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"]))
        .expect("cargo writes JSON");
    let name = |value: &Value| value["name"].as_str().expect("packages have names").to_owned();
    let packages = metadata["packages"].as_array().expect("a workspace has packages");
    let edges = |package: &Value| {
        let dependencies = package["dependencies"].as_array().expect("packages have dependencies");
        (name(package), dependencies.iter().map(name).collect())
    };
    packages.iter().map(edges).collect()
}

#[test]
fn there_are_no_arrows_between_nouns_nor_between_programs() {
    let edges = edges();
    let mut forbidden = Vec::new();
    for (own, dependencies) in &edges {
        let own = own.as_str();
        let is_noun = NOUNS.contains(&own);
        // A crate may name itself, to switch a feature on for its own tests.
        let others = dependencies.iter().map(String::as_str).filter(|other| *other != own);
        for other in others.filter(|other| edges.contains_key(*other)) {
            let fine = if is_noun {
                false
            } else if PROGRAMS.contains(&own) {
                NOUNS.contains(&other)
            } else {
                true
            };
            if !fine {
                forbidden.push(format!("{own} depends on {other}"));
            }
        }
    }
    for named in NOUNS.iter().chain(&PROGRAMS) {
        assert!(edges.contains_key(*named), "there is no crate {named} any more");
    }
    assert!(forbidden.is_empty(), "{}", forbidden.join("\n"));
}
