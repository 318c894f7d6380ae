//! What a Deployment asks for, with its percentages worked out. Pure.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::workload::amount::{self, Round};
use super::revision::HASH_LABEL;

/// What a Deployment asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) replicas: i32,
    /// How many Pods there may be beyond that while Pods are replaced; 0 where all go at once.
    pub(super) max_surge: i32,
    /// How many may be missing meanwhile; 0 where all go at once.
    pub(super) max_unavailable: i32,
    /// Whether Pods are replaced a few at a time.
    pub(super) rolling: bool,
    pub(super) paused: bool,
    /// Seconds without progress after which a rollout has failed.
    pub(super) progress_deadline: Option<i32>,
    /// How many old ReplicaSets are kept.
    pub(super) history: Option<i32>,
}

impl Wanted {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let default = DeploymentSpec::default();
        let spec = deployment.spec.as_ref().unwrap_or(&default);
        let replicas = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy.as_ref();
        let rolling = strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate");
        let update = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let of = |amount: Option<&IntOrString>, round| amount.map_or(0, |amount| amount::of(amount, replicas, round));
        let surge = of(update.and_then(|update| update.max_surge.as_ref()), Round::Up);
        let unavailable = of(update.and_then(|update| update.max_unavailable.as_ref()), Round::Down);
        // Percentages that both come to nothing would never let a rollout begin.
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        let limited = |limit: &i32| *limit != i32::MAX;
        Self {
            replicas,
            max_surge: if rolling { surge } else { 0 },
            max_unavailable: if rolling && replicas > 0 { unavailable.min(replicas) } else { 0 },
            rolling,
            paused: spec.paused == Some(true),
            progress_deadline: spec.progress_deadline_seconds.filter(limited),
            history: spec.revision_history_limit.filter(limited),
        }
    }
}

/// Whether two templates make the same Pods: their hash labels are left aside.
pub(super) fn same_template(left: &PodTemplateSpec, right: &PodTemplateSpec) -> bool {
    let plain = |template: &PodTemplateSpec| {
        let mut meta = template.metadata.clone().unwrap_or_default();
        let mut labels = meta.labels.take().unwrap_or_default();
        labels.remove(HASH_LABEL);
        meta.annotations = meta.annotations.filter(|annotations| !annotations.is_empty());
        (meta, labels)
    };
    left.spec == right.spec && plain(left) == plain(right)
}
