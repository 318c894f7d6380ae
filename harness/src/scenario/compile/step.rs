//! One step: exactly one action, complete, with its manifests and expressions.

mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::super::check::advice;
use super::super::diagnostic::{Place, Problem};
use super::super::duration::Span;
use super::super::expression::{Bindings, Expression};
use super::super::forms::{Count, Expressions};
use super::super::manifest::{self, Reference};
use super::super::model;
use super::super::plan::{Action, Condition, Eviction, Step, Target};
use super::super::tree::Node;
use super::Surroundings;
use crate::sli::selector::SelectorError;

/// How long an assertion waits unless it says otherwise.
const WITHIN: Duration = Duration::from_mins(1);

/// The field manager of `apply` unless it says otherwise.
const FIELD_MANAGER: &str = "slipway";

/// What is known around a step.
pub(super) struct Context<'a> {
    /// Where the document stands.
    pub(super) place: &'a Surroundings<'a>,
    /// The scenario's bindings.
    pub(super) bindings: &'a Bindings,
    /// Every node there is at some time.
    pub(super) nodes: &'a [String],
    /// Whether there is an operator to act on.
    pub(super) has_operator: bool,
    /// Whether it tells its metrics.
    pub(super) tells_metrics: bool,
    /// Whether the scenario runs on the machine's clock.
    pub(super) real_time: bool,
}

/// Compiles a step; none where something is wrong with it.
pub(super) fn compile(
    context: &Context<'_>,
    node: &Node,
    later: &[String],
    problems: &mut Vec<Problem>,
) -> Option<Step> {
    let actions: Vec<_> = node.entries().iter().filter(|entry| entry.key != "name").collect();
    let (action, entry) = match actions.as_slice() {
        [entry] => (entry.key.as_str(), *entry),
        [] => {
            problems.push(
                Problem::at(context.place.file, node.span.clone(), "a step without an action").label("this step"),
            );
            return None;
        }
        [first, second, ..] => {
            problems.push(
                Problem::at(
                    context.place.file,
                    second.key_span.clone(),
                    format!("a step with two actions, `{}` and `{}`", first.key, second.key),
                )
                .label("the second action")
                .help("one step does one thing; make this a step of its own"),
            );
            return None;
        }
    };
    // What cannot be read has been reported by the schema.
    let step: model::Step = serde_json::from_value(node.to_json()).ok()?;
    let mut compiler = Compiler { context, node: &entry.value, later, problems };
    let before = compiler.problems.len();
    let title = step.name.clone();
    let (summary, done) = compiler.action(step)?;
    if compiler.problems.len() > before {
        return None;
    }
    Some(Step {
        title: title
            .unwrap_or_else(|| if summary.is_empty() { action.to_owned() } else { format!("{action} {summary}") }),
        place: Place { file: context.place.file.clone(), span: entry.key_span.clone() },
        action: done,
    })
}

struct Compiler<'a> {
    context: &'a Context<'a>,
    /// The action's value.
    node: &'a Node,
    later: &'a [String],
    problems: &'a mut Vec<Problem>,
}

impl Compiler<'_> {
    /// The action with a summary of what it is about.
    fn action(&mut self, step: model::Step) -> Option<(String, Action)> {
        // Taking the step apart here makes a forgotten action a compile error.
        let model::Step {
            name: _,
            apply,
            create,
            patch,
            delete,
            evict,
            expect,
            never,
            consistently,
            expect_gone,
            expect_file,
            expect_link,
            expect_events,
            expect_metric,
            operator,
            advance,
            script,
            traffic,
            add_node,
            remove_node,
        } = step;
        let writing = || {
            None.or_else(|| apply.map(Writing::Apply))
                .or_else(|| create.map(Writing::Create))
                .or_else(|| patch.map(Writing::Patch))
                .or_else(|| delete.map(Writing::Delete))
        };
        if let Some(writing) = writing() {
            return Some(self.writing(writing));
        }
        if let Some(evict) = evict {
            return Some(self.evict(evict));
        }
        if let Some(expect) = expect {
            return Some(self.expect(expect));
        }
        if let Some(never) = never {
            return Some(self.never(never));
        }
        if let Some(consistently) = consistently {
            return Some(self.consistently(consistently));
        }
        if let Some(gone) = expect_gone {
            let target = target(gone.resource, gone.name, gone.labels, gone.namespace);
            return Some((target.to_string(), Action::ExpectGone { target, within: within(gone.within) }));
        }
        if let Some(file) = expect_file {
            return Some(self.file(file));
        }
        if let Some(link) = expect_link {
            return Some(self.link(link));
        }
        if let Some(model::ExpectEvents { regarding, events, within: limit }) = expect_events {
            let summary = format!("{} of {}", reasons(&events), regarding.kind);
            return Some((summary, Action::ExpectEvents { regarding, events, within: within(limit) }));
        }
        if let Some(metric) = expect_metric {
            return self.metric(&metric);
        }
        if let Some(action) = operator {
            return Some(self.operator(action));
        }
        if let Some(Span(duration)) = advance {
            return Some((Span(duration).to_string(), Action::Advance(duration)));
        }
        if let Some(script) = script {
            return Some(self.script(script));
        }
        if let Some(traffic) = traffic {
            return self.traffic(&traffic);
        }
        if let Some(spec) = add_node {
            return Some((spec.name.clone(), Action::AddNode(Box::new(spec))));
        }
        if let Some(name) = remove_node {
            self.known_node(&name, "");
            return Some((name.clone(), Action::RemoveNode(name)));
        }
        // The key is there, but its value is `null`.
        self.complain("", "a step whose action says nothing", "nothing");
        None
    }

    fn writing(&mut self, writing: Writing) -> (String, Action) {
        match writing {
            Writing::Apply(model::Apply { manifest: _, file: _, field_manager, force, expect_error }) => {
                let manifests = self.manifests(false);
                let field_manager = field_manager.unwrap_or_else(|| FIELD_MANAGER.to_owned());
                let action = Action::Apply { manifests, field_manager, force: force.unwrap_or(true), expect_error };
                (Self::subjects(&action), action)
            }
            Writing::Create(model::Create { manifest: _, file: _, expect_error }) => {
                let action = Action::Create { manifests: self.manifests(true), expect_error };
                (Self::subjects(&action), action)
            }
            Writing::Patch(model::Patch { resource, name, namespace, strategy, subresource, patch, expect_error }) => {
                let target = target(resource, Some(name), BTreeMap::new(), namespace);
                if (strategy == model::PatchType::Json) != patch.is_array() {
                    let form =
                        if patch.is_array() { "a list is a patch of `type: json`" } else { "a `json` patch is a list" };
                    self.complain("/patch", form, "this patch");
                }
                (target.to_string(), Action::Patch { target, strategy, subresource, patch, expect_error })
            }
            Writing::Delete(delete) => {
                let target = target(delete.resource, delete.name, delete.labels, delete.namespace);
                if target.name.is_none() && target.labels.is_empty() {
                    self.complain("", "`delete` needs a `name` or `labels`", "everything there is");
                }
                let action = Action::Delete {
                    target: target.clone(),
                    propagation: delete.propagation,
                    grace_period_seconds: delete.grace_period_seconds,
                    expect_error: delete.expect_error,
                };
                (target.to_string(), action)
            }
        }
    }

    fn subjects(action: &Action) -> String {
        let (Action::Apply { manifests, .. } | Action::Create { manifests, .. }) = action else { return String::new() };
        let text = |object: &Value, pointer: &str| {
            object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let subjects: Vec<_> = manifests
            .iter()
            .map(|object| format!("{}/{}", text(object, "/kind"), text(object, "/metadata/name")))
            .collect();
        subjects.join(", ")
    }

    fn evict(&mut self, evict: model::Evict) -> (String, Action) {
        let target = target("pods".to_owned(), evict.name, evict.labels, evict.namespace);
        if target.name.is_none() && target.labels.is_empty() {
            self.complain("", "`evict` needs a `name` or `labels`", "everything there is");
        }
        if evict.within.is_some() && evict.every.is_none() {
            self.complain("/within", "`within` is how long to ask again, and `every` is missing", "asked once only");
        }
        if evict.message.is_some() && evict.expect == model::Verdict::Passed {
            self.complain("/message", "an eviction that passes has no message", "no message");
        }
        if evict.retry_after.is_some() && evict.expect == model::Verdict::Passed {
            self.complain("/retryAfter", "an eviction that passes is not asked for again", "no hint");
        }
        let eviction = Eviction {
            user: evict.user,
            groups: evict.groups,
            grace_period_seconds: evict.grace_period_seconds,
            expect: evict.expect,
            message: evict.message,
            retry_after: evict.retry_after.map(|span| span.0),
            every: evict.every.map(|span| span.0),
            within: within(evict.within),
        };
        (target.to_string(), Action::Evict { target, eviction })
    }

    fn expect(&mut self, expect: model::Expect) -> (String, Action) {
        let condition = self.condition(expect.object, expect.that.as_ref());
        let bind = self.bind(&expect.bind);
        let target = target(expect.resource, expect.name, expect.labels, expect.namespace);
        let count = expect.count.unwrap_or(Count::SOME);
        let summary = target.to_string();
        (summary, Action::Expect { target, condition, count, within: within(expect.within), bind })
    }

    /// Names for what later steps need to know.
    fn bind(&mut self, names: &BTreeMap<String, String>) -> Vec<(String, Expression)> {
        let mut bind = Vec::new();
        for (name, source) in names {
            let pointer = format!("/bind/{name}");
            if !super::is_identifier(name) || self.context.bindings.contains_key(name) || self.later.contains(name) {
                self.complain(&pointer, &format!("`{name}` cannot be bound here"), "not a new name");
            }
            bind.extend(self.expression(source, &pointer).map(|expression| (name.clone(), expression)));
        }
        bind
    }

    fn never(&mut self, never: model::Never) -> (String, Action) {
        let condition = self.condition(never.object, never.that.as_ref());
        let target = target(never.resource, never.name, never.labels, never.namespace);
        let duration = never.duration.map(|span| span.0);
        let count = never.count.unwrap_or(Count::SOME);
        (target.to_string(), Action::Never { target, condition, count, duration })
    }

    fn consistently(&mut self, consistently: model::Consistently) -> (String, Action) {
        let condition = self.condition(consistently.object, consistently.that.as_ref());
        let target = target(consistently.resource, consistently.name, consistently.labels, consistently.namespace);
        let (count, duration) = (consistently.count, consistently.duration.0);
        (target.to_string(), Action::Consistently { target, condition, count, duration })
    }

    fn file(&mut self, file: model::ExpectFile) -> (String, Action) {
        self.known_node(&file.node, "/node");
        if !file.path.starts_with('/') {
            self.complain("/path", "the path must begin at the node's root", "not absolute");
        }
        let says = [file.content.is_some(), file.contains.is_some(), file.mode.is_some(), file.absent];
        if !says.contains(&true) {
            self.complain("", "`expectFile` must say `content`, `contains`, `mode` or `absent`", "expects nothing");
        }
        if file.absent && says[..3].contains(&true) {
            self.complain("/absent", "a file that is absent has no content and no mode", "absent");
        }
        if !file.absent && file.path.contains('*') {
            self.complain("/path", "only with `absent` may a path hold `*`", "which file?");
        }
        if file.mode.as_deref().is_some_and(|mode| u32::from_str_radix(mode, 8).is_err()) {
            self.complain("/mode", "the mode must be octal, like `\"0600\"`", "not octal");
        }
        let summary = format!("{} on {}", file.path, file.node);
        let within = within(file.within);
        (summary, Action::ExpectFile { file, within })
    }

    fn link(&mut self, link: model::ExpectLink) -> (String, Action) {
        self.known_node(&link.node, "/node");
        let summary = match (&link.link.name, &link.link.mac) {
            (Some(which), _) | (None, Some(which)) => format!("{which} on {}", link.node),
            (None, None) => {
                self.complain("/link", "`link` must say `name` or `mac`", "which link?");
                link.node.clone()
            }
        };
        let within = within(link.within);
        (summary, Action::ExpectLink { link, within })
    }

    fn operator(&mut self, action: model::OperatorAction) -> (String, Action) {
        if !self.context.has_operator {
            self.complain("", "the scenario has no `operator`", "there is none");
        }
        let word = match action {
            model::OperatorAction::Restart => "restart",
            model::OperatorAction::Stop => "stop",
            model::OperatorAction::Start => "start",
            model::OperatorAction::Uninstall => "uninstall",
        };
        (word.to_owned(), Action::Operator(action))
    }

    fn metric(&mut self, metric: &model::ExpectMetric) -> Option<(String, Action)> {
        if !self.context.has_operator {
            self.complain("", "the scenario has no `operator`", "whose metrics?");
        } else if !self.context.tells_metrics {
            self.complain("", "the scenario does not say where its operator tells its `metrics`", "where are they?");
        }
        let series = match metric.series.parse() {
            Ok(series) => series,
            Err(error) => {
                let error: SelectorError = error;
                self.complain("/series", &error.to_string(), "no selector");
                return None;
            }
        };
        let within = within(metric.within);
        Some((metric.series.clone(), Action::ExpectMetric { series, value: metric.value, within }))
    }

    fn script(&mut self, script: model::Script) -> (String, Action) {
        if !self.context.real_time {
            let problem = self.problem("", "a script runs on the machine's clock, but the scenario's is virtual");
            self.problems.push(problem.label("needs real time").help("say `time: real` at the top of the scenario"));
        }
        let summary = script.run.lines().next().unwrap_or_default().to_owned();
        let timeout = within(script.timeout);
        (summary, Action::Script { script, timeout })
    }

    fn condition(&mut self, object: Option<Value>, that: Option<&Expressions>) -> Condition {
        let sources = that.map(|that| that.0.as_slice()).unwrap_or_default();
        let that = sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| {
                let pointer = format!("/that/{index}");
                let pointer = if self.node.at(&pointer).is_some() { pointer } else { "/that".to_owned() };
                self.expression(source, &pointer)
            })
            .collect();
        Condition { object, that }
    }

    fn expression(&mut self, source: &str, pointer: &str) -> Option<Expression> {
        if source.contains("${") {
            // An unknown binding, which has been reported; the expression around it is not at fault.
            return None;
        }
        let names = self.context.bindings.keys().chain(self.later).map(String::as_str);
        match Expression::compile(source, names) {
            Ok(expression) => Some(expression),
            Err(error) => {
                let mut span = self.node.place(pointer);
                // Where the text stands in the file as it is, the place within it can be shown as well.
                let text = self.context.place.file.text().get(span.clone()).unwrap_or_default();
                if let Some(start) = text.find(source) {
                    span = span.start + start + error.offset..span.start + start + source.len();
                }
                let message = format!("bad expression: {}", error.message);
                let problem = Problem::at(self.context.place.file, span, message);
                self.problems.push(match error.help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                None
            }
        }
    }

    fn manifests(&mut self, generated_names: bool) -> Vec<Value> {
        let place = self.context.place;
        match (self.node.get("manifest"), self.node.get("file")) {
            (Some(node), None) => manifest::inline(place.file, node, generated_names, self.problems),
            (None, Some(node)) => {
                let reference = Reference {
                    file: place.file,
                    directory: place.directory,
                    node,
                    bindings: self.context.bindings,
                    later: self.later,
                    generated_names,
                };
                manifest::from_file(&reference, self.problems)
            }
            (None, None) => {
                self.complain("", "there must be a `manifest` or a `file`", "nothing to write");
                Vec::new()
            }
            (Some(_), Some(_)) => {
                self.complain("/file", "there may be a `manifest` or a `file`, not both", "this one too");
                Vec::new()
            }
        }
    }

    fn known_node(&mut self, name: &str, pointer: &str) {
        let nodes = self.context.nodes;
        // A name that a step binds is known only during the run.
        if !name.contains("${") && !nodes.iter().any(|node| node == name) {
            let advice = advice(name, nodes.iter().map(String::as_str));
            let problem = self.problem(pointer, &format!("unknown node `{name}`")).label("unknown node").help(advice);
            self.problems.push(problem);
        }
    }

    fn problem(&self, pointer: &str, message: &str) -> Problem {
        Problem::at(self.context.place.file, self.node.place(pointer), message)
    }

    fn complain(&mut self, pointer: &str, message: &str, label: &str) {
        let problem = self.problem(pointer, message).label(label);
        self.problems.push(problem);
    }
}

/// The actions that write.
enum Writing {
    Apply(model::Apply),
    Create(model::Create),
    Patch(model::Patch),
    Delete(model::Delete),
}

fn within(limit: Option<Span>) -> Duration {
    limit.map_or(WITHIN, |span| span.0)
}

fn target(
    resource: String,
    name: Option<String>,
    labels: BTreeMap<String, String>,
    namespace: Option<String>,
) -> Target {
    Target { resource, name, labels, namespace }
}

fn reasons(events: &[model::EventPattern]) -> String {
    let reasons: Vec<_> = events.iter().map(|event| event.reason.as_str()).collect();
    reasons.join(", ")
}
