//! The operator: exactly one kind of it, with what belongs to that kind and nothing else.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::check::check;
use super::super::diagnostic::{Place, Problem};
use super::super::duration::Span;
use super::super::expression::Bindings;
use super::super::manifest::{self, Reach, Reference};
use super::super::model::{Identity, OperatorSpec, ReadySpec};
use super::super::operator::{Deployed, Named, OperatorPlan, Program, Ready, Sign, Which};
use super::super::tree::{Kind, Node};
use super::{Surroundings, is_identifier};
use crate::sli::scrape::address::{Address, AddressError};

/// The kinds of operator, by the field that names each.
const KINDS: [&str; 3] = ["controllers", "command", "manifests"];

/// The fields that belong to some kinds only.
const BELONGS: [(&str, &[&str]); 12] = [
    ("settings", &["controllers"]),
    ("as", &["controllers", "command"]),
    ("args", &["command"]),
    ("env", &["command"]),
    ("inheritEnv", &["command"]),
    ("workingDir", &["command"]),
    ("ports", &["command"]),
    ("install", &["command"]),
    ("serviceAccount", &["command"]),
    ("metrics", &["command"]),
    ("gracePeriod", &["command"]),
    ("ready", &["command", "manifests"]),
];

/// How long an operator may take to be at work unless it is said.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// How long it may take to stop unless it is said: what Kubernetes gives a Pod.
const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// Names that the run fills in where the scenario speaks of its operator: its ports.
pub(super) fn ports(document: &Node) -> Vec<String> {
    match document.at("/operator/ports").map(|node| &node.kind) {
        Some(Kind::List(names)) => names.iter().filter_map(Node::text).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Compiles what a scenario says of its operator; none where something is wrong with it, or where it has none.
pub(super) fn compile(
    place: &Surroundings<'_>,
    bindings: &Bindings,
    document: &Node,
    real_time: bool,
    problems: &mut Vec<Problem>,
) -> Option<OperatorPlan> {
    let node = document.get("operator").filter(|node| matches!(node.kind, Kind::Map(_)))?;
    let mut compiler = Compiler { place, bindings, node, problems };
    let kind = compiler.kind()?;
    compiler.strangers(kind);
    let spec = legible(node);
    let stopped = spec.stopped;
    let which = match kind {
        "controllers" => compiler.built_in(spec),
        "command" => Which::Command(Box::new(compiler.program(spec, real_time)?)),
        _ => Which::Deployed(Box::new(compiler.deployed(spec))),
    };
    Some(OperatorPlan { place: Place { file: place.file.clone(), span: document.place("/operator") }, stopped, which })
}

/// What can be read of it. The rest has been reported by the schema, and is no reason to say nothing of this.
fn legible(node: &Node) -> OperatorSpec {
    let fields = node.entries().iter().filter_map(|entry| {
        let field = json!({ entry.key.as_str(): entry.value.to_json() });
        serde_json::from_value::<OperatorSpec>(field.clone()).is_ok().then_some(field)
    });
    let all: Map<String, Value> = fields.filter_map(|field| field.as_object().cloned()).flatten().collect();
    serde_json::from_value(Value::Object(all)).unwrap_or_default()
}

struct Compiler<'a> {
    place: &'a Surroundings<'a>,
    bindings: &'a Bindings,
    node: &'a Node,
    problems: &'a mut Vec<Problem>,
}

impl Compiler<'_> {
    /// A problem with a field, or with the operator where there is no such field.
    fn problem(&mut self, pointer: &str, message: impl Into<String>, label: &str, help: &str) {
        let span = self.node.at(pointer).unwrap_or(self.node).span.clone();
        self.problems.push(Problem::at(self.place.file, span, message).label(label).help(help));
    }

    fn kind(&mut self) -> Option<&'static str> {
        let entries = self.node.entries().iter();
        let named: Vec<_> =
            entries.filter_map(|entry| Some((*KINDS.iter().find(|kind| **kind == entry.key)?, entry))).collect();
        match named.as_slice() {
            [(kind, _)] => Some(kind),
            [] => {
                let help = "`controllers` for those of this workspace, `command` for a program of this machine, \
                            `manifests` for what the cluster runs";
                self.problem("", "an operator without `controllers`, `command` or `manifests`", "which one?", help);
                None
            }
            [(first, _), (second, entry), ..] => {
                let message = format!("an operator with both `{first}` and `{second}`");
                let problem = Problem::at(self.place.file, entry.key_span.clone(), message);
                self.problems.push(problem.label("the second").help("a scenario has one operator; choose one of them"));
                None
            }
        }
    }

    /// Fields that belong to another kind.
    fn strangers(&mut self, kind: &str) {
        for entry in self.node.entries() {
            if let Some((name, kinds)) =
                BELONGS.iter().find(|(name, kinds)| *name == entry.key && !kinds.contains(&kind))
            {
                let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
                let message = format!("`{name}` says nothing of an operator by `{kind}`");
                let problem = Problem::at(self.place.file, entry.key_span.clone(), message).label("without effect");
                self.problems.push(problem.help(format!("it goes with {}", kinds.join(" and "))));
            }
        }
    }

    /// Controllers and settings that the operator does not have.
    fn built_in(&mut self, spec: OperatorSpec) -> Which {
        let known = &self.place.vocabulary.controllers;
        if let Some(Kind::List(controllers)) = self.node.get("controllers").map(|node| &node.kind) {
            for node in controllers {
                if let Some(name) = node.text().filter(|name| !known.iter().any(|known| known == name)) {
                    self.problems.push(
                        Problem::at(self.place.file, node.span.clone(), format!("unknown controller `{name}`"))
                            .label("unknown controller")
                            .nearest(name, known.iter().map(String::as_str)),
                    );
                }
            }
        }
        if let Some(settings) = self.node.get("settings") {
            let schema = &self.place.vocabulary.settings;
            self.problems.extend(check(self.place.file, schema, settings, "the operator's settings"));
        }
        Which::BuiltIn(Box::new(spec))
    }

    fn program(&mut self, spec: OperatorSpec, real_time: bool) -> Option<Program> {
        if !real_time {
            let message = "a command runs on the machine's clock, but the scenario's is virtual";
            self.problem("/command", message, "needs real time", "say `time: real` at the top of the scenario");
        }
        if spec.command.first().is_none_or(String::is_empty) {
            self.problem(
                "/command",
                "a command without a program",
                "empty",
                "write it as a list, like `[./bin/manager]`",
            );
        }
        self.port_names(&spec.ports);
        let account = self.account(&spec);
        let working_dir = self.working_dir(spec.working_dir.as_deref());
        if let Some(url) = &spec.metrics {
            self.loopback("/metrics", url, &spec.ports);
        }
        let ready = self.ready(spec.ready, &spec.ports, false);
        let install = self.manifests("/install");
        Some(Program {
            command: spec.command.into_iter().chain(spec.args).collect(),
            env: spec.env,
            inherit_env: spec.inherit_env,
            working_dir: working_dir?,
            ports: spec.ports,
            install,
            account,
            ready,
            metrics: spec.metrics,
            grace_period: spec.grace_period.map_or(GRACE_PERIOD, |span| span.0),
        })
    }

    fn deployed(&mut self, spec: OperatorSpec) -> Deployed {
        let ready = self.ready(spec.ready, &[], true);
        let manifests = self.manifests("/manifests");
        if self.node.at("/manifests").is_some_and(|node| node.kind == Kind::List(Vec::new())) {
            self.problem("/manifests", "an operator without a manifest", "empty", "name what deploys it");
        }
        Deployed { manifests, ready }
    }

    fn port_names(&mut self, ports: &[String]) {
        for (index, name) in ports.iter().enumerate() {
            let why = if !is_identifier(name) {
                "must be of letters, digits and `_`"
            } else if self.bindings.contains_key(name) {
                "is the name of a binding"
            } else if ports[..index].contains(name) {
                "is there twice"
            } else {
                continue;
            };
            self.problem(
                &format!("/ports/{index}"),
                format!("`{name}` cannot be the name of a port: it {why}"),
                "this name",
                "`${name}` stands for the port's number",
            );
        }
    }

    /// Whose rights it has: nobody gets an administrator's without asking.
    fn account(&mut self, spec: &OperatorSpec) -> Option<Named> {
        match (spec.identity, &spec.service_account) {
            (Identity::Admin, None) => None,
            (Identity::Admin, Some(_)) => {
                let message = "an administrator is no service account";
                self.problem("/serviceAccount", message, "which of them?", "leave `as: admin` out, or this");
                None
            }
            (Identity::ServiceAccount, None) => {
                let help = "say `serviceAccount: namespace/name`, one that `install` makes, or `as: admin`";
                self.problem("", "a command without rights", "as whom does it run?", help);
                None
            }
            (Identity::ServiceAccount, Some(text)) => self.named("/serviceAccount", text),
        }
    }

    fn named(&mut self, pointer: &str, text: &str) -> Option<Named> {
        let named = Named::parse(text);
        if named.is_none() {
            let help = "write `namespace/name`, or the name alone in the scenario's namespace";
            self.problem(pointer, format!("`{text}` is no name"), "no name", help);
        }
        named
    }

    fn working_dir(&mut self, name: Option<&str>) -> Option<PathBuf> {
        match manifest::confined(self.place.directory, Reach::Project, name.unwrap_or(".")) {
            Ok(path) if path.is_dir() => Some(path),
            Ok(_) => {
                self.problem("/workingDir", "the working directory is a file", "a file", "name the directory it is in");
                None
            }
            Err(refusal) => {
                let name = name.unwrap_or(".");
                let (why, help) = refusal.explain();
                self.problem("/workingDir", format!("cannot run in `{name}`: {why}"), "unusable", help);
                None
            }
        }
    }

    /// Addresses of this machine only, and without TLS: there is nobody to vouch for a certificate.
    fn loopback(&mut self, pointer: &str, url: &str, ports: &[String]) {
        let filled = ports.iter().fold(url.to_owned(), |url, name| url.replace(&format!("${{{name}}}"), "1"));
        let help = "write it like `http://127.0.0.1:8080/metrics`; `ports` finds free ones";
        match Address::parse(&filled, &[]) {
            Ok(address) if address.takes_tokens() && !address.is_secure() => {}
            Err(error @ (AddressError::NoUrl(_) | AddressError::Credentials)) => {
                self.problem(pointer, format!("`{url}` cannot be asked: {error}"), "not this", help);
            }
            Ok(_) | Err(_) => {
                let message = format!("`{url}` is not plain http on a loopback address");
                self.problem(pointer, message, "not this", help);
            }
        }
    }

    fn ready(&mut self, spec: Option<ReadySpec>, ports: &[String], in_cluster: bool) -> Option<Ready> {
        let ReadySpec { url, log, lease, within } = spec?;
        let within = within.map_or(READY_WITHIN, |Span(span)| span);
        if in_cluster && (url.is_some() || log.is_some()) {
            let help = "what runs in the cluster is known by its Deployments, and by a `lease`";
            self.problem("/ready", "an operator by `manifests` is not asked by `url` or `log`", "not these", help);
            return None;
        }
        let by = match (url, log, lease) {
            (Some(url), None, None) => {
                self.loopback("/ready/url", &url, ports);
                Sign::Url(url)
            }
            (None, Some(log), None) if !log.is_empty() => Sign::Log(log),
            (None, None, Some(lease)) => Sign::Lease(self.named("/ready/lease", &lease)?),
            _ => {
                let message = "exactly one of `url`, `log` and `lease` shows that the operator is ready";
                self.problem("/ready", message, "one of them", "`within` says how long that may take");
                return None;
            }
        };
        Some(Ready { by, within })
    }

    /// The objects of the manifests that are named in a list.
    fn manifests(&mut self, pointer: &str) -> Vec<Value> {
        let Some(Kind::List(names)) = self.node.at(pointer).map(|node| &node.kind) else { return Vec::new() };
        let mut objects = Vec::new();
        for node in names {
            let reference = Reference {
                file: self.place.file,
                directory: self.place.directory,
                node,
                bindings: self.bindings,
                later: &[],
                generated_names: false,
            };
            objects.extend(manifest::from_files(&reference, self.problems));
        }
        objects
    }
}
