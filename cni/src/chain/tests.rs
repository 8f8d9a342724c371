use super::*;

const CALICO: &str = include_str!("tests/calico.conflist");
const BRIDGE: &str = include_str!("tests/bridge.conf");

fn ours() -> Value {
    entry("/run/weft-cni/agent.sock", &["kube-system".to_owned(), "mesh".to_owned()])
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn inserted(name: &str, text: &str) -> Inserted {
    insert(name, text, &ours()).unwrap().unwrap()
}

#[test]
fn a_list_gets_the_plugin_at_its_end_and_keeps_all_else() {
    let own = inserted("10-calico.conflist", CALICO);
    assert_eq!(own.name, "10-calico.conflist");
    assert_eq!(own.text, include_str!("tests/calico.expected"));
}

#[test]
fn a_single_plugin_becomes_the_list_that_runtimes_make_of_it() {
    for name in ["10-bridge.conf", "10-bridge.json"] {
        let own = inserted(name, BRIDGE);
        assert_eq!(own.name, "10-bridge.conflist");
        assert_eq!(own.text, include_str!("tests/bridge.expected"));
    }
}

#[test]
fn what_is_there_already_is_left_alone() {
    let own = inserted("10-calico.conflist", CALICO);
    assert_eq!(insert(&own.name, &own.text, &ours()), Ok(None));
}

#[test]
fn an_entry_that_is_another_is_replaced_and_comes_last_again() {
    let mut list = value(CALICO);
    let older = entry("/run/old.sock", &[]);
    let plugins = list["plugins"].as_array_mut().unwrap();
    plugins.insert(1, older.clone());
    plugins.push(older);
    let own = inserted("10-calico.conflist", &list.to_string());
    assert_eq!(own.text, include_str!("tests/calico.expected"));
}

#[test]
fn taken_out_nothing_of_it_is_left() {
    let own = inserted("10-calico.conflist", CALICO);
    assert_eq!(value(&remove(&own.text).unwrap()), value(CALICO));
    for text in [CALICO, BRIDGE, "", "[]", "{\"plugins\": 1}"] {
        assert_eq!(remove(text), None, "{text}");
    }
}

#[test]
fn what_cannot_have_the_plugin_says_why() {
    let version = |version: &str| value(CALICO)["plugins"].to_string().replace("mtu", version);
    let old = format!("{{\"cniVersion\": \"0.2.0\", \"plugins\": {}}}", version("mtu"));
    for (name, text, said) in [
        ("a.conflist", "{", "it is no JSON"),
        ("a.conflist", "{}", "is of version \"\""),
        ("a.conflist", BRIDGE, "holds neither"),
        ("a.conflist", "{\"cniVersion\": \"1.0.0\", \"plugins\": []}", "holds neither"),
        (
            "a.conflist",
            "{\"cniVersion\": \"1.0.0\", \"plugins\": [{\"type\": \"weft-cni\"}]}",
            "holds neither",
        ),
        ("a.conflist", "3", "is of version"),
        ("a.conflist", old.as_str(), "0.2.0"),
        ("a.conf", CALICO, "holds neither"),
        ("a.conf", "{\"type\": \"bridge\"}", "is of version"),
    ] {
        let error = insert(name, text, &ours()).unwrap_err().to_string();
        assert!(error.contains(said), "{name} {text}: {error}");
    }
}
