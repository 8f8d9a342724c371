//! The module list of `lib.rs` is a map: a module uses only those listed below it.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn a_module_uses_only_modules_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = fs::read_to_string(source.join("lib.rs")).unwrap();
    let order: Vec<&str> = map
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert!(order.len() > 5, "the map was not understood");
    for (rank, module) in order.iter().enumerate() {
        for file in files(&source, module) {
            let text = fs::read_to_string(&file).unwrap();
            for above in &order[..rank] {
                let used = text.contains(&format!("crate::{above}")) || names_in_group(&text, above);
                assert!(!used, "{} uses `{above}`, which is listed above `{module}`", file.display());
            }
        }
    }
}

/// Whether `use crate::{…}` names `module` at its first level.
fn names_in_group(text: &str, module: &str) -> bool {
    let groups = text.split("use crate::{").skip(1).filter_map(|rest| rest.split("};").next());
    groups.flat_map(str::lines).any(|line| {
        let line = line.strip_prefix("    ").unwrap_or(line);
        line.split(", ").any(|name| name.trim_end_matches(',').split("::").next() == Some(module))
    })
}

fn files(source: &Path, module: &str) -> Vec<PathBuf> {
    let mut files = vec![source.join(format!("{module}.rs"))];
    let mut folders = vec![source.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.file_stem() {
                // Tests may look at everything.
                Some(stem) if stem == "tests" => {}
                _ if path.is_dir() => folders.push(path),
                _ => files.push(path),
            }
        }
    }
    files
}
