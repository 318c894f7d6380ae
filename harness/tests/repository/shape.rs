//! The shape of workflows and composite actions: as much of GitHub's as we use, and not a field more, so that a slip of
//! the pen is no setting that is silently ignored.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// A workflow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workflow {
    name: String,
    on: Events,
    permissions: Option<Permissions>,
    concurrency: Option<Concurrency>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    pub(crate) jobs: BTreeMap<String, Job>,
}

/// What starts it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is asked of them")]
struct Events {
    push: Option<Refs>,
    /// With nothing to say, `pull_request:` is there and null.
    #[serde(default)]
    pull_request: Option<Refs>,
    #[serde(default)]
    workflow_dispatch: Option<Value>,
    #[serde(default)]
    schedule: Vec<Schedule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "that they can be read is what is asked of them")]
struct Refs {
    #[serde(default)]
    branches: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    cron: String,
}

/// What its token may do.
type Permissions = BTreeMap<String, Access>;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    Read,
    Write,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "that they can be read is what is asked of them")]
struct Concurrency {
    group: String,
    #[serde(default)]
    cancel_in_progress: bool,
}

/// A job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Job {
    runs_on: String,
    timeout_minutes: Option<u32>,
    #[serde(default)]
    needs: Needs,
    #[serde(rename = "if")]
    condition: Option<String>,
    permissions: Option<Permissions>,
    strategy: Option<Strategy>,
    #[serde(default)]
    outputs: BTreeMap<String, String>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
struct Needs(Vec<String>);

impl TryFrom<Value> for Needs {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(name) => Ok(Self(vec![name])),
            other => serde_json::from_value(other).map(Self).map_err(|error| error.to_string()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "that they can be read is what is asked of them")]
struct Strategy {
    #[serde(default)]
    fail_fast: bool,
    matrix: BTreeMap<String, Vec<Value>>,
}

/// A step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Step {
    name: Option<String>,
    id: Option<String>,
    #[serde(rename = "if")]
    condition: Option<String>,
    pub(crate) uses: Option<String>,
    #[serde(default)]
    with: BTreeMap<String, Value>,
    pub(crate) run: Option<String>,
    shell: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    working_directory: Option<String>,
    #[serde(default)]
    continue_on_error: Value,
    timeout_minutes: Option<u32>,
}

/// A composite action.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    name: String,
    description: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    inputs: BTreeMap<String, Input>,
    #[serde(default)]
    outputs: BTreeMap<String, Output>,
    pub(crate) runs: Runs,
    #[serde(default)]
    branding: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    description: String,
    #[serde(default)]
    required: bool,
    default: Option<Value>,
    deprecation_message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    description: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runs {
    using: String,
    pub(crate) steps: Vec<Step>,
}

/// What expressions can ask for, at some place.
struct Scope {
    steps: BTreeSet<String>,
    needs: BTreeMap<String, BTreeSet<String>>,
    matrix: BTreeSet<String>,
    inputs: BTreeSet<String>,
}

impl Workflow {
    /// What GitHub would refuse, or do otherwise than it looks.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.name.is_empty() || self.jobs.is_empty() {
            problems.push("it has no name, or no jobs".to_owned());
        }
        if self.permissions.is_none() {
            problems.push("without permissions its token may do everything".to_owned());
        }
        problems.extend(self.on.schedule.iter().filter_map(|schedule| bad_cron(&schedule.cron)));
        let texts = self.env.values().map(Value::to_string);
        let group = self.concurrency.iter().map(|concurrency| concurrency.group.clone());
        let nothing =
            Scope { steps: BTreeSet::new(), needs: BTreeMap::new(), matrix: BTreeSet::new(), inputs: BTreeSet::new() };
        problems.extend(texts.chain(group).flat_map(|text| nothing.problems_of(&text)));
        for (name, job) in &self.jobs {
            problems.extend(self.problems_of(job).into_iter().map(|problem| format!("{name}: {problem}")));
        }
        problems
    }

    fn problems_of(&self, job: &Job) -> Vec<String> {
        let mut problems = Vec::new();
        if !job.runs_on.starts_with("ubuntu-") || job.runs_on == "ubuntu-latest" {
            problems.push(format!("runs-on {} is another system one day", job.runs_on));
        }
        if job.timeout_minutes.is_none_or(|minutes| minutes == 0 || minutes > 120) {
            problems.push("timeout-minutes is not given, or for days".to_owned());
        }
        for name in job.needs.0.iter().filter(|name| !self.jobs.contains_key(*name)) {
            problems.push(format!("it needs {name}, which is not there"));
        }
        let unknown = job.permissions.iter().chain(&self.permissions).flat_map(BTreeMap::keys).filter(|name| {
            !["actions", "attestations", "contents", "id-token", "packages", "security-events"].contains(&name.as_str())
        });
        problems.extend(unknown.map(|name| format!("nobody asks for the permission {name}")));
        let needs = job
            .needs
            .0
            .iter()
            .filter_map(|name| Some((name.clone(), self.jobs.get(name)?.outputs.keys().cloned().collect())));
        let matrix = job.strategy.iter().flat_map(|strategy| strategy.matrix.keys().cloned()).collect();
        let mut scope = Scope { steps: BTreeSet::new(), needs: needs.collect(), matrix, inputs: BTreeSet::new() };
        if let Some(text) = &job.condition {
            problems.extend(scope.problems_of(&format!("${{{{ {text} }}}}")));
        }
        problems.extend(job.env.values().flat_map(|value| scope.problems_of(&value.to_string())));
        for (at, step) in job.steps.iter().enumerate() {
            problems.extend(step.problems(&mut scope, false).into_iter().map(|problem| format!("[{at}]: {problem}")));
        }
        problems.extend(job.outputs.values().flat_map(|value| scope.problems_of(value)));
        problems
    }
}

impl Action {
    /// As [`Workflow::problems`].
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.name.is_empty() || self.description.is_empty() || self.runs.using != "composite" {
            problems.push("it has no name or description, or is not composite".to_owned());
        }
        if !self.branding.keys().all(|key| ["icon", "color"].contains(&key.as_str())) {
            problems.push("its branding is neither icon nor color".to_owned());
        }
        if self.author.len() > 100 {
            problems.push("its author is no name".to_owned());
        }
        for (name, input) in &self.inputs {
            if input.description.is_empty() || (input.required && input.default.is_some()) {
                problems.push(format!("the input {name} is not described, or required although it has a default"));
            }
            if input.deprecation_message.as_ref().is_some_and(String::is_empty) {
                problems.push(format!("the input {name} does not say what to use instead"));
            }
        }
        let inputs = self.inputs.keys().cloned().collect();
        let (needs, matrix) = (BTreeMap::new(), BTreeSet::new());
        let mut scope = Scope { steps: BTreeSet::new(), needs, matrix, inputs };
        for (at, step) in self.runs.steps.iter().enumerate() {
            problems.extend(step.problems(&mut scope, true).into_iter().map(|problem| format!("[{at}]: {problem}")));
        }
        for (name, output) in &self.outputs {
            if output.description.is_empty() {
                problems.push(format!("the output {name} is not described"));
            }
            problems.extend(scope.problems_of(&output.value));
        }
        problems
    }
}

impl Step {
    fn problems(&self, scope: &mut Scope, of_an_action: bool) -> Vec<String> {
        let mut problems = Vec::new();
        if self.uses.is_some() == self.run.is_some() {
            problems.push("it must have one of run and uses".to_owned());
        }
        if self.run.is_some() && (!self.with.is_empty() || self.shell.is_some() != of_an_action) {
            problems.push("with is for uses; shell must be given in an action, and only there".to_owned());
        }
        let texts = [&self.name, &self.working_directory].into_iter().flatten().cloned();
        let condition = self
            .condition
            .iter()
            .map(|text| if text.contains("${{") { text.clone() } else { format!("${{{{ {text} }}}}") });
        let values = self.with.values().chain(self.env.values()).chain([&self.continue_on_error]).map(Value::to_string);
        problems.extend(texts.chain(condition).chain(values).flat_map(|text| scope.problems_of(&text)));
        if let Some(script) = &self.run {
            problems.extend(scope.problems_of(script));
            // What others can write must not become a command.
            for unsafe_here in ["github.event", "github.head_ref", "inputs.", "steps."] {
                let within = expressions(script).into_iter().any(|text| text.contains(unsafe_here));
                if within && (of_an_action || unsafe_here != "steps.") {
                    problems.push(format!("{unsafe_here} goes into a script as it is: pass it by env"));
                }
            }
        }
        if self.timeout_minutes == Some(0) {
            problems.push("it has no time".to_owned());
        }
        if let Some(id) = &self.id
            && !scope.steps.insert(id.clone())
        {
            problems.push(format!("another step is called {id}"));
        }
        problems
    }
}

/// What is between `${{` and `}}`.
fn expressions(text: &str) -> Vec<String> {
    let pattern = Regex::new(r"(?s)\$\{\{(.*?)\}\}").unwrap();
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

impl Scope {
    /// What an expression asks for that is not there.
    fn problems_of(&self, text: &str) -> Vec<String> {
        const CONTEXTS: [&str; 10] =
            ["github", "env", "vars", "job", "steps", "runner", "secrets", "matrix", "needs", "inputs"];
        const FUNCTIONS: [&str; 12] = [
            "always",
            "cancelled",
            "contains",
            "endsWith",
            "failure",
            "format",
            "fromJSON",
            "hashFiles",
            "join",
            "startsWith",
            "success",
            "toJSON",
        ];
        let quoted = Regex::new(r"'(?:[^']|'')*'").unwrap();
        let names = Regex::new(r"([A-Za-z_][\w-]*(?:\.(?:[\w-]+|\*))*)\s*(\()?").unwrap();
        let mut problems = Vec::new();
        for expression in expressions(text) {
            let plain = quoted.replace_all(&expression, "''").into_owned();
            for found in names.captures_iter(&plain) {
                let parts: Vec<&str> = found[1].split('.').collect();
                let known = match parts.as_slice() {
                    ["true" | "false" | "null"] | [] => true,
                    [function] if found.get(2).is_some() => FUNCTIONS.contains(function),
                    ["steps", id, "outputs" | "outcome" | "conclusion", ..] => self.steps.contains(*id),
                    ["needs", "*", "result"] => !self.needs.is_empty(),
                    ["needs", job, "result"] => self.needs.contains_key(*job),
                    ["needs", job, "outputs", name] => self.needs.get(*job).is_some_and(|it| it.contains(*name)),
                    ["matrix", name] => self.matrix.contains(*name),
                    ["inputs", name] => self.inputs.contains(*name),
                    ["steps" | "needs" | "matrix" | "inputs", ..] => false,
                    [context, ..] => CONTEXTS.contains(context),
                };
                if !known {
                    problems.push(format!("there is no {}", &found[1]));
                }
            }
        }
        problems
    }
}

/// What is wrong with a schedule, if anything is.
fn bad_cron(text: &str) -> Option<String> {
    const RANGES: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
    let fields: Vec<&str> = text.split(' ').collect();
    let good = |field: &str, (low, high): (u32, u32)| {
        field.split(',').all(|part| {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let number = |text: &str| text.parse::<u32>().is_ok_and(|number| (low..=high).contains(&number));
            let bounds =
                range == "*" || range.split_once('-').map_or_else(|| number(range), |(a, b)| number(a) && number(b));
            bounds && step.parse::<u32>().is_ok_and(|step| step > 0)
        })
    };
    let all = fields.len() == RANGES.len() && fields.iter().zip(RANGES).all(|(field, range)| good(field, range));
    (!all).then(|| format!("{text:?} is no schedule"))
}
