//! Finds scenario files, reads and checks them. Everything that is wrong is reported, not only the first thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::diagnostic::{Problem, SourceFile};
use super::plan::Plan;
use super::{compile, tree};

/// Directories of this name hold what scenarios apply, and no scenarios.
pub const MANIFESTS: &str = "manifests";

/// How deep directories are searched: deeper than anyone nests scenarios, so that a loop of mounts ends.
const DEPTH_MAX: usize = 16;

/// What scenarios may speak of beside the format itself: it comes from the operator under test.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// The controllers there are.
    pub controllers: Vec<String>,
    /// The JSON schema of the operator's settings.
    pub settings: Value,
    /// Names of operating systems that nodes may have.
    pub systems: Vec<String>,
}

/// The scenarios of a run, ordered by title.
#[derive(Debug, Default)]
pub struct Suite {
    /// The scenarios.
    pub plans: Vec<Plan>,
    /// How many files they came from.
    pub files: usize,
}

/// A file to read, and what its scenarios' titles begin with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    title: String,
    path: PathBuf,
}

/// Reads every scenario of the given files and directories.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load(paths: &[PathBuf], vocabulary: &Vocabulary) -> Result<Suite, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut files = find(paths, &mut problems);
    files.sort();
    let mut plans = Vec::new();
    for found in &files {
        match fs::read_to_string(&found.path) {
            Ok(text) => {
                let file = SourceFile::new(found.path.to_string_lossy(), text);
                plans.extend(read(&file, &found.title, &found.path, vocabulary, &mut problems));
            }
            Err(error) => {
                problems.push(Problem::nowhere(format!("cannot read {}: {}", found.path.display(), reason(&error))));
            }
        }
    }
    refuse_duplicates(&plans, &mut problems);
    if problems.is_empty() && plans.is_empty() {
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        problems.push(Problem::nowhere(format!("there is no scenario in {}", paths.join(", "))));
    }
    if problems.is_empty() {
        plans.sort_by(|a, b| a.title.cmp(&b.title));
        Ok(Suite { plans, files: files.len() })
    } else {
        // In the order in which a person goes through the files, whichever check found them.
        problems.sort_by_cached_key(|problem| {
            problem.place.as_ref().map(|place| (place.file.name().to_owned(), place.span.start))
        });
        Err(problems)
    }
}

/// The scenarios of one file.
fn read(
    file: &SourceFile,
    title: &str,
    path: &Path,
    vocabulary: &Vocabulary,
    problems: &mut Vec<Problem>,
) -> Vec<Plan> {
    match tree::parse(file.text()) {
        Ok(documents) if documents.is_empty() => {
            problems.push(Problem::nowhere(format!("{} holds no scenario", file.name())));
            Vec::new()
        }
        Ok(documents) => {
            let directory = path.parent().unwrap_or(Path::new(""));
            let place = compile::Surroundings { file, title, directory, vocabulary };
            documents.into_iter().filter_map(|document| compile::compile(&place, document, problems)).collect()
        }
        Err(error) => {
            problems.push(Problem::at(file, error.span, format!("not YAML: {}", error.message)));
            Vec::new()
        }
    }
}

fn find(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for path in paths {
        let mut files = Vec::new();
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => search(path, path, 0, &mut files, problems),
            Ok(_) => files.push(Found { title: stem(path.file_name().map_or(path, Path::new)), path: path.clone() }),
            Err(error) => {
                problems.push(Problem::nowhere(format!("cannot read {}: {}", path.display(), reason(&error))));
            }
        }
        // The same file by two paths is one file.
        found.extend(
            files.into_iter().filter(|file| seen.insert(fs::canonicalize(&file.path).unwrap_or(file.path.clone()))),
        );
    }
    found
}

fn search(root: &Path, directory: &Path, depth: usize, files: &mut Vec<Found>, problems: &mut Vec<Problem>) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(Problem::nowhere(format!("cannot read {}: {}", directory.display(), reason(&error))));
            return;
        }
    };
    for entry in entries.filter_map(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if name != MANIFESTS && depth < DEPTH_MAX {
                search(root, &path, depth + 1, files, problems);
            }
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(Found { title: stem(path.strip_prefix(root).unwrap_or(&path)), path });
        }
    }
}

/// A path without its extension, with slashes.
fn stem(path: &Path) -> String {
    let parts: Vec<_> = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.join("/")
}

fn refuse_duplicates(plans: &[Plan], problems: &mut Vec<Problem>) {
    let mut first: BTreeMap<&str, &Plan> = BTreeMap::new();
    for plan in plans {
        if let Some(first) = first.get(plan.name.as_str()) {
            let message = format!("two scenarios are called `{}`", plan.name);
            problems.push(
                Problem::at(&plan.place.file, plan.place.span.clone(), message)
                    .label("the second")
                    .help(format!("the first is at {}; give one of them another name", first.place)),
            );
        } else {
            first.insert(&plan.name, plan);
        }
    }
}

/// An error of the file system without its number.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        kind => kind.to_string(),
    }
}
