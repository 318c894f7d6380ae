//! Where a run takes place: a cluster with an operator, and somebody who measures.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::core::{ApiResource, GroupVersionKind};

use super::{BenchError, Memory, Outcome, Phase};
use crate::cluster::Cluster;
use crate::scenario::diagnostic::{Place, SourceFile};
use crate::scenario::expression::Bindings;
use crate::scenario::model::{Needs, OperatorSpec, Time};
use crate::scenario::node::{Isolation, NodeSpec};
use crate::scenario::operator::{OperatorPlan, Which};
use crate::scenario::plan::Plan;
use crate::sim::clock::{ScenarioClock, epoch};
use crate::sli::exposition::Series;
use crate::sli::observed::Recorder;
use crate::sli::session::Session;
use crate::sli::spec::{self, Spec};
use crate::target::{BuiltIn, Operator, Stage, Teller, Terms};

/// Where a run's objects are.
pub(super) const NAMESPACE: &str = "bench";

/// How often the operator is asked for its metrics.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// A verb and a resource, and how often the operator asked so.
pub type Calls = ((String, String), u64);

/// A cluster with an operator that does not run yet.
pub(super) struct Theatre {
    pub(super) cluster: Arc<dyn Cluster>,
    operator: Box<dyn Operator>,
    recorder: Arc<Mutex<Recorder>>,
    session: Session,
    specs: Vec<Spec>,
}

impl Theatre {
    /// Builds a cluster for these controllers.
    pub(super) async fn build(
        controllers: &[String],
        nodes: Vec<NodeSpec>,
        time: Time,
        seed: u64,
    ) -> Result<Self, BenchError> {
        let plan = plan(controllers, nodes, time);
        let (epoch, clock) = (epoch(time == Time::Virtual), ScenarioClock::start());
        let terms = Terms { seed, epoch, time, clock, outside: Arc::default() };
        let raised = BuiltIn.raise(&plan, terms).await?;
        let missing = || BenchError::Operator("there is no operator".to_owned());
        let operator = raised.operator.ok_or_else(missing)?;
        let recorder = Arc::<Mutex<Recorder>>::default();
        raised.cluster.observe(Arc::clone(&recorder), &operator.user());
        // A broken build of the indicators is seen by their own tests.
        let specs = spec::built_in().unwrap_or_default();
        Ok(Self { cluster: raised.cluster, operator, recorder, session: Session::new(true), specs })
    }

    /// Starts the operator.
    pub(super) fn start(&mut self) {
        self.operator.start();
    }

    /// The user that the operator is.
    pub(super) fn user(&self) -> String {
        self.operator.user()
    }

    /// Requests of the operator so far, by verb and resource.
    pub(super) fn calls(&self) -> Vec<Calls> {
        calls(&self.recorder.lock().unwrap_or_else(PoisonError::into_inner).observations().counts)
    }

    /// Does a run's work, and measures meanwhile.
    pub(super) async fn perform<T>(
        &mut self,
        sample_every: Duration,
        work: impl Future<Output = Result<T, BenchError>>,
    ) -> Result<T, BenchError> {
        let teller = self.operator.teller();
        let done = tokio::select! {
            done = work => done,
            ended = self.operator.ended() => Err(BenchError::Operator(ended)),
            never = sample(teller.as_deref(), sample_every, &mut self.session, &self.specs) => match never {},
        };
        if let Some(teller) = teller
            && let Some(answer) = teller.metrics().await
        {
            self.session.told(answer, &self.specs);
        }
        done
    }

    /// Takes down what an operator told elsewhere.
    pub(super) fn told(&mut self, metrics: String) {
        self.session.told(Ok(metrics), &self.specs);
    }

    /// What was measured.
    pub(super) async fn outcome(mut self, phases: Vec<Phase>) -> Outcome {
        self.operator.crash().await;
        self.session.seen = self.recorder.lock().unwrap_or_else(PoisonError::into_inner).observations();
        Outcome { phases, session: self.session, memory: Memory::own() }
    }
}

async fn sample(teller: Option<&dyn Teller>, every: Duration, session: &mut Session, specs: &[Spec]) -> Infallible {
    loop {
        if let Some(teller) = teller
            && let Some(answer) = teller.metrics().await
        {
            session.told(answer, specs);
        }
        tokio::time::sleep(every).await;
    }
}

/// Requests by verb and resource, the most frequent first.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a count")]
pub(super) fn calls(counts: &[Series]) -> Vec<Calls> {
    let label = |series: &Series, name: &str| series.labels.get(name).cloned().unwrap_or_default();
    let mut calls: Vec<_> = counts
        .iter()
        .filter(|series| series.name == "calls")
        .map(|series| ((label(series, "verb"), label(series, "resource")), series.value as u64))
        .collect();
    calls.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    calls
}

fn plan(controllers: &[String], nodes: Vec<NodeSpec>, time: Time) -> Plan {
    let file = SourceFile::new("slipway bench", String::new());
    let place = Place { file: file.clone(), span: 0..0 };
    let ours = OperatorSpec { controllers: controllers.to_vec(), ..OperatorSpec::default() };
    let operator = OperatorPlan { place: place.clone(), stopped: false, which: Which::BuiltIn(Box::new(ours)) };
    Plan {
        title: "slipway bench".to_owned(),
        name: "bench".to_owned(),
        description: None,
        place,
        file,
        time,
        needs: Needs::default(),
        images: Vec::new(),
        seed: None,
        timeout: Duration::MAX,
        namespace: NAMESPACE.to_owned(),
        bindings: Bindings::new(),
        nodes,
        isolation: Isolation::Simulated,
        faults: Vec::new(),
        operator: Some(operator),
        steps: Vec::new(),
    }
}

/// A kind without a type of its own.
pub(super) fn kind(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
