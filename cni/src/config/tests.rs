use super::*;

fn read(arguments: &[&str]) -> Result<Settings, String> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let own = Settings { node: "n1".to_owned(), namespace: "mesh".to_owned(), ..Settings::default() };
    own.read(&arguments).map_err(|error| error.to_string())
}

#[test]
fn what_keeps_cluster_and_mesh_alive_is_never_asked_about() {
    assert_eq!(read(&[]).unwrap().exclude_namespaces, ["kube-node-lease", "kube-system", "mesh"]);
    let more = read(&["--exclude-namespaces", "storage,kube-system"]).unwrap();
    assert_eq!(more.exclude_namespaces, ["kube-node-lease", "kube-system", "mesh", "storage"]);
}

#[test]
fn flags_are_taken() {
    let own =
        read(&["--bin-dir", "/b", "--conf-dir", "/c", "--run-dir", "/r", "--admin", "[::]:1", "--no-repair"]);
    let own = own.unwrap();
    assert_eq!((own.folders.programs, own.folders.lists), ("/b".into(), "/c".into()));
    assert_eq!((own.run_dir, own.admin.port(), own.repair), ("/r".into(), 1, false));
}

#[test]
fn a_mistake_is_told_by_its_flag() {
    for (arguments, said) in [
        (vec!["--bindir", "/b"], "`--bindir` is not a flag"),
        (vec!["--bin-dir"], "--bin-dir needs a value"),
        (vec!["--run-dir", "run"], "--run-dir: `run` is no whole path"),
        (vec!["--admin", "4191"], "--admin: `4191`"),
        (vec!["--exclude-namespaces", "a,,b"], "--exclude-namespaces: ``"),
    ] {
        let error = read(&arguments).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let nowhere = Settings { node: String::new(), ..Settings::default() };
    assert!(nowhere.read(&[]).unwrap_err().to_string().contains("WEFT_NODE_NAME"));
}
