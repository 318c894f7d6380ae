//! From a document to a plan: bindings filled in, checked against the schema, manifests read, expressions compiled.

mod operator;
mod step;

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use super::check::check;
use super::diagnostic::{Place, Problem, SourceFile};
use super::expression::{ALL, Bindings, SELF};
use super::load::Vocabulary;
use super::model::{self, Scenario};
use super::plan::Plan;
use super::template;
use super::tree::{Kind, Node};

/// How long a scenario may take unless it says otherwise, beside the time that its steps ask for: longer than any
/// sensible chain of retries. In virtual time it costs nothing, and every assertion has a limit of its own.
const TIMEOUT: Duration = Duration::from_hours(1);

/// The namespace of everything that does not say otherwise, as kubectl has it.
const NAMESPACE: &str = "default";

static SCHEMA: LazyLock<Value> = LazyLock::new(model::schema);

/// Where a document stands.
pub(super) struct Surroundings<'a> {
    /// Its file.
    pub(super) file: &'a SourceFile,
    /// What titles of the file's scenarios begin with.
    pub(super) title: &'a str,
    /// The file's directory.
    pub(super) directory: &'a Path,
    /// What it may speak of.
    pub(super) vocabulary: &'a Vocabulary,
}

/// The plan a document makes; none where something is wrong with it, which is then among the problems.
pub(super) fn compile(place: &Surroundings<'_>, mut document: Node, problems: &mut Vec<Problem>) -> Option<Plan> {
    let before = problems.len();
    let bindings = bindings(place.file, &mut document, problems);
    let later = fill(place.file, &mut document, &bindings, problems);
    problems.extend(check(place.file, &SCHEMA, &document, "the scenario"));

    let header = header(&document);
    let nodes = node_names(&document);
    let real_time = document.get("time").and_then(Node::text) == Some("real");
    let context = step::Context {
        place,
        bindings: &bindings,
        nodes: &nodes,
        has_operator: document.get("operator").is_some(),
        tells_metrics: document.at("/operator/controllers").is_some() || document.at("/operator/metrics").is_some(),
        real_time,
    };
    let steps: Vec<_> = match document.get("steps").map(|steps| &steps.kind) {
        Some(Kind::List(items)) => {
            items.iter().zip(&later).map(|(item, later)| step::compile(&context, item, later, problems)).collect()
        }
        _ => Vec::new(),
    };
    if document.get("steps").is_some_and(|steps| steps.kind == Kind::List(Vec::new())) {
        let span = document.place("/steps");
        problems.push(Problem::at(place.file, span, "a scenario without steps shows nothing").label("no steps"));
    }
    let operator = operator::compile(place, &bindings, &document, real_time, problems);
    name(place.file, &document, problems);
    systems(place, &document, problems);

    match header {
        // Whatever the schema missed must not go unnoticed.
        Err(error) if problems.len() == before => {
            problems.push(Problem::at(place.file, document.span.clone(), error.to_string()));
            None
        }
        Ok(scenario) if problems.len() == before => {
            Some(Plan { operator, ..plan(place, &document, scenario, bindings, steps) })
        }
        _ => None,
    }
}

fn plan(
    place: &Surroundings<'_>,
    document: &Node,
    scenario: Scenario,
    bindings: Bindings,
    steps: Vec<Option<super::plan::Step>>,
) -> Plan {
    let steps: Vec<_> = steps.into_iter().flatten().collect();
    let asked_for: Duration = steps.iter().map(|step| step.action.duration()).sum();
    Plan {
        title: title(place.title, &scenario.metadata.name),
        name: scenario.metadata.name,
        description: scenario.metadata.description,
        file: place.file.clone(),
        place: Place { file: place.file.clone(), span: document.place("/metadata/name") },
        time: scenario.time,
        needs: scenario.needs,
        seed: scenario.seed,
        timeout: scenario.timeout.map_or(TIMEOUT.saturating_add(asked_for), |span| span.0),
        namespace: scenario.namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
        bindings,
        isolation: scenario.nodes.isolation,
        nodes: scenario.nodes.list,
        images: scenario.images,
        faults: scenario.faults,
        operator: None,
        steps,
    }
}

/// A file that is called as its only scenario need not say it twice.
fn title(file: &str, name: &str) -> String {
    let stem = file.rsplit_once('/').map_or(file, |(_, stem)| stem);
    if stem == name { file.to_owned() } else { format!("{file}/{name}") }
}

/// Everything but the steps, which are read one by one.
fn header(document: &Node) -> Result<Scenario, serde_json::Error> {
    let mut json = document.to_json();
    if let Some(steps) = json.get_mut("steps") {
        *steps = Value::Array(Vec::new());
    }
    serde_json::from_value(json)
}

/// The scenario's bindings; each may use those before it.
fn bindings(file: &SourceFile, document: &mut Node, problems: &mut Vec<Problem>) -> Bindings {
    let mut bindings = Bindings::new();
    let Some(Kind::Map(entries)) = child(document, "bindings").map(|node| &mut node.kind) else { return bindings };
    for entry in entries {
        if !is_identifier(&entry.key) || [SELF, ALL].contains(&entry.key.as_str()) {
            let message = format!("`{}` cannot be the name of a binding", entry.key);
            problems.push(
                Problem::at(file, entry.key_span.clone(), message)
                    .label("not a name")
                    .help("expressions use it as a variable: letters, digits and `_`, and neither `self` nor `all`"),
            );
        }
        template::fill(file, &mut entry.value, &bindings, &[], problems);
        bindings.insert(entry.key.clone(), entry.value.to_json());
    }
    bindings
}

/// Fills bindings into everything else. Returns, for every step, the names that steps before it bind.
fn fill(file: &SourceFile, document: &mut Node, bindings: &Bindings, problems: &mut Vec<Problem>) -> Vec<Vec<String>> {
    let mut later: Vec<String> = Vec::new();
    let mut known = Vec::new();
    let ports = operator::ports(document);
    let Kind::Map(entries) = &mut document.kind else { return known };
    for entry in entries.iter_mut().filter(|entry| entry.key != "bindings") {
        match (&mut entry.value.kind, entry.key.as_str()) {
            (Kind::List(steps), "steps") => {
                for step in steps {
                    template::fill(file, step, bindings, &later, problems);
                    known.push(later.clone());
                    let bound = ["/expect/bind", "/traffic/bind"].into_iter().filter_map(|place| step.at(place));
                    later.extend(bound.flat_map(Node::entries).map(|entry| entry.key.clone()));
                }
            }
            (_, "operator") => template::fill(file, &mut entry.value, bindings, &ports, problems),
            _ => template::fill(file, &mut entry.value, bindings, &[], problems),
        }
    }
    known
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        _ => None,
    }
}

/// A field of every node there is at some time.
fn of_nodes<'a>(document: &'a Node, field: &'a str) -> impl Iterator<Item = &'a Node> {
    let list = |place: &str| match document.at(place).map(|node| &node.kind) {
        Some(Kind::List(items)) => items.as_slice(),
        _ => &[],
    };
    let first = list("/nodes").iter().chain(list("/nodes/list"));
    let added = list("/steps").iter().filter_map(|step| step.get("addNode"));
    first.chain(added).filter_map(move |node| node.get(field))
}

/// Every node there is at some time.
fn node_names(document: &Node) -> Vec<String> {
    of_nodes(document, "name").filter_map(Node::text).map(str::to_owned).collect()
}

fn name(file: &SourceFile, document: &Node, problems: &mut Vec<Problem>) {
    let Some(node) = document.at("/metadata/name") else { return };
    let Some(name) = node.text() else { return };
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(good) || name.starts_with('-') || name.ends_with('-') {
        problems.push(
            Problem::at(file, node.span.clone(), format!("`{name}` cannot be a scenario's name"))
                .label("not a name")
                .help("lower-case letters, digits and hyphens, like `a-node-is-configured`"),
        );
    }
}

/// Operating systems that nodes cannot have.
fn systems(place: &Surroundings<'_>, document: &Node, problems: &mut Vec<Problem>) {
    let known = &place.vocabulary.systems;
    for node in of_nodes(document, "os") {
        if let Some(name) = node.text().filter(|name| !known.iter().any(|known| known == name)) {
            problems.push(
                Problem::at(place.file, node.span.clone(), format!("unknown operating system `{name}`"))
                    .label("unknown operating system")
                    .nearest(name, known.iter().map(String::as_str)),
            );
        }
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
