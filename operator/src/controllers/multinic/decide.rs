//! A decision without a cluster: the pure steps one after the other, on objects that somebody has. Pure.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;

use crate::api::multinic::{MultiNicNodeConfig, MultiNicNodeConfigStatus};

use super::observe::{AgentJob, NodeFacts, Observed};
use super::{Settings, plan, status, validate};

/// What would be told of a configuration on this node, with these Jobs of its agents and no Pods of theirs, where that is
/// another status than it has.
pub fn decide(
    config: &MultiNicNodeConfig,
    node: Option<&Node>,
    jobs: &[Job],
    settings: &Settings,
    now: Timestamp,
) -> Option<MultiNicNodeConfigStatus> {
    let observed = Observed {
        config: config.clone(),
        node: node.map(NodeFacts::from),
        jobs: jobs.iter().map(AgentJob::from).collect(),
        pods: Vec::new(),
        rival: None,
    };
    let plan = plan::plan(&observed, validate::validate(&observed), settings, now);
    status::render(config, &plan.progress, now)
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixtures::{config, now};
    use super::*;

    #[test]
    fn a_configuration_without_its_node_is_told_so() {
        let told = decide(&config(), None, &[], &Settings::default(), now()).unwrap();
        assert_eq!(told.observed_generation, Some(1), "{told:?}");
    }
}
