use std::{collections::BTreeMap, fs, io::Read};

use tar::Archive;

use super::*;

const FILES: [Entry; 2] = [
    Entry { path: "/usr/bin/app", mode: 0o755, bytes: b"a program" },
    Entry { path: "/etc/app.yaml", mode: 0o600, bytes: b"a: b\n" },
];
const IMAGE: Image =
    Image { name: "app:1", files: &FILES, entrypoint: &["/usr/bin/app", "run"], user: "2112" };

fn written(image: &Image) -> (Vec<u8>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.tar");
    let digest = write_archive(&path, image).unwrap();
    (fs::read(path).unwrap(), digest)
}

/// Name, permissions and bytes of every file of an archive, in their order.
fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut archive = Archive::new(archive);
    let read = |entry: io::Result<tar::Entry<&[u8]>>| {
        let mut entry = entry.unwrap();
        assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn every_digest_leads_to_its_blob_down_to_the_files() {
    let (archive, digest) = written(&IMAGE);
    let files: BTreeMap<String, Vec<u8>> =
        entries(&archive).into_iter().map(|(name, _, bytes)| (name, bytes)).collect();
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let blob = &files[&format!("blobs/sha256/{digest}")];
        assert_eq!(sha256(blob), digest);
        assert_eq!(descriptor["size"], blob.len());
        blob.clone()
    };
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();

    assert_eq!(json(&files["oci-layout"])["imageLayoutVersion"], "1.0.0");
    let index = json(&files["index.json"]);
    assert_eq!(index["manifests"][0]["digest"], digest);
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/library/app:1");
    let manifest = json(&blob(&index["manifests"][0]));
    let config = json(&blob(&manifest["config"]));
    assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/app", "run"]));
    assert_eq!(config["config"]["User"], "2112");
    let layer = blob(&manifest["layers"][0]);
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    let named: Vec<(String, u32)> = entries(&layer).into_iter().map(|(name, mode, _)| (name, mode)).collect();
    let expected =
        [("etc", 0o755), ("etc/app.yaml", 0o600), ("usr", 0o755), ("usr/bin", 0o755), ("usr/bin/app", 0o755)];
    assert_eq!(named, expected.map(|(name, mode)| (name.to_owned(), mode)));
    assert_eq!(entries(&layer)[4].2, b"a program");
}

#[test]
fn the_same_files_in_any_order_are_the_same_archive() {
    let reversed = [FILES[1], FILES[0]];
    assert_eq!(written(&IMAGE), written(&Image { files: &reversed, ..IMAGE }));
    let other = [FILES[0], Entry { mode: 0o644, ..FILES[1] }];
    assert_ne!(written(&IMAGE).1, written(&Image { files: &other, ..IMAGE }).1);
}

#[test]
fn names_are_those_that_a_runtime_resolves() {
    let names = [
        ("app:1", "docker.io/library/app:1"),
        ("weft/app:1", "docker.io/weft/app:1"),
        ("localhost/app:1", "localhost/app:1"),
        ("registry.example/a/b:1", "registry.example/a/b:1"),
        ("host:5000/app:1", "host:5000/app:1"),
    ];
    for (name, full) in names {
        assert_eq!(full_name(name).unwrap(), full);
    }
    for wrong in ["app", ":1", "app:", "host:5000/app", "a b:1", ""] {
        assert!(full_name(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn files_outside_of_the_image_and_twins_are_refused() {
    for path in ["app", "/", "", "/../app", "/a//b", "/a/."] {
        let files = [Entry { path, ..FILES[0] }];
        let folder = tempfile::tempdir().unwrap();
        let refused = write_archive(&folder.path().join("app.tar"), &Image { files: &files, ..IMAGE });
        assert!(refused.is_err(), "{path}");
    }
    let twins = [FILES[0], FILES[0]];
    let folder = tempfile::tempdir().unwrap();
    assert!(write_archive(&folder.path().join("app.tar"), &Image { files: &twins, ..IMAGE }).is_err());
}
