use super::*;

fn call(command: &str, arguments: &str, input: &str) -> Printed {
    let environment = Environment {
        command: Some(command.to_owned()),
        network_namespace: Some("/nowhere/netns".to_owned()),
        arguments: Some(arguments.to_owned()),
    };
    answer(&environment, input.as_bytes())
}

const POD: &str = "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=api-0";

/// The configuration of a call, with an agent that is not there.
fn configuration(version: &str) -> Value {
    json!({
        "cniVersion": version, "name": "pods", "type": "weft-cni", "socket": "/nowhere/agent.sock",
        "excludeNamespaces": ["kube-system"],
        "prevResult": {"cniVersion": version, "ips": [{"address": "10.0.0.2/24"}], "future": 1},
    })
}

#[test]
fn in_every_version_the_result_of_the_plugins_before_passes_as_it_is() {
    for version in VERSIONS {
        let configuration = configuration(version);
        let excluded = "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns";
        for arguments in ["", excluded] {
            let printed = call("ADD", arguments, &configuration.to_string());
            assert!(printed.success);
            assert_eq!(printed.text.as_ref(), Some(&configuration["prevResult"]));
        }
    }
}

#[test]
fn without_an_agent_no_other_pod_gets_its_network_but_all_can_lose_it() {
    let text = configuration("1.0.0").to_string();
    for command in ["ADD", "CHECK"] {
        let printed = call(command, POD, &text);
        assert!(!printed.success);
        let told = printed.text.unwrap();
        assert_eq!((&told["code"], &told["cniVersion"]), (&json!(11), &json!("1.0.0")));
        assert!(told["msg"].as_str().unwrap().contains("DaemonSet weft-cni"), "{told}");
    }
    for command in ["DEL", "STATUS", "GC"] {
        let printed = call(command, POD, &text);
        assert!(printed.success && printed.text.is_none(), "{command}: {printed:?}");
    }
}

#[test]
fn its_versions_are_told() {
    let told = call("VERSION", "", "{\"cniVersion\": \"0.4.0\"}").text.unwrap();
    assert_eq!(told, json!({"cniVersion": "0.4.0", "supportedVersions": VERSIONS}));
    assert_eq!(call("VERSION", "", "").text.unwrap()["cniVersion"], "1.1.0");
}

#[test]
fn what_cannot_be_is_told_by_its_number() {
    let mut first = configuration("1.0.0");
    first.as_object_mut().unwrap().remove("prevResult");
    let mut relative = configuration("1.0.0");
    relative["socket"] = json!("agent.sock");
    for (command, input, code) in [
        ("ADD", String::new(), 6),
        ("ADD", first.to_string(), 7),
        ("ADD", relative.to_string(), 7),
        ("ADD", configuration("0.2.0").to_string(), 1),
        ("PLAY", String::new(), 4),
    ] {
        let printed = call(command, POD, &input);
        assert_eq!(
            (printed.success, &printed.text.unwrap()["code"]),
            (false, &json!(code)),
            "{command} {input}"
        );
    }
}

#[test]
fn the_network_of_the_node_itself_is_never_entered() {
    let error = within(Path::new(OWN_NETWORK), || panic!("it was entered")).unwrap_err();
    assert!(error.to_string().contains("of the node itself"), "{error}");
}
