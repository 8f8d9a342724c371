//! A module uses only modules that stand below it in the list of `lib.rs`, so that a reader goes one way, and there is
//! no knot of modules that can only be read together.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::source;

/// The list of a crate: modules from top to bottom, and what the root re-exports from them.
struct Map {
    modules: Vec<String>,
    exports: BTreeMap<String, String>,
}

impl Map {
    fn of(lib: &str) -> Self {
        let code = source::code(lib);
        let modules = code.lines().filter_map(declared).map(str::to_owned).collect();
        let mut exports = BTreeMap::new();
        for statement in code.split(';') {
            let used = ["\npub use ", "\npub(crate) use ", "\nuse "]
                .iter()
                .find_map(|word| statement.find(word).map(|at| &statement[at + word.len()..]));
            for path in used.map(paths).unwrap_or_default() {
                let parts: Vec<&str> =
                    path.split("::").filter(|part| *part != "crate" && *part != "self").collect();
                if let [module, .., name] = parts.as_slice() {
                    exports.insert((*name).to_owned(), (*module).to_owned());
                }
            }
        }
        Self { modules, exports }
    }

    /// Where `name`, as it stands behind `crate::`, is in the list.
    fn place(&self, name: &str) -> Option<usize> {
        let find = |name: &str| self.modules.iter().position(|module| module == name);
        find(name).or_else(|| find(self.exports.get(name)?))
    }

    /// The names that a file of `module` uses though they stand above it. `depth` is how many `super` lead from the file
    /// to the root.
    fn upwards(&self, module: &str, depth: usize, text: &str) -> Vec<String> {
        let Some(own) = self.place(module) else { return Vec::new() };
        let code = source::code(text);
        let climb = "super::".repeat(depth);
        let mut above: Vec<String> = ["crate::", climb.as_str()]
            .into_iter()
            .flat_map(|word| references(&code, word))
            .filter(|name| self.place(name).is_some_and(|place| place < own))
            .collect();
        above.sort();
        above.dedup();
        above
    }
}

/// The module that a line declares.
fn declared(line: &str) -> Option<&str> {
    let rest = ["pub(crate) mod ", "pub mod ", "mod "].iter().find_map(|word| line.strip_prefix(word))?;
    rest.strip_suffix(';')
}

/// First parts of all paths in `code` that begin with `word`, and only with it: `super::` within `super::super::` is
/// another place.
fn references(code: &str, word: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(word) {
        let before = &code[..at];
        let follows =
            before.ends_with("::") || before.ends_with(|char: char| char.is_alphanumeric() || char == '_');
        let rest = &code[at + word.len()..];
        if follows || rest.starts_with("super::") {
            continue;
        }
        names.extend(paths(rest).into_iter().filter_map(|path| path.split("::").next().map(str::to_owned)));
    }
    names
}

/// The paths that `text` begins with: one, or those of a group in braces.
fn paths(text: &str) -> Vec<String> {
    let text = text.trim_start();
    let Some(group) = text.strip_prefix('{') else {
        let is_path = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        let end = text.find(|char| !is_path(char)).unwrap_or(text.len());
        let (path, rest) = (&text[..end], &text[end..]);
        if rest.starts_with('{') && path.ends_with("::") {
            return paths(rest).into_iter().map(|inner| format!("{path}{inner}")).collect();
        }
        return vec![path.to_owned()];
    };
    let mut found = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = group[start..at].trim();
                if !item.is_empty() {
                    found.extend(paths(item));
                }
                start = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// The files of a module: its own, and those below it.
fn files_of(source_folder: &Path, module: &str) -> Vec<(PathBuf, usize)> {
    let folder = source_folder.join(module);
    let below = if folder.is_dir() { source::files(&folder) } else { Vec::new() };
    let depth = |path: &Path| path.strip_prefix(source_folder).map_or(1, |inner| inner.components().count());
    let own = source_folder.join(format!("{module}.rs"));
    let all = below.into_iter().chain(own.is_file().then_some(own));
    // Tests are no part of the graph: those of a module may make what they need by the modules above it.
    let is_test = |path: &Path| {
        path.file_name().is_some_and(|name| name == "tests.rs")
            || path.components().any(|part| part.as_os_str() == "tests")
    };
    all.filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .filter(|path| !is_test(path.strip_prefix(source_folder).unwrap_or(path)))
        .map(|path| (path.clone(), depth(&path)))
        .collect()
}

#[test]
fn a_module_uses_only_modules_listed_below_it() {
    let root = source::root();
    let libs = source::rust_files().into_iter().filter(|path| path.ends_with("src/lib.rs"));
    let mut violations = Vec::new();
    let mut modules = 0;
    for lib in libs {
        let map = Map::of(&source::read(&lib));
        let folder = lib.parent().expect("a file is in a folder");
        for module in &map.modules {
            let files = files_of(folder, module);
            assert!(!files.is_empty(), "{}: `mod {module}` has no file", lib.display());
            for (file, depth) in files {
                let shown = file.strip_prefix(&root).unwrap_or(&file).display();
                for name in map.upwards(module, depth, &source::read(&file)) {
                    violations.push(format!("{shown}: uses `{name}`, which is listed above `{module}`"));
                }
            }
            modules += 1;
        }
    }
    assert!(modules > 50, "only {modules} modules were found: does this test still read the lists?");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_rule_sees_every_way_to_climb() {
    let map = Map::of(
        "//! A crate.\n\nmod top;\npub mod middle;\npub(crate) mod bottom;\n\npub use top::{Thing, deep::Other};\n",
    );
    assert_eq!(map.modules, ["top", "middle", "bottom"]);
    let violations = [
        (1, "use crate::top;"),
        (1, "use crate::{\n    bottom::{Kept, top},\n    top::{A, B},\n};"),
        (1, "use super::top::A;"),
        (2, "use super::super::{bottom, top};"),
        (1, "fn f() { let a = crate::top::f(); }"),
        (1, "use crate::Thing;"),
        (1, "use crate::{bottom, Other};"),
        (1, "impl crate::top::T for () {}"),
    ];
    for (depth, text) in violations {
        assert!(!map.upwards("middle", depth, text).is_empty(), "not seen: {text}");
    }
    let fine = [
        (1, "use crate::{bottom::{self, top}, middle::x};"),
        (1, "// use crate::top;\nlet a = \"crate::top\";"),
        (1, "use othercrate::top;"),
        (2, "use super::top;"),
        (1, "use crate::topping;"),
    ];
    for (depth, text) in fine {
        assert_eq!(map.upwards("middle", depth, text), Vec::<String>::new(), "{text}");
    }
}
