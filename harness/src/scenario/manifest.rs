//! The objects that a step applies or creates: inline or from a file beside the scenario.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::diagnostic::{Problem, SourceFile};
use super::expression::Bindings;
use super::load::reason;
use super::template;
use super::tree::{self, Kind, Node};

/// The objects of an inline manifest: one, or a list of them.
pub(super) fn inline(file: &SourceFile, node: &Node, generated_names: bool, problems: &mut Vec<Problem>) -> Vec<Value> {
    let objects = match &node.kind {
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    objects.into_iter().filter_map(|object| complete(file, object, generated_names, problems)).collect()
}

/// Where a manifest file is named, and what is known there.
pub(super) struct Reference<'a> {
    /// The scenario's file.
    pub(super) file: &'a SourceFile,
    /// The scenario's directory.
    pub(super) directory: &'a Path,
    /// The text that names the manifest.
    pub(super) node: &'a Node,
    /// Bindings so far.
    pub(super) bindings: &'a Bindings,
    /// Names that steps bind.
    pub(super) later: &'a [String],
    /// Whether `generateName` will do.
    pub(super) generated_names: bool,
}

/// The objects of a manifest file beside the scenario or below.
pub(super) fn from_file(reference: &Reference<'_>, problems: &mut Vec<Problem>) -> Vec<Value> {
    let Some(name) = reference.node.text() else { return Vec::new() };
    match confined(reference.directory, Reach::Directory, name) {
        Ok(path) => read(reference, name, &path, problems),
        Err(refusal) => {
            problems.push(reference.refused(name, &refusal));
            Vec::new()
        }
    }
}

/// The objects of a manifest file of the project, or of every one in a directory, in the order of their names.
pub(super) fn from_files(reference: &Reference<'_>, problems: &mut Vec<Problem>) -> Vec<Value> {
    let Some(name) = reference.node.text() else { return Vec::new() };
    let path = match confined(reference.directory, Reach::Project, name) {
        Ok(path) => path,
        Err(refusal) => {
            problems.push(reference.refused(name, &refusal));
            return Vec::new();
        }
    };
    if !path.is_dir() {
        return read(reference, name, &path, problems);
    }
    let entries = fs::read_dir(&path).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    // What kustomize reads is no manifest.
    let is_yaml =
        |name: &str| Path::new(name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    names.retain(|name| is_yaml(name) && !name.starts_with("kustomization."));
    names.sort();
    if names.is_empty() {
        let message = format!("there is no manifest in `{name}`");
        problems.push(Problem::at(reference.file, reference.node.span.clone(), message).label("empty"));
    }
    let files = names.iter().map(|file| (format!("{}/{file}", name.trim_end_matches('/')), path.join(file)));
    files.flat_map(|(name, path)| read(reference, &name, &path, problems)).collect()
}

impl Reference<'_> {
    fn refused(&self, name: &str, refusal: &Refusal) -> Problem {
        let complain = |message: String| Problem::at(self.file, self.node.span.clone(), message);
        match refusal {
            Refusal::Outside(reach) => {
                let message = format!("the manifest `{name}` is outside {}", reach.what());
                complain(message).label("outside").help(reach.help())
            }
            Refusal::Unreadable(why) => {
                let others = siblings(self.directory, name);
                let problem = complain(format!("cannot read the manifest `{name}`: {why}")).label("unreadable");
                problem.nearest(name, others.iter().map(String::as_str))
            }
        }
    }
}

/// The objects of the file at a path, which is called as it was named.
fn read(reference: &Reference<'_>, name: &str, path: &Path, problems: &mut Vec<Problem>) -> Vec<Value> {
    let complain = |message: String| Problem::at(reference.file, reference.node.span.clone(), message);
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems
                .push(complain(format!("cannot read the manifest `{name}`: {}", reason(&error))).label("unreadable"));
            return Vec::new();
        }
    };
    let file = SourceFile::new(reference.directory.join(name).to_string_lossy(), text);
    let documents = match tree::parse(file.text()) {
        Ok(documents) => documents,
        Err(error) => {
            problems.push(Problem::at(&file, error.span, format!("not YAML: {}", error.message)));
            return Vec::new();
        }
    };
    if documents.is_empty() {
        problems.push(complain(format!("the manifest `{name}` is empty")).label("empty"));
    }
    documents
        .into_iter()
        .filter_map(|mut document| {
            template::fill(&file, &mut document, reference.bindings, reference.later, problems);
            complete(&file, &document, reference.generated_names, problems)
        })
        .collect()
}

/// How far from its own directory a scenario may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not at all.
    Directory,
    /// As far as the project goes that it is part of: the nearest directory above with a `.git` in it, or where we were
    /// started, whichever is further.
    Project,
}

impl Reach {
    fn what(self) -> &'static str {
        match self {
            Self::Directory => "the scenario's directory",
            Self::Project => "the scenario's project",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Directory => "put it beside the scenario or below",
            Self::Project => "name one in the same repository, or below where `slipway` is started",
        }
    }
}

/// Why a path is not used.
pub(super) enum Refusal {
    /// It leads out of where it may lead.
    Outside(Reach),
    /// It cannot be read, for this reason.
    Unreadable(String),
}

impl Refusal {
    /// What is wrong, and what to do.
    pub(super) fn explain(&self) -> (String, &'static str) {
        match self {
            Self::Outside(reach) => (format!("it is outside {}", reach.what()), reach.help()),
            Self::Unreadable(why) => (why.clone(), "it is meant from the scenario's directory"),
        }
    }
}

/// The real path of what is named in a scenario's directory, within reach, links included.
pub(super) fn confined(directory: &Path, reach: Reach, name: &str) -> Result<PathBuf, Refusal> {
    let unreadable = |error: std::io::Error| Refusal::Unreadable(reason(&error));
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let here = fs::canonicalize(directory).map_err(unreadable)?;
    let path = fs::canonicalize(here.join(name)).map_err(unreadable)?;
    let root = match reach {
        Reach::Directory => here,
        Reach::Project => {
            let project = here.ancestors().find(|above| above.join(".git").exists()).unwrap_or(&here).to_owned();
            let started = fs::canonicalize(".").unwrap_or_else(|_| project.clone());
            if project.starts_with(&started) { started } else { project }
        }
    };
    if path.starts_with(&root) { Ok(path) } else { Err(Refusal::Outside(reach)) }
}

/// The files beside one that is not there, in the way it was named.
fn siblings(directory: &Path, name: &str) -> Vec<String> {
    let parent = Path::new(name).parent().unwrap_or(Path::new(""));
    let mut names: Vec<String> = fs::read_dir(directory.join(parent))
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_file())
        .map(|entry| parent.join(entry.file_name()).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// An object must say what it is and what it is called before it can be sent anywhere.
fn complete(file: &SourceFile, node: &Node, generated_names: bool, problems: &mut Vec<Problem>) -> Option<Value> {
    let text = |pointer: &str| node.at(pointer).and_then(Node::text).is_some_and(|text| !text.is_empty());
    let mut missing = Vec::new();
    if !text("/apiVersion") {
        missing.push("apiVersion");
    }
    if !text("/kind") {
        missing.push("kind");
    }
    let named = text("/metadata/name") || generated_names && text("/metadata/generateName");
    if !named {
        missing.push("metadata.name");
    }
    if missing.is_empty() {
        return Some(node.to_json());
    }
    let message = match node.kind {
        Kind::Map(_) => format!("a manifest without {}", missing.join(", ")),
        _ => format!("a manifest must be a Kubernetes object, but is {}", node.describe()),
    };
    problems.push(Problem::at(file, node.span.clone(), message).label("this manifest"));
    None
}
