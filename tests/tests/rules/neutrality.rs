//! What every file owes its reader: a header, a bearable length, nothing unfinished, and nothing of the machine that it
//! was written on.

use std::path::Path;

use crate::source;

/// Lines of a file that holds no tests.
const LINES_MAX: usize = 600;

fn shown(path: &Path) -> String {
    path.strip_prefix(source::root()).unwrap_or(path).display().to_string()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// Generated code answers to its generator.
fn is_generated(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "generated")
}

#[test]
fn modules_are_named_by_their_files() {
    let found: Vec<String> =
        source::rust_files().iter().filter(|path| path.ends_with("mod.rs")).map(|path| shown(path)).collect();
    assert!(found.is_empty(), "`foo/mod.rs` is called `foo.rs` here: {found:?}");
}

#[test]
fn every_module_says_in_its_first_line_what_it_is_for() {
    let mut found = Vec::new();
    for path in source::rust_files() {
        // What a module's tests are for is plain from the module.
        if is_generated(&path) || path.ends_with("tests.rs") || path.ends_with("build.rs") {
            continue;
        }
        if !source::read(&path).starts_with("//! ") {
            found.push(shown(&path));
        }
    }
    assert!(found.is_empty(), "these begin without a sentence on what they are for: {found:?}");
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut found = Vec::new();
    for path in source::rust_files().iter().filter(|path| !is_test(path) && !is_generated(path)) {
        let lines = source::read(path).lines().count();
        if lines > LINES_MAX {
            found.push(format!("{} has {lines} lines", shown(path)));
        }
    }
    assert!(found.is_empty(), "at most {LINES_MAX} lines: {found:?}");
}

#[test]
fn no_code_is_unsafe() {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let mut found = Vec::new();
    for path in source::rust_files() {
        let code = source::code(&source::read(&path));
        if code.split(|char| !is_word(char)).any(|word| word == "unsafe") {
            found.push(shown(&path));
        }
    }
    assert!(found.is_empty(), "these use unsafe code: {found:?}");
}

/// What `text` must not hold. The words stand in pieces, so that this file may hold them.
fn blemishes(path: &Path, text: &str) -> Vec<String> {
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let temporary = concat!("/t", "mp/");
    // People who read a document have a folder for what they try out.
    let is_document = path.extension().is_some_and(|end| end == "md");
    let words = unfinished.into_iter().chain(folders).chain((!is_document).then_some(temporary));
    words.filter(|word| text.contains(word)).map(str::to_owned).collect()
}

#[test]
fn no_file_is_unfinished_or_tells_of_a_machine() {
    let mut found = Vec::new();
    for path in source::files(&source::root()) {
        // What is not text has no sentences.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        found.extend(blemishes(&path, &text).into_iter().map(|word| format!("{}: {word}", shown(&path))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rule_knows_a_blemish_when_it_sees_one() {
    let code = Path::new("a.rs");
    assert_eq!(blemishes(code, concat!("// TO", "DO: later")).len(), 1);
    assert_eq!(blemishes(code, concat!("\"/ho", "me/me/x\"")).len(), 1);
    assert_eq!(blemishes(code, concat!("\"/t", "mp/x\"")).len(), 1);
    assert_eq!(blemishes(Path::new("a.md"), concat!("`/t", "mp/x`")).len(), 0);
    assert_eq!(blemishes(code, "network/working").len(), 0);
}
