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

/// The objects of a manifest file.
pub(super) fn from_file(reference: &Reference<'_>, problems: &mut Vec<Problem>) -> Vec<Value> {
    let Some(name) = reference.node.text() else { return Vec::new() };
    let complain = |message: String| Problem::at(reference.file, reference.node.span.clone(), message);
    let path = match confined(reference.directory, name) {
        Ok(path) => path,
        Err(Refusal::Outside) => {
            let message = format!("the manifest `{name}` is outside the scenario's directory");
            problems.push(complain(message).label("outside").help("put it beside the scenario or below"));
            return Vec::new();
        }
        Err(Refusal::Unreadable(why)) => {
            let problem = complain(format!("cannot read the manifest `{name}`: {why}")).label("unreadable");
            let others = siblings(reference.directory, name);
            problems.push(problem.nearest(name, others.iter().map(String::as_str)));
            return Vec::new();
        }
    };
    let text = match fs::read_to_string(&path) {
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

enum Refusal {
    Outside,
    Unreadable(String),
}

/// The real path of a manifest, which must be below the scenario's directory, links included.
fn confined(directory: &Path, name: &str) -> Result<PathBuf, Refusal> {
    let unreadable = |error: std::io::Error| Refusal::Unreadable(reason(&error));
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let root = fs::canonicalize(directory).map_err(unreadable)?;
    let path = fs::canonicalize(root.join(name)).map_err(unreadable)?;
    if path.starts_with(&root) { Ok(path) } else { Err(Refusal::Outside) }
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
