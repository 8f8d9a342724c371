//! What Helm makes of the charts: which objects, of what shape, and what it refuses.

use std::fs;

use std::path::Path;

use serde_json::Value;
use weft_api::bootstrap::OutboundPolicy;

use crate::helm;

/// The objects of a release `weft` in the namespace `mesh`, with these values (`name=value`) set.
fn render(values: &[&str]) -> Result<Vec<Value>, String> {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/weft");
    let mut arguments = vec!["template", "weft", chart, "--namespace", "mesh"];
    for value in values {
        arguments.extend(["--set", value]);
    }
    let text = helm(&arguments)?;
    let objects = text.split("\n---\n").map(|document| document.trim_start_matches("---\n"));
    let parsed = objects.map(|document| {
        serde_saphyr::from_str::<Value>(document).unwrap_or_else(|error| panic!("{error}:\n{document}"))
    });
    Ok(parsed.filter(|object| !object.is_null()).collect())
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn count(objects: &[Value], kind: &str) -> usize {
    objects.iter().filter(|object| object["kind"] == kind).count()
}

/// The values of one requirement of a selector, if it has this one.
fn required<'a>(selector: &'a Value, key: &str, operator: &str) -> Option<&'a Value> {
    let requirements = selector["matchExpressions"].as_array()?;
    let found = requirements.iter().find(|it| it["key"] == key && it["operator"] == operator)?;
    Some(&found["values"])
}

#[test]
fn no_values_are_needed_and_nothing_optional_is_there_without_them() {
    if !crate::enabled() {
        return;
    }
    let objects = render(&[]).unwrap();
    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/weft-crds/templates");
    let policies = fs::read_dir(definitions).unwrap().count();
    for (kind, expected) in [
        ("Deployment", 2),
        ("Service", 2),
        ("ServiceAccount", 2),
        ("PodDisruptionBudget", 2),
        ("MutatingWebhookConfiguration", 1),
        ("PriorityClass", 1),
        ("CustomResourceDefinition", policies),
        ("DaemonSet", 0),
        ("Secret", 0),
        ("NetworkPolicy", 0),
        ("HorizontalPodAutoscaler", 0),
        ("PodMonitor", 0),
        ("PrometheusRule", 0),
        ("Certificate", 0),
    ] {
        assert_eq!(count(&objects, kind), expected, "{kind}");
    }
}

#[test]
fn what_is_asked_for_comes() {
    if !crate::enabled() {
        return;
    }
    let everything = [
        "networkPolicy.enabled=true",
        "controlPlane.autoscaling.enabled=true",
        "injector.certificate.source=certManager",
        "monitoring.podMonitor.enabled=true",
        "monitoring.prometheusRule.enabled=true",
        "monitoring.dashboard.enabled=true",
        "priorityClassName=mine",
        "crds.enabled=false",
    ];
    let objects = render(&everything).unwrap();
    for (kind, expected) in [
        ("NetworkPolicy", 2),
        ("HorizontalPodAutoscaler", 1),
        ("PodMonitor", 3),
        ("PrometheusRule", 1),
        ("Certificate", 1),
        ("PriorityClass", 0),
        ("CustomResourceDefinition", 0),
    ] {
        assert_eq!(count(&objects, kind), expected, "{kind}");
    }
    let scaled = &named(&objects, "Deployment", "weft-control-plane")["spec"];
    assert!(scaled["replicas"].is_null(), "the autoscaler would be overruled at each upgrade");
    assert_eq!(scaled["template"]["spec"]["priorityClassName"], "mine");
    // Somebody else makes the certificate: no right to any Secret, no token.
    assert!(!objects.iter().any(|it| it["kind"] == "Role" && it["metadata"]["name"] == "weft-injector"));
    let injector = &named(&objects, "Deployment", "weft-injector")["spec"]["template"]["spec"];
    assert_eq!(injector["automountServiceAccountToken"], false);
    let dashboard = &named(&objects, "ConfigMap", "weft-dashboard")["data"]["weft.json"];
    let dashboard: Value = serde_json::from_str(dashboard.as_str().unwrap()).unwrap();
    assert_eq!(dashboard["title"], "Weft");
}

#[test]
fn a_pod_comes_to_the_webhook_by_one_way_at_most_and_never_from_the_mesh_itself() {
    if !crate::enabled() {
        return;
    }
    let objects = render(&[]).unwrap();
    let webhooks = named(&objects, "MutatingWebhookConfiguration", "weft-injector")["webhooks"].clone();
    let [by_namespace, by_pod] = webhooks.as_array().unwrap().as_slice() else { panic!("{webhooks}") };
    for webhook in [by_namespace, by_pod] {
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["timeoutSeconds"], 5);
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(webhook["matchPolicy"], "Equivalent");
        assert_eq!(webhook["clientConfig"]["service"]["namespace"], "mesh");
        assert!(webhook["clientConfig"]["caBundle"].is_null(), "it is the injector's to write");
        let excluded =
            required(&webhook["namespaceSelector"], "kubernetes.io/metadata.name", "NotIn").unwrap();
        assert_eq!(*excluded, serde_json::json!(["kube-system", "kube-node-lease", "mesh"]));
    }
    let label = "weft.dev/inject";
    let enabled = serde_json::json!(["enabled"]);
    assert_eq!(required(&by_namespace["namespaceSelector"], label, "In"), Some(&enabled));
    assert_eq!(required(&by_pod["namespaceSelector"], label, "NotIn"), Some(&enabled), "the two overlap");
    assert_eq!(required(&by_pod["objectSelector"], label, "In"), Some(&enabled));
    let disabled = serde_json::json!(["disabled"]);
    assert_eq!(required(&by_namespace["objectSelector"], label, "NotIn"), Some(&disabled));
}

#[test]
fn names_follow_the_namespace_of_the_release() {
    if !crate::enabled() {
        return;
    }
    let objects = render(&[]).unwrap();
    let config =
        named(&objects, "ConfigMap", "weft-injector")["data"]["config.yaml"].as_str().unwrap().to_owned();
    assert!(config.contains("address: weft-control-plane.mesh.svc:15012\n"), "{config}");
    let text = serde_json::to_string(&objects).unwrap();
    assert!(!text.contains("weft-system"), "a namespace is written down that is not the release's");
}

#[test]
fn the_injector_reads_what_is_said_of_traces() {
    if !crate::enabled() {
        return;
    }
    let tracing = |values: &[&str]| {
        let objects = render(values).unwrap();
        let text =
            named(&objects, "ConfigMap", "weft-injector")["data"]["config.yaml"].as_str().unwrap().to_owned();
        let config = weft_injector::Config::parse(Path::new("config.yaml"), &text).unwrap();
        config.installation("mesh").unwrap().proxy.tracing
    };
    assert_eq!(tracing(&["proxy.tracing.ratio=1"]), None, "nobody is told where no collector is named");
    let [endpoint, identity] = ["collector.observability:4317", "spiffe://cluster.local/ns/o/sa/c"];
    let [of_endpoint, of_identity] = [("endpoint", endpoint), ("identity", identity)]
        .map(|(name, value)| format!("proxy.tracing.{name}={value}"));
    for (ratio, expected) in [("0", 0.0), ("0.25", 0.25), ("1", 1.0)] {
        let of_ratio = format!("proxy.tracing.ratio={ratio}");
        let told = tracing(&[&of_endpoint, &of_identity, &of_ratio]).unwrap();
        assert_eq!((told.endpoint.as_str(), told.ratio), (endpoint, expected));
        assert_eq!(told.identity.as_deref(), Some(identity));
    }
    assert_eq!(tracing(&[&of_endpoint]).unwrap().identity, None);
}

#[test]
fn the_injector_tells_sidecars_what_becomes_of_calls_past_the_mesh() {
    if !crate::enabled() {
        return;
    }
    let policy = |values: &[&str]| {
        let objects = render(values).unwrap();
        let text =
            named(&objects, "ConfigMap", "weft-injector")["data"]["config.yaml"].as_str().unwrap().to_owned();
        let config = weft_injector::Config::parse(Path::new("config.yaml"), &text).unwrap();
        config.installation("mesh").unwrap().proxy.outbound_policy
    };
    assert_eq!(policy(&[]), OutboundPolicy::AllowAny);
    assert_eq!(policy(&["proxy.outboundPolicy=RegistryOnly"]), OutboundPolicy::RegistryOnly);
    let error = render(&["proxy.outboundPolicy=Nobody"]).unwrap_err();
    assert!(error.contains("outboundPolicy"), "{error}");
}

#[test]
fn programs_have_no_rights_on_their_nodes() {
    if !crate::enabled() {
        return;
    }
    let objects = render(&[]).unwrap();
    for name in ["weft-control-plane", "weft-injector"] {
        let deployment = &named(&objects, "Deployment", name)["spec"];
        assert_eq!(deployment["replicas"], 2);
        let pod = &deployment["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"], serde_json::json!({"drop": ["ALL"]}));
        }
    }
}

#[test]
fn in_cni_mode_each_node_has_an_agent_that_is_root_to_its_folders_and_nothing_else() {
    if !crate::enabled() {
        return;
    }
    let objects =
        render(&["redirect=cni", "cni.binDir=/var/cni/bin", "cni.excludeNamespaces={storage}"]).unwrap();
    let pod = &named(&objects, "DaemonSet", "weft-cni")["spec"]["template"]["spec"];
    assert_eq!(pod["tolerations"], serde_json::json!([{"operator": "Exists"}]));
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod[field].is_null(), "{field}");
    }
    let [agent] = pod["containers"].as_array().unwrap().as_slice() else { panic!("{pod}") };
    let context = &agent["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"], serde_json::json!({"drop": ["ALL"]}));
    // The plugin runs on the node: it must find everything under the paths that the agent knows.
    let mounts = agent["volumeMounts"].as_array().unwrap();
    let folder = |name: &str| {
        let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name).unwrap();
        volume["hostPath"]["path"].clone()
    };
    for mount in mounts {
        assert_eq!(mount["mountPath"], folder(mount["name"].as_str().unwrap()));
    }
    assert_eq!(folder("bin"), "/var/cni/bin");
    // Who is not asked about gets no sidecar.
    let excluded = serde_json::json!(["kube-system", "kube-node-lease", "mesh", "storage"]);
    let webhook = &named(&objects, "MutatingWebhookConfiguration", "weft-injector")["webhooks"][0];
    let selector = &webhook["namespaceSelector"];
    assert_eq!(required(selector, "kubernetes.io/metadata.name", "NotIn"), Some(&excluded));
    let arguments = agent["args"].to_string();
    assert!(arguments.contains(r#""--exclude-namespaces","storage""#), "{arguments}");
}

#[test]
fn an_agent_deletes_no_pods_unless_it_repairs_them_and_then_not_any() {
    if !crate::enabled() {
        return;
    }
    let verbs = |objects: &[Value]| named(objects, "ClusterRole", "weft-cni")["rules"][0]["verbs"].clone();
    let objects = render(&["redirect=cni", "cni.repair=false"]).unwrap();
    assert_eq!(verbs(&objects), serde_json::json!(["get"]));
    assert_eq!(count(&objects, "ValidatingAdmissionPolicy"), 0);
    let objects = render(&["redirect=cni"]).unwrap();
    assert_eq!(verbs(&objects), serde_json::json!(["get", "list", "delete"]));
    let policy = &named(&objects, "ValidatingAdmissionPolicy", "weft-cni")["spec"];
    assert_eq!(policy["failurePolicy"], "Fail");
    let agent = "request.userInfo.username == 'system:serviceaccount:mesh:weft-cni'";
    assert_eq!(policy["matchConditions"][0]["expression"], agent);
    let binding = &named(&objects, "ValidatingAdmissionPolicyBinding", "weft-cni")["spec"];
    assert_eq!(binding["validationActions"], serde_json::json!(["Deny"]));
}

#[test]
fn no_rule_is_for_everything_nor_for_secrets_of_others() {
    if !crate::enabled() {
        return;
    }
    let objects = render(&[]).unwrap();
    let roles = objects.iter().filter(|it| matches!(it["kind"].as_str(), Some("Role" | "ClusterRole")));
    for role in roles.clone() {
        let name = role["metadata"]["name"].as_str().unwrap();
        for rule in role["rules"].as_array().unwrap() {
            let text = rule.to_string();
            assert!(!text.contains('*'), "{name}: {text}");
            if text.contains("secrets") {
                assert_eq!(role["kind"], "Role", "{name} reaches Secrets of all namespaces: {text}");
                let only_creates = rule["verbs"] == serde_json::json!(["create"]);
                assert!(only_creates || rule["resourceNames"].is_array(), "{name}: {text}");
            }
        }
    }
    assert_eq!(roles.count(), 4);
}

#[test]
fn a_value_that_cannot_be_is_refused_by_its_name() {
    if !crate::enabled() {
        return;
    }
    for (value, said) in [
        ("redirect=iptables", "/redirect"),
        ("cni.binDir=opt", "/cni/binDir"),
        ("cni.excludeNamespaces={A}", "/cni/excludeNamespaces"),
        ("injektor.replicas=3", "'injektor' not allowed"),
        ("controlPlane.replica=3", "'replica' not allowed"),
        ("injector.replicas=0", "/injector/replicas"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("trustDomain=Example.Com", "/trustDomain"),
        ("proxy.resources.requests.cpu=ten", "/proxy/resources/requests/cpu"),
        ("proxy.accessLog=some", "/proxy/accessLog"),
        ("proxy.tracing.ratio=2", "/proxy/tracing/ratio"),
        ("proxy.tracing.ratio=1.5", "/proxy/tracing/ratio"),
        ("proxy.tracing.endpoint=http://collector:4317", "/proxy/tracing/endpoint"),
        ("proxy.tracing.identity=collector", "/proxy/tracing/identity"),
        ("monitoring.prometheusRule.objective=100", "/monitoring/prometheusRule/objective"),
        (
            "controlPlane.autoscaling.minReplicas=9",
            "controlPlane.autoscaling.minReplicas is 9, above maxReplicas",
        ),
        ("weft-crds.kinds=none", "'kinds' not allowed"),
    ] {
        // The one that only matters where there is an autoscaler.
        let error = render(&[value, "controlPlane.autoscaling.enabled=true"]).expect_err(value);
        assert!(error.contains(said), "{value}: {error}");
    }
}
