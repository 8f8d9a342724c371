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
    store::{Finding, ObjectKey, Reason, Store},
};

/// The objects of all files, and what is wrong with them.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    files: BTreeMap<Arc<Path>, Arc<File>>,
    /// The files that hold each object: it is in force as the first of them by name has it.
    holders: BTreeMap<ObjectKey, BTreeSet<Arc<Path>>>,
    store: Store,
}

/// What a file holds, and, where it is broken, what it held before.
#[derive(Debug)]
struct File {
    content: Content,
    objects: BTreeMap<ObjectKey, Located>,
    problems: Vec<Problem>,
    /// What its objects say in vain.
    unheeded: Vec<Finding>,
}

/// What was found where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Text.
    Text(String),
    /// Nothing that can be read, and why.
    Unreadable(String),
    /// Nothing at all.
    Absent,
}

impl Reading {
    /// Objects in force.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The files that were there.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(AsRef::as_ref)
    }

    /// Whether this file was there.
    pub(super) fn has(&self, file: &Path) -> bool {
        self.files.contains_key(file)
    }

    /// Everything that is wrong, by file and line: for those who have not followed the references of the objects.
    pub fn check(&self) -> Vec<Problem> {
        self.problems(&resolve(&self.store).findings)
    }

    /// The same, given what is wrong with the objects together.
    pub fn problems(&self, findings: &[Finding]) -> Vec<Problem> {
        let shared = self.holders.iter().filter(|(_, files)| files.len() > 1).map(|(key, _)| key);
        let duplicates = shared.flat_map(|key| {
            let mut held = self.located(key);
            let first = held.next();
            let second = move |(path, located)| {
                first.map(|(owner, first)| duplicate(path, key, located, owner, first.node.line))
            };
            held.filter_map(second)
        });
        let unheeded = self.files.iter().flat_map(|(path, file)| {
            let counts = |finding: &&Finding| {
                self.located(&finding.object).next().is_some_and(|(owner, _)| owner == path.as_ref())
            };
            file.unheeded.iter().filter(counts)
        });
        let found = findings.iter().chain(unheeded).filter_map(|finding| {
            let (path, located) = self.located(&finding.object).next()?;
            Some(Problem {
                place: Some(Place { file: path.to_path_buf(), line: located.node.line_of(&finding.field) }),
                object: Some(finding.object.to_string()),
                field: finding.field.clone(),
                reason: finding.reason,
                message: finding.message.clone(),
                hint: finding.hint.clone(),
            })
        });
        let of_files = self.files.values().flat_map(|file| file.problems.iter().cloned());
        let mut problems: Vec<_> = of_files.chain(duplicates).chain(found).collect();
        problems.sort();
        problems
    }

    /// Where an object is held, and how: the first has it in force.
    fn located<'a>(&'a self, key: &'a ObjectKey) -> impl Iterator<Item = (&'a Path, &'a Located)> {
        let files = self.holders.get(key).into_iter().flatten();
        files.filter_map(|path| Some((path.as_ref(), self.files.get(path)?.objects.get(key)?)))
    }

    /// Takes in what was found in some files: what broke keeps its last good state, what is gone leaves. Says whether
    /// any of it says something else than before.
    pub(super) fn update(&mut self, found: BTreeMap<PathBuf, Content>) -> bool {
        let mut touched = BTreeSet::new();
        let mut changed = false;
        for (path, content) in found {
            let before = self.files.get(path.as_path());
            if *before.map_or(&Content::Absent, |file| &file.content) == content {
                continue;
            }
            changed = true;
            let path: Arc<Path> = path.into();
            let before = self.files.remove(&path);
            for key in before.iter().flat_map(|file| file.objects.keys()) {
                self.holders.entry(key.clone()).or_default().remove(&path);
                touched.insert(key.clone());
            }
            if content == Content::Absent {
                continue;
            }
            let file = File::read(&path, content, before.as_deref());
            for key in file.objects.keys() {
                self.holders.entry(key.clone()).or_default().insert(path.clone());
                touched.insert(key.clone());
            }
            self.files.insert(path, Arc::new(file));
        }
        for key in touched {
            let object = self.located(&key).next().map(|(_, located)| located.object.clone());
            if let Some(object) = object {
                self.store.apply(&object);
            } else {
                self.holders.remove(&key);
                self.store.remove(&key);
            }
        }
        changed
    }
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
            let objects = kept.cloned().unwrap_or_default();
            let unheeded = before.map(|file| file.unheeded.clone()).unwrap_or_default();
            Self { content, objects, problems: vec![problem], unheeded }
        };
        let text = match &content {
            Content::Text(text) => text,
            Content::Unreadable(reason) => {
                let reason = reason.clone();
                return broken(content, 1, Reason::Unreadable, reason);
            }
            Content::Absent => "",
        };
        match document::parse(text) {
            Err(error) => broken(content, error.line, Reason::Syntax, error.message),
            Ok(documents) => {
                let (objects, problems) = objects(path, documents, kept);
                let unheeded = objects.values().flat_map(unheeded::check).collect();
                Self { content, objects, problems, unheeded }
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
