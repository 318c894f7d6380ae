//! What a scenario's steps act on: its cluster, its operator, what has been bound so far.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, TryFutureExt};
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::assertion::{self, Subject};
use super::resources::{Found, Resources};
use super::script::Surroundings;
use super::traffic::{Tally, Traffic};
use super::trouble::Trouble;
use super::{chain, events, evict, metrics, nodes, script, witness};
use crate::cluster::{Cluster, Node};
use crate::event::Output;
use crate::parity::Witness;
use crate::scenario::expression::{Bindings, Expression, Scope, Verdict};
use crate::scenario::model::{ExpectError, OperatorAction, PatchType, Propagation, Regarding};
use crate::scenario::plan::{Action, Condition, Plan, Step, Target};
use crate::scenario::template::fill_value;
use crate::target::{Operator, Raised};

/// A step by its number and what is wrong with it.
pub(super) type Violation = (usize, Trouble);

/// What steps act on.
pub(super) struct Scene<'a> {
    /// The step that is under way.
    pub(super) current: Option<usize>,
    plan: &'a Plan,
    cluster: Arc<dyn Cluster>,
    /// The namespace of everything that does not say otherwise.
    namespace: String,
    operator: Option<Box<dyn Operator>>,
    client: Client,
    resources: Resources,
    bindings: Bindings,
    /// Requests that are under way, by name.
    traffic: BTreeMap<String, Traffic>,
    /// Where scripts look for their commands.
    path: Option<&'a OsStr>,
}

impl<'a> Scene<'a> {
    /// The scene as a stage has raised it.
    pub(super) fn new(plan: &'a Plan, raised: Raised, path: Option<&'a OsStr>) -> Self {
        let client = raised.cluster.client();
        Self {
            current: None,
            plan,
            cluster: raised.cluster,
            namespace: raised.namespace,
            operator: raised.operator,
            resources: Resources::new(client.clone()),
            client,
            bindings: plan.bindings.clone(),
            traffic: BTreeMap::new(),
            path,
        }
    }

    /// Starts the operator, unless the scenario wants to do so itself.
    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        let stopped = self.plan.operator.as_ref().is_some_and(|spec| spec.stopped);
        if stopped { Ok(()) } else { self.start().await }
    }

    /// Starts the operator and waits until it is at work.
    async fn start(&mut self) -> Result<(), Trouble> {
        let Some(operator) = &mut self.operator else { return Ok(()) };
        operator.start();
        let ready = operator.ready().map_err(Trouble::new);
        with_operator(&mut self.operator, ready).await
    }

    /// What the stage has raised, to be put away by it.
    pub(super) fn end(self) -> Raised {
        Raised { cluster: self.cluster, operator: self.operator, namespace: self.namespace }
    }

    /// What there is on the cluster in the end, while the operator still runs.
    pub(super) async fn witness(&self) -> Option<Witness> {
        let seen = witness::witness(&self.client, self.plan, &self.namespace).await;
        // It is no failure of the scenario's.
        seen.inspect_err(|error| tracing::warn!(error = chain(error), "cannot see what the scenario left")).ok()
    }

    /// The last lines that the operator has written, where it has a log of its own.
    pub(super) fn output(&self, lines: usize) -> Vec<String> {
        self.operator.as_ref().map(|operator| operator.output(lines)).unwrap_or_default()
    }

    /// Performs a step while the operator runs; a `never` without end goes on in the background and reports what it
    /// sees to `violated`.
    pub(super) async fn perform(
        &mut self,
        number: usize,
        step: &Step,
        violated: &UnboundedSender<Violation>,
    ) -> Result<Option<Output>, Trouble> {
        match &step.action {
            Action::Operator(action) => self.operate(*action).await.map(|()| None),
            Action::ExpectMetric { series, value, within } => {
                let Some(teller) = self.operator.as_ref().and_then(|operator| operator.teller()) else {
                    return Err(Trouble::new("nobody knows where the operator tells its metrics"));
                };
                // An operator that is stopped tells nothing, and is no trouble of its own.
                let looking = metrics::expect(&*teller, series, *value, *within);
                with_operator(&mut self.operator, looking).await.map(|()| None)
            }
            Action::Expect { target, condition, count, within, bind } => {
                let found = {
                    let Self { operator, resources, client, bindings, cluster, namespace, path, .. } = &mut *self;
                    let view = View { resources, client, bindings, cluster, namespace, path: *path };
                    let looking = async {
                        let (target, condition) = (view.target(target), view.condition(condition));
                        let subject = view.subject(&target, &condition).await?;
                        assertion::expect(&subject, *count, *within).await
                    };
                    with_operator(operator, looking).await?
                };
                self.bind(bind, found.as_ref()).map(|()| None)
            }
            Action::Never { target, condition, count, duration: None } => {
                self.guard(number, target, condition, *count, violated.clone()).await.map(|()| None)
            }
            Action::StartTraffic { name, spec } => {
                let namespace = spec.namespace.as_deref().unwrap_or(&self.namespace);
                let starting = Traffic::start(spec, namespace, &self.cluster, &self.client);
                let started = with_operator(&mut self.operator, starting).await?;
                match self.traffic.insert(name.clone(), started) {
                    Some(_) => Err(Trouble::new(format!("there is traffic called {name} already"))),
                    None => Ok(None),
                }
            }
            Action::StopTraffic { name, that, bind } => {
                let Some(traffic) = self.traffic.remove(name) else {
                    return Err(Trouble::new(format!("there is no traffic called {name}")));
                };
                let tally = with_operator(&mut self.operator, traffic.stop().map(Ok)).await?;
                let counters = tally.value();
                self.judge_traffic(name, &tally, &counters, that)?;
                self.bind(bind, Some(&counters))?;
                Ok(Some(Output { text: tally.to_string(), counters: Some(counters) }))
            }
            action => {
                let Self { operator, resources, client, bindings, cluster, namespace, path, .. } = &mut *self;
                let view = View { resources, client, bindings, cluster, namespace, path: *path };
                with_operator(operator, view.perform(action)).await
            }
        }
    }

    /// Lets a moment pass while the operator runs.
    pub(super) async fn linger(&mut self, moment: Duration) -> Result<(), Trouble> {
        with_operator(&mut self.operator, tokio::time::sleep(moment).map(Ok)).await
    }

    async fn operate(&mut self, action: OperatorAction) -> Result<(), Trouble> {
        let Some(operator) = &mut self.operator else { return Ok(()) };
        match action {
            OperatorAction::Start => self.start().await,
            OperatorAction::Stop => {
                operator.stop().await;
                Ok(())
            }
            OperatorAction::Restart => {
                operator.crash().await;
                self.start().await
            }
            OperatorAction::Uninstall => operator.uninstall().await.map_err(Trouble::new),
        }
    }

    /// Whether the counters are as they must be; the report shows them in any case.
    fn judge_traffic(&self, name: &str, tally: &Tally, counters: &Value, that: &[Expression]) -> Result<(), Trouble> {
        let scope = Scope::new(Some(counters), &[], &self.bindings);
        let mut wrong = that.iter().filter(|expression| expression.verdict(&scope) != Verdict::Holds).peekable();
        if wrong.peek().is_none() {
            return Ok(());
        }
        let lines = wrong.flat_map(|expression| {
            let what = match expression.verdict(&scope) {
                Verdict::Undecided(why) => format!("- {}: {why}", expression.source()),
                Verdict::Fails | Verdict::Holds => format!("- {}", expression.source()),
            };
            let values = expression.explain(&scope);
            let is = values.into_iter().map(|(path, value)| format!("+ {path} is {value}"));
            std::iter::once(what).chain(is).collect::<Vec<_>>()
        });
        Err(Trouble::new(format!("the requests of {name} did not fare as they should"))
            .with("expected, and what there was", lines.collect())
            .with("what became of the requests", vec![tally.to_string()]))
    }

    fn bind(&mut self, bind: &[(String, Expression)], found: Option<&Value>) -> Result<(), Trouble> {
        for (name, expression) in bind {
            let value = expression
                .value(&Scope::new(found, &[], &self.bindings))
                .map_err(|why| Trouble::new(format!("`{name}` cannot be bound to `{}`: {why}", expression.source())))?;
            self.bindings.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Looks on in the background until the scenario ends.
    async fn guard(
        &self,
        number: usize,
        target: &Target,
        condition: &Condition,
        count: crate::scenario::forms::Count,
        violated: UnboundedSender<Violation>,
    ) -> Result<(), Trouble> {
        let view = self.view();
        let (target, condition) = (view.target(target), view.condition(condition));
        let api = view.found(&target).await?;
        let bindings = self.bindings.clone();
        tokio::spawn(async move {
            let subject = Subject { api, target: &target, condition: &condition, bindings: &bindings };
            if let Err(trouble) = assertion::never(&subject, count, None).await {
                // Nobody listens any more when the scenario has ended.
                drop(violated.send((number, trouble)));
            }
        });
        Ok(())
    }

    fn view(&self) -> View<'_> {
        View {
            resources: &self.resources,
            client: &self.client,
            bindings: &self.bindings,
            cluster: &self.cluster,
            namespace: &self.namespace,
            path: self.path,
        }
    }
}

/// Does something; an operator that ends meanwhile is trouble of its own.
async fn with_operator<T>(
    operator: &mut Option<Box<dyn Operator>>,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let ended = match operator {
        Some(operator) => operator.ended(),
        None => std::future::pending().boxed(),
    };
    tokio::select! {
        biased;
        why = ended => Err(Trouble::new(why)),
        done = work => done,
    }
}

/// The scene as most steps see it: nothing of it changes.
struct View<'a> {
    resources: &'a Resources,
    client: &'a Client,
    bindings: &'a Bindings,
    cluster: &'a Arc<dyn Cluster>,
    namespace: &'a str,
    path: Option<&'a OsStr>,
}

impl View<'_> {
    async fn perform(&self, action: &Action) -> Result<Option<Output>, Trouble> {
        match action {
            Action::Apply { manifests, field_manager, force, expect_error } => {
                for manifest in manifests {
                    let answer = self.apply(manifest, field_manager, *force).await;
                    judge(answer, expect_error.as_ref())?;
                }
            }
            Action::Create { manifests, expect_error } => {
                for manifest in manifests {
                    judge(self.create(manifest).await, expect_error.as_ref())?;
                }
            }
            Action::Patch { target, strategy, subresource, patch, expect_error } => {
                let answer = self.patch(target, *strategy, subresource.as_deref(), patch).await;
                judge(answer, expect_error.as_ref())?;
            }
            Action::Delete { target, propagation, grace_period_seconds, expect_error } => {
                judge(self.delete(target, *propagation, *grace_period_seconds).await, expect_error.as_ref())?;
            }
            Action::Evict { target, eviction } => {
                let target = self.target(target);
                let client = match &eviction.user {
                    Some(user) => self.cluster.client_as(&self.text(user), &evict::groups(user, &eviction.groups)),
                    None => self.client.clone(),
                };
                let namespace = target.namespace.as_deref().unwrap_or(self.namespace);
                evict::evict(&client, &self.found(&target).await?, namespace, &target, eviction).await?;
            }
            Action::Never { target, condition, count, duration } => {
                let (target, condition) = (self.target(target), self.condition(condition));
                assertion::never(&self.subject(&target, &condition).await?, *count, *duration).await?;
            }
            Action::Consistently { target, condition, count, duration } => {
                let (target, condition) = (self.target(target), self.condition(condition));
                assertion::consistently(&self.subject(&target, &condition).await?, *count, *duration).await?;
            }
            Action::ExpectGone { target, within } => {
                let target = self.target(target);
                assertion::expect_gone(self.found(&target).await?, &target, *within).await?;
            }
            Action::ExpectFile { file, within } => {
                nodes::expect_file(self.node(&file.node)?, file, *within).await?;
            }
            Action::ExpectLink { link, within } => {
                nodes::expect_link(self.node(&link.node)?, link, *within).await?;
            }
            Action::ExpectEvents { regarding, events, within } => {
                let name = regarding.name.as_deref().map(|name| self.text(name));
                let regarding = Regarding { name, ..regarding.clone() };
                let namespace = regarding.namespace.as_deref().unwrap_or(self.namespace);
                events::expect(self.client, namespace, &regarding, events, *within).await?;
            }
            Action::Advance(duration) => tokio::time::sleep(*duration).await,
            Action::Script { script, timeout } => {
                let cluster = self.cluster.as_ref();
                let within = Surroundings { cluster, namespace: self.namespace, path: self.path };
                let text = script::run(script, *timeout, &within).await?;
                return Ok(Some(Output { text, counters: None }));
            }
            Action::AddNode(spec) => {
                self.cluster.add_node((**spec).clone()).await.map_err(|error| Trouble::new(chain(&error)))?;
            }
            Action::RemoveNode(name) => {
                self.cluster.remove_node(name).await.map_err(|error| Trouble::new(chain(&error)))?;
            }
            // The scene's own: they change it.
            Action::Expect { .. }
            | Action::ExpectMetric { .. }
            | Action::Operator(_)
            | Action::StartTraffic { .. }
            | Action::StopTraffic { .. } => {}
        }
        Ok(None)
    }

    fn node(&self, name: &str) -> Result<Arc<dyn Node>, Trouble> {
        let name = self.text(name);
        self.cluster.node(&name).ok_or_else(|| Trouble::new(format!("the cluster has no simulated node {name}")))
    }

    /// A text with the names that steps have bound filled in.
    fn text(&self, text: &str) -> String {
        match fill_value(&Value::String(text.to_owned()), self.bindings) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    fn target(&self, target: &Target) -> Target {
        Target {
            resource: target.resource.clone(),
            name: target.name.as_deref().map(|name| self.text(name)),
            labels: target.labels.iter().map(|(key, value)| (key.clone(), self.text(value))).collect(),
            namespace: target.namespace.as_deref().map(|namespace| self.text(namespace)),
        }
    }

    fn condition(&self, condition: &Condition) -> Condition {
        Condition { object: condition.object_filled(self.bindings), that: condition.that.clone() }
    }

    async fn subject<'s>(&'s self, target: &'s Target, condition: &'s Condition) -> Result<Subject<'s>, Trouble> {
        Ok(Subject { api: self.found(target).await?, target, condition, bindings: self.bindings })
    }

    async fn found(&self, target: &Target) -> Result<kube::Api<DynamicObject>, Trouble> {
        let found = self.resources.named(&target.resource).await.map_err(|error| Trouble::new(chain(&error)))?;
        Ok(found.api(self.client, target.namespace.as_deref().unwrap_or(self.namespace)))
    }

    async fn of(&self, manifest: &Value) -> Result<(Found, kube::Api<DynamicObject>), Trouble> {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let found = self
            .resources
            .of_kind(text("/apiVersion"), text("/kind"))
            .await
            .map_err(|error| Trouble::new(chain(&error)))?;
        let namespace = manifest.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or(self.namespace);
        let api = found.api(self.client, namespace);
        Ok((found, api))
    }

    async fn apply(&self, manifest: &Value, field_manager: &str, force: bool) -> Result<Answer, Trouble> {
        let mut manifest = fill_value(manifest, self.bindings);
        let (_, api) = self.of(&manifest).await?;
        self.cluster.claim(&mut manifest, &api).await.map_err(Trouble::new)?;
        let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let params = PatchParams { force, ..PatchParams::apply(field_manager) };
        Ok(Answer::of("apply", &manifest, api.patch(name, &params, &Patch::Apply(&manifest)).await))
    }

    async fn create(&self, manifest: &Value) -> Result<Answer, Trouble> {
        let mut manifest = fill_value(manifest, self.bindings);
        let (_, api) = self.of(&manifest).await?;
        self.cluster.claim(&mut manifest, &api).await.map_err(Trouble::new)?;
        let object: DynamicObject = serde_json::from_value(manifest.clone())
            .map_err(|error| Trouble::new(format!("the manifest is no Kubernetes object: {error}")))?;
        Ok(Answer::of("create", &manifest, api.create(&PostParams::default(), &object).await))
    }

    async fn patch(
        &self,
        target: &Target,
        strategy: PatchType,
        subresource: Option<&str>,
        patch: &Value,
    ) -> Result<Answer, Trouble> {
        let target = self.target(target);
        let api = self.found(&target).await?;
        let value = fill_value(patch, self.bindings);
        let patch = match strategy {
            PatchType::Merge => Patch::Merge(value),
            PatchType::Strategic => Patch::Strategic(value),
            PatchType::Json => Patch::Json(
                serde_json::from_value(value)
                    .map_err(|error| Trouble::new(format!("this is no list of JSON patch operations: {error}")))?,
            ),
        };
        let (params, name) = (PatchParams::default(), target.name.clone().unwrap_or_default());
        let answer = match subresource {
            Some(subresource) => api.patch_subresource(subresource, &name, &params, &patch).await,
            None => api.patch(&name, &params, &patch).await,
        };
        Ok(Answer { what: format!("patch {target}"), error: answer.err() })
    }

    async fn delete(
        &self,
        target: &Target,
        propagation: Option<Propagation>,
        grace_period_seconds: Option<u32>,
    ) -> Result<Answer, Trouble> {
        let target = self.target(target);
        let api = self.found(&target).await?;
        let params = DeleteParams {
            propagation_policy: propagation.map(|propagation| match propagation {
                Propagation::Background => PropagationPolicy::Background,
                Propagation::Foreground => PropagationPolicy::Foreground,
                Propagation::Orphan => PropagationPolicy::Orphan,
            }),
            grace_period_seconds,
            ..DeleteParams::default()
        };
        let error = if let Some(name) = &target.name {
            api.delete(name, &params).await.err()
        } else {
            let labels: Vec<_> = target.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            api.delete_collection(&params, &ListParams::default().labels(&labels.join(","))).await.err()
        };
        Ok(Answer { what: format!("delete {target}"), error })
    }
}

/// What the API server said.
struct Answer {
    what: String,
    error: Option<kube::Error>,
}

impl Answer {
    fn of(verb: &str, manifest: &Value, answer: Result<DynamicObject, kube::Error>) -> Self {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        Self { what: format!("{verb} {} {}", text("/kind"), text("/metadata/name")), error: answer.err() }
    }
}

/// Holds the server's answer against what was expected of it.
fn judge(answer: Result<Answer, Trouble>, expected: Option<&ExpectError>) -> Result<(), Trouble> {
    let Answer { what, error } = answer?;
    match (error, expected) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Trouble::new(format!("{what}: the API server accepted what it was expected to refuse"))),
        (Some(kube::Error::Api(status)), Some(expected)) => {
            let mut wrong = Vec::new();
            if expected.code.is_some_and(|code| code != status.code) {
                wrong.push(format!("the code was {}", status.code));
            }
            if expected.reason.as_ref().is_some_and(|reason| *reason != status.reason) {
                wrong.push(format!("the reason was {}", status.reason));
            }
            for part in expected.message.as_ref().map(|message| message.missing(&status.message)).unwrap_or_default() {
                wrong.push(format!("the message did not contain {part:?}"));
            }
            if wrong.is_empty() {
                return Ok(());
            }
            let message = format!("{what}: the API server refused, but not as expected: {}", wrong.join(", "));
            Err(Trouble::new(message).with("the message", status.message.lines().map(str::to_owned).collect()))
        }
        (Some(error), _) => Err(Trouble::new(format!("{what}: {}", chain(&error)))),
    }
}
