use super::*;

fn environment(command: &str, arguments: &str) -> Environment {
    Environment {
        command: Some(command.to_owned()),
        network_namespace: None,
        arguments: Some(arguments.to_owned()),
    }
}

#[test]
fn the_pod_is_read_from_the_arguments() {
    let runtime = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=api-0;K8S_POD_INFRA_CONTAINER_ID=f00";
    let mut expected = Question { namespace: "shop".to_owned(), pod: "api-0".to_owned(), uid: None };
    assert_eq!(environment("ADD", runtime).pod().unwrap(), Some(expected.clone()));
    expected.uid = Some("1-2".to_owned());
    let runtime = format!("{runtime};K8S_POD_UID=1-2");
    assert_eq!(environment("ADD", &runtime).pod().unwrap(), Some(expected));
    // Containers that no kubelet made.
    for arguments in ["", "IgnoreUnknown=1", ";;=", "K8S_POD_NAMESPACE=;K8S_POD_NAME="] {
        assert_eq!(environment("ADD", arguments).pod().unwrap(), None, "{arguments}");
    }
    let error = environment("ADD", "K8S_POD_NAME=api-0").pod().unwrap_err();
    assert_eq!(error.code(), 4);
}

#[test]
fn what_is_no_command_is_told_by_its_variable() {
    let error = environment("add", "").command().unwrap_err();
    assert_eq!(
        (error.code(), error.to_string()),
        (4, "CNI_COMMAND is \"add\", which is no command".to_owned())
    );
    let error = Environment::default().network_namespace().unwrap_err();
    assert_eq!((error.code(), error.to_string()), (4, "CNI_NETNS is missing".to_owned()));
}

#[test]
fn a_configuration_is_read_with_whatever_runtimes_add() {
    let text = br#"{"cniVersion": "1.0.0", "name": "pods", "type": "weft-cni", "socket": "/s",
        "excludeNamespaces": ["mesh"], "runtimeConfig": {"mac": 1}, "prevResult": {"ips": []}}"#;
    let own = Configuration::parse(text).unwrap();
    assert_eq!((own.socket, own.exclude_namespaces), (PathBuf::from("/s"), vec!["mesh".to_owned()]));
    assert_eq!(own.prev_result, Some(json!({"ips": []})));
    for (text, code) in
        [("", 6), ("3", 6), ("{\"cniVersion\": 1}", 6), ("{}", 1), ("{\"cniVersion\": \"0.2.0\"}", 1)]
    {
        assert_eq!(Configuration::parse(text.as_bytes()).unwrap_err().code(), code, "{text}");
    }
}

#[test]
fn errors_are_told_in_the_version_of_the_caller() {
    let error = CallError::Configuration("x");
    assert_eq!(error.to_json("0.4.0")["cniVersion"], "0.4.0");
    let told = error.to_json("");
    assert_eq!((&told["cniVersion"], &told["code"]), (&json!("1.0.0"), &json!(7)));
    assert_eq!(told["msg"], "the entry of weft-cni in the chain of plugins is not usable: x");
}
