//! From the text of all files to the objects in force: pure, and forgiving towards what is broken just now.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    decode::{Located, Rejected, decode},
    flaw::Flaw,
    problem::{Place, Problem},
    unheeded,
};
use crate::{
    document,
    resolve::resolve,
    store::{ObjectKey, Reason, Store},
};

/// The objects of all files, and what is wrong with them.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    files: BTreeMap<PathBuf, Arc<File>>,
    store: Store,
    problems: Vec<Problem>,
}

/// What a file holds, and, where it is broken, what it held before.
#[derive(Debug)]
struct File {
    content: Content,
    objects: BTreeMap<ObjectKey, Located>,
    problems: Vec<Problem>,
}

/// What was found where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Text.
    Text(String),
    /// Nothing that can be read, and why.
    Unreadable(String),
}

impl Reading {
    /// Objects in force.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Everything that is wrong, by file and line.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether `contents` are what this was made from.
    pub(super) fn is_of(&self, contents: &BTreeMap<PathBuf, Content>) -> bool {
        let own = self.files.iter().map(|(path, file)| (path, &file.content));
        own.eq(contents)
    }

    /// The reading that follows: what broke keeps its last good state, what is gone leaves.
    pub(super) fn next(&self, contents: BTreeMap<PathBuf, Content>) -> Self {
        let mut files = BTreeMap::new();
        for (path, content) in contents {
            let before = self.files.get(&path);
            let file = match before {
                Some(file) if file.content == content => file.clone(),
                _ => Arc::new(File::read(&path, content, before.map(AsRef::as_ref))),
            };
            files.insert(path, file);
        }
        let mut problems: Vec<_> = files.values().flat_map(|file| file.problems.iter().cloned()).collect();
        let owners = owners(&files, &mut problems);
        let mut store = self.store.clone();
        for key in
            self.files.values().flat_map(|file| file.objects.keys()).filter(|key| !owners.contains_key(key))
        {
            store.remove(key);
        }
        for (_, located) in owners.values() {
            store.apply(&located.object);
        }
        let unheeded = owners.values().flat_map(|(_, located)| unheeded::check(located));
        for finding in resolve(&store).findings.into_iter().chain(unheeded) {
            let Some((path, located)) = owners.get(&finding.object) else { continue };
            problems.push(Problem {
                place: Some(Place { file: path.to_path_buf(), line: located.node.line_of(&finding.field) }),
                object: Some(finding.object.to_string()),
                field: finding.field,
                reason: finding.reason,
                message: finding.message,
                hint: finding.hint,
            });
        }
        problems.sort();
        Self { files, store, problems }
    }
}

/// The file that each object comes from: of several, the first by name.
fn owners<'a>(
    files: &'a BTreeMap<PathBuf, Arc<File>>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<&'a ObjectKey, (&'a Path, &'a Located)> {
    let mut owners: BTreeMap<_, (&Path, &Located)> = BTreeMap::new();
    for (path, file) in files {
        for (key, located) in &file.objects {
            match owners.get(key) {
                None => drop(owners.insert(key, (path, located))),
                Some((owner, first)) => problems.push(duplicate(path, key, located, owner, first.node.line)),
            }
        }
    }
    owners
}

fn duplicate(path: &Path, key: &ObjectKey, located: &Located, owner: &Path, line: u32) -> Problem {
    Problem {
        place: Some(Place { file: path.to_owned(), line: located.node.line_of("metadata.name") }),
        object: Some(key.to_string()),
        field: "metadata.name".to_owned(),
        reason: Reason::Duplicate,
        message: format!("makes this a second {key}, which is in force from {}:{line}", owner.display()),
        hint: "remove or rename one of them".to_owned(),
    }
}

impl File {
    fn read(path: &Path, content: Content, before: Option<&File>) -> Self {
        let kept = before.map(|file| &file.objects);
        let broken = |content, line, reason, message: String| {
            let problem = Problem {
                place: Some(Place { file: path.to_owned(), line }),
                object: None,
                field: String::new(),
                reason,
                message,
                hint: String::new(),
            };
            Self { content, objects: kept.cloned().unwrap_or_default(), problems: vec![problem] }
        };
        let text = match &content {
            Content::Text(text) => text,
            Content::Unreadable(reason) => {
                let reason = reason.clone();
                return broken(content, 1, Reason::Unreadable, reason);
            }
        };
        match document::parse(text) {
            Err(error) => broken(content, error.line, Reason::Syntax, error.message),
            Ok(documents) => {
                let (objects, problems) = objects(path, documents, kept);
                Self { content, objects, problems }
            }
        }
    }
}

/// The objects of a file. Those that are broken now are taken from `kept`, where the file held them before.
fn objects(
    path: &Path,
    documents: Vec<document::Node>,
    kept: Option<&BTreeMap<ObjectKey, Located>>,
) -> (BTreeMap<ObjectKey, Located>, Vec<Problem>) {
    let mut objects: BTreeMap<ObjectKey, Located> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut broken = BTreeSet::new();
    let mut stand_ins = Vec::new();
    let mut nameless = false;
    for read in documents.into_iter().flat_map(decode) {
        match read {
            Ok(located) => {
                let key = located.object.key();
                match objects.get(&key) {
                    Some(first) => problems.push(duplicate(path, &key, &located, path, first.node.line)),
                    None => drop(objects.insert(key, located)),
                }
            }
            Err(Rejected { key, flaw, stand_in }) => {
                problems.push(problem(path, key.as_ref(), *flaw));
                nameless |= key.is_none();
                broken.extend(key);
                stand_ins.extend(stand_in);
            }
        }
    }
    // A document that no longer says which object it is may be any of those that are missing.
    for (key, located) in kept.into_iter().flatten() {
        if (nameless || broken.contains(key)) && !objects.contains_key(key) {
            objects.insert(key.clone(), located.clone());
        }
    }
    for located in stand_ins {
        objects.entry(located.object.key()).or_insert(*located);
    }
    (objects, problems)
}

fn problem(path: &Path, key: Option<&ObjectKey>, flaw: Flaw) -> Problem {
    let Flaw { line, field, reason, message, hint } = flaw;
    Problem {
        place: Some(Place { file: path.to_owned(), line }),
        object: key.map(ToString::to_string),
        field,
        reason,
        message,
        hint,
    }
}

#[cfg(test)]
mod tests;
