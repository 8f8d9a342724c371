//! The committed message types are exactly what the protos say.
//!
//! `WEFT_REGENERATE=1 cargo test -p weft-xds --test generated` writes them anew after a change of `proto/`.
// A test fails by panicking.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The wrapper messages stand for plain optional values.
const WRAPPERS: [(&str, &str); 9] = [
    (".google.protobuf.BoolValue", "bool"),
    (".google.protobuf.BytesValue", "::prost::bytes::Bytes"),
    (".google.protobuf.DoubleValue", "f64"),
    (".google.protobuf.FloatValue", "f32"),
    (".google.protobuf.Int32Value", "i32"),
    (".google.protobuf.Int64Value", "i64"),
    (".google.protobuf.StringValue", "::prost::alloc::string::String"),
    (".google.protobuf.UInt32Value", "u32"),
    (".google.protobuf.UInt64Value", "u64"),
];

#[test]
fn generated_code_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/generated");
    let fresh = tempfile::tempdir().unwrap();
    generate(&root.join("proto"), fresh.path());

    // A switch for whoever edits the protos, read by nothing that ships.
    if std::env::var_os("WEFT_REGENERATE").is_some() {
        fs::remove_dir_all(&committed).unwrap();
        fs::create_dir(&committed).unwrap();
        for (name, text) in files(fresh.path()) {
            fs::write(committed.join(name), text).unwrap();
        }
    }
    let (fresh, committed) = (files(fresh.path()), files(&committed));
    assert_eq!(
        fresh.keys().collect::<Vec<_>>(),
        committed.keys().collect::<Vec<_>>(),
        "the set of files differs: run with WEFT_REGENERATE=1 and commit the result"
    );
    for (name, text) in fresh {
        assert!(
            committed[&name] == text,
            "src/generated/{name} is not what proto/ says: run with WEFT_REGENERATE=1 and commit the result"
        );
    }
}

/// Compiles every proto below `protos` into one file per package.
fn generate(protos: &Path, out: &Path) {
    let mut sources = Vec::new();
    walk(protos, &mut sources);
    // Directory order differs between machines; the order of messages must not.
    sources.sort();
    let descriptors = protox::Compiler::new([protos])
        .unwrap()
        .include_imports(true)
        .include_source_info(true)
        .open_files(sources)
        .unwrap()
        .file_descriptor_set();

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    let mut builder = tonic_prost_build::configure()
        .build_transport(false)
        .compile_well_known_types(true)
        .disable_comments([".google.protobuf"])
        // One encoded resource is shared by all who are sent it.
        .bytes(".")
        // Equal messages have equal bytes, so a hash of them is a version.
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .out_dir(out);
    for (proto, rust) in WRAPPERS {
        builder = builder.extern_path(proto, rust);
    }
    builder.compile_fds_with_config(descriptors, config).unwrap();
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}
