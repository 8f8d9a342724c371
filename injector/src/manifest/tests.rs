use serde_json::json;

use super::*;
use crate::Config;

fn installation() -> Installation {
    Config::default().installation("weft-system").unwrap()
}

fn names(pod: &Value) -> Vec<&str> {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    lists.into_iter().flatten().flatten().map(|container| container["name"].as_str().unwrap()).collect()
}

#[test]
fn every_kind_with_a_pod_gets_the_sidecar() {
    for (group, kind, path) in KINDS {
        let api = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a"}, "spec": {}});
        let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "app"}]}});
        match path {
            "" => object["spec"] = pod["spec"].clone(),
            "/spec/template" => object["spec"]["template"] = pod,
            _ => object["spec"]["jobTemplate"]["spec"]["template"] = pod,
        }
        let outcomes = inject(&mut object, &installation());
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].done, Done::Injected, "{kind}");
        assert_eq!(outcomes[0].object, format!("{}/a", kind.to_lowercase()));
        assert_eq!(names(object.pointer(path).unwrap()), ["weft-init", "weft-proxy", "app"], "{kind}");
        let again = inject(&mut object, &installation());
        assert!(matches!(again[0].done, Done::Skipped(_)), "{kind}");
    }
}

#[test]
fn lists_are_gone_through_and_other_kinds_pass() {
    let deployment = |labels: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "shop"},
               "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app"}]}}}})
    };
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": []}});
    let foreign =
        json!({"apiVersion": "example.org/v1", "kind": "Deployment", "metadata": {"name": "b"}, "spec": 1});
    let mut list = json!({"apiVersion": "v1", "kind": "List", "items": [
        deployment(json!({})), service, deployment(json!({"weft.dev/inject": "disabled"})), foreign,
    ]});
    let before = list.clone();
    let done: Vec<Done> =
        inject(&mut list, &installation()).into_iter().map(|outcome| outcome.done).collect();
    assert!(
        matches!(done.as_slice(), [Done::Injected, Done::Passed, Done::Skipped(_), Done::Passed]),
        "{done:?}"
    );
    for index in 1..4 {
        assert_eq!(list["items"][index], before["items"][index]);
    }
}

#[test]
fn templates_without_metadata_or_without_a_pod_are_no_trouble() {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "a-"},
        "spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}});
    let outcome = inject(&mut job, &installation()).remove(0);
    assert_eq!((outcome.done, outcome.object.as_str()), (Done::Injected, "job/a-*"));
    for broken in
        [json!({"apiVersion": "apps/v1", "kind": "Deployment"}), json!({"apiVersion": "v1", "kind": "Pod"})]
    {
        let mut object = broken.clone();
        assert!(matches!(inject(&mut object, &installation())[0].done, Done::Refused(_)));
        assert_eq!(object, broken);
    }
    for odd in [json!(null), json!("text"), json!([1]), json!({"kind": 1})] {
        let mut object = odd.clone();
        assert_eq!(inject(&mut object, &installation())[0].done, Done::Passed);
        assert_eq!(object, odd);
    }
}

#[test]
fn yaml_is_read_as_kubectl_reads_it_and_written_so_that_everybody_reads_the_same() {
    let text = "a: yes\nb: 0644\nc: \"yes\"\nd: 1.5\ne: ~\nf: '0644'\ng: off\nh: 12:30\ni: \"null\"\n---\n\n---\nj: |\n  x\n  y\n";
    let documents = read(text).unwrap();
    let first = json!({
        "a": true, "b": 420, "c": "yes", "d": 1.5, "e": null, "f": "0644", "g": false, "h": "12:30", "i": "null",
    });
    assert_eq!(documents, [first, json!({"j": "x\ny\n"})]);
    let written = write(&documents).unwrap();
    assert_eq!(read(&written).unwrap(), documents, "{written}");
    for line in ["c: 'yes'", "f: '0644'"] {
        assert!(written.replace('"', "'").contains(line), "{written}");
    }
    assert_eq!(read("").unwrap(), Vec::<Value>::new());
    assert_eq!(read("a: 1\nb: [\n").unwrap_err().line, 2);
}
