//! What a scenario's steps act on: its cluster, its operator, what has been bound so far.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, TryFutureExt};
use kube::Client;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::assertion::{self, Subject};
use super::resources::Resources;
use super::traffic::{Tally, Traffic};
use super::trouble::Trouble;
use super::view::View;
use super::{chain, metrics, witness};
use crate::cluster::Cluster;
use crate::event::Output;
use crate::parity::Witness;
use crate::scenario::expression::{Bindings, Expression, Scope, Verdict};
use crate::scenario::model::OperatorAction;
use crate::scenario::plan::{Action, Condition, Plan, Step, Target};
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
