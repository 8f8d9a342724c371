//! Files of the repository, and Rust as text: code without comments and literals.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that are not the repository's own: what is built, and what belongs to other programs.
fn is_foreign(name: &str) -> bool {
    name == "target" || (name.starts_with('.') && name != ".ci")
}

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("this crate stands in a folder of the repository").to_owned()
}

/// Every file below `folder`, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that was opened can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !is_foreign(&name) {
                found.extend(files(&path));
            }
        } else if name != ".git" {
            // (A file of this name leads from a second work tree to its repository.)
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every Rust file of the repository.
pub(crate) fn rust_files() -> Vec<PathBuf> {
    files(&root()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// What a file says.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `text` with a blank in place of every comment, and of what stands within quotes. Lines stay where they are.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = literal_or_comment(rest).unwrap_or(0);
        if length == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.push(' ');
            code.extend(rest[..length].chars().filter(|char| *char == '\n'));
            rest = &rest[length..];
        }
    }
    code
}

/// Length of the comment or literal that `text` begins with.
fn literal_or_comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 1 + hashes + 1;
            return Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()));
        }
    }
    let quote = text.chars().next().filter(|char| *char == '"' || *char == '\'')?;
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return Some(at + 1),
            // A lifetime, not a character.
            _ if quote == '\'' && at > 1 && !text[1..].starts_with('\\') => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn code_is_what_is_left_without_comments_and_literals() {
    let text = concat!(
        "let a = \"crate::x // no comment \\\" still\"; // crate::y\n",
        "fn f<'a>(b: &'a str) -> char { '\"' }\n",
        "/* crate::z\n */ r#\"crate::\"w\"# + '\\'' + crate::kept",
    );
    let code = code(text);
    assert_eq!(code.lines().count(), text.lines().count());
    for gone in ["crate::x", "crate::y", "crate::z", "crate::\"w"] {
        assert!(!code.contains(gone), "{gone} stays in {code}");
    }
    assert!(code.contains("fn f<'a>(b: &'a str)") && code.contains("crate::kept"), "{code}");
}
