//! Pods as people write them, each beside the answer that it gets. With `WEFT_REGENERATE=1` the answers are written
//! anew. A second document in a file is the injector's configuration.
#![allow(clippy::unwrap_used, reason = "a test may end where something unexpected happens")]

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use weft_api::names;
use weft_injector::{
    Config, Installation,
    decide::{Decision, Skip, Verdict, decide},
    manifest,
    patch::{Add, apply, patch},
    review::review,
};

struct Case {
    path: PathBuf,
    pod: Value,
    installation: Installation,
}

impl Case {
    fn all() -> Vec<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
            .collect();
        paths.sort();
        assert!(paths.len() >= 20, "the cases are not found");
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let mut documents = manifest::read(&fs::read_to_string(&path).unwrap()).unwrap().into_iter();
        let pod = documents.next().unwrap();
        let config: Config =
            documents.next().map_or_else(Config::default, |config| serde_json::from_value(config).unwrap());
        let mut installation = config.installation("weft-system").unwrap();
        // The golden files do not change with the version.
        installation.proxy.image = installation.proxy.image.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        Self { path, pod, installation }
    }

    fn namespace(&self) -> &str {
        self.pod["metadata"]["namespace"].as_str().unwrap()
    }

    fn verdict(&self) -> Verdict {
        decide(&self.pod, self.namespace(), &self.installation)
    }

    fn adds(&self) -> Option<Vec<Add>> {
        match self.verdict().decision {
            Decision::Inject(plan) => Some(patch(&self.pod, &plan, &self.installation)),
            Decision::Skip(_) | Decision::Refuse(_) => None,
        }
    }

    fn injected(&self) -> Option<Value> {
        let mut pod = self.pod.clone();
        assert!(apply(&mut pod, &self.adds()?), "{}", self.path.display());
        Some(pod)
    }
}

#[test]
fn each_shape_of_pod_gets_the_answer_beside_it() {
    let regenerate = std::env::vars_os().any(|(name, value)| name == "WEFT_REGENERATE" && value == "1");
    for case in Case::all() {
        let verdict = case.verdict();
        let mut answer = match &verdict.decision {
            Decision::Inject(_) => json!({"patch": case.adds()}),
            Decision::Skip(why) => json!({"skip": why.to_string()}),
            Decision::Refuse(why) => json!({"refuse": why.to_string()}),
        };
        if !verdict.warnings.is_empty() {
            answer["warnings"] = json!(verdict.warnings);
        }
        let text = serde_json::to_string_pretty(&answer).unwrap() + "\n";
        let beside = case.path.with_extension("patch.json");
        if regenerate {
            fs::write(beside, text).unwrap();
        } else {
            let expected = fs::read_to_string(&beside).unwrap_or_default();
            assert_eq!(text, expected, "{}; WEFT_REGENERATE=1 writes it anew", beside.display());
        }
    }
}

#[test]
fn injecting_twice_changes_nothing() {
    for case in Case::all() {
        let Some(pod) = case.injected() else { continue };
        let again = decide(&pod, case.namespace(), &case.installation).decision;
        assert_eq!(again, Decision::Skip(Skip::Injected), "{}", case.path.display());
    }
}

#[test]
fn another_implementation_applies_the_patch_to_the_same_effect() {
    for case in Case::all() {
        let Some(ours) = case.injected() else { continue };
        let patch: json_patch::Patch = serde_json::from_value(json!(case.adds())).unwrap();
        let mut theirs = case.pod.clone();
        json_patch::patch(&mut theirs, &patch).unwrap();
        assert_eq!(ours, theirs, "{}", case.path.display());
    }
}

#[test]
fn the_bootstrap_is_one_once_the_kubelet_has_put_the_names_in() {
    for case in Case::all() {
        let Some(pod) = case.injected() else { continue };
        let containers = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array().cloned());
        let proxy =
            containers.into_iter().flatten().flatten().find(|one| one["name"] == "weft-proxy").unwrap();
        let env = proxy["env"].as_array().unwrap();
        let text = env.last().unwrap()["value"].as_str().unwrap();
        let mut expanded = text.to_owned();
        for variable in env {
            // As the kubelet does: only variables that stand before.
            let name = variable["name"].as_str().unwrap();
            expanded = expanded.replace(&format!("$({name})"), &name.to_lowercase());
        }
        assert!(!expanded.contains('$'), "{expanded}");
        let bootstrap: weft_api::bootstrap::Bootstrap = serde_json::from_str(&expanded).unwrap();
        assert_eq!(bootstrap.workload.name, "weft_pod_name");
        assert_eq!(bootstrap.workload.namespace, "weft_pod_namespace");
        assert_eq!(bootstrap.workload.service_account, "weft_service_account");
        let ports = bootstrap.transparent.map(|transparent| (transparent.inbound, transparent.outbound));
        assert_eq!(ports, Some((names::INBOUND_PORT, names::OUTBOUND_PORT)));
    }
}

/// The Pod Security Standard *restricted*, as far as it is about single containers.
fn is_restricted(security: &Value) -> bool {
    security["allowPrivilegeEscalation"] == false
        && security["capabilities"] == json!({"drop": ["ALL"]})
        && security["runAsNonRoot"] == true
        && security["runAsUser"].as_u64().is_some_and(|user| user != 0)
        && security["seccompProfile"]["type"] == "RuntimeDefault"
        && security.get("privileged").is_none()
}

#[test]
fn everything_but_the_redirect_is_clean_under_the_restricted_standard() {
    let mut seen = 0;
    for case in Case::all() {
        let Some(pod) = case.injected() else { continue };
        for container in
            ["initContainers", "containers"].iter().flat_map(|list| pod["spec"][list].as_array().unwrap())
        {
            let name = container["name"].as_str().unwrap();
            if !name.starts_with("weft-") {
                continue;
            }
            seen += 1;
            let installs = name == "weft-init" && container["args"][1] != "--verify";
            let security = &container["securityContext"];
            assert_eq!(is_restricted(security), !installs, "{} {name}", case.path.display());
            assert_eq!(security["readOnlyRootFilesystem"], true);
            let tokens = "/var/run/secrets/kubernetes.io/serviceaccount";
            let mounts = container["volumeMounts"].as_array().unwrap();
            assert!(
                mounts.iter().any(|mount| mount["mountPath"] == tokens),
                "{name} gets the application's token"
            );
            if installs {
                assert_eq!(security["capabilities"], json!({"add": ["NET_ADMIN"], "drop": ["ALL"]}));
                let ours = &case.installation.proxy.image;
                assert_eq!(container["image"], json!(ours), "no annotation chooses what has this right");
            }
        }
    }
    assert!(seen > 20);
}

#[test]
fn the_webhook_reads_less_of_a_pod_to_the_same_effect() {
    for case in Case::all() {
        let question = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u", "namespace": case.namespace(), "operation": "CREATE",
                        "resource": {"resource": "pods"}, "object": case.pod},
        });
        let answer = review(question.to_string().as_bytes(), &case.installation).unwrap();
        let response = serde_json::from_slice::<Value>(&answer.body).unwrap()["response"].take();
        let verdict = case.verdict();
        let patch = response["patch"].as_str().map(|text| STANDARD.decode(text).unwrap());
        let patch = patch.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
        assert_eq!(patch, case.adds().map(|adds| json!(adds)), "{}", case.path.display());
        assert_eq!(response["allowed"], !matches!(verdict.decision, Decision::Refuse(_)));
        let warnings = response.get("warnings").cloned().unwrap_or(json!([]));
        assert_eq!(warnings, json!(verdict.warnings), "{}", case.path.display());
        if let Decision::Refuse(why) = verdict.decision {
            assert_eq!(response["status"]["message"], format!("weft: {why}"));
        }
    }
}
