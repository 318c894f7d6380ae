//! One run of the agent: observe, remove what is stale, plan, apply group by group, report.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::{Done, Undone, apply, outstanding, unavailable};
use super::host::{Host, HostError, Mac};
use super::observe::{Observed, observe};
use super::plan::{Group, Plan, macs, plan, removal, stale};
use super::request::{Request, SpecSource};
use super::spec::{Failure, Wanted, check, interfaces, name_of};
use super::state::Step;
use super::{Outcome, Stop, summary};
use crate::api::agent::{
    AgentAction, AgentError, AgentExit, AgentInterface, AgentSpec, AgentSummary, InterfaceOutcome, InterfaceResult,
    MAX_INTERFACES, Reason,
};

/// The results of a run: those of the spec's interfaces in their order, and those of removed ones.
#[derive(Default)]
struct Results {
    interfaces: Vec<InterfaceResult>,
    removed: Vec<InterfaceResult>,
}

/// Does what the request says to the host. Never fails: what goes wrong is in the outcome.
pub async fn run<H: Host>(request: &Request, host: &H, stop: &Stop) -> Outcome {
    let SpecSource::Given(spec) = &request.source else {
        let message = "the spec is not at hand: it has to be read before the run".to_owned();
        return refused(
            request.action,
            request.node.as_deref(),
            &RunError::Input(Failure::new(Reason::InvalidInput, message)),
        );
    };
    if let Err(failure) = check(spec, request.node.as_deref()) {
        return finish(request.action, spec, Err(RunError::Input(failure)));
    }
    let run = Run { host, spec, stop };
    let results = match request.action {
        AgentAction::Apply => run.apply().await,
        AgentAction::Cleanup => run.cleanup().await,
        AgentAction::Verify => run.verify().await,
    };
    finish(request.action, spec, results.map_err(|error| RunError::Host(unavailable(&error))))
}

/// The outcome of a request that cannot even be read.
pub fn bad_input(action: AgentAction, node: Option<&str>, message: String) -> Outcome {
    refused(action, node, &RunError::Input(Failure::new(Reason::InvalidInput, message)))
}

impl Outcome {
    /// The outcome where the host cannot even be connected to.
    pub fn host_unavailable(request: &Request, message: &str) -> Self {
        let failure = Failure::new(Reason::HostUnavailable, message);
        match &request.source {
            SpecSource::Given(spec) => finish(request.action, spec, Err(RunError::Host(failure))),
            _ => refused(request.action, request.node.as_deref(), &RunError::Host(failure)),
        }
    }
}

enum RunError {
    Input(Failure),
    Host(Failure),
}

struct Run<'a, H> {
    host: &'a H,
    spec: &'a AgentSpec,
    stop: &'a Stop,
}

impl<H: Host> Run<'_, H> {
    async fn apply(&self) -> Result<Results, HostError> {
        let wanted = interfaces(self.spec);
        let macs = macs(&wanted);
        let observed = observe(self.host, &macs).await?;
        let removed = self.remove(&macs, &stale(&observed, &self.claims()), Reason::Stale).await?;
        let observed = if removed.is_empty() { observed } else { observe(self.host, &macs).await? };
        let Plan { refused, groups } = plan(&observed, self.spec.os, &self.spec.settings, &wanted);
        let mut results: BTreeMap<usize, InterfaceResult> =
            refused.into_iter().map(|(index, failure)| (index, self.failed(index, &failure))).collect();
        for group in &groups {
            results.extend(self.apply_group(&macs, group).await);
        }
        Ok(Results { interfaces: results.into_values().collect(), removed })
    }

    async fn apply_group(&self, macs: &BTreeSet<Mac>, group: &Group) -> Vec<(usize, InterfaceResult)> {
        let each = |result: &dyn Fn(usize, usize) -> InterfaceResult| -> Vec<(usize, InterfaceResult)> {
            group.iter().enumerate().map(|(at, member)| (member.index, result(at, member.index))).collect()
        };
        if outstanding(group).is_empty() {
            return each(&|_, index| self.configured(index, false, String::new()));
        }
        if self.stop.requested() {
            let failure =
                Failure::new(Reason::Interrupted, "the agent was told to stop before it came to this interface");
            return each(&|_, index| self.failed(index, &failure));
        }
        match apply(self.host, macs, group).await {
            Ok(done) => each(&|at, index| {
                let Done { changed, warnings } = &done;
                self.configured(index, changed.contains(&at), warnings_of(warnings, at))
            }),
            Err(Undone { member, failure }) => each(&|at, index| {
                let culprit = &self.interface(group[member].index).name;
                let failure = match (at == member, failure.reason) {
                    (true, _) => failure.clone(),
                    (false, Reason::RollbackFailed) => {
                        Failure::new(failure.reason, format!("{culprit}: {}", failure.message))
                    }
                    (false, _) => Failure::new(
                        Reason::DependencyFailed,
                        format!("put back, since it depends on {culprit}, which failed: {}", failure.message),
                    ),
                };
                self.failed(index, &failure)
            }),
        }
    }

    async fn cleanup(&self) -> Result<Results, HostError> {
        let none = BTreeSet::new();
        let observed = observe(self.host, &none).await?;
        let numbers: Vec<u8> = observed.records.keys().copied().collect();
        let removed = self.remove(&none, &numbers, Reason::CleanedUp).await?;
        Ok(Results { interfaces: Vec::new(), removed })
    }

    /// Undoes what earlier runs made of some interfaces, each by itself.
    async fn remove(
        &self,
        macs: &BTreeSet<Mac>,
        numbers: &[u8],
        reason: Reason,
    ) -> Result<Vec<InterfaceResult>, HostError> {
        let mut results = Vec::new();
        for number in numbers {
            let (id, name) = (*number, name_of(*number));
            let failed = |failure: Failure| InterfaceResult {
                id,
                name: name.clone(),
                status: InterfaceOutcome::Failed,
                changed: failure.reason == Reason::RollbackFailed,
                reason: failure.reason,
                message: failure.message,
            };
            if self.stop.requested() {
                let message = "the agent was told to stop before it came to this interface";
                results.push(failed(Failure::new(Reason::Interrupted, message)));
                continue;
            }
            // Removing one may free the name that another one had.
            let (macs, group) = match observe(self.host, macs).await {
                // The file that names the link goes before the last look.
                Ok(observed) => (
                    observed.records.values().filter_map(|record| record.mac).collect::<BTreeSet<Mac>>(),
                    vec![removal(&observed, &self.spec.settings, *number)],
                ),
                Err(error) => {
                    results.push(failed(unavailable(&error)));
                    continue;
                }
            };
            results.push(match apply(self.host, &macs, &group).await {
                Ok(Done { changed, warnings }) => InterfaceResult {
                    id,
                    name: name.clone(),
                    status: InterfaceOutcome::Removed,
                    changed: !changed.is_empty(),
                    reason,
                    message: warnings_of(&warnings, 0),
                },
                Err(Undone { failure, .. }) => failed(failure),
            });
        }
        Ok(results)
    }

    async fn verify(&self) -> Result<Results, HostError> {
        let wanted: Vec<Result<Wanted, Failure>> = interfaces(self.spec);
        let observed = observe(self.host, &macs(&wanted)).await?;
        let Plan { refused, groups } = plan(&observed, self.spec.os, &self.spec.settings, &wanted);
        let mut results: BTreeMap<usize, InterfaceResult> =
            refused.into_iter().map(|(index, failure)| (index, self.failed(index, &failure))).collect();
        for group in &groups {
            let steps = outstanding(group);
            for (at, member) in group.iter().enumerate() {
                let own = || steps.iter().filter(move |(of, _)| *of == at).map(|(_, step)| step);
                let minor = |step: &Step| matches!(step, Step::SetSysctl { .. });
                let message = own().map(|step| format!("to {step}")).collect::<Vec<_>>().join(", ");
                let message = if message.is_empty() { message } else { format!("it is necessary {message}") };
                let result = if own().all(minor) {
                    self.configured(member.index, false, message)
                } else {
                    self.result(member.index, InterfaceOutcome::Drifted, false, Reason::Drifted, message)
                };
                results.insert(member.index, result);
            }
        }
        Ok(Results { interfaces: results.into_values().collect(), removed: self.left_over(&observed) })
    }

    /// Verify's view of what an apply would remove.
    fn left_over(&self, observed: &Observed) -> Vec<InterfaceResult> {
        let left_over = |number: u8| InterfaceResult {
            id: number,
            name: name_of(number),
            status: InterfaceOutcome::Drifted,
            changed: false,
            reason: Reason::Stale,
            message: "it is not in the spec".to_owned(),
        };
        stale(observed, &self.claims()).into_iter().map(left_over).collect()
    }

    /// The name and MAC of every interface of the spec, whether it can be carried out or not.
    fn claims(&self) -> Vec<(String, String)> {
        self.spec.interfaces.iter().map(|interface| (interface.name.clone(), interface.mac.clone())).collect()
    }

    fn interface(&self, index: usize) -> &AgentInterface {
        &self.spec.interfaces[index]
    }

    fn configured(&self, index: usize, changed: bool, message: String) -> InterfaceResult {
        let reason = if changed { Reason::Applied } else { Reason::UpToDate };
        self.result(index, InterfaceOutcome::Configured, changed, reason, message)
    }

    fn failed(&self, index: usize, failure: &Failure) -> InterfaceResult {
        let changed = failure.reason == Reason::RollbackFailed;
        self.result(index, InterfaceOutcome::Failed, changed, failure.reason, failure.message.clone())
    }

    fn result(
        &self,
        index: usize,
        status: InterfaceOutcome,
        changed: bool,
        reason: Reason,
        message: String,
    ) -> InterfaceResult {
        let AgentInterface { id, name, .. } = self.interface(index);
        InterfaceResult { id: *id, name: name.clone(), status, changed, reason, message }
    }
}

fn warnings_of(warnings: &[(usize, String)], member: usize) -> String {
    let own: Vec<_> = warnings.iter().filter(|(of, _)| *of == member).map(|(_, text)| text.as_str()).collect();
    own.join("; ")
}

fn finish(action: AgentAction, spec: &AgentSpec, results: Result<Results, RunError>) -> Outcome {
    let mut summary = AgentSummary {
        action,
        node: spec.node_name.clone(),
        config_uid: spec.config_uid.clone(),
        generation: spec.generation,
        interfaces: Vec::new(),
        removed: Vec::new(),
        error: None,
    };
    let exit = match results {
        Ok(Results { interfaces, removed }) => {
            let bad = |result: &InterfaceResult| {
                matches!(result.status, InterfaceOutcome::Failed | InterfaceOutcome::Drifted)
            };
            let exit = if interfaces.iter().chain(&removed).any(bad) { AgentExit::Interfaces } else { AgentExit::Done };
            (summary.interfaces, summary.removed) = (interfaces, removed);
            exit
        }
        Err(error) => {
            let (exit, failure) = match error {
                RunError::Input(failure) => (AgentExit::BadInput, failure),
                RunError::Host(failure) => (AgentExit::Host, failure),
            };
            // Nothing was done, so every interface has the one reason.
            summary.interfaces =
                spec.interfaces.iter().take(MAX_INTERFACES).map(|interface| not_tried(interface, &failure)).collect();
            summary.error = Some(AgentError { reason: failure.reason, message: failure.message });
            exit
        }
    };
    outcome(exit, summary)
}

fn not_tried(interface: &AgentInterface, failure: &Failure) -> InterfaceResult {
    InterfaceResult {
        id: interface.id,
        name: interface.name.clone(),
        status: InterfaceOutcome::Failed,
        changed: false,
        reason: failure.reason,
        message: failure.message.clone(),
    }
}

fn refused(action: AgentAction, node: Option<&str>, error: &RunError) -> Outcome {
    let (exit, failure) = match error {
        RunError::Input(failure) => (AgentExit::BadInput, failure),
        RunError::Host(failure) => (AgentExit::Host, failure),
    };
    let summary = AgentSummary {
        action,
        node: node.unwrap_or_default().to_owned(),
        config_uid: String::new(),
        generation: 0,
        interfaces: Vec::new(),
        removed: Vec::new(),
        error: Some(AgentError { reason: failure.reason, message: failure.message.clone() }),
    };
    outcome(exit, summary)
}

fn outcome(exit: AgentExit, summary: AgentSummary) -> Outcome {
    let message = summary::encode(&summary);
    for result in summary.interfaces.iter().chain(&summary.removed) {
        let InterfaceResult { name, status, changed, reason, message, .. } = result;
        tracing::info!(interface = name, ?status, changed, %reason, message, "result");
    }
    if let Some(error) = &summary.error {
        tracing::error!(reason = %error.reason, error.message, "nothing was done");
    }
    Outcome { exit, summary, message }
}
