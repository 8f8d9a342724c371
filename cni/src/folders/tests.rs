use serde_json::json;
use tempfile::TempDir;

use super::*;

const LIST: &str = r#"{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge"}]}"#;
const SINGLE: &str = r#"{"cniVersion": "1.0.0", "name": "pods", "type": "bridge"}"#;

struct Node {
    folders: Folders,
    _folder: TempDir,
}

impl Node {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [programs, lists] = ["bin", "net.d"].map(|name| folder.path().join(name));
        for folder in [&programs, &lists] {
            fs::create_dir(folder).unwrap();
        }
        let own = Self { folders: Folders { programs, lists }, _folder: folder };
        for (name, text) in files {
            own.write(name, text);
        }
        own
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folders.lists.join(name), text).unwrap();
    }

    fn enlist(&self) -> Result<Place, String> {
        self.folders.enlist(&entry()).map_err(|error| error.to_string())
    }

    /// Names of all files, in order.
    fn names(&self) -> Vec<String> {
        let files = fs::read_dir(&self.folders.lists).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Types of the plugins in a list.
    fn types(&self, name: &str) -> Vec<String> {
        let list: Value =
            serde_json::from_str(&fs::read_to_string(self.folders.lists.join(name)).unwrap()).unwrap();
        let types = list["plugins"].as_array().unwrap().iter();
        types.map(|plugin| plugin["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn entry() -> Value {
    json!({"type": "weft-cni", "socket": "/s", "excludeNamespaces": []})
}

fn taken(name: &str) -> Place {
    Place::Taken(name.to_owned())
}

#[test]
fn the_first_list_by_name_gets_the_plugin_and_the_others_nothing() {
    let node = Node::with(&[("20-b.conflist", LIST), ("10-a.conflist", LIST), ("00-readme.txt", "{}")]);
    fs::set_permissions(node.folders.lists.join("10-a.conflist"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(node.enlist(), Ok(taken("10-a.conflist")));
    assert_eq!(node.types("10-a.conflist"), ["bridge", "weft-cni"]);
    assert_eq!(node.types("20-b.conflist"), ["bridge"]);
    assert_eq!(mode(&node.folders.lists.join("10-a.conflist")).unwrap(), 0o600);
    assert_eq!(node.names(), ["00-readme.txt", "10-a.conflist", "20-b.conflist"], "something is left behind");
    assert_eq!(node.enlist(), Ok(Place::Kept));
}

#[test]
fn whoever_takes_it_out_finds_it_there_again() {
    let node = Node::with(&[("10-a.conflist", LIST)]);
    for _ in 0..2 {
        assert_eq!(node.enlist(), Ok(taken("10-a.conflist")));
        node.write("10-a.conflist", LIST);
    }
    // Another network takes over.
    node.write("05-z.conflist", LIST);
    assert_eq!(node.enlist(), Ok(taken("05-z.conflist")));
}

#[test]
fn a_single_plugin_is_set_aside_and_comes_back() {
    let node = Node::with(&[("10-a.conf", SINGLE)]);
    assert_eq!(node.enlist(), Ok(taken("10-a.conflist")));
    assert_eq!(node.names(), ["10-a.conf.before-weft", "10-a.conflist"]);
    assert_eq!(node.types("10-a.conflist"), ["bridge", "weft-cni"]);
    assert_eq!(node.enlist(), Ok(Place::Kept));
    // Its owner writes it anew.
    let newer = SINGLE.replace("pods", "newer");
    node.write("10-a.conf", &newer);
    assert_eq!(node.enlist(), Ok(taken("10-a.conflist")));
    assert_eq!(node.folders.delist().unwrap(), ["10-a.conflist"]);
    assert_eq!(node.names(), ["10-a.conf"]);
    assert_eq!(fs::read_to_string(node.folders.lists.join("10-a.conf")).unwrap(), newer);
    // It does so again, just before the plugin is taken out.
    assert_eq!(node.enlist(), Ok(taken("10-a.conflist")));
    node.write("10-a.conf", SINGLE);
    node.folders.delist().unwrap();
    assert_eq!(node.names(), ["10-a.conf"]);
    assert_eq!(fs::read_to_string(node.folders.lists.join("10-a.conf")).unwrap(), SINGLE);
}

#[test]
fn taken_out_of_all_lists_nothing_of_it_is_left() {
    let node = Node::with(&[("10-a.conflist", LIST)]);
    node.enlist().unwrap();
    node.write("05-z.conflist", LIST);
    node.enlist().unwrap();
    node.write("07-broken.conflist", "{");
    assert_eq!(node.folders.delist().unwrap(), ["05-z.conflist", "10-a.conflist"]);
    for name in ["05-z.conflist", "10-a.conflist"] {
        assert_eq!(node.types(name), ["bridge"]);
    }
    assert_eq!(node.folders.delist().unwrap(), [""; 0]);
}

#[test]
fn without_a_list_it_waits_and_says_which_cannot_be_used() {
    let node = Node::with(&[]);
    assert_eq!(node.enlist(), Ok(Place::Nowhere));
    node.write("10-a.conflist", "{");
    let error = node.enlist().unwrap_err();
    assert!(error.contains("10-a.conflist: it is no JSON"), "{error}");
    node.write("20-b.conflist", LIST);
    assert_eq!(node.enlist(), Ok(taken("20-b.conflist")));
    // It is the one that counts, and cannot have the plugin: the next one would not be used.
    node.write("15-old.conflist", &LIST.replace("1.0.0", "0.1.0"));
    let error = node.enlist().unwrap_err();
    assert!(error.contains("15-old.conflist: it is of version \"0.1.0\""), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let mut node = Node::with(&[]);
    node.folders.lists = "/nowhere/net.d".into();
    assert!(node.enlist().unwrap_err().starts_with("/nowhere/net.d: "));
}

#[test]
fn the_program_is_put_where_runtimes_look_and_replaced_as_a_whole() {
    let node = Node::with(&[]);
    let path = node.folders.programs.join("weft-cni");
    node.folders.install(b"one").unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path).unwrap()), (b"one".to_vec(), 0o755));
    let first = fs::metadata(&path).unwrap().ino();
    node.folders.install(b"one").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), first, "it was there");
    // A runtime that has just started the old one goes on with it.
    node.folders.install(b"two").unwrap();
    assert_ne!(fs::metadata(&path).unwrap().ino(), first);
    assert_eq!(fs::read_dir(&node.folders.programs).unwrap().count(), 1);
}
