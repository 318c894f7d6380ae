//! Whether a scenario can run on a cluster that is there already. Pure.

use std::time::Duration;

use super::machines::{self, Machines};
use crate::scenario::duration::Span;
use crate::scenario::plan::{Action, Plan};

/// As much real time as a scenario may let pass by itself, beside what it waits for.
pub(super) const REAL_TIME_MAX: Duration = Duration::from_mins(1);

/// What namespaces of the cluster itself begin with.
const OF_THE_CLUSTER: &str = "kube-";

/// What a cluster offers, as far as scenarios ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Whether its API server reaches this process, and so webhooks.
    pub(super) callback: bool,
    /// Whether the operator is one that runs there already.
    pub(super) deployed: bool,
    /// What its nodes would be.
    pub(super) nodes: Machines,
}

/// Why a scenario cannot run there; none where it can.
pub(super) fn misfit(plan: &Plan, offer: Offer) -> Option<String> {
    if !plan.faults.is_empty() {
        return Some("its `faults` need an API server of ours".to_owned());
    }
    if let Some(why) = &plan.needs.virtual_time {
        return Some(format!("needs virtual time: {why}"));
    }
    if let Some(why) = machines::misfit(plan, offer.nodes) {
        return Some(why);
    }
    let passes: Duration = plan.steps.iter().map(|step| step.action.duration()).sum();
    if passes > REAL_TIME_MAX {
        return Some(format!("it lets {} pass: needs virtual time", Span(passes)));
    }
    if plan.namespace.starts_with(OF_THE_CLUSTER) {
        return Some(format!("it works in {}, which is the cluster's own", plan.namespace));
    }
    let Some(operator) = &plan.operator else { return None };
    let ours = operator.built_in();
    let drains = ours.is_some_and(|ours| ours.controllers.iter().any(|controller| controller == "drain"));
    let evicts = plan.steps.iter().any(|step| matches!(step.action, Action::Evict { .. }));
    let reads = plan.steps.iter().any(|step| matches!(step.action, Action::ExpectMetric { .. }));
    let operates = plan.steps.iter().any(|step| matches!(step.action, Action::Operator(_)));
    match offer {
        Offer { deployed: true, .. } if operates || operator.stopped => {
            Some("it starts and stops the operator, which is not ours there".to_owned())
        }
        Offer { deployed: true, .. } if ours.is_some_and(|ours| !ours.settings.is_empty()) => {
            Some("it gives the operator settings, which has its own there".to_owned())
        }
        Offer { deployed: true, .. } if reads => {
            Some("it reads the operator's metrics, which is not ours there".to_owned())
        }
        Offer { callback: false, deployed: false, .. } if drains && evicts => Some(
            "its evictions are asked about by webhook, and the API server cannot reach this process: say at which \
             address it does with --callback IP"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::commands::vocabulary;
    use crate::scenario::load::load;

    const ALL: Offer = Offer { callback: true, deployed: false, nodes: Machines::Simulated };

    pub(in crate::target) fn plan(rest: &str) -> Plan {
        let directory = tempfile::tempdir().unwrap();
        let head = "apiVersion: slipway.dev/v1alpha1\nkind: Scenario\nmetadata: {name: a}\n";
        std::fs::write(directory.path().join("a.yaml"), format!("{head}{rest}\n")).unwrap();
        load(&[directory.path().to_owned()], &vocabulary()).unwrap().plans.remove(0)
    }

    #[test]
    fn what_cannot_be_had_there_is_named() {
        let quiet = "steps: [{advance: 60s}]";
        let evicts = "operator: {controllers: [drain]}\nsteps: [{evict: {name: a}}]";
        let restarts = "operator: {controllers: [hello]}\nsteps: [{operator: restart}]";
        let tuned =
            "operator: {controllers: [multinic], settings: {multinic: {jobDeadline: 30s}}}\nsteps: [{advance: 1s}]";
        let (alone, deployed) = (Offer { callback: false, ..ALL }, Offer { deployed: true, ..ALL });
        for (text, offer, why) in [
            (quiet, ALL, None),
            ("steps: [{advance: 59s}, {advance: 2s}]", ALL, Some("it lets 1m1s pass: needs virtual time")),
            (
                "steps: [{consistently: {resource: pods, that: 'true', for: 5m}}]",
                ALL,
                Some("it lets 5m pass: needs virtual time"),
            ),
            (
                "needs: {virtualTime: it counts moments}\nsteps: [{advance: 1s}]",
                ALL,
                Some("needs virtual time: it counts moments"),
            ),
            (
                "needs: {podAccess: it looks inside}\nsteps: [{advance: 1s}]",
                ALL,
                Some("simulated nodes: it looks inside"),
            ),
            (
                "operator: {controllers: [hello]}\nsteps: [{expectMetric: {series: up, value: 1}}]",
                deployed,
                Some("it reads the"),
            ),
            ("faults: [{delay: 1s}]\nsteps: [{advance: 1s}]", ALL, Some("its `faults` need")),
            ("namespace: kube-system\nsteps: [{advance: 1s}]", ALL, Some("kube-system, which is the cluster's own")),
            (evicts, ALL, None),
            (evicts, alone, Some("--callback IP")),
            (evicts, deployed, None),
            (restarts, alone, None),
            (restarts, deployed, Some("it starts and stops the operator")),
            (tuned, ALL, None),
            (tuned, deployed, Some("it gives the operator settings")),
            (
                "operator: {controllers: [hello], stopped: true}\nsteps: [{advance: 1s}]",
                deployed,
                Some("it starts and"),
            ),
        ] {
            let got = misfit(&plan(text), offer);
            match why {
                None => assert_eq!(got, None, "{text}"),
                Some(why) => assert!(got.as_ref().is_some_and(|got| got.contains(why)), "{text}: {got:?}"),
            }
        }
    }
}
